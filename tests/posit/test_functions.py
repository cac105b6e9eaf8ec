"""The standard's functions against MPFR and the rounding boundaries, at every width."""

from __future__ import annotations

import doctest
import inspect
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, functions, reference, standard

from ..conftest import Slice
from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec, stratified
from ..oracle import all_patterns
from .functions_oracle import ALGEBRAIC, FORMULAS, judge

PAIRS = ["hypot", "pow", "arc_tan2", "arc_tan2_pi", "floor_divide", "remainder"]
COUNTED = ["compound", "root_n"]
UNARY = [f for f in (*FORMULAS, *ALGEBRAIC) if f not in (*PAIRS, *COUNTED, "f_mm")]
COUNTS = [
    *range(-9, 10),
    31,
    -31,
    64,
    1001,
    -4097,
    1 << 40,
    -(1 << 62) - 1,
    (1 << 63) - 1,
    -(1 << 63),
]
STRIDE = 5  # of the patterns at 16 bits, odd so that both parities come; a slow test takes all

# The Posit Standard (2022), section 5, without what belongs to the quire and to casts.
REQUIRED = [
    "negate", "abs", "sign", "nearestInt", "ceil", "floor", "next", "prior", "compareEqual",
    "compareNotEqual", "compareGreater", "compareGreaterEqual", "compareLess", "compareLessEqual",
    "addition", "subtraction", "multiplication", "division", "sqrt", "rSqrt", "exp", "expMinus1",
    "exp2", "exp2Minus1", "exp10", "exp10Minus1", "log", "logPlus1", "log2", "log2Plus1", "log10",
    "log10Plus1", "sin", "sinPi", "cos", "cosPi", "tan", "tanPi", "arcSin", "arcSinPi", "arcCos",
    "arcCosPi", "arcTan", "arcTanPi", "sinH", "cosH", "tanH", "arcSinH", "arcCosH", "arcTanH",
    "hypot", "pow", "arcTan2", "arcTan2Pi", "fMM", "compound", "rootN",
]  # fmt: skip


def of(name: str, spec: PositSpec, *operands: Any) -> Any:
    return getattr(functions, name)(*operands, spec)


def judged(name: str, spec: PositSpec, *operands: Any) -> None:
    judge(name, spec, operands, of(name, spec, *operands))


