"""How fast is element-wise arithmetic?

bposit16 beside ml_dtypes' bfloat16, bposit32 beside NumPy's float32 (one machine instruction an
operation: the upper bound), and the Posit Standard's posit16 and posit32 beside universal_dtypes,
which computes the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt
import universal_dtypes  # type: ignore[import-untyped, unused-ignore]

import posit
from posit import PositSpec

from ._harness import Config, Pair, Side, agree, sample

Array = npt.NDArray[Any]

FULL = 1 << 22
TARGETED = 1 << 24  # elements at which add and mul have a target
STANDARD = 1 << 18  # universal_dtypes takes a quarter of a microsecond an element
TARGETS = {"add": 0.4, "mul": 0.4}  # of ml_dtypes' speed, on bposit16

BINARY: dict[str, Any] = {"add": np.add, "mul": np.multiply, "div": np.divide}


class Contest(NamedTuple):
    """A format of ours and the dtype it is timed beside; sizes are elements."""

    spec: PositSpec
    peer: str
    dtype: Any
    size: int
    ops: tuple[str, ...] = ("add", "mul", "div", "sqrt", "fma")


CONTESTS = (
    Contest(posit.bposit16, "ml_dtypes bfloat16", ml_dtypes.bfloat16, FULL),
    Contest(posit.bposit32, "NumPy float32", np.float32, FULL),
    *(
        Contest(
            posit.standard(n),
            f"universal posit{n}",
            getattr(universal_dtypes, f"posit{n}"),
            STANDARD,
            ("add", "mul", "div", "sqrt"),
        )
        for n in (16, 32)
    ),
)


def pairs(config: Config) -> Iterator[Pair]:
    for contest in CONTESTS:
        for op in contest.ops:
            yield _pair(op, contest, config)


def _operands(op: str, size: int, config: Config) -> Array:
    """Normal numbers, one row an operand; positive ones for the root."""
    rows = {"sqrt": 1, "fma": 3}.get(op, 2)
    x = config.rng().standard_normal((rows, size), dtype=np.float32)
    return np.abs(x) if op == "sqrt" else x


def _pair(op: str, contest: Contest, config: Config) -> Pair:
    spec, dtype = contest.spec, np.dtype(contest.dtype)
    target = TARGETS.get(op) if spec == posit.bposit16 else None
    size = config.size(TARGETED if target is not None else contest.size)
    x = _operands(op, size, config)
    ours_in = [posit.encode(row, spec) for row in x]
    theirs_in = [row.astype(dtype) for row in x]
    ours_out, theirs_out = np.empty_like(ours_in[0]), np.empty_like(theirs_in[0])
    function, arrays = getattr(posit, op), len(x) + 1
    ours = Side(
        f"{spec.name} {op}",
        lambda: function(*ours_in, spec, out=ours_out),
        size,
        arrays * ours_out.nbytes,
    )
    call, note = _peer(op, theirs_in, theirs_out)
    peer = Side(f"{contest.peer} {op}", call, size, arrays * theirs_out.nbytes)

    def check() -> str:
        ours.call()
        peer.call()
        at = sample(size, config.rng())
        exact = getattr(posit.reference, op)
        rows = zip(*(a[at].tolist() for a in ours_in), strict=True)
        wanted = np.array([exact(*row, spec) for row in rows], spec.storage)
        agree(f"{spec} {op}", ours_out[at], wanted)
        done = f"{at.size} elements = posit.reference"
        if spec.is_standard:
            agree(f"{spec} {op} and {peer.name}", ours_out, theirs_out.view(spec.storage))
            return f"{done}; all elements = {contest.peer}"
        agree(peer.name, theirs_out, _through_float64(op, theirs_in, dtype))
        return f"{done}; {contest.peer} = float64, rounded"

    return Pair(ours, peer, "elements", check, target, note)


def _peer(op: str, operands: list[Array], out: Array) -> tuple[Callable[[], object], str]:
    if op == "sqrt":
        return lambda: np.sqrt(operands[0], out=out), ""
    if op == "fma":
        a, b, c = operands
        product = np.empty_like(out)
        return (
            lambda: np.add(np.multiply(a, b, out=product), c, out=out),
            "the peers have no fma: they multiply, add and round twice",
        )
    return lambda: BINARY[op](*operands, out=out), ""


def _through_float64(op: str, operands: list[Array], dtype: np.dtype[Any]) -> Array:
    """The peer's result by another way: float64 has 2p + 2 bits of any peer's p, so one rounding.

    Figueroa, "When is double rounding innocuous?", 1995.
    """
    wide = [a.astype(np.float64) for a in operands]
    if op == "sqrt":
        return np.sqrt(wide[0]).astype(dtype)
    if op == "fma":
        product = (wide[0] * wide[1]).astype(dtype).astype(np.float64)
        return (product + wide[2]).astype(dtype)
    result: Array = BINARY[op](*wide).astype(dtype)
    return result
