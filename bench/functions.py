"""How fast are the standard's functions?

bposit16, a table, beside ml_dtypes' bfloat16; bposit32, correctly rounded, beside NumPy's float64,
which it calls and which is not; and the Posit Standard's posit16 and posit32 beside
universal_dtypes, which goes through a double. How many results a peer rounds wrongly is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import gmpy2  # type: ignore[import-untyped, unused-ignore]
import ml_dtypes
import numpy as np
import numpy.typing as npt
import universal_dtypes  # type: ignore[import-untyped, unused-ignore]

import posit
from posit import PositSpec, functions

from ._harness import Config, Mismatch, Pair, Side, agree, sample

Array = npt.NDArray[Any]

FULL = 1 << 20
STANDARD = 1 << 17  # universal_dtypes takes a quarter of a microsecond an element
WANTED = "wanted: bposit16 500 M/s; bposit32 exp and log 40 M/s, sin 10 M/s"
TOLERATED = 1e-3  # of a peer's results may be rounded wrongly before it is another function

MPFR: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda m, x: m.exp(x),
    "log": lambda m, x: m.log(x),
    "sin": lambda m, x: m.sin(x),
    "tanh": lambda m, x: m.tanh(x),
}


class Contest(NamedTuple):
    """A format of ours and the dtype it is timed beside; sizes are elements."""

    spec: PositSpec
    peer: str
    dtype: Any
    size: int


CONTESTS = (
    Contest(posit.bposit16, "ml_dtypes bfloat16", ml_dtypes.bfloat16, FULL),
    Contest(posit.bposit32, "NumPy float64", np.float64, FULL),
    Contest(posit.standard(16), "universal posit16", universal_dtypes.posit16, STANDARD),
    Contest(posit.standard(32), "universal posit32", universal_dtypes.posit32, STANDARD),
)


def pairs(config: Config) -> Iterator[Pair]:
    for contest in CONTESTS:
        for name in MPFR:
            yield _pair(name, contest, config)


def _operand(name: str, size: int, config: Config) -> Array:
    x = config.rng().standard_normal(size)
    return np.abs(x) if name == "log" else x


def _pair(name: str, contest: Contest, config: Config) -> Pair:
    spec, dtype = contest.spec, np.dtype(contest.dtype)
    size = config.size(contest.size)
    x = _operand(name, size, config)
    bits = posit.encode(x, spec)
    values = posit.decode(bits, spec)
    theirs = values.astype(dtype)
    out, theirs_out = np.empty_like(bits), np.empty_like(theirs)
    ours_function, ufunc = functions.UFUNCS[name], getattr(np, name)
    ours = Side(
        f"{spec.name} {name}", lambda: ours_function(bits, spec, out=out), size, 2 * bits.nbytes
    )
    peer = Side(
        f"{contest.peer} {name}", lambda: ufunc(theirs, out=theirs_out), size, 2 * theirs.nbytes
    )

    def check() -> str:
        ours.call()
        peer.call()
        at = sample(size, config.rng())
        agree(f"{spec} {name}", out[at], _rounded(name, values[at], spec))
        done = f"{at.size} elements = MPFR, rounded"
        if dtype == np.float64:
            return done
        wrong = int(np.count_nonzero(_theirs(theirs_out, spec) != _best(name, theirs, out, spec)))
        if wrong > TOLERATED * size:
            raise Mismatch(f"{peer.name}: {wrong} of {size} are rounded wrongly")
        return f"{done}; {contest.peer} rounds {wrong} of {size} wrongly"

    if spec.is_standard:
        return Pair(ours, peer, "elements", check, target=20.0)
    return Pair(ours, peer, "elements", check, note=WANTED)


def _rounded(name: str, values: Array, spec: PositSpec) -> Array:
    """The right patterns, from 200 bits of MPFR."""
    with gmpy2.context(precision=200) as m:
        exact = [MPFR[name](m, gmpy2.mpfr(float(v))) for v in values]
    ratios = [Fraction(*map(int, y.as_integer_ratio())) for y in exact]
    return np.array([posit.reference.encode(q, spec) for q in ratios], spec.storage)


def _theirs(made: Array, spec: PositSpec) -> Array:
    return made.view(spec.storage) if spec.is_standard else made.astype(np.float64)


def _best(name: str, operand: Array, ours: Array, spec: PositSpec) -> Array:
    """The peer's right results: ours where the format is the same, else through float64."""
    if spec.is_standard:
        return ours
    wide: Array = getattr(np, name)(operand.astype(np.float64))
    return wide.astype(operand.dtype).astype(np.float64)
