"""The definition itself: against the bit fields spelt out and the rounding boundaries."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from .. import hard, oracle
from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec


def spelt_out(pattern: int, spec: PositSpec) -> Fraction | None:
    """docs/format.md, "Decoding", with a regular expression for the fields."""
    text = f"{pattern % (1 << spec.n):0{spec.n}b}"
    if "1" not in text:
        return Fraction(0)
    if text[0] == "1":
        if "1" not in text[1:]:
            return None
        value = spelt_out(-pattern, spec)
        assert value is not None
        return -value
    rs, es = spec.rs, spec.es
    fields = re.fullmatch(
        rf"(?P<run>1{{{rs}}}|0{{{rs}}}|1+(?=0|$)|0+(?=1|$))(?P<end>(?<![01]{{{rs}}})[01])?"
        rf"(?P<e>[01]{{0,{es}}})(?P<f>[01]*)",
        text[1:],
    )
    assert fields
    m = len(fields["run"])
    r = m - 1 if fields["run"][0] == "1" else -m
    e = int(fields["e"].ljust(es, "0") or "0", 2)
    f = Fraction(int(fields["f"] or "0", 2), 2 ** len(fields["f"]))
    scale: Fraction = Fraction(2) ** (r * 2**es + e)
    return (1 + f) * scale


@pytest.mark.parametrize("spec", TINY + EIGHT + [PositSpec(12, 5, 3), PositSpec(13, 6, 5)], ids=str)
def test_decode_of_every_pattern(spec: PositSpec) -> None:
    for p, value in zip(oracle.all_patterns(spec).tolist(), oracle.values(spec), strict=True):
        assert value == spelt_out(p, spec), f"{p} at {spec}"


@pytest.mark.parametrize("spec", SIXTEEN + WIDE, ids=str)
def test_decode_at_the_corners(spec: PositSpec) -> None:
    for p in corners(spec, 3):
        assert reference.decode(p, spec) == spelt_out(p, spec), f"{p} at {spec}"


@pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN, ids=str)
def test_patterns_order_as_their_values(spec: PositSpec) -> None:
    nar, *rest = oracle.values(spec)
    assert nar is None
    finite = [x for x in rest if x is not None]
    assert len(finite) == len(rest)
    assert all(x < y for x, y in pairwise(finite))
    assert rest[spec.maxpos_pattern] == 0
    assert all(x == -y for x, y in zip(finite, reversed(finite), strict=True))


@pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN, ids=str)
def test_encode_of_every_value_and_boundary(spec: PositSpec) -> None:
    step = 1 if spec.n <= 8 else 37
    for body in range(1, spec.maxpos_pattern, step):
        edge = oracle.boundary(body, spec)
        tiny = edge / (1 << 200)
        for sign in (1, -1):
            assert reference.encode(sign * edge, spec) == sign * (body + body % 2)
            assert reference.encode(sign * (edge - tiny), spec) == sign * body
            assert reference.encode(sign * (edge + tiny), spec) == sign * (body + 1)
            value = reference.decode(sign * body, spec)
            assert reference.encode(value, spec) == sign * body


@pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN + WIDE, ids=str)
def test_encode_saturates_and_keeps_nar(spec: PositSpec) -> None:
    top = spec.maxpos_pattern
    for k in (1, Fraction(1001, 1000), 2, 2**70, 2**9000):
        assert reference.encode(spec.maxpos * k, spec) == top
        assert reference.encode(-spec.maxpos * k, spec) == -top
        assert reference.encode(spec.minpos / k, spec) == 1
        assert reference.encode(-spec.minpos / k, spec) == -1
    for nothing in (None, float("nan"), float("inf"), float("-inf")):
        assert reference.encode(nothing, spec) == spec.nar
    for zero in (0, 0.0, -0.0, Fraction(0)):
        assert reference.encode(zero, spec) == 0


@pytest.mark.parametrize("op", hard.HARD)
@pytest.mark.parametrize("spec", [PositSpec(13, 6, 5), standard(16), *WIDE], ids=str)
def test_hard_results_lie_between_their_boundaries(op: str, spec: PositSpec) -> None:
    for row in zip(*(x.tolist() for x in hard.operands(op, spec, 12)), strict=True):
        assert_right(op, spec, row)


@pytest.mark.parametrize("op", hard.HARD)
@given(data=st.data())
def test_any_result_lies_between_its_boundaries(op: str, data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()))
    pattern = st.integers(spec.nar, spec.maxpos_pattern) | st.sampled_from(corners(spec))
    arity = {"sqrt": 1, "fma": 3}.get(op, 2)
    assert_right(op, spec, tuple(data.draw(pattern) for _ in range(arity)))


def assert_right(op: str, spec: PositSpec, row: tuple[int, ...]) -> None:
    """The result encloses the exact one, which is computed here from the decoded operands."""
    got = getattr(reference, op)(*row, spec)
    x = [reference.decode(p, spec) for p in row]
    if None in x or (op == "div" and not x[1]) or (op == "sqrt" and (x[0] or 0) < 0):
        assert got == spec.nar
        return
    a, b, c = ([v for v in x if v is not None] + [Fraction(0)] * 2)[:3]
    if op == "sqrt":
        assert oracle.rounds_to_root(got, a, spec), f"√{a} = {got} at {spec}"
        return
    found: dict[str, Callable[[], Fraction]] = {
        "add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "div": lambda: a / b,
        "fma": lambda: a * b + c,
    }  # fmt: skip
    assert oracle.rounds_to(got, found[op](), spec), f"{op}{row} = {got} at {spec}"


@given(
    numerator=st.integers(1, 1 << 200), shift=st.integers(-300, 300), odd=st.integers(1, 1 << 40),
    bits=st.integers(4, 130),
)  # fmt: skip
def test_root_stands_in_for_the_square_root(
    numerator: int, shift: int, odd: int, bits: int
) -> None:
    """It is on the same side of every number of fewer than ``bits`` bits as √x is."""
    x = Fraction(numerator, odd) * Fraction(2) ** shift
    stand_in = reference.root(x, bits)
    assert stand_in > 0
    exponent = stand_in.numerator.bit_length() - stand_in.denominator.bit_length()
    unit = Fraction(2) ** (exponent - bits + 3)  # its multiples near √x have fewer than `bits` bits
    for k in (stand_in // unit - 1, stand_in // unit, stand_in // unit + 1, stand_in // unit + 2):
        m = k * unit
        assert (m < stand_in) == (m * m < x)
        assert (m == stand_in) == (m * m == x)


@given(odd=st.integers(1, 1 << 40), shift=st.integers(-300, 300), spare=st.integers(1, 60))
def test_exact_roots_are_exact(odd: int, shift: int, spare: int) -> None:
    x = odd * Fraction(2) ** shift
    assert reference.root(x * x, odd.bit_length() + spare) == x
    assert reference.root(Fraction(0), spare) == 0


@pytest.mark.parametrize("spec", [*TINY, bposit8], ids=str)
def test_compare_next_and_prior(spec: PositSpec) -> None:
    p = oracle.all_patterns(spec).tolist()
    for i, a in enumerate(p):
        assert reference.next(a, spec) == p[(i + 1) % len(p)]
        assert reference.prior(a, spec) == p[i - 1]
        for b in p[:: max(1, len(p) // 64)]:
            assert reference.compare(a, b, spec) == (a > b) - (a < b)


@pytest.mark.parametrize(
    "spec", [PositSpec(3, 2, 0), bposit8, PositSpec(13, 6, 5), bposit64], ids=str
)
def test_a_pattern_out_of_range_is_refused(spec: PositSpec) -> None:
    for bad in (spec.nar - 1, spec.maxpos_pattern + 1, 1 << 70):
        for call in (
            lambda p: reference.decode(p, spec), lambda p: reference.next(p, spec),
            lambda p: reference.prior(p, spec), lambda p: reference.add(p, 0, spec),
            lambda p: reference.add(0, p, spec), lambda p: reference.sqrt(p, spec),
            lambda p: reference.fma(0, 0, p, spec), lambda p: reference.compare(0, p, spec),
            lambda p: reference.to_string(p, spec),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="out of range"):
                call(bad)


@pytest.mark.parametrize(
    ("text", "n16", "n32", "n64"),
    [
        ("1", 0x4000, 0x40000000, 0x4000000000000000), ("2", 0x4100, 0x41000000, None),
        ("3", 0x4180, 0x41800000, None), ("1/2", 0x3F00, 0x3F000000, None),
        ("1/3", 0x3E55, 0x3E555555, 0x3E55555555555555),
        ("1e40", 0x7C4D, 0x7C4D632A, 0x7C4D6329F1C35CA5),
        (str(2**160), 0x7E00, 0x7E000000, None), (f"1/{2**160}", 0x0200, 0x02000000, None),
        (f"1/{2**192}", 1, 1, 1), ("1e-999", 1, 1, 1),
    ],
)  # fmt: skip
def test_the_table_of_the_format(text: str, n16: int, n32: int, n64: int | None) -> None:
    """docs/format.md, "Encoding"."""
    for spec, want in ((bposit16, n16), (bposit32, n32), (bposit64, n64)):
        if want is not None:
            assert reference.from_string(text, spec) == want
            assert reference.from_string("-" + text, spec) == -want


def through_float64(op: str, spec: PositSpec, *row: int) -> int:
    x = [float(v) for p in row if (v := reference.decode(p, spec)) is not None]
    return reference.encode(sqrt(x[0]) if op == "sqrt" else x[0] * x[1] + x[2], spec)


@pytest.mark.parametrize(
    ("op", "spec", "row"),
    [
        ("fma", bposit16, (0x4324, 0x21A0, 0x0149)),
        ("sqrt", PositSpec(33, 6, 5), (0x7FFFFFFF,)),
        ("sqrt", standard(32), (0x3FFFFFFF,)),
    ],
)
def test_where_one_float64_operation_fails(op: str, spec: PositSpec, row: tuple[int, ...]) -> None:
    """docs/format.md, "Encoding": these separate one rounding from two."""
    assert_right(op, spec, row)
    assert through_float64(op, spec, *row) != getattr(reference, op)(*row, spec)
