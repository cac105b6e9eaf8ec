"""Jacobi's method in bposit32, every row an exact sum: run it with any number of threads."""

import numpy as np
from numba import njit, prange

import posit
import posit.jit

p = posit.jit.ops(posit.bposit32)
exact = p.quire()


@njit(parallel=True)
def jacobi(a, b, steps):
    """Solve a·x = b for a diagonally dominant a; returns x and the steps that changed it."""
    x = np.zeros_like(b)
    for step in range(steps):
        old = x.copy()
        for i in prange(b.size):
            q = exact.zeros()
            exact.qadd(q, b[i])
            for j in range(b.size):
                if j != i:
                    exact.qma(q, p.neg(a[i, j]), old[j])
            x[i] = p.div(exact.qround(q), a[i, i])
        if np.array_equal(x, old):
            return x, step
    return x, steps


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 200)) + 200 * np.eye(200)
    a, b = posit.encode(matrix, posit.bposit32), posit.encode(rng.normal(size=200), posit.bposit32)
    x, steps = jacobi(a, b, 100)
    truth = np.linalg.solve(posit.decode(a, posit.bposit32), posit.decode(b, posit.bposit32))
    error = np.abs(posit.decode(x, posit.bposit32) - truth).max() / np.abs(truth).max()
    print(f"settled after {steps} steps, largest error {error:.1e} of the largest element")
