"""The dtype's C code gives back every reference that it takes, and keeps no memory of NumPy's."""

from __future__ import annotations

import gc
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np
import pytest

import posit
from posit import PositSpec, bposit8, standard

from .dtype_arrays import made, random

SPEC = PositSpec(13, 6, 5)
D = posit.dtype(SPEC)
A = random(SPEC, 40, nar=False)
DType: Any = type(D)
WIDER = posit.dtype(16, 6, 5)
OTHER = random(standard(16), 40)
NO_PATTERN = np.full(3, 1 << 14, np.int16).view(D)
FLOATS = np.ones(40)  # made once: np.ones itself keeps a reference to float64
TEXTS = np.array(["1", "nar", "1e9"])
RECORDS = np.zeros(3, [("a", "i1"), ("x", D)])
Action = Callable[[], object]


class Foreign:
    """Its class cannot be asked for."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")


ACTIONS: dict[str, Action] = {
    "dtype": lambda: DType(SPEC),
    "dtype: wrong": lambda: DType("x"),
    "dtype: repr, str, name": lambda: (repr(D), str(D), D.name, hash(D)),
    "dtype: pickle": lambda: pickle.loads(pickle.dumps(D)),
    "array of numbers": lambda: np.array([1, 2.5, 10**400, "0.1", True, np.float32(3)], D),
    "array of posits": lambda: np.array([posit.Posit(1, SPEC), posit.Posit(2, SPEC)]),
    "array of mixed formats": lambda: np.array([posit.Posit(1, SPEC), posit.Posit(2, bposit8)]),
    "array: wrong": lambda: np.array([1, object()], D),
    "array: foreign": lambda: np.array([Foreign()], DType),
    "array of no format": lambda: np.array([1.5], DType).tolist(),
    "full": lambda: np.full(3, 1.5, D),
    "arange": lambda: np.arange(0, 9, dtype=D),
    "getitem": lambda: [A[3], A.item(3), A.tolist()],
    "setitem": lambda: made([0] * 3, SPEC).__setitem__(slice(None), [1, "2", 3.5]),
    "setitem: wrong": lambda: made([0] * 3, SPEC).__setitem__(0, "x"),
    "setitem: wrong, complex": lambda: made([0] * 3, SPEC).__setitem__(0, 1j),
    "records": lambda: [RECORDS["x"].copy(), RECORDS[0], RECORDS.tolist()],
    "widen": lambda: A.astype(WIDER),
    "narrow": lambda: A.astype(posit.dtype(10, 6, 5)),
    "cast: no pattern": lambda: NO_PATTERN.astype(WIDER),
    "cast: numbers": lambda: [A.astype(t).astype(D) for t in "?bhilqBHILQefdgFDG"],
    "cast: swapped": lambda: A.astype(">f8").astype(D),
    "cast: objects": lambda: A.astype(object).astype(D),
    "cast: text": lambda: [A.astype(t).astype(D) for t in ("U", "S", "U40", np.dtypes.StringDType)],
    "cast: wrong text": lambda: np.array(["1", "x"]).astype(D),
    "cast: wrong string": lambda: np.array(["1", "x"], np.dtypes.StringDType()).astype(D),
    "cast: text of no format": lambda: TEXTS.astype(DType),
    "cast: void refused": lambda: np.zeros(3, "V2").astype(D),
    "can_cast": lambda: [np.can_cast(D, t) for t in ("f8", "i8", "U", WIDER, OTHER.dtype)],
    "promotion": lambda: [np.result_type(D, t) for t in (WIDER, 1, "i8")],
    "promotion: refused": lambda: np.result_type(D, "f8"),
    "promotion: two families": lambda: np.result_type(D, OTHER.dtype),
    "text: nan": lambda: np.fromstring("1 nar 2.5", D, sep=" "),
    "ufunc": lambda: A + A,
    "ufunc: number": lambda: A * 2 - 0.5,
    "ufunc: refused": lambda: A + FLOATS,
    "ufunc: two families": lambda: A + OTHER,
    "ufunc: no pattern": lambda: NO_PATTERN + NO_PATTERN,
    "ufunc: no format": lambda: np.add(1, 2, dtype=DType),
    "ufunc: three operands": lambda: np.clip(A, 0, 1),
    "comparison": lambda: [A[::-1] > A, A == 0, np.isnan(A)],
    "ufunc: Python": lambda: [np.exp(A), np.divmod(A, A), np.copysign(A, -1)],
    "ufunc: Python, no pattern": lambda: np.exp(NO_PATTERN),
    "ufunc.at": lambda: np.add.at(A.copy(), [1, 1], 1),
    "reduce": lambda: [A.sum(), A.prod(), A.max(), A.cumsum(), np.hypot.reduce(A)],
    "reduceat: no pattern": lambda: np.hypot.reduceat(NO_PATTERN, [0, 1, 0]),
    "matmul": lambda: A @ A,
    "matmul: no pattern": lambda: NO_PATTERN @ NO_PATTERN,
    "sort": lambda: [np.sort(A), np.argsort(A), np.argsort(A, kind="stable"), np.unique(A)],
    "sort: no format": lambda: np.array([3, 1.5], DType).sort(),
    "argsort: no format": lambda: np.array([3, 1.5], DType).argsort(),
    "order": lambda: [A.argmax(), A.argmin(), np.searchsorted(np.sort(A), A), A.nonzero()],
    "byteswap": lambda: A.byteswap().byteswap(),
}


def kept(action: Action, times: int = 50) -> dict[str, int]:
    """What a call of the action leaves behind: blocks of memory, and references to what is shared.

    What all of eight rounds agree on, as caches and hash tables grow now and then.
    """
    shared: dict[str, object] = {
        "format": SPEC, "dtype": D, "wider": WIDER, "other": OTHER.dtype, "DType": DType,
        "Posit": posit.Posit, "array": A, "int16": np.dtype("i2"), "float64": np.dtype("f8"),
        "bool": np.dtype("?"), "operand": NO_PATTERN,
    }  # fmt: skip
    names = ["blocks", *shared]

    def counts() -> list[int]:
        gc.collect()
        sys._clear_type_cache()  # of 4096 attribute names, which fills for minutes
        return [sys.getallocatedblocks(), *(sys.getrefcount(x) for x in shared.values())]

    least: dict[str, int] = {}
    for turn in range(8):
        before = counts()
        for _ in range(times):
            with suppress(Exception):
                action()
        each = {n: round((y - x) / times) for n, x, y in zip(names, before, counts(), strict=True)}
        if turn:
            each = {n: min(each[n], old, key=abs) for n, old in least.items() if each[n] * old > 0}
        least = {n: count for n, count in each.items() if count}
        if not least:
            break
    return least


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ACTIONS)
def test_nothing_is_kept(name: str) -> None:
    assert kept(ACTIONS[name]) == {}


def test_what_is_kept_is_seen() -> None:
    held: list[object] = []
    assert kept(lambda: held.append(object())) == {"blocks": 1}
    assert kept(lambda: held.append(D)) == {"dtype": 1}


REFUSED = ("wrong", "refused", "two f", "no pattern", "no format", "foreign")


@pytest.mark.filterwarnings("ignore")
def test_actions_do_what_they_are_named() -> None:
    """Else one of the two ways out of the C code would not be tested."""
    for name, action in ACTIONS.items():
        if any(word in name for word in REFUSED):
            with pytest.raises((TypeError, ValueError, RuntimeError)):
                action()
        else:
            action()


def frames(traceback: TracebackType | None) -> Iterator[dict[str, Any]]:
    while traceback:
        yield traceback.tb_frame.f_locals
        traceback = traceback.tb_next


@pytest.mark.parametrize("ufunc", [np.exp, np.sign, np.hypot, np.fmod, np.divmod])
def test_tracebacks_hold_no_buffers(ufunc: np.ufunc) -> None:
    """A debugger that shows local variables would read memory that NumPy has freed."""
    operands = [NO_PATTERN] * ufunc.nin
    with pytest.raises(ValueError, match="not a pattern of <13,6,5>") as caught:
        ufunc(*operands)
    held = [x for local in frames(caught.tb) for x in local.values() if isinstance(x, np.ndarray)]
    assert held == []


def test_reduceat_stops_at_the_first_error() -> None:
    """NumPy itself goes on to the next slice, where no Python may run."""
    with pytest.raises(ValueError, match="not a pattern of <13,6,5>"):
        np.hypot.reduceat(NO_PATTERN, [0, 1, 0])


def test_foreign_classes_raise_their_own_error() -> None:
    with pytest.raises(RuntimeError, match="no class"):
        np.array([Foreign()], DType)
