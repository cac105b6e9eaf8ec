"""Functions of posit arrays and Posits: the same numbers as of their patterns, in posits."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import posit
from posit import Posit, PositSpec, bposit16, bposit32, functions, standard

from .dtype_arrays import SPECS, layouts, made, random
from .test_functions import COUNTED, REQUIRED

D16, D32 = posit.dtype(bposit16), posit.dtype(bposit32)
COMPARED = [name for name in functions.__all__ if name.startswith("compare")]
ELSE = ["fma", "neg"]  # not in posit.functions under this name
NAMES = [*(n for n in functions.__all__ if n not in ("STANDARD", "UFUNCS")), *ELSE]


def operands_of(name: str) -> list[str]:
    found = inspect.signature(getattr(posit, name)).parameters
    return [p for p in found if p not in ("spec", "out")]


def operands(name: str, spec: PositSpec, shape: tuple[int, ...] = (3, 5)) -> list[Any]:
    count = len(operands_of(name)) - (name in COUNTED)
    found: list[Any] = [random(spec, shape, seed) for seed in range(count)]
    return [*found, np.arange(-2, 3)] if name in COUNTED else found


def plain(name: str, spec: PositSpec, given: list[Any]) -> Any:
    """The same function of patterns."""
    return getattr(posit, name)(
        *(posit.bits(x) if x.dtype == posit.dtype(spec) else x for x in given), spec
    )


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_as_of_patterns(name: str, spec: PositSpec) -> None:
    given = operands(name, spec)
    want = plain(name, spec, given)
    function = getattr(posit, name)
    got = function(*given)
    assert got.dtype == (bool if name in COMPARED else posit.dtype(spec))
    np.testing.assert_array_equal(got if name in COMPARED else posit.bits(got), want)
    np.testing.assert_array_equal(function(*given, spec), got)
    np.testing.assert_array_equal(function(*given, spec=str(spec)), got)
    one = function(*(x.reshape(-1)[2] for x in given))
    assert type(one) is (np.bool_ if name in COMPARED else Posit)
    out = np.empty(got.shape, got.dtype)
    assert function(*given, out=out) is out
    np.testing.assert_array_equal(out, got)


def test_in_any_memory_and_in_place() -> None:
    for what, a in layouts(random(bposit32, (3, 4))):
        want = posit.bits(posit.exp2(a.copy()))
        np.testing.assert_array_equal(posit.bits(posit.exp2(a)), want, what)
        if a.flags.writeable:
            assert posit.exp2(a, out=a) is a
            np.testing.assert_array_equal(posit.bits(a), want, what)


def test_what_mixes() -> None:
    """As NumPy's promotion has it: numbers are rounded, formats of a family widen."""
    a = made([3, 0.1])
    for other in (4, 4.0, True, np.int8(4), np.array([4, 4]), [4, 4], np.array(4), a[0], a):
        want = np.hypot(a, other)
        got = posit.hypot(a, other)
        assert got.dtype == want.dtype == D16
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(posit.hypot(other, a), want)
    assert posit.hypot(a[0], 4) == 5
    wide = posit.pow(a, made([1, 1], bposit32))
    assert wide.dtype == D32
    np.testing.assert_array_equal(wide, a.astype(D32))
    assert posit.f_mm(a[0], made([2], bposit32), 5).tolist() == [30]
    assert posit.exp([a[0], a[1]]).dtype == D16
    assert posit.exp(made(2.0)[()]) == posit.exp(made(2.0)) == posit.exp(Posit(2, bposit16))
    assert posit.hypot(10**30, a[0]) == Posit(10**30, bposit16)


def test_integers_beside_posits_are_numbers_but_powers_stay_integers() -> None:
    a = made([4, 9])
    assert posit.compare_equal(a, 9).tolist() == [False, True]
    assert posit.root_n(a, 2).tolist() == posit.rootN(a, [2, 2]).tolist() == [2, 3]
    assert posit.compound(a, np.uint8(2)).tolist() == [25, 100]
    with pytest.raises(TypeError, match="k must be integers"):
        posit.root_n(a, 2.0)


def test_the_standards_names() -> None:
    """At the top of the package, of patterns and of posits; the point (x, y) in its own order."""
    a, b = made([3.0, 1.0]), made([2.0, -1.0])
    for name in REQUIRED:
        function = getattr(posit, name)
        assert function is functions.STANDARD[name]
        assert name in dir(posit)
    np.testing.assert_array_equal(posit.arcTan2(a, b), posit.arc_tan2(b, a))
    np.testing.assert_array_equal(posit.arcTan2Pi(a, b), posit.arc_tan2_pi(b, a))
    got = posit.arcTan2(posit.bits(a), posit.bits(b), bposit16)
    np.testing.assert_array_equal(got, posit.bits(posit.arc_tan2(b, a)))


def test_names_at_the_top() -> None:
    for name in functions.__all__:
        if name not in ("STANDARD", "UFUNCS"):
            assert getattr(posit, name) is getattr(functions, name), name
            assert name in dir(posit)
    assert not hasattr(posit, "STANDARD")
    with pytest.raises(AttributeError, match="module 'posit' has no attribute 'expp'"):
        posit.expp  # type: ignore[attr-defined]  # noqa: B018


A = made([1, 2])


