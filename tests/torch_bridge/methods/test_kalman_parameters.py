"""Parameter filters: ridge regression in one pass, what bears 16 bits, sums in any order."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

import posit
from torch_bridge.methods.kalman import (
    ARITHMETICS,
    Gate,
    InformationFilter,
    ParameterFilter,
    SquareRootFilter,
    arithmetic,
)
from torch_bridge.methods.kalman.online import GatedFilter

FORMS: dict[str, Any] = {
    "textbook": ParameterFilter,
    "Joseph": partial(ParameterFilter, joseph=True),
    "square root": SquareRootFilter,
}


def samples(seed: int = 0, count: int = 120, size: int = 20) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    h = np.tanh(rng.standard_normal((count, size)) @ rng.standard_normal((size, size)) / 4)
    return h, h @ rng.standard_normal((size, 3)) + 0.1 * rng.standard_normal((count, 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("forgetting", [1.0, 0.97])
def test_one_pass_is_ridge_regression(form: str, forgetting: float) -> None:
    """To 1e-9, for all forms. With λ the samples weigh λ^age, and so does the prior."""
    h, y = samples()
    noise, prior = 0.3, 5.0
    one = FORMS[form](20, 3, prior=prior, noise=noise, forgetting=forgetting)
    for row, target in zip(h, y, strict=True):
        one.update(row, target)
    weight = forgetting ** np.arange(len(h) - 1.0, -1, -1)[:, np.newaxis] / noise
    information = h.T @ (weight * h) + weight[0, 0] * noise / prior * np.eye(20)
    ridge = np.linalg.solve(information, h.T @ (weight * y))
    assert np.abs(one.weights - ridge).max() <= 1e-9 * np.abs(ridge).max()
    p = np.linalg.inv(information) / forgetting  # of the parameters for the next sample
    assert np.abs(one.covariance - p).max() <= 1e-9 * np.abs(p).max()


def test_drift_is_added_variance() -> None:
    one = ParameterFilter(4, drift=0.25, prior=2.0)
    one.update(np.zeros(4), 1.0)
    assert np.array_equal(one.covariance, 2.25 * np.eye(4))
    one.reopen()
    assert np.array_equal(one.covariance, 2 * np.eye(4))


def test_drift_that_is_no_variance_is_refused() -> None:
    for drift in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="drift="):
            ParameterFilter(3, drift=drift)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"prior": 0.0}, "prior=0.0"), ({"noise": -1.0}, "noise=-1.0"),
        ({"forgetting": 1.1}, r"forgetting=1\.1: .* at most 1"), ({"noise": np.nan}, "noise=nan"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", FORMS)
def test_wrong_options_are_refused(form: str, options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FORMS[form](3, **options)
    one = FORMS[form](3)
    with pytest.raises(ValueError, match="noise=nan"):
        one.noise = np.nan
    assert one.noise == 1.0


WRONG: dict[str, tuple[Any, Any, str]] = {
    "more targets": ([1, 2, 3], [1, 2], r"y has shape \(2,\); it must be \(1,\)"),
    "no target": ([1, 2, 3], [], r"y has shape \(0,\)"),
    "a row as target": ([1, 2, 3], [[1]], r"y has shape \(1, 1\)"),
    "fewer features": ([1, 2], 1, r"h has shape \(2,\); it must be \(3,\)"),
    "many samples": (np.ones((3, 3)), 1, r"h has shape \(3, 3\)"),
    "NaN in features": ([1, np.nan, 3], 1, r"h is nan at \(1,\): only finite"),
    "NaN in targets": ([1, 2, 3], np.nan, r"y is nan at \(0,\)"),
    "infinity": ([1, 2, 3], -np.inf, r"y is -inf"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_samples_change_nothing(form: str, case: str) -> None:
    h, y, text = WRONG[case]
    one = FORMS[form](3)
    one.update([1, 0, 2], 1)
    weights, covariance = one.weights, one.covariance
    with pytest.raises(ValueError, match=text):
        one.update(h, y)
    assert np.array_equal(one.weights, weights)
    assert np.array_equal(one.covariance, covariance)


@pytest.mark.parametrize("form", FORMS)
def test_samples_of_two_outputs(form: str) -> None:
    """A number is not taken for both; nor is one that the arithmetic cannot hold."""
    one = FORMS[form](3, 2)
    with pytest.raises(ValueError, match=r"y has shape \(\); it must be \(2,\)"):
        one.update([1, 2, 3], 1.0)
    for ask in (one.predict, one.variance):
        with pytest.raises(ValueError, match=r"h has shape \(1, 3\); it must be \(3,\)"):
            ask([[1, 2, 3]])
    narrow = FORMS[form](1, arithmetic=arithmetic("float32"))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=r"h is inf at \(0,\)"):
        narrow.update([1e39], 1.0)


@pytest.mark.parametrize("name", ["float64", "bposit16 + quire"])
def test_a_square_root_filter_can_be_gated(name: str) -> None:
    """Its S is that of the textbook form; reopened, it is as unsure as at the start."""
    h, y = samples(count=40)
    options: dict[str, Any] = {"prior": 2.0, "noise": 0.3}
    root = SquareRootFilter(20, 3, arithmetic=arithmetic(name), **options)
    plain = ParameterFilter(20, 3, **options)
    for row, target in zip(h, y, strict=True):
        root.update(row, target)
        plain.update(row, target)
    near = 1e-12 if name == "float64" else 0.02
    assert root.variance(h[0]) == pytest.approx(plain.variance(h[0]), rel=near)
    gated, before = GatedFilter(root, Gate(3.0, 2)), root.weights
    gated.update(h[0], y[0] + 100)
    assert np.array_equal(root.weights, before)
    root.reopen()
    assert np.allclose(root.covariance, 2 * np.eye(20), rtol=near)
    assert np.array_equal(root.weights, before)


@pytest.mark.parametrize("name", ARITHMETICS)
def test_state_is_stored_in_the_arithmetic(name: str) -> None:
    h, y = samples(count=5)
    to = arithmetic(name)
    for form in FORMS.values():
        one = form(20, 3, arithmetic=to)
        for row, target in zip(h, y, strict=True):
            one.update(row, target)
        kept = one.factor if isinstance(one, SquareRootFilter) else one.covariance
        assert one.weights.dtype == kept.dtype == to.dtype
        assert one.predict(h[0]).dtype == np.float64
    with pytest.raises(ValueError, match="arithmetic 'half': possible are float64"):
        arithmetic("half")


def test_sums_of_each_op_are_rounded_each_time() -> None:
    """1 + eight times 2⁻⁹: each is lost, half a last place of 1 going to the even pattern."""
    plain, exact = arithmetic("bposit16"), arithmetic("bposit16 + quire")
    a = plain.array([[1.0] + [2.0**-9] * 8])
    ones = plain.array(np.ones(9))
    assert plain.matmul(a, ones).astype(float).tolist() == [1.0]
    assert exact.matmul(a, ones).astype(float).tolist() == [1 + 8 * 2.0**-9]
    assert float(plain.matmul(ones, ones)) == 9


def hard(seed: int = 1) -> tuple[Any, Any]:
    """More correlated features: the condition number of Σhhᵀ is some 10⁵."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((600, 12)) @ rng.standard_normal((12, 60)) / 3
    h = np.tanh(mixed)
    return h, h[:, :2] - h[:, 2:4]


