"""A CUDA kernel of everything in posit.jit, compared with the core; a program of its own.

python -m tests.posit.cuda_jit run|compile FORMAT…: runs it on the GPU, or with
NUMBA_ENABLE_CUDASIM=1 in Numba's simulator. "compile" needs NVVM but no GPU.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import config, cuda, from_dtype, types

import posit
import posit.jit
import quire
from posit import PositSpec

from ..formats import mixed

CHUNK = 8


def kernel_of(spec: PositSpec) -> Any:
    """out[r, i]: row r is one operation on a[i], b[i], c[i]; the last, a sum over CHUNK of them."""
    p = posit.jit.ops(spec)
    exact = p.quire()
    limbs = exact.limbs
    narrow = posit.jit.convert(spec, posit.bposit8)

    def kernel(a: Any, b: Any, c: Any, x: Any, out: Any, values: Any) -> None:  # noqa: PLR0917
        i = cuda.grid(1)
        if i >= a.size:
            return
        out[0, i] = p.add(a[i], b[i])
        out[1, i] = p.sub(a[i], b[i])
        out[2, i] = p.mul(a[i], b[i])
        out[3, i] = p.div(a[i], b[i])
        out[4, i] = p.fma(a[i], b[i], c[i])
        out[5, i] = p.sqrt(a[i])
        out[6, i] = p.neg(a[i])
        out[7, i] = p.abs(a[i])
        out[8, i] = p.encode(x[i])
        out[9, i] = narrow(a[i])
        out[10, i] = p.lt(a[i], b[i]) + 2 * p.is_nar(p.next(p.prior(a[i])))
        values[i] = p.decode(a[i])
        total = cuda.local.array(limbs, types.uint64)
        part = cuda.local.array(limbs, types.uint64)
        exact.clear(total)
        exact.clear(part)
        for k in range(CHUNK):
            exact.qma(part, a[i ^ k], b[i ^ k])
        exact.qadd(total, c[i])
        exact.qmerge(total, part)
        out[11, i] = exact.qround(total)

    return kernel


def expected(spec: PositSpec, a: Any, b: Any, c: Any, x: Any) -> tuple[Any, Any]:
    index = np.arange(a.size)[:, np.newaxis] ^ np.arange(CHUNK)
    one = np.full((a.size, 1), spec.one, spec.storage)
    sums = quire.dot(np.hstack([a[index], c[:, np.newaxis]]), np.hstack([b[index], one]), spec)
    rows = [f(a, b, spec) for f in (posit.add, posit.sub, posit.mul, posit.div)]
    rows += [posit.fma(a, b, c, spec), *(f(a, spec) for f in (posit.sqrt, posit.neg, posit.abs))]
    rows += [posit.encode(x, spec), posit.convert(a, spec, posit.bposit8)]
    rows += [(a < b) + 2 * (a == spec.nar), sums]
    return np.array(rows, np.int64), posit.decode(a, spec)


def run(spec: PositSpec, count: int) -> None:
    rng = np.random.default_rng(7)
    a, b, c = (mixed(spec, count, rng) for _ in range(3))
    x = rng.normal(size=count) * np.exp(rng.normal(scale=40, size=count))
    out, values = np.zeros((12, count), np.int64), np.zeros(count)
    cuda.jit(kernel_of(spec))[-(-count // 32), 32](a, b, c, x, out, values)
    want, decoded = expected(spec, a, b, c, x)
    wrong = np.argwhere(out != want)
    assert not len(wrong), f"{spec}: rows and columns {wrong[:5].tolist()}"
    np.testing.assert_array_equal(values, decoded)


def compile_only(spec: PositSpec) -> None:
    # Numba asks the current device what it can do wherever one device function calls another.
    from numba.cuda import dispatcher

    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(8, 0))
    word = types.Array(from_dtype(spec.storage), 1, "C")
    signature = (word, word, word, types.float64[::1], types.int64[:, ::1], types.float64[::1])
    ptx, _ = cuda.compile_ptx(kernel_of(spec), signature, cc=(8, 0))
    assert ".visible .entry" in ptx


if __name__ == "__main__":
    todo, *formats = sys.argv[1:]
    for name in formats:
        if todo == "compile":
            compile_only(PositSpec.parse(name))
        else:
            run(PositSpec.parse(name), 64 if config.ENABLE_CUDASIM else 1 << 16)
        print(name, "done")
