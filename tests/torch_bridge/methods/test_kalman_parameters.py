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
    regress,
)

FORMS = {
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


def test_regression_on_rows() -> None:
    h, _ = samples()
    assert np.allclose(regress(h, h @ np.ones((20, 2))), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"prior": 0.0}, "prior=0.0"), ({"noise": -1.0}, "noise=-1.0"), ({"drift": -1.0}, "drift="),
        ({"forgetting": 1.1}, r"forgetting=1\.1: .* at most 1"), ({"noise": np.nan}, "noise=nan"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ParameterFilter(3, **options)  # type: ignore[arg-type]


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
    data = InformationFilter(20, 3).update(h, y).to_bytes()
    with pytest.raises(ValueError, match="sums"):
        InformationFilter.from_bytes(data, 10, 3)
    with pytest.raises(ValueError, match=r".+"):
        InformationFilter.from_bytes(data[:-3], 20, 3)


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
