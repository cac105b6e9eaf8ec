"""posit.dtype and the arrays made of it: every spelling, every maker of NumPy, and views."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit16, bposit32, bposit64, reference, standard

from ..formats import EDGES, EIGHT, TINY
from ..oracle import boundary
from .dtype_arrays import SPECS, fractions, layouts, made, random

Array = npt.NDArray[Any]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)
D16, D32 = posit.dtype(bposit16), posit.dtype(bposit32)


def holds(a: Any, values: list[Any], spec: PositSpec = bposit16) -> bool:
    """Whether it is an array of these numbers, each rounded once."""
    if not (isinstance(a, np.ndarray) and a.dtype == posit.dtype(spec)):
        return False
    want = [reference.encode(v if v is None else Fraction(v), spec) for v in values]
    return posit.bits(a).reshape(-1).tolist() == want


# ---- the dtype
@pytest.mark.parametrize(
    "given",
    [(16, 6, 5), (bposit16,), ("bposit16",), ("16,6,5",), (" <16, 6, 5> ",), ("n16_rs6_es5",),
     (np.int64(16), np.uint8(6), np.int32(5)), (PositSpec(16, 6, 5),)],
    ids=str,
)  # fmt: skip
def test_every_spelling(given: tuple[Any, ...]) -> None:
    assert posit.dtype(*given) is D16
    assert D16.spec == bposit16  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ((), TypeError, "missing"),
        ((16,), TypeError, r"needs n, rs and es \(or a PositSpec, or a name\)"),
        ((16, 6), TypeError, "needs n, rs and es"),
        ((None,), TypeError, "expected a format: a PositSpec such as"),
        ((bposit16, 6, 5), TypeError, "either a format or n, rs, es"),
        (("bposit16", 6), TypeError, "either a format or n, rs, es"),
        ((16.0, 6, 5), TypeError, "n must be an integer, got 16.0"),
        ((2, 2, 0), ValueError, "n = 2, but a pattern has 3 to 64 bits"),
        ((16, 16, 5), ValueError, "rs = 16"),
        ((16, 6, 9), ValueError, "es = 9"),
        (("float16",), ValueError, "unknown format 'float16'"),
    ],
)
def test_what_is_no_dtype(given: tuple[Any, ...], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        posit.dtype(*given)


@pytest.mark.parametrize("spec", [*TINY, *EIGHT, *SPECS, *EDGES], ids=str)
def test_attributes(spec: PositSpec) -> None:
    d, size = posit.dtype(spec), spec.storage.itemsize
    assert (d.itemsize, d.alignment, d.name, d.type) == (size, size, spec.name, Posit)
    assert str(d) == d.str == f"n{spec.n}_rs{spec.rs}_es{spec.es}"
    assert repr(d) == f"posit.dtype({spec.n}, {spec.rs}, {spec.es})"
    assert eval(repr(d), {"posit": posit}) is d
    assert np.dtype(str(d)) is np.dtype(d) is d
    assert (d.isnative, d.hasobject, d.fields, d.shape) == (True, False, None, ())
    assert d.newbyteorder() is d.newbyteorder("S") is d
    assert (np.empty(3, d).nbytes, np.iinfo(spec.storage).bits) == (3 * size, 8 * size)


def test_equality_and_hash() -> None:
    again = type(D16)(bposit16)
    assert again is not D16
    assert again == D16 == "n16_rs6_es5"
    assert hash(again) == hash(D16)
    every = {posit.dtype(n, rs, es) for n in (9, 16, 17) for rs in (5, 6) for es in (4, 5)}
    assert len(every) == 12
    assert {D16: 1}[again] == 1
    for other in (D32, np.dtype("i2"), np.dtype("f2"), np.dtype("V2"), None, "i2", 3, bposit16):
        assert other != D16
    assert posit.dtype(16, 6, 4) != D16


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_copies_of_the_dtype(protocol: int) -> None:
    for spec in SPECS:
        d = posit.dtype(spec)
        assert pickle.loads(pickle.dumps(d, protocol)) is d
        assert copy.copy(d) is copy.deepcopy(d) is d
        a = random(spec, (2, 3))
        b = pickle.loads(pickle.dumps(a, protocol))
        assert b.dtype == d
        assert np.array_equal(posit.bits(a), posit.bits(b))


def test_the_class_alone_says_no_format() -> None:
    """Arrays hold the numbers themselves until a cast says how to round them."""
    cls: Any = type(D16)
    for make in (
        lambda: np.array([0.1, 2], cls), lambda: np.full(2, 0.1, Posit),
        lambda: np.array([Fraction(1, 10), 2], Posit), lambda: np.array(["0.1", 2], cls),
    ):  # fmt: skip
        for use in (repr, np.ndarray.tolist, np.exp, lambda a: a + a, lambda a: a.astype(float)):
            with pytest.raises(TypeError, match=r"format"):
                use(make())
        assert holds(make().astype(D16)[:1], [0.1])
    for a in (np.array(["0.1"]), np.array([0.1]), np.array([1])):
        with pytest.raises(TypeError, match=r"needs a format: give dtype=posit.dtype\(n, rs, es\)"):
            a.astype(cls)
    for wrong in (cls, lambda: cls(16, 6, 5), lambda: cls("bposit16")):
        with pytest.raises(TypeError):
            wrong()
    assert np.array([Posit(1, bposit16)], cls).dtype == D16
    assert made([1]).astype(cls).dtype == D16


@specs
def test_numbers_that_wait_for_a_format_are_rounded_once(spec: PositSpec) -> None:
    middles = [boundary(k, spec) for k in (1, spec.one - 1, spec.one, spec.maxpos_pattern - 1)]
    near = [m * (1 + Fraction(d, 2**300)) for m in middles for d in (-1, 0, 1)]
    for wait in (type(D16), Posit):
        assert holds(np.array([*near, 10**5000], wait).astype(posit.dtype(spec)),  # type: ignore[type-var]
                     [*near, 10**5000], spec)  # fmt: skip


# ---- arrays of numbers
@specs
def test_array_rounds_every_number_once(spec: PositSpec) -> None:
    numbers = [0, 1, -3, 2**63, -(2**63), 2**64, 10**400, -(10**400), 0.1, -1e300, 5e-324,
               Fraction(22, 7), Decimal("1e-30"), True, False, 1 + 2**-60]  # fmt: skip
    assert holds(np.array(numbers, posit.dtype(spec)), numbers, spec)
    bad = [NaR, np.inf, -np.inf, "NaR", Decimal("nan"), np.float32("nan")]
    assert holds(np.array(bad, posit.dtype(spec)), [None] * len(bad), spec)
    text = ["1/3", "1e-9", "123456789123456789", b"0.1"]
    want = ["1/3", "1e-9", "123456789123456789", "0.1"]
    assert holds(np.array(text, posit.dtype(spec)), want, spec)


def test_array_of_posits_knows_its_format() -> None:
    one, wide, other = Posit(1, bposit16), Posit("0.1", bposit32), Posit(1, standard(16))
    assert np.array([one, one]).dtype == np.asarray(one).dtype == D16
    assert np.array([[one, wide]]).dtype == D32
    assert holds(np.array([wide], D16), [wide.as_fraction()])
    assert np.array([one, other]).dtype == object
    assert np.array([one, 2.5]).dtype == object
    assert holds(np.array([one, 2.5, other], D16), [1, 2.5, 1])


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("x", ValueError, r"not a number: 'x'; possible are decimals"),
        (None, TypeError, "cannot read None as a real number"),
        (1j, TypeError, "cannot store the complex number 1j as a posit; take .real first"),
        (object(), TypeError, "real number"),
        (np.datetime64("2020-01-01"), TypeError, "Cannot cast|real number"),
        ([1, [2, 3]], ValueError, "inhomogeneous"),
    ],
)
def test_what_cannot_be_stored(value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        np.array([value], D16)
    if not isinstance(value, list):
        a = made([7])
        with pytest.raises(error, match=text):
            a[0] = value
        assert a[0] == 7


def test_complex_scalars_of_numpy_warn_as_elsewhere() -> None:
    for dtype in (D16, np.dtype(float)):
        with pytest.warns(np.exceptions.ComplexWarning):
            np.array([np.complex64(1j)], dtype)


MAKERS: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    "array of text dtype": (lambda: np.array([1.5, 2], "n16_rs6_es5"), [1.5, 2]),
    "0-d": (lambda: np.array(1.5, D16), [1.5]),
    "empty list": (lambda: np.array([], D16), []),
    "asarray": (lambda: np.asarray([1, 0.1], D16), [1, 0.1]),
    "ascontiguousarray": (lambda: np.ascontiguousarray([1], D16), [1]),
    "require": (lambda: np.require([0.1], D16, "CW"), [0.1]),
    "zeros": (lambda: np.zeros((2, 3), D16), [0] * 6),
    "nothing": (lambda: np.zeros((2, 0), D16), []),
    "ones": (lambda: np.ones((2, 2), D16), [1] * 4),
    "full": (lambda: np.full(3, 0.1, D16), [0.1] * 3),
    "full of a Posit": (lambda: np.full(2, Posit("0.1", bposit16)), [0.1] * 2),
    "full of several": (lambda: np.full((2, 2), [1, 0.1], D16), [1, 0.1] * 2),
    "zeros_like": (lambda: np.zeros_like(made([3, 4])), [0, 0]),
    "ones_like": (lambda: np.ones_like([3, 4], D16), [1, 1]),
    "full_like": (lambda: np.full_like(made([3, 4]), 0.3), [0.3] * 2),
    "copy": (lambda: np.copy(made([0.1])), [0.1]),
    "arange": (lambda: np.arange(5, dtype=D16), range(5)),
    "arange down": (lambda: np.arange(3, -3, -2, dtype=D16), [3, 1, -1]),
    "arange of nothing": (lambda: np.arange(0, dtype=D16), []),
    "arange of one": (lambda: np.arange(0.1, 1, dtype=D16), [0.1]),
    "arange of Posits": (lambda: np.arange(Posit(1, bposit16), Posit(4, bposit16)), [1, 2, 3]),
    "linspace": (lambda: np.linspace(0, 1, 5, dtype=D16), [0, 0.25, 0.5, 0.75, 1]),
    "linspace of Posits": (lambda: np.linspace(Posit(0, bposit16), Posit(1, bposit16), 3),
                           [0, 0.5, 1]),
    "logspace": (lambda: np.logspace(0, 3, 4, dtype=D16), [1, 10, 100, 1000]),
    "identity": (lambda: np.identity(2, D16), [1, 0, 0, 1]),
    "eye": (lambda: np.eye(2, 3, 1, D16), [0, 1, 0, 0, 0, 1]),
    "tri": (lambda: np.tri(2, 2, 0, D16), [1, 0, 1, 1]),
    "diag": (lambda: np.diag(made([1, 0.1])), [1, 0, 0, 0.1]),
    "vander": (lambda: np.vander(made([1, 2, 3]), 2), [1, 1, 2, 1, 3, 1]),
    "indices": (lambda: np.indices((2,), D16), [0, 1]),
    "meshgrid": (lambda: np.meshgrid(made([1, 2]), made([3]))[0], [1, 2]),
    "fromfunction": (lambda: np.fromfunction(lambda i: i / 4, (3,), dtype=D16), [0, 0.25, 0.5]),
    "fromiter": (lambda: np.fromiter((i / 10 for i in range(3)), D16), [0, 0.1, 0.2]),
    "fromiter of Posits": (lambda: np.fromiter([Posit(1, bposit16)], D16, 1), [1]),
    "frombuffer": (lambda: np.frombuffer(b"\0\x40\0\x41", D16), [1, 2]),
    "ndarray": (lambda: np.ndarray((1,), D16, b"..\0\x41", 2), [2]),
    "view of floats": (lambda: np.array([1.0]).view(D16)[:2], [0, 0]),
    "masked": (lambda: np.ma.array([1, 2], mask=[0, 1], dtype=D16).data, [1, 2]),
    "record": (lambda: np.rec.array([(0.1, 2)], dtype=[("a", D16), ("b", "i4")]).a, [0.1]),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_makers(name: str) -> None:
    make, want = MAKERS[name]
    assert holds(make(), list(want))


@specs
def test_arange_is_rounded_once_from_its_first_two(spec: PositSpec) -> None:
    """Element i is x0 + i·(x1 - x0): exact, then rounded; a float's steps would drift."""
    for start, step in ((0, Fraction(1, 10)), (7, -Fraction(1, 3)), (0.1, 0.7)):
        a = np.arange(start, start + 40 * Fraction(step), step, dtype=posit.dtype(spec))
        first, second = fractions(a)[:2]
        assert first is not None
        assert second is not None
        assert holds(a, [first + i * (second - first) for i in range(40)], spec)


