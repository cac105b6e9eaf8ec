"""How fast is the NumPy dtype?

bposit16 arrays beside ml_dtypes' bfloat16 and, for order, beside int16; posit16 and posit32 beside
universal_dtypes, which has the same formats and computes the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import universal_dtypes  # type: ignore[import-untyped, unused-ignore]

import posit

from ._harness import Config, Pair, Side, agree, sample

Array = npt.NDArray[Any]

FULL = 1 << 22
SMALL = 1 << 16  # elements: universal_dtypes takes a quarter of a microsecond each
BETTER = 20.0  # times universal_dtypes' speed, every row

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "a + b": np.add,
    "a - b": np.subtract,
    "a * b": np.multiply,
    "a / b": np.divide,
    "a < b": np.less,
}
UNARY: dict[str, Callable[[Array], Array]] = {
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "sort": np.sort,
}


def pairs(config: Config) -> Iterator[Pair]:
    yield from _beside_bfloat16(config)
    yield from _beside_int16(config)
    for n in (16, 32):
        yield from _beside_universal(n, config)


def _numbers(config: Config, size: int) -> Array:
    return config.rng().standard_normal((2, size))


def _beside_bfloat16(config: Config) -> Iterator[Pair]:
    """Results made anew, as operators make them."""
    size = config.size(FULL)
    x = _numbers(config, size)
    ours, theirs = x.astype(posit.dtype("bposit16")), x.astype(ml_dtypes.bfloat16)
    for name, target in (("a + b", 0.7), ("a * b", 0.7)):
        yield _binary(f"bposit16 {name}", "ml_dtypes bfloat16", name, ours, theirs, config, target)
    whole = (1000 * x[0]).astype(np.int64)
    for kind in (ours.dtype, theirs.dtype):
        assert np.array_equal(whole.astype(kind).astype(np.int64).astype(kind), whole.astype(kind))
    for name, a, b in (
        ("int64 →", (whole, ours.dtype), (whole, theirs.dtype)),
        ("→ int64", (ours[0], np.int64), (theirs[0], np.int64)),
    ):
        yield Pair(
            Side(f"bposit16 {name}", lambda a=a: a[0].astype(a[1]), size, 10 * size),
            Side("ml_dtypes bfloat16", lambda b=b: b[0].astype(b[1]), size, 10 * size),
            "elements", lambda: "there and back = once there", None,
        )  # fmt: skip


def _binary(  # noqa: PLR0917
    title: str,
    peer: str,
    name: str,
    ours: Array,
    theirs: Array,
    config: Config,
    target: float | None,
) -> Pair:
    function, (a, b), (c, d) = BINARY[name], ours, theirs
    moved = 3 * a.nbytes

    def check() -> str:
        return _check(name, function(a, b), (a, b), config)

    return Pair(
        Side(title, lambda: function(a, b), a.size, moved),
        Side(peer, lambda: function(c, d), c.size, moved),
        "elements",
        check,
        target,
    )


def _check(name: str, got: Array, operands: tuple[Array, ...], config: Config) -> str:
    """A sample against the definition, where it has the operation."""
    op = {"a + b": "add", "a - b": "sub", "a * b": "mul", "a / b": "div", "sqrt": "sqrt"}.get(name)
    if op is None:
        return "not checked here: tests/posit does"
    spec = operands[0].dtype.spec  # type: ignore[attr-defined]
    at = sample(got.size, config.rng())
    rows = zip(*(posit.bits(x)[at].tolist() for x in operands), strict=True)
    exact = getattr(posit.reference, op)
    wanted = np.array([exact(*row, spec) for row in rows], spec.storage)
    agree(f"{spec} {name}", posit.bits(got)[at], wanted)
    return f"{at.size} elements = posit.reference"


def _beside_int16(config: Config) -> Iterator[Pair]:
    size = config.size(FULL)
    x = _numbers(config, size)
    a, b = x.astype(posit.dtype("bposit16"))
    i, j = posit.bits(a).copy(), posit.bits(b).copy()

    rows: dict[str, tuple[Callable[[Array], Array], int, float | None]] = {
        "copy": (np.copy, 2 * a.nbytes, 0.9),
        "sort": (np.sort, 2 * a.nbytes, 0.9),
        "argmax": (np.argmax, a.nbytes, None),  # two passes: NaR counts as the maximum
        "astype(bool)": (lambda x: x.astype(bool), a.nbytes + size, 0.9),
    }

    def check_less() -> str:
        agree("bposit16 <", a < b, i < j)
        return "all elements = int16's"

    yield Pair(
        Side("bposit16 a < b", lambda: a < b, size, 2 * a.nbytes + size),
        Side("NumPy int16", lambda: i < j, size, 2 * a.nbytes + size),
        "elements", check_less, 0.9,
    )  # fmt: skip
    for name, (function, moved, target) in rows.items():

        def check(name: str = name, function: Any = function) -> str:
            got = function(a)
            agree(f"bposit16 {name}", posit.bits(got) if got.dtype == a.dtype else got, function(i))
            return "all elements = int16's"

        yield Pair(
            Side(f"bposit16 {name}", lambda f=function: f(a), size, moved),
            Side("NumPy int16", lambda f=function: f(i), size, moved),
            "elements", check, target,
        )  # fmt: skip


def _beside_universal(n: int, config: Config) -> Iterator[Pair]:
    """The same numbers in the same formats: the results must agree where both round correctly."""
    size = config.size(SMALL)
    x = np.abs(_numbers(config, size))
    spec = posit.standard(n)
    theirs_type = getattr(universal_dtypes, f"posit{n}")
    ours = x.astype(posit.dtype(spec))
    theirs = x.astype(theirs_type)
    for name in BINARY:
        yield _binary(f"posit{n} {name}", "universal_dtypes", name, ours, theirs, config, BETTER)
    for name, function in UNARY.items():
        a, b = ours[0], theirs[0]

        def check(name: str = name, function: Any = function, a: Array = a) -> str:
            return _check(name, function(a), (a,), config)

        yield Pair(
            Side(f"posit{n} {name}", lambda f=function, a=a: f(a), size, 2 * a.nbytes),
            Side("universal_dtypes", lambda f=function, b=b: f(b), size, 2 * b.nbytes),
            "elements", check, BETTER,
        )  # fmt: skip
    for name, call in (("sum", np.sum), ("float64 →", None), ("→ float64", None)):
        if call is not None:
            run = (lambda c=call: c(ours[0]), lambda c=call: c(theirs[0]))
        elif name == "float64 →":
            run = (lambda: x[0].astype(ours.dtype), lambda: x[0].astype(theirs_type))
        else:
            run = (lambda: ours[0].astype(np.float64), lambda: theirs[0].astype(np.float64))
        yield Pair(
            Side(f"posit{n} {name}", run[0], size, size * n // 8),
            Side("universal_dtypes", run[1], size, size * n // 8),
            "elements", lambda: "not checked here: tests/posit does", BETTER,
        )  # fmt: skip