@pytest.mark.parametrize("spec", TINY + EIGHT, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_every_pattern(name: str, spec: PositSpec) -> None:
    judged(name, spec, all_patterns(spec))


@pytest.mark.parametrize("spec", [bposit16, standard(16)], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_a_fifth_of_sixteen_bits(name: str, spec: PositSpec) -> None:
    judged(name, spec, all_patterns(spec)[UNARY.index(name) % STRIDE :: STRIDE])


@pytest.mark.slow
def test_every_pattern_of_sixteen_bits(part: Slice) -> None:
    for name, spec in part.take([(f, s) for s in SIXTEEN for f in UNARY]):
        judged(name, spec, all_patterns(spec))


@pytest.mark.parametrize("name", PAIRS)
def test_every_pair(name: str) -> None:
    p = all_patterns(bposit8)
    judged(name, bposit8, p[:, np.newaxis], p)
    for spec in [s for s in TINY if s.n <= 6]:
        p = all_patterns(spec)
        judged(name, spec, p[:, np.newaxis], p)
    p = all_patterns(standard(8))
    judged(name, standard(8), p[::3, np.newaxis], p[PAIRS.index(name) % 3 :: 3])


@pytest.mark.parametrize("spec", [*TINY, bposit8, standard(8)], ids=str)
@pytest.mark.parametrize("name", COUNTED)
def test_every_pattern_with_integers(name: str, spec: PositSpec) -> None:
    judged(name, spec, all_patterns(spec)[:, np.newaxis], np.array(COUNTS))


def test_every_product_of_three() -> None:
    for spec in [s for s in TINY if s.n <= 5]:
        p = all_patterns(spec)
        judged("f_mm", spec, p[:, np.newaxis, np.newaxis], p[:, np.newaxis], p)
    p = all_patterns(bposit8)
    judged("f_mm", bposit8, p[::7, np.newaxis, np.newaxis], p[::9, np.newaxis], p[::11])


@pytest.mark.parametrize("spec", SIXTEEN[2:] + WIDE, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_wide_formats(name: str, spec: PositSpec) -> None:
    edges = np.array(corners(spec), spec.storage)
    some = np.random.default_rng([UNARY.index(name), spec.n]).choice(edges, 60)
    judged(name, spec, np.concatenate([some, stratified(spec, 60, UNARY.index(name))[-60:]]))


@pytest.mark.parametrize("spec", SIXTEEN + WIDE, ids=str)
@pytest.mark.parametrize("name", [*PAIRS, *COUNTED, "f_mm"])
def test_wide_formats_with_several_operands(name: str, spec: PositSpec) -> None:
    rng = np.random.default_rng([len(name), spec.n, spec.rs, spec.es])
    pool = np.concatenate([np.array(corners(spec), spec.storage), stratified(spec, 200, 3)])
    near_one = np.clip(spec.one + rng.integers(-40, 40, 20), spec.nar, spec.maxpos_pattern)
    a, b, c = (np.concatenate([rng.choice(pool, 40), rng.permutation(near_one)]) for _ in range(3))
    operands = {"f_mm": (a, b, c)}.get(name, (a, b))
    if name in COUNTED:
        operands = (a, rng.choice(COUNTS, 60))
    judged(name, spec, *(x if i and name in COUNTED else x.astype(spec.storage)
                         for i, x in enumerate(operands)))  # fmt: skip


@settings(max_examples=60)
@given(data=st.data())
def test_any_format(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()), "spec")
    name = data.draw(st.sampled_from([*UNARY, *PAIRS, *COUNTED, "f_mm"]), "function")
    pattern = st.integers(spec.nar, spec.maxpos_pattern) | st.sampled_from(corners(spec))
    column = st.lists(pattern, min_size=3, max_size=3).map(lambda x: np.array(x, spec.storage))
    count = 1 + (name in PAIRS) + 2 * (name == "f_mm")
    operands = [data.draw(column) for _ in range(count)]
    if name in COUNTED:
        operands.append(data.draw(st.sampled_from(COUNTS) | st.integers(-100, 100)))
    judged(name, spec, *operands)


def patterns(spec: PositSpec, *numbers: float) -> Any:
    return posit.encode(np.array(numbers, float), spec)


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), bposit32, bposit64], ids=str)
def test_where_the_result_is_not_a_real(spec: PositSpec) -> None:
    """Posit Standard (2022), 5.1: NaR where a function is not real or has no single limit."""
    unary = {
        "r_sqrt": (0, -1), "log": (0, -1), "log2": (0, -2), "log10": (0, -0.5),
        "log_plus_1": (-1, -2), "log2_plus_1": (-1, -4), "log10_plus_1": (-1, -8),
        "arc_sin": (1.5, -2), "arc_cos": (1.5, -2), "arc_sin_pi": (2, -1.5),
        "arc_cos_pi": (1.25, -8), "tan_pi": (0.5, -0.5, 1.5, -2.5), "arc_cos_h": (0.5, 0, -2),
        "arc_tan_h": (1, -1, 2), "reciprocal": (0,), "sqrt": (-1,),
    }  # fmt: skip
    for name, at in unary.items():
        assert (of(name, spec, patterns(spec, *at)) == spec.nar).all(), name
    pairs = {
        "pow": [(0, 0), (0, -1), (-2, 0.5), (-0.5, -1.5)], "arc_tan2": [(0, 0)],
        "arc_tan2_pi": [(0, 0)], "floor_divide": [(1, 0), (0, 0)], "remainder": [(2, 0), (0, 0)],
    }  # fmt: skip
    for name, rows in pairs.items():
        for a, b in rows:
            assert of(name, spec, *patterns(spec, a, b)) == spec.nar, (name, a, b)
    for x, k in ((1, 0), (0, 0), (0, -1), (0, -2), (-1, 2), (-4, -2)):
        assert functions.root_n(patterns(spec, x), k, spec)[0] == spec.nar, (x, k)
    assert functions.compound(patterns(spec, -1), -1, spec)[0] == spec.nar


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32, bposit64], ids=str)
def test_values_that_the_standard_names(spec: PositSpec) -> None:
    def value(name: str, *x: Any) -> float:
        operands = [v if isinstance(v, np.ndarray) else patterns(spec, v)[0] for v in x]
        return float(posit.decode(of(name, spec, *operands), spec))

    count = np.array
    assert value("compound", -1, count(0)) == 1
    assert value("compound", -3, count(3)) == -8
    assert value("root_n", -8, count(3)) == -2
    assert value("root_n", 4, count(-2)) == 0.5
    assert value("root_n", 0, count(5)) == 0
    assert value("pow", 0, 2) == 0
    assert value("pow", -2, 3) == -8
    assert value("pow", 4, -0.5) == 0.5
    assert value("nearest_int", 2.5) == 2
    assert value("nearest_int", -1.5) == -2
    assert value("arc_tan2_pi", 0, -1) == 1
    assert value("arc_tan2_pi", -1, 0) == -0.5
    assert value("arcTan2Pi", 0, -1) == -0.5, "the standard takes the abscissa first"
    assert value("arcTan2Pi", -1, 0) == 1
    assert value("floor_divide", -7, 2) == -4
    assert value("remainder", -7, 2) == 1
    assert value("remainder", 7, -2) == -1
    assert value("sign", -0.25) == -1
    assert value("copysign", 2, -1) == -2
    assert value("copysign", -2, 0) == 2