@pytest.mark.parametrize(
    ("use", "error", "text"),
    [
        (lambda: posit.exp(posit.bits(A)), TypeError, "exp: which format.*x must be a posit array"),
        (lambda: posit.hypot(1.5, [2]), TypeError, "which format.*a or b must be"),
        (lambda: posit.exp(), TypeError, "exp takes x and.*got 0 arguments"),
        (lambda: posit.exp(A, bposit16, A), TypeError, "got 3 arguments"),
        (lambda: posit.exp(A, bposit32), TypeError, "with a format, here <32,6,5>"),
        (lambda: posit.hypot(A, 3, bposit16), TypeError, "patterns or posits of that format, not"),
        (lambda: posit.hypot(A, posit.bits(A), "bposit16"), TypeError, "not both"),
        (lambda: posit.hypot(A, np.ones(2)), TypeError, "do not mix implicitly"),
        (lambda: posit.hypot(A, 1j), TypeError, "do not mix implicitly"),
        (lambda: posit.hypot(A, made([1, 2], standard(16))), TypeError, "cannot mix posits of"),
        (lambda: posit.hypot(A, [Fraction(1, 3)] * 2), TypeError, "do not mix with what makes obj"),
        (lambda: posit.hypot(A, Decimal(1)), TypeError, "do not mix with what makes object"),
        (lambda: posit.exp(A, out=np.empty(2, "i2")), TypeError, "an array of posit.dtype"),
        (lambda: posit.exp(A, out=np.empty(2, D32)), TypeError, "expected an array of posit.dtype"),
        (lambda: posit.exp(A, out=np.empty(2, bool)), TypeError, "out has dtype bool"),
        (lambda: posit.exp(A, out=[1, 2]), TypeError, "got list"),
        (lambda: posit.exp(A, out=np.empty(3, D16)), ValueError, "out has shape"),
        (lambda: posit.compare_less(A, 1, out=np.empty(2, D16)), TypeError, "out has dtype int16"),
        (lambda: posit.exp(np.ma.array(A, mask=[0, 1])), TypeError, "masks are not understood"),
        (lambda: posit.hypot(A, made([1, 2, 3])), ValueError, "do not broadcast"),
    ],
)  # fmt: skip
def test_errors(use: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        use()


def test_docstrings_say_what_goes_in_and_out() -> None:
    for name in NAMES:
        text = getattr(posit, name).__doc__
        first = text.splitlines()[0]
        assert first.rstrip().endswith((".", ":")) or "rounded once" in first, name
        for part in (
            *operands_of(name),
            "spec : PositSpec, posit dtype or name",
            "Raises",
            "Source",
        ):
            assert part in text, (name, part)


def test_a_format_is_given_in_any_way() -> None:
    """A PositSpec, its name, its text or a dtype, to every function that takes one."""
    for given in (bposit16, "bposit16", "16,6,5", str(bposit16), D16):
        bits = posit.encode([1.5, -2], given)
        assert posit.decode(bits, given).tolist() == [1.5, -2]
        assert posit.to_string(bits, given).tolist() == ["1.5", "-2"]
        assert posit.from_string("1.5", given) == bits[0]
        assert posit.to_fraction(bits[0], given) == Fraction(3, 2)
        assert posit.from_fraction(Fraction(3, 2), given) == bits[0]
        assert posit.convert(bits, given, "bposit32").tolist() == [0x40800000, -0x41000000]
        assert posit.convert(bits, given, D32).tolist() == [0x40800000, -0x41000000]
        assert posit.add(bits, bits, given).tolist() == posit.encode([3, -4], bposit16).tolist()
        assert functions.next(bits, given).tolist() == (bits + 1).tolist()
        assert posit.view(bits, given).dtype == posit.dtype(given) == D16
        assert posit.Posit(1.5, given).spec == posit.finfo(given).spec == bposit16
        drawn = posit.encode([0.1], given, rounding="stochastic", key=3)
        assert drawn == posit.encode([0.1], bposit16, rounding="stochastic", key=3)


@pytest.mark.parametrize("thing", [np.dtype(float), float, 16, None, (16, 6, 5), np.int16])
def test_what_is_no_format(thing: Any) -> None:
    bits = posit.encode([1.5], bposit16)
    for use in (
        lambda: posit.encode([1.5], thing), lambda: posit.decode(bits, thing),
        lambda: posit.view(bits, thing), lambda: posit.convert(bits, bposit16, thing),
        lambda: posit.to_string(bits, thing), lambda: posit.from_string("1", thing),
        lambda: posit.to_fraction(0, thing), lambda: posit.from_fraction(0, thing),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="expected a format: a PositSpec such as"):
            use()


@pytest.mark.parametrize("spec", [PositSpec(13, 6, 5), bposit16, bposit32], ids=str)
def test_wider_patterns_are_narrowed(spec: PositSpec) -> None:
    """What Numba's ufuncs return; no other integers, and none that is no pattern."""
    bits = np.array([[1, spec.nar], [spec.maxpos_pattern, 0]])
    got = posit.view(bits[:, ::-1], spec)
    np.testing.assert_array_equal(posit.bits(got), bits[:, ::-1])
    assert posit.bits(got).dtype == spec.storage
    assert not np.shares_memory(got, bits)
    assert posit.bits(posit.view(np.int64(5), spec)) == 5
    for wrong in (spec.nar - 1, spec.maxpos_pattern + 1, 1 << 62):
        with pytest.raises(ValueError, match=f"{wrong} is not a pattern of {spec}"):
            posit.view(np.array([0, wrong]), spec)
    with pytest.raises(TypeError, match="got uint64"):
        posit.view(bits.astype("u8"), spec)
    with pytest.raises(TypeError, match="mask"):
        posit.view(np.ma.array(bits), spec)


def test_threads() -> None:
    a = random(bposit32, 3000)
    want, found = posit.sin(a), []
    work = [threading.Thread(target=lambda: found.append(posit.sin(a))) for _ in range(4)]
    for w in work:
        w.start()
    for w in work:
        w.join()
    assert len(found) == 4
    for got in found:
        np.testing.assert_array_equal(got, want)