# ---- views
@specs
def test_bits_and_view_copy_nothing(spec: PositSpec) -> None:
    for what, a in layouts(random(spec, (3, 5))):
        p = posit.bits(a)
        assert (p.dtype, p.shape, p.strides) == (spec.storage, a.shape, a.strides), what
        assert np.shares_memory(p, a)
        b = posit.view(p, spec)
        assert (b.dtype, b.shape, b.strides) == (a.dtype, a.shape, a.strides), what
        assert np.shares_memory(b, a)
        assert p.flags.writeable is b.flags.writeable is a.flags.writeable
        if a.flags.writeable:
            p[1, 2] = spec.one
            assert a[1, 2] == b[1, 2] == 1


def test_views_of_other_things() -> None:
    assert posit.bits(Posit(1, bposit16)) == np.int16(0x4000)
    assert type(posit.bits(Posit(1, bposit64))) is np.int64
    assert holds(posit.view([0x4000, 0], bposit16), [1, 0])
    assert posit.view(0x4000, bposit16).shape == ()
    empty = posit.view(np.zeros((0, 3), np.int16), bposit16)
    assert (empty.shape, posit.bits(empty).shape) == ((0, 3), (0, 3))


@pytest.mark.parametrize(
    ("use", "error", "text"),
    [
        (lambda: posit.bits(3), TypeError, "expected a posit array, got int"),  # type: ignore[arg-type]
        (lambda: posit.bits(np.zeros(2)), TypeError, "expected a posit array, got float64"),
        (lambda: posit.bits(made([1]).astype(object)), TypeError, "got object"),
        (lambda: posit.bits(np.zeros(1, [("a", D16)])), TypeError, "expected a posit array"),
        (lambda: posit.view(np.zeros(2), bposit16), TypeError, "posit.encode turns numbers into"),
        (lambda: posit.view([1.5], bposit16), TypeError, "got 1.5"),
        (lambda: posit.view([1 << 15], bposit16), ValueError, "32768 is not a pattern of <16,6,5>"),
        (lambda: posit.view(np.zeros(1, "u2"), bposit16), TypeError, r"with .view\('int16'\)"),
        (lambda: posit.view(np.zeros(1, ">i2"), bposit16), TypeError, "of the other byte order"),
        (lambda: posit.view(made([1]), bposit16), TypeError, "posit.bits gives the patterns"),
        (lambda: posit.view([1], 16), TypeError, "PositSpec such as posit.bposit16"),  # type: ignore[arg-type]
        (lambda: posit.view(np.full(1, 4096, "i2"), PositSpec(13, 6, 5)), ValueError,
         "4096 is not a pattern of <13,6,5>"),
        (lambda: posit.view(np.ma.array([1], mask=[1], dtype="i2"), bposit16), TypeError, "mask"),
    ],
)  # fmt: skip
def test_what_has_no_view(use: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        use()