@pytest.mark.parametrize("name", ["bfloat16", "bposit16", "bposit16 + quire"])
def test_a_covariance_in_16_bits_diverges_and_its_root_does_not(name: str) -> None:
    """Rounding P element by element leaves no covariance; S·Sᵀ is one for any S."""
    h, y = hard()
    made: dict[str, Any] = {}
    for form in ("textbook", "Joseph", "square root"):
        one = FORMS[form](60, 2, noise=0.01, arithmetic=arithmetic(name))
        with np.errstate(all="ignore"):
            for row, target in zip(h, y, strict=True):
                one.update(row, target)
        made[form] = one
        error = np.mean((h @ one.weights.astype(float) - y) ** 2) / y.var()
        if form == "square root":
            assert error < 0.02
        else:
            assert not error < 1
    least = np.linalg.eigvalsh(made["square root"].covariance)[0]
    assert least > -1e-12
    p = made["textbook"].covariance.astype(float)
    if np.isfinite(p).all():
        assert np.linalg.eigvalsh((p + p.T) / 2)[0] < -1e-2


def test_information_is_exact() -> None:
    h, y = samples(count=30)
    one = InformationFilter(20, 3).update(h, y)
    rows = posit.decode(posit.encode(h, posit.bposit16), posit.bposit16)
    right = sum(
        Fraction(float(a)) * Fraction(float(b)) for a, b in zip(rows[:, 3], rows[:, 7], strict=True)
    )
    assert one.information.values()[3, 7] == one.information.values()[7, 3] == right


@pytest.mark.parametrize("spec", ["bposit16", "bposit32"])
def test_information_in_any_order_and_split(spec: str) -> None:
    h, y = samples(count=200)
    whole = InformationFilter(20, 3, spec=spec).update(h, y)
    rng = np.random.default_rng(3)
    for parts in (2, 7, 200):
        workers = [
            InformationFilter(20, 3, spec=spec).update(h[i], y[i])
            for i in np.array_split(rng.permutation(200), parts)
        ]
        total = workers.pop(0)
        for worker in workers:
            total.merge(InformationFilter.from_bytes(worker.to_bytes(), 20, 3))
        assert total.to_bytes() == whole.to_bytes()
        a, b = total.solve(0.25), whole.solve(0.25)
        assert posit.bits(a.weights).tobytes() == posit.bits(b.weights).tobytes()
    other = InformationFilter(20, 3, spec=spec).update(h[1:], y[1:])
    assert other.to_bytes() != whole.to_bytes()


