"""Functions of neural networks that the Posit Standard lacks, and derivatives: correctly rounded.

They are rows as :mod:`posit.functions` has them: float64 decides with an error bound, MPFR where it
cannot, and at n <= 16 both only fill a table. The result depends neither on how float64 rounds nor
on vector units. (posit/_functions/floats.py and reals.py say what such routes promise.)
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import erf, erfc, pi, sqrt
from typing import Any

import numpy as np

from posit._functions.floats import F8, HUGE, REL, TINY, Bounded
from posit._functions.reals import via
from posit._functions.row import Row

__all__ = ["ROWS"]

_BOUND = 2.0**-40  # of terms whose exponent, below 720 in magnitude, is wrong by few times 2^-53
_CUBIC = Fraction(44715, 1000000)  # of GELU's form with tanh
_FAR = 64  # beyond it sigmoid(2u) of that form is 0 or 1 to 2^-26000
_DEEP = 1 << 13  # beyond it e^(-x²/2) lies outside every format


def _held(y: F8) -> F8:
    """Never 0, never infinite."""
    held: F8 = np.copysign(np.clip(np.abs(y), TINY, HUGE), y)
    return held


def _within(y: F8, bound: float = REL * 4) -> Bounded:
    y = _held(y)
    return y, y * bound


def _special(function: Callable[[float], float], x: F8) -> F8:
    """A function of the C library, which NumPy lacks; torch's would wake its threads."""
    return np.fromiter(map(function, x.tolist()), np.float64, x.size)


def _erf(x: F8) -> Bounded:
    y = _special(erf, x)
    return y, y * REL


def _normal(x: F8) -> tuple[F8, F8]:
    """Distribution and density of the normal law; x² is wrong by 2^-53 of at most 1440."""
    return _special(erfc, x * -sqrt(0.5)) / 2, np.exp(-0.5 * x * x) * (1 / sqrt(2 * pi))


def _logistic(x: F8) -> F8:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


# ---- float64
def _sigmoid(x: F8) -> Bounded:
    return _within(_logistic(x))


def _sigmoid_slope(x: F8) -> Bounded:
    return _within(_logistic(x) * _logistic(-x))


