"""posit.pandas: pandas' own suite for extension arrays, and what is particular to posits."""

from __future__ import annotations

import io
import operator
import pickle
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pytest
from pandas.tests.extension import base  # type: ignore[import-untyped, unused-ignore]
from pandas.tests.extension.conftest import (  # type: ignore[import-untyped, unused-ignore] # noqa: F401
    all_data,
    as_array,
    as_frame,
    as_series,
    box_in_series,
    data_repeated,
    fillna_method,
    groupby_apply_op,
    invalid_scalar,
    na_cmp,
    na_value,
    use_numpy,
)

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64
from posit.pandas import PositArray, PositDtype

from ..formats import corners, mixed

SPECS = [bposit8, bposit16, PositSpec(13, 6, 5), bposit32, bposit64]
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"]


def name(spec: PositSpec) -> str:
    return f"posit[{spec.n},{spec.rs},{spec.es}]"


def made(values: Any, spec: PositSpec = bposit32) -> PositArray:
    return pd.array(values, dtype=name(spec))


def random(spec: PositSpec, size: int, seed: int = 1) -> PositArray:
    """Any patterns, NaR among them."""
    bits = mixed(spec, size, np.random.default_rng(seed))
    bits[size // 3] = spec.nar
    return PositArray(posit.view(bits, spec))


# ---- pandas' own suite; its fixtures for operators, which moved between versions
@pytest.fixture(params=[f"__{r}{op}__" for op in BINARY for r in ("", "r")])
def all_arithmetic_operators(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=COMPARE)
def comparison_op(request: pytest.FixtureRequest) -> Any:
    return getattr(operator, request.param)


NUMERIC = ["count", "sum", "max", "min", "mean", "prod", "std", "var", "median"]


@pytest.fixture(params=[*NUMERIC, "sem", "kurt", "skew"])
def all_numeric_reductions(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["all", "any"])
def all_boolean_reductions(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[*NUMERIC, "all", "any"])
def all_reductions(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["cumsum", "cumprod", "cummax", "cummin"])
def all_numeric_accumulations(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[True, False])
def using_nan_is_na(request: pytest.FixtureRequest) -> Any:
    with pd.option_context("future.distinguish_nan_and_na", not request.param):
        yield request.param


@pytest.fixture
def dtype() -> PositDtype:
    return PositDtype(bposit32)


@pytest.fixture
def data() -> PositArray:
    values = np.random.default_rng(2).uniform(1, 3, 100)
    values[:2] = 0.5, 2
    return made(values)


@pytest.fixture
def data_for_twos() -> PositArray:
    return made([2] * 100)


@pytest.fixture
def data_missing() -> PositArray:
    return made([None, 1])


@pytest.fixture
def data_for_sorting() -> PositArray:
    return made([2, 3, 1])


@pytest.fixture
def data_missing_for_sorting() -> PositArray:
    return made([2, None, 1])


@pytest.fixture
def data_for_grouping() -> PositArray:
    return made([2, 2, None, None, 1, 1, 2, 3])


@pytest.mark.skipif(pd.__version__ < "3", reason="the fixtures above are those of pandas 3")
class TestPandasSuite(base.ExtensionTests):  # type: ignore[misc, unused-ignore]
    series_scalar_exc = None
    frame_scalar_exc = None
    series_array_exc = None
    divmod_exc = None

    def test_len(self, data: Any) -> None:
        """Theirs wants a length that differs between versions of pandas."""
        assert len(data) == data.size == 100

    test_size = test_len

    def _supports_reduction(self, ser: Any, op_name: str) -> bool:
        return True

    def _supports_accumulation(self, ser: Any, op_name: str) -> bool:
        return True

    def check_reduce(self, ser: Any, op_name: str, skipna: bool) -> None:
        """Beside float64 for the reductions that round once; a product rounds every time."""
        if op_name == "prod":
            assert ser.prod(skipna=skipna) == np.prod(ser.to_numpy())
        elif op_name == "count":
            super().check_reduce(ser, op_name, skipna)
        else:
            found, wide = (getattr(x, op_name)(skipna=skipna) for x in (ser, ser.astype(float)))
            assert found == posit.Posit(wide, bposit32)

    def check_accumulate(self, ser: Any, op_name: str, skipna: bool) -> None:
        found, floats = (getattr(x, op_name)(skipna=skipna) for x in (ser, ser.astype(float)))
        if op_name == "cumprod":
            want = np.multiply.accumulate(ser.to_numpy())
        else:
            want = floats.to_numpy().astype(posit.dtype(bposit32))
        np.testing.assert_array_equal(found.array.bits, posit.bits(want))


# ---- dtypes
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_way_to_say_a_dtype(spec: PositSpec) -> None:
    wanted = PositDtype(spec)
    assert wanted.name == str(wanted) == name(spec)
    for way in (name(spec), f"posit[{spec.name}]", f"posit[{spec}]"):
        assert pd.api.types.pandas_dtype(way) == wanted
    assert np.array([posit.Posit(1, spec)]).dtype == posit.dtype(spec)
    assert PositDtype(posit.dtype(spec)) == PositDtype(spec.name) == wanted
    assert hash(PositDtype(spec.name)) == hash(wanted)
    assert wanted != PositDtype("posit7")
    assert pickle.loads(pickle.dumps(wanted)) == wanted
    assert wanted.numpy_dtype == posit.dtype(spec)


@pytest.mark.parametrize("text", ["posit", "posit[]", "posit[99,6,5]", "bposit16", "posit[16,6,5"])
def test_other_text_is_no_dtype(text: str) -> None:
    with pytest.raises(TypeError, match="not understood"):
        pd.api.types.pandas_dtype(text)


# ---- making them
def test_from_everything() -> None:
    wanted = [posit.bposit16.one, 0x4080, bposit16.nar]
    for values in (
        [1, 1.5, None], ["1", "3/2", "NaR"], [1, "1.5", np.nan], np.array([1, 1.5, np.nan]),
        pd.Series([1, 1.5, None]), pd.array([1, 1.5, None], dtype="Float64"),
        pd.Series(["1", "1.5", None], dtype="string"), [Fraction(1), Fraction(3, 2), pd.NA],
        np.array([1, 1.5, np.nan], posit.dtype(bposit32)), made([1, 1.5, None], bposit32),
        np.array(["1", "1.5", "NaR"]), pd.Categorical([1, 1.5, None]), iter([1, 1.5, pd.NaT]),
    ):  # fmt: skip
        found = pd.Series(values, dtype="posit[16,6,5]")
        assert found.array.bits.tolist() == wanted


def test_text_is_rounded_once() -> None:
    text = "1.00195312500000000000000000001"  # just above a tie, on which float64 falls
    assert made([text], bposit16).bits.tolist() == [bposit16.one + 1]
    table = pd.read_csv(io.StringIO(f"x\n{text}\n"), dtype={"x": "posit[16,6,5]"})
    assert table.x.array.bits.tolist() == [bposit16.one + 1]


def test_formats_of_the_elements() -> None:
    one, two = posit.Posit(1, bposit16), posit.Posit(2, bposit32)
    assert PositArray._from_sequence([one, None, two]).dtype == "posit[32,6,5]"
    with pytest.raises(TypeError, match="which posit format"):
        PositArray._from_sequence([1, 2])
    with pytest.raises(TypeError, match="cannot mix"):
        PositArray._from_sequence([one, posit.Posit(1, bposit8)])
    for bad in (np.zeros(3), [1], np.zeros((2, 2), posit.dtype(bposit16))):
        with pytest.raises(TypeError, match="one-dimensional NumPy array of a posit dtype"):
            PositArray(bad)


@pytest.mark.parametrize("values", [[1j], [object()], [np.datetime64("2026")], [[1, 2], [3]]])
def test_what_is_no_number(values: Any) -> None:
    with pytest.raises(TypeError):
        pd.Series(values, dtype="posit[16,6,5]")
    with pytest.raises(ValueError, match="not a number"):
        pd.Series(["one"], dtype="posit[16,6,5]")


def test_the_array_is_not_copied() -> None:
    values = np.zeros(3, posit.dtype(bposit16))
    array = PositArray(values)
    array[1] = 1.5
    assert values[1] == 1.5
    assert np.shares_memory(array.bits, values)
    assert np.shares_memory(np.asarray(array), values)
    assert pd.Series(array).to_numpy().dtype == posit.dtype(bposit16)


# ---- NaR is missing
def test_missing() -> None:
    s = pd.Series([1, None, 3, np.nan, pd.NA, "NaR"], dtype="posit[16,6,5]")
    assert s.isna().tolist() == [False, True, False, True, True, True]
    assert pd.isna(s[1])
    assert s[1] is posit.NaR
    assert s.count() == 2
    assert s.dropna().tolist() == [1, 3]
    assert s.fillna(7).tolist() == [1, 7, 3, 7, 7, 7]
    assert s.astype(object).isna().tolist() == s.isna().tolist()
    assert s.astype(float).isna().tolist() == s.isna().tolist()
    assert s.astype("string").isna().tolist() == s.isna().tolist()
    assert (s / 0).isna().all()
    s[0] = None
    assert s.isna().sum() == 5


def test_comparisons_are_those_of_the_standard() -> None:
    s = pd.Series([1, None, -1], dtype="posit[16,6,5]")
    assert (s == s.copy()).all()
    assert (s < 0).tolist() == [False, True, True]
    assert (s == None).tolist() == [False, True, False]  # noqa: E711
    assert (s == "a").tolist() == [False] * 3
    assert (s != "a").tolist() == [True] * 3
    with pytest.raises(TypeError):
        _ = s < "a"


def test_missing_sorts_last() -> None:
    s = pd.Series([1, None, -1], dtype="posit[16,6,5]")
    assert s.sort_values().index.tolist() == [2, 0, 1]
    assert s.sort_values(ascending=False).index.tolist() == [0, 2, 1]
    assert s.sort_values(na_position="first").index.tolist() == [1, 2, 0]
    assert s.idxmax() == 0
    assert s.idxmin() == 2


# ---- arithmetic: NumPy's, bit for bit
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("op", [*BINARY, *COMPARE])
def test_operators_are_those_of_the_array(spec: PositSpec, op: str) -> None:
    function = getattr(operator, op)
    a, b = random(spec, 40, 1), random(spec, 40, 2)
    for other in (b, 3, 0.1, np.float32(0.1), True, posit.Posit(2, spec)):
        plain = other._data if isinstance(other, PositArray) else other
        if isinstance(plain, np.generic):
            plain = plain.item()
        for x, y, p, q in ((a, other, a._data, plain), (other, a, plain, a._data)):
            found = function(pd.Series(x) if x is a else x, pd.Series(y) if y is a else y)
            wanted = function(p, q)
            assert isinstance(found, pd.Series)
            got = found.to_numpy()
            assert got.dtype == wanted.dtype
            assert got.tobytes() == wanted.tobytes()


def test_unary_and_ufuncs() -> None:
    a = random(bposit16, 50)
    s = pd.Series(a)
    checks: list[tuple[Any, Any]] = [
        (-s, -a._data), (+s, a._data), (abs(s), np.abs(a._data)), (np.exp(s), np.exp(a._data)),
        (np.maximum(s, 1), np.maximum(a._data, 1)), (np.hypot(s, s), np.hypot(a._data, a._data)),
        (s.round(1), np.array([x if x.is_nar else round(x, 1) for x in a._data], a._data.dtype)),
        (s.clip(-1, 1).dropna(), np.clip(a._data, -1, 1)[~a.isna()]),
        (divmod(s, 3)[0], np.divmod(a._data, 3)[0]), (divmod(7, s)[1], np.divmod(7, a._data)[1]),
    ]  # fmt: skip
    for found, wanted in checks:
        assert found.dtype == "posit[16,6,5]"
        assert found.to_numpy().tobytes() == wanted.tobytes()
    assert (np.isnan(s) == s.isna()).all()


def test_formats_widen_within_a_family() -> None:
    s, wide = made([1, 2], bposit16), made([1, 2], bposit32)
    assert (s + wide).dtype == "posit[32,6,5]"
    assert (pd.Series(s) + [posit.Posit(1, bposit64)] * 2).dtype == "posit[64,6,5]"
    assert pd.concat([pd.Series(s), pd.Series(wide)]).dtype == "posit[32,6,5]"
    assert pd.concat([pd.Series(s), pd.Series([1, 2])]).dtype == "posit[16,6,5]"
    assert pd.concat([pd.Series(s), pd.Series([0.1])]).dtype == object
    assert pd.concat([pd.Series(s), pd.Series(made([1], bposit8))]).dtype == object
    with pytest.raises(TypeError, match="cannot mix"):
        s + made([1, 2], bposit8)
    with pytest.raises(TypeError, match="do not mix"):
        s + np.array([0.5, 1])
    with pytest.raises(ValueError, match="Lengths must match"):
        s + made([1], bposit16)


# ---- reductions
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("how", ["sum", "mean", "median", "var", "std"])
def test_reductions_are_exact(spec: PositSpec, how: str) -> None:
    a = random(spec, 60)
    present = a._data[~a.isna()]
    options = {"ddof": 1} if how in ("var", "std") else {}
    assert getattr(pd.Series(a), how)() == getattr(posit, how)(present, **options)
    assert getattr(pd.Series(a), how)(skipna=False) is posit.NaR


def test_what_floats_get_wrong() -> None:
    s = pd.Series([1e20, 3, -1e20], dtype="posit[16,6,5]")
    assert s.sum() == 3
    assert s.astype(float).sum() == 0
    assert s.mean() == posit.Posit(1, bposit16)
    assert s.cumsum().tolist()[-1] == 3


def test_reductions_of_nothing() -> None:
    empty = pd.Series([], dtype="posit[16,6,5]")
    none = pd.Series([None, None], dtype="posit[16,6,5]")
    for s in (empty, none):
        assert s.sum() == 0
        assert s.prod() == 1
        assert not s.any()
        assert s.all()
        assert all(
            getattr(s, how)() is posit.NaR for how in ("mean", "median", "var", "min", "max")
        )
        assert s.sum(min_count=1) is posit.NaR
    assert pd.Series([1, None], dtype="posit[16,6,5]").sum(min_count=2) is posit.NaR
    assert pd.Series([1], dtype="posit[16,6,5]").var() is posit.NaR


def test_running_totals_skip_what_is_missing() -> None:
    s = pd.Series([1e20, None, 3, -1e20], dtype="posit[16,6,5]")
    wanted: dict[str, list[float | None]] = {
        "cumsum": [1e20, None, 1e20, 3], "cummax": [1e20, None, 1e20, 1e20],
        "cummin": [1e20, None, 3, -1e20], "cumprod": [1e20, None, 3e20, -3e40],
    }  # fmt: skip
    for how, values in wanted.items():
        assert (getattr(s, how)().array == made(values, bposit16)).all()
        assert getattr(s, how)(skipna=False).isna().tolist() == [False, True, True, True]


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
def test_quantiles_are_rounded_once(method: Any) -> None:
    values = [-3, 0, 1, 4, 9, 1e9]
    a = pd.Series([*values, None], dtype="posit[16,6,5]")
    qs = [0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1]
    exact = a.dropna().astype(float).quantile(qs, method)  # float64 has room to spare here
    assert (a.quantile(qs, method).array == made(exact, bposit16)).all()
    assert pd.Series([], dtype="posit[16,6,5]").quantile(0.5, method) is posit.NaR


# ---- groups
@pytest.mark.parametrize("how", ["sum", "mean", "median", "var", "std", "min", "max", "prod"])
def test_groups_are_reduced_exactly(how: str) -> None:
    a = random(bposit16, 300)
    key = np.random.default_rng(3).integers(0, 7, 300)
    s = pd.Series(a)
    found = getattr(s.groupby(key), how)()
    assert found.dtype == "posit[16,6,5]"
    for k, value in found.items():
        alone = getattr(s[key == k], how)()
        assert value is alone or value == alone
    frame = pd.DataFrame({"key": key, "x": s, "y": s.astype("posit[32,6,5]")})
    both = getattr(frame.groupby("key"), how)()
    assert (both.x.array == found.array).all()
    assert both.y.dtype == "posit[32,6,5]"


def test_groups_in_other_ways() -> None:
    s = pd.Series([1e20, 3, -1e20, None, 2], dtype="posit[16,6,5]")
    groups = s.groupby(["a", "a", "a", "b", None])
    assert groups.sum().tolist() == [3, 0]
    assert groups.sum(min_count=1).isna().tolist() == [False, True]
    assert groups.any().tolist() == [True, False]
    assert groups.cumsum().tolist()[:3] == [posit.Posit(1e20, bposit16), s[0], 3]
    assert groups.cumsum().isna().tolist() == [False, False, False, True, True]
    assert groups.transform("sum").tolist()[:3] == [3, 3, 3]
    assert groups.agg(["min", "max", "count"]).loc["a"].tolist() == [s[2], s[0], 3]
    assert pd.Series([1, 2, 3, 4, 5]).groupby(s).sum().tolist() == [3, 5, 2, 1]
    with pytest.raises(TypeError, match="rank"):
        groups.rank()


@pytest.mark.parametrize("how", ["sem", "skew", "kurt"])
def test_moments_are_rounded_once(how: str) -> None:
    """Beside the same of wide floats, which are rounded often but have bits to spare."""
    a = made(np.random.default_rng(5).normal(size=300), bposit16)
    s = pd.Series(a)
    key = np.random.default_rng(3).integers(0, 4, 300)
    assert getattr(s, how)() == posit.Posit(getattr(s.astype(float), how)(), bposit16)
    found = getattr(s.groupby(key), how)()
    assert found.dtype == "posit[16,6,5]"
    for k, value in found.items():
        assert value == posit.Posit(getattr(s.astype(float)[key == k], how)(), bposit16)
    assert getattr(pd.concat([s, pd.Series([None], dtype=s.dtype)]), how)() == getattr(s, how)()
    assert getattr(pd.Series(made([1, None])), how)(skipna=False) is posit.NaR


def test_moments_where_floats_cancel() -> None:
    """Deviations from a huge mean, as whole numbers."""
    big = Fraction(2) ** 40
    s = pd.Series(posit.view([posit.from_fraction(big + d, bposit64) for d in (0, 1, 5)], bposit64))
    s = s.astype("posit[64,6,5]")
    near = pd.Series([0.0, 1.0, 5.0])
    assert float(s.sem()) == pytest.approx(near.sem(), rel=1e-12)
    assert float(s.skew()) == pytest.approx(near.skew(), rel=1e-12)
    exact = posit.Posit(Fraction(7, 3), bposit64)  # Σ (x - 2)² = 14, over 2·3
    assert s.sem() == posit.Posit(posit.view(posit.sqrt(exact.bits, bposit64), bposit64)[()])


@pytest.mark.parametrize(
    ("how", "values", "want"),
    [
        ("sem", [1], None), ("sem", [1, 2], 0.5), ("skew", [1, 2], None), ("skew", [2, 2, 2], 0),
        ("skew", [1, 2, 3], 0), ("kurt", [1, 2, 3], None), ("kurt", [2] * 4, 0), ("sem", [], None),
        ("kurt", [1, 2, 3, 4], -1.2),
    ],
)  # fmt: skip
def test_moments_of_few(how: str, values: list[float], want: float | None) -> None:
    found = getattr(pd.Series(values, dtype="posit[16,6,5]"), how)()
    assert found is posit.NaR if want is None else found == posit.Posit(want, bposit16)


def test_places_in_groups() -> None:
    s = pd.Series([3, 1e9, None, 1, -2, 1e9], dtype="posit[16,6,5]", index=list("uvwxyz"))
    groups = s.groupby([0, 0, 0, 1, 1, 0])
    assert groups.idxmax().tolist() == ["v", "x"]
    assert groups.idxmin().tolist() == ["u", "y"]
    frame = pd.DataFrame({"k": [0, 0, 0, 1, 1, 0], "s": s, "t": -s})
    assert frame.groupby("k").idxmax().to_dict("list") == {"s": ["v", "x"], "t": ["u", "y"]}
    with pytest.raises(ValueError, match="NA value"):
        groups.idxmax(skipna=False)
    with pytest.raises(ValueError, match="all NA"):
        s.groupby([0, 0, 1, 0, 0, 0]).idxmin()


def test_isin() -> None:
    s = pd.Series([1.5, 0.1, None, -3], dtype="posit[16,6,5]")
    posits = [posit.Posit(1.5, bposit32), posit.Posit("0.1", bposit32), posit.Posit(-3, bposit16)]
    for values, want in [
        (s[:2], [1, 1, 0, 0]), (s.array, [1, 1, 1, 1]), (pd.Index(s), [1, 1, 1, 1]),
        (posits, [1, 0, 0, 1]),  # 0.1 has another value in 32 bits
        (s.astype("posit[32,6,5]"), [1, 1, 1, 1]), ([s[1]], [0, 1, 0, 0]), (s.to_numpy(), [1] * 4),
        ([np.nan], [0, 0, 1, 0]), ([None], [0, 0, 1, 0]), ([pd.NA], [0, 0, 1, 0]),
        ([posit.NaR], [0, 0, 1, 0]), (np.array([np.nan]), [0, 0, 1, 0]), ([np.inf], [0] * 4),
        (np.array([-np.inf, 1.5]), [1, 0, 0, 0]), ([0.1, 1.5], [1, 1, 0, 0]), ([], [0] * 4),
        ([Fraction(3, 2), "1.5"], [1, 0, 0, 0]), (np.array([-3, 7]), [0, 0, 0, 1]),
        (pd.Series([-3, None], dtype="Int64"), [0, 0, 1, 1]), (["a", 1j, True], [0] * 4),
        ({-3, 1.5}, [1, 0, 0, 1]),
    ]:  # fmt: skip
        got = s.isin(values)
        assert got.dtype == bool
        assert got.tolist() == [bool(x) for x in want], values
    assert not pd.Series([], dtype="posit[16,6,5]").isin([1]).any()


def test_arrays_of_numpy_keep_their_dtype_unless_told() -> None:
    """pandas has no hook for them; docs/numpy.md says what to write."""
    a = posit.view([0x4000, 0x4100], bposit16)
    assert not isinstance(pd.Series(a).dtype, PositDtype)
    for s in (
        pd.Series(a, dtype="posit[16,6,5]"), pd.Series(a).astype("posit[16,6,5]"),
        pd.Series(PositArray(a)), pd.DataFrame({"x": a}).astype("posit[16,6,5]").x,
    ):  # fmt: skip
        assert s.dtype == "posit[16,6,5]"
        assert s.sum() == 3
    wide = pd.Series(a, dtype="posit[16,6,5]").astype(posit.dtype(bposit32))
    assert wide.dtype == "posit[32,6,5]"
    assert wide.tolist() == [1, 2]


# ---- to and from other things
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_text_files_lose_nothing(spec: PositSpec) -> None:
    a = pd.DataFrame({"x": PositArray(posit.view(corners(spec), spec))})
    back = pd.read_csv(io.StringIO(a.to_csv(index=False)), dtype=name(spec), skip_blank_lines=False)
    assert (back.x.array.bits == a.x.array.bits).all()
    back = pd.read_json(io.StringIO(a.to_json(orient="split")), orient="split", dtype=name(spec))
    assert (back.x.array.bits == a.x.array.bits).all()
    assert pickle.loads(pickle.dumps(a)).equals(a)


def test_casts() -> None:
    s = pd.Series([1.5, -2, 300], dtype="posit[16,6,5]")
    assert s.astype("posit[8,3,2]").tolist() == [1.5, -2, posit.Posit(300, bposit8)]
    assert s.astype("float32").dtype == np.float32
    assert s.astype(int).tolist() == [1, -2, 300]
    assert s.astype(bool).all()
    assert s.astype(str).tolist() == ["1.5", "-2", "300"]
    assert s.to_numpy(dtype=object).tolist() == [1.5, -2, 300]
    for kind in (int, bool):
        with pytest.raises(ValueError, match="cannot convert NaR"):
            pd.Series([None], dtype="posit[16,6,5]").astype(kind)
    for kind, values in (("Float64", [1.5, -2.0, pd.NA]), ("Float32", [1.5, -2.0, pd.NA]),
                         ("boolean", [True, True, pd.NA])):  # fmt: skip
        found = pd.Series([1.5, -2, None], dtype="posit[16,6,5]").astype(kind)
        assert found.dtype == kind
        assert found.tolist() == values
    found = pd.Series([3, None, -7], dtype="posit[16,6,5]").astype("Int32")
    assert found.dtype == "Int32"
    assert found.tolist() == [3, pd.NA, -7]
    with pytest.raises(TypeError, match="cannot convert to Int64: some are no integers"):
        s.astype("Int64")


def test_tables() -> None:
    s = pd.Series([2, 1, 2, None], dtype="posit[16,6,5]")
    assert s.value_counts().to_dict() == {2: 2, 1: 1}
    assert s.value_counts(dropna=False).sum() == 4
    assert s.duplicated().tolist() == [False, False, True, False]
    assert s.nunique() == 2
    assert s.isin([2]).tolist() == [True, False, True, False]
    table = pd.DataFrame({"x": s, "g": list("abab")})
    assert table.merge(table, on="x").shape == (6, 3)
    assert table.set_index("x").loc[posit.Posit(1, bposit16), "g"] == "b"
    assert table.pivot_table(values="x", index="g", aggfunc="sum").x.tolist() == [4, 1]
    assert table.query("x > 1").index.tolist() == [0, 2]


def test_what_is_printed() -> None:
    s = pd.Series([1.5, None], dtype="posit[16,6,5]")
    assert repr(s) == "0    1.5\n1    NaN\ndtype: posit[16,6,5]"
    assert repr(s.array) == "<PositArray>\n[1.5, NaR]\nLength: 2, dtype: posit[16,6,5]"


def test_importing_posit_leaves_the_extras_alone() -> None:
    program = "import sys, posit, quire; print({'pandas', 'safetensors'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