def test_information_gives_the_filter() -> None:
    """Of rounded features, as the filter in float64 finds it, to the last bit of bposit32."""
    h, y = samples()
    spec = posit.bposit16
    rows, targets = (posit.decode(posit.encode(v, spec), spec) for v in (h, y))
    one = ParameterFilter(20, 3, prior=2.0, noise=0.5)
    for row, target in zip(rows, targets, strict=True):
        one.update(row, target)
    solved = InformationFilter(20, 3).update(h[:50], y[:50]).update(h[50:], y[50:])
    found = solved.solve(0.25, to="bposit32")
    assert found.certified.all()
    right = posit.encode(one.weights, posit.bposit32)
    assert np.abs(posit.bits(found.weights).astype(int) - right).max() <= 1
    with pytest.raises(ValueError, match="ridge=0: possible are numbers above 0"):
        solved.solve(0)


def test_information_that_does_not_fit() -> None:
    h, y = samples(count=4)
    with pytest.raises(ValueError, match="4 rows of features, 3 of targets"):
        InformationFilter(20, 3).update(h, y[:3])
    one = InformationFilter(20, 3)
    empty = one.to_bytes()
    for rows, targets, text in (
        (h.T, y, r"h has shape \(20, 4\); it must be \(rows, 20\)"),
        (h.reshape(8, 10), y, r"h has shape \(8, 10\)"),
        (h, y.T, r"y has shape \(3, 4\); it must be \(rows, 3\)"),
        (h, y.ravel(), r"y has shape \(12,\)"),
        (h.ravel(), y[0], r"h has shape \(80,\); it must be \(20,\)"),
        (h[0], y[:1], r"y has shape \(1, 3\); it must be \(3,\)"),
        (np.where(h == h[2, 5], np.nan, h), y, r"h is nan at \(2, 5\)"),
        (h, np.where(y == y[3, 1], np.inf, y), r"y is inf at \(3, 1\)"),
        (h[0], [1, np.nan, 2], r"y is nan at \(1,\)"),
    ):
        with pytest.raises(ValueError, match=text):
            one.update(rows, targets)
        assert one.to_bytes() == empty
    single = InformationFilter(20).update(h, y[:, 0])
    assert single.to_bytes() == InformationFilter(20).update(h, y[:, :1]).to_bytes()
    data = one.update(h, y).to_bytes()
    with pytest.raises(ValueError, match="sums"):
        InformationFilter.from_bytes(data, 10, 3)
    with pytest.raises(ValueError, match=r".+"):
        InformationFilter.from_bytes(data[:-3], 20, 3)


def test_information_that_cannot_be_merged_changes_nothing() -> None:
    h, y = samples(count=4)
    one = InformationFilter(20, 3).update(h, y)
    before = one.to_bytes()
    others: dict[str, Any] = {
        r"20 features and 2 outputs into .* for 20 and 3": InformationFilter(20, 2),
        r"4 features and 3": InformationFilter(4, 3),
        r"sums of <32,": InformationFilter(20, 3, spec="bposit32"),
    }
    others[next(iter(others))].update(h, y[:, :2])
    for text, other in others.items():
        with pytest.raises(ValueError, match=text):
            one.merge(other)
        assert one.to_bytes() == before
    with pytest.raises(TypeError, match="can only merge an InformationFilter, got bytes"):
        one.merge(before)  # type: ignore[arg-type]


def test_a_gate_does_not_judge_what_is_no_number() -> None:
    gate = Gate(3.0, 1)
    for innovation, variance, text in (
        (np.nan, 1.0, "innovation is nan"), ([0.0, np.inf], 1.0, "innovation is inf"),
        (1.0, np.nan, "variance=nan"), (1.0, -2.0, "variance=-2"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            gate.judge(innovation, variance)
    assert gate.judge(1.0, 1.0) == "take"


def test_a_gate_tells_outliers_from_change() -> None:
    gate = Gate(width=3.0, patience=3)
    assert [gate.judge(0.1, 1.0), gate.judge(5.0, 1.0)] == ["take", "skip"]
    assert gate.judge(2.9, 1.0) == "take"
    assert [gate.judge(-4.0, 1.0), gate.judge([4.0], 1.0)] == ["skip", "reopen"]
    assert gate.judge(4.0, 1.0) == "skip"  # the count starts again
    assert gate.judge([4.0, 0.0], 1.0) == "take"  # 8 < 9, the mean square
    learning = Gate(3.0, 2, skips=False)
    assert [learning.judge(9.0, 1.0), learning.judge(9.0, 1.0)] == ["take", "reopen"]
    with pytest.raises(ValueError, match="both must be positive"):
        Gate(0.0)