def _softplus(x: F8) -> Bounded:
    return _within(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def _silu(x: F8) -> Bounded:
    return _product(x, _logistic(x), REL * 4)


def _product(x: F8, share: F8, bound: float) -> Bounded:
    """x·share for a share in [0, 1] that is never exactly 0; exact at 0."""
    y = np.where(x == 0, 0.0, _held(x * share))
    return y, y * bound


def _silu_slope(x: F8) -> Bounded:
    return _of_terms(_logistic(x), x * _logistic(x) * _logistic(-x), x)


def _of_terms(share: F8, rest: F8, x: F8) -> Bounded:
    """share + rest, which cancel at one negative x; far below it the sum has the sign of rest."""
    y, size = share + rest, np.abs(share) + np.abs(rest)
    lost = (size < TINY) & (x < 0)
    return np.where(lost, -TINY, y), np.where(lost, 0.0, size * _BOUND)


def _gelu(x: F8) -> Bounded:
    return _product(x, _normal(np.maximum(x, -60.0))[0], _BOUND)


def _gelu_slope(x: F8) -> Bounded:
    share, density = _normal(np.clip(x, -60.0, 60.0))
    return _of_terms(share, np.clip(x, -60.0, 60.0) * density, x)


def _twice_u(x: F8) -> tuple[F8, F8]:
    """2u of GELU's form with tanh, and its derivative."""
    a, b = sqrt(8 / pi), float(_CUBIC)
    near = np.clip(x, -float(_FAR), float(_FAR))
    return a * near * (1 + b * near * near), a * (1 + 3 * b * near * near)


def _gelu_tanh(x: F8) -> Bounded:
    return _product(x, _logistic(_twice_u(x)[0]), _BOUND)


def _gelu_tanh_slope(x: F8) -> Bounded:
    u, slope = _twice_u(x)
    share = _logistic(u)
    near = np.clip(x, -float(_FAR), float(_FAR))
    return _of_terms(share, near * share * _logistic(-u) * slope, x)


def _erf_slope(x: F8) -> Bounded:
    return _within(np.exp(-x * x) * (2 / sqrt(pi)), _BOUND)


def _tanh_slope(x: F8) -> Bounded:
    small = np.exp(-2.0 * np.abs(x))
    return _within(4 * small / (1 + small) ** 2)


# ---- MPFR. None of these values is rational where x is and is not 0: by Lindemann-Weierstrass for
# e^x, and nothing else is known of erf, whose intervals have always separated.
Real = Any


def _wider(function: Callable[[Any, Real], Real]) -> Callable[[Any, Real], Real]:
    """At twice the precision and 256 bits more, then cut: what sums cancel stays in between."""

    def near(m: Any, x: Real) -> Real:
        import gmpy2  # type: ignore[import-untyped, unused-ignore]

        return m.mul(function(gmpy2.context(m, precision=2 * m.precision + 256), x), 1)

    return near


def _at_zero(value: int | Fraction) -> Callable[[Any, Real], Real]:
    return lambda m, x: value if x == 0 else None


def _real_logistic(m: Any, x: Real) -> Real:
    return m.div(1, m.add(1, m.exp(m.minus(x))))


def _real_softplus(m: Any, x: Real) -> Real:
    return m.add(m.maxnum(x, 0), m.log1p(m.exp(m.minus(m.abs(x)))))


def _real_slope(m: Any, x: Real, u: Real, slope: Real) -> Real:
    """Of x·s(u): s + x·s·(1 - s)·u' as s·(1 + x·(1 - s)·u')."""
    rest = m.mul(m.mul(x, _real_logistic(m, m.minus(u))), slope)
    return m.mul(_real_logistic(m, u), m.add(1, rest))


def _real_share(m: Any, x: Real) -> Real:
    return m.div(m.erfc(m.minus(m.div(x, m.sqrt(2)))), 2)


def _real_gelu(m: Any, x: Real) -> Real:
    return m.mul(x, _real_share(m, m.maxnum(x, -_DEEP)))


def _real_gelu_slope(m: Any, x: Real) -> Real:
    x = m.maxnum(m.minnum(x, _DEEP), -_DEEP)
    density = m.div(m.exp(m.div(m.mul(x, x), -2)), m.sqrt(m.mul(2, m.const_pi())))
    return m.add(_real_share(m, x), m.mul(x, density))


def _real_twice_u(m: Any, x: Real) -> tuple[Real, Real]:
    x = m.maxnum(m.minnum(x, _DEEP), -_DEEP)
    a = m.sqrt(m.div(8, m.const_pi()))
    b = m.div(m.mul(_CUBIC.numerator, m.mul(x, x)), _CUBIC.denominator)
    return m.mul(m.mul(a, x), m.add(1, b)), m.mul(a, m.add(1, m.mul(3, b)))


def _real_gelu_tanh(m: Any, x: Real) -> Real:
    return m.mul(x, _real_logistic(m, _real_twice_u(m, x)[0]))


def _real_gelu_tanh_slope(m: Any, x: Real) -> Real:
    return _real_slope(m, x, *_real_twice_u(m, x))


def _real_erf_slope(m: Any, x: Real) -> Real:
    x = m.maxnum(m.minnum(x, _DEEP), -_DEEP)
    return m.mul(m.exp(m.minus(m.mul(x, x))), m.div(2, m.sqrt(m.const_pi())))


def _real_sigmoid_slope(m: Any, x: Real) -> Real:
    return m.mul(_real_logistic(m, x), _real_logistic(m, m.minus(x)))


def _real_tanh_slope(m: Any, x: Real) -> Real:
    return m.mul(4, _real_sigmoid_slope(m, m.mul(2, x)))


_HALF = Fraction(1, 2)
_NEVER = lambda m, x: None  # noqa: E731


def _row(name: str, text: str, fast: Any, real: Any, direct: Any = _NEVER) -> Row:
    return Row(name, text, fast, direct, _wider(real))


ROWS = {
    row.name: row
    for row in [
        _row("sigmoid", "1/(1 + e^-x)", _sigmoid, _real_logistic, _at_zero(_HALF)),
        _row(
            "sigmoid_slope", "σ(x)·σ(-x)",
            _sigmoid_slope, _real_sigmoid_slope, _at_zero(Fraction(1, 4)),
        ),
        _row("softplus", "log(1 + e^x)", _softplus, _real_softplus),
        _row(
            "silu", "x·σ(x)",
            _silu, lambda m, x: m.mul(x, _real_logistic(m, x)), _at_zero(0),
        ),
        _row(
            "silu_slope", "σ(x)·(1 + x·σ(-x))",
            _silu_slope, lambda m, x: _real_slope(m, x, x, 1), _at_zero(_HALF),
        ),
        _row("gelu", "x·Φ(x)", _gelu, _real_gelu, _at_zero(0)),
        _row("gelu_slope", "Φ(x) + x·φ(x)", _gelu_slope, _real_gelu_slope, _at_zero(_HALF)),
        _row("gelu_tanh", "x·σ(2u)", _gelu_tanh, _real_gelu_tanh, _at_zero(0)),
        _row(
            "gelu_tanh_slope", "its derivative",
            _gelu_tanh_slope, _real_gelu_tanh_slope, _at_zero(_HALF),
        ),
        Row("erf", "Error function", _erf, via("erf")),
        _row("erf_slope", "2/√π·e^-x²", _erf_slope, _real_erf_slope),
        _row("tanh_slope", "1 - tanh² x", _tanh_slope, _real_tanh_slope, _at_zero(1)),
    ]
}  # fmt: skip
"""By name. For GELU with tanh, u = √(2/π)·(x + 0.044715·x³)."""