@pytest.mark.parametrize("spec", [PositSpec(3, 2, 0), bposit8, bposit16, bposit64], ids=str)
def test_neighbours_signs_and_comparisons(spec: PositSpec) -> None:
    edges = np.array(corners(spec), spec.storage)
    some = np.random.default_rng(spec.n).choice(edges, 40)
    ends = [spec.nar, spec.nar + 1, -1, 0, 1, spec.maxpos_pattern]
    p = np.append(some, np.array(ends, spec.storage))
    a, b = (x.reshape(-1) for x in np.meshgrid(p, p))
    values = {int(x): reference.decode(int(x), spec) for x in p}
    assert functions.next(p, spec).tolist() == [reference.next(x, spec) for x in p.tolist()]
    assert functions.prior(p, spec).tolist() == [reference.prior(x, spec) for x in p.tolist()]
    order = np.array(
        [reference.compare(x, y, spec) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    )
    for name, want in {
        "equal": order == 0, "not_equal": order != 0, "greater": order > 0,
        "greater_equal": order >= 0, "less": order < 0, "less_equal": order <= 0,
    }.items():  # fmt: skip
        got = of(f"compare_{name}", spec, a, b)
        assert got.dtype == bool
        assert (got == want).all(), name
    for x, got in zip(p.tolist(), functions.sign(p, spec).tolist(), strict=True):
        v = values[x]
        assert got == (spec.nar if v is None else ((v > 0) - (v < 0)) * spec.one)
    rows = zip(a.tolist(), b.tolist(), strict=True)
    for (x, y), toward, copied in zip(
        rows, functions.nextafter(a, b, spec), functions.copysign(a, b, spec), strict=True
    ):
        if spec.nar in (x, y):
            assert toward == copied == spec.nar
        else:
            assert toward == x + (y > x) - (y < x)
            assert copied == (-abs(x) if y < 0 else abs(x))


def test_names() -> None:
    assert sorted(functions.STANDARD) == sorted(REQUIRED)
    for name, function in functions.STANDARD.items():
        assert getattr(functions, name) is function or name in functions.__all__
        assert callable(function)
    for name, function in functions.UFUNCS.items():
        operands = [p for p in inspect.signature(function).parameters if p not in ("spec", "out")]
        assert getattr(np, name).nin == len(operands), name
    for name in functions.__all__:
        assert getattr(functions, name).__doc__, name
    with pytest.raises(AttributeError, match="expMinus2"):
        functions.expMinus2  # noqa: B018


@pytest.mark.parametrize(
    "spec", [bposit8, bposit16, PositSpec(13, 6, 5), bposit32, bposit64], ids=str
)
@pytest.mark.parametrize("name", ["exp", "floor", "sign", "next"])
def test_shapes_aliasing_and_strides(name: str, spec: PositSpec) -> None:
    function = getattr(functions, name)
    x = stratified(spec, 60, 5)[:60].reshape(3, 20)
    want = np.array([function(p, spec) for p in x.reshape(-1)]).reshape(3, 20)
    for view in (np.s_[:], np.s_[::-1, ::3], np.s_[1], np.s_[:, 4], np.s_[2, 3], np.s_[:0]):
        got = function(x[view], spec)
        assert got.dtype == spec.storage
        np.testing.assert_array_equal(got, want[view])
        assert isinstance(got, np.ndarray) == isinstance(x[view], np.ndarray)
    same = x.copy()
    for source, out in (
        (x, np.empty_like(x)),
        (x, np.empty((3, 40), x.dtype)[:, ::2]),
        (same, same),
    ):
        assert function(source, spec, out=out) is out
        np.testing.assert_array_equal(out, want)
    odd = np.zeros(1 + x.nbytes, np.uint8)[1:].view(spec.storage).reshape(x.shape)
    odd[...] = x
    np.testing.assert_array_equal(function(odd, spec, out=odd), want)
    shifted = np.concatenate([x.reshape(-1), x.reshape(-1)[:1]])
    assert function(shifted[:-1], spec, out=shifted[1:]) is not None
    np.testing.assert_array_equal(shifted[1:], want.reshape(-1))


def test_blocks_do_not_show() -> None:
    """More elements than one block, at every width, and operands that broadcast across them."""
    rng = np.random.default_rng(7)
    for spec in (bposit16, bposit32):
        x = rng.integers(spec.nar, spec.maxpos_pattern, 70_001).astype(spec.storage)
        got = functions.sin(x, spec)
        at = rng.integers(0, x.size, 50)
        np.testing.assert_array_equal(got[at], functions.sin(x[at], spec))
        np.testing.assert_array_equal(
            functions.hypot(x, spec.one, spec), functions.hypot(spec.one, x, spec)
        )


def test_errors() -> None:
    x = patterns(bposit32, 1, 2, 3)
    with pytest.raises(TypeError, match=r"patterns of <32,6,5> are int32, got float64"):
        functions.exp(np.ones(3), bposit32)
    with pytest.raises(TypeError, match="expected a format: a PositSpec such as"):
        functions.exp(x, 32)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="do not broadcast"):
        functions.pow(x, x[:2], bposit32)
    with pytest.raises(ValueError, match="do not broadcast"):
        functions.compare_less(x, x[:2], bposit32)
    with pytest.raises(TypeError, match="k must be integers that int64 holds, got float64"):
        functions.root_n(x, 0.5, bposit32)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="beyond int64"):
        functions.root_n(x, 1 << 70, bposit32)
    with pytest.raises(ValueError, match="beyond int64"):
        functions.compound(x, np.array([1 << 63], np.uint64), bposit32)
    with pytest.raises(TypeError, match="out has dtype int16"):
        functions.exp(x, bposit32, out=np.empty(3, np.int16))
    with pytest.raises(ValueError, match="out has shape"):
        functions.exp(x, bposit32, out=np.empty(4, np.int32))


def test_threads_agree() -> None:
    """Tables built at once by many, and MPFR in each, whose contexts are its own."""
    specs = [PositSpec(16, 7, 3), PositSpec(12, 5, 2), PositSpec(16, 9, 7), standard(40)]
    found: list[Any] = []

    def work() -> None:
        x = [stratified(s, 300, 9) for s in specs]
        found.append(
            [of(f, s, v) for f in ("exp", "tan_pi") for s, v in zip(specs, x, strict=True)]
        )

    workers = [threading.Thread(target=work) for _ in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert len(found) == len(workers)
    for other in found[1:]:
        for x, y in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_the_page_is_right() -> None:
    page = Path(__file__).parents[2] / "docs" / "functions.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 5
    assert not found.failed
