"""KNOW: storage in 16 bits, and what is committed of its results."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import posit
from torch_bridge.methods import know
from torch_bridge.methods._result import read

RESULT = Path(__file__).parents[3] / "bench" / "results" / "methods" / "know" / "result.json"


@pytest.fixture(scope="module")
def stages():
    g = torch.Generator().manual_seed(0)
    base = {"w": 0.1 * torch.randn(40, 30, generator=g), "b": 0.1 * torch.randn(40, generator=g)}
    return [
        {n: w + 0.004 * (4 - k) * torch.randn(w.shape, generator=g) for n, w in base.items()}
        for k in range(5)
    ]


def test_deltas_are_summed_exactly_and_rounded_once(stages):
    spec = posit.bposit16
    store = know.DeltaStore(stages)
    c = know.FIXED["least squares"](5, 2)
    found = store.combine(c)["b"].numpy()
    c_bits = [posit.to_fraction(x, posit.bposit32) for x in posit.encode(c, posit.bposit32)]
    for i in range(40):
        base = posit.encode(stages[-1]["b"][i].double().numpy(), spec)
        exact = Fraction(0)
        for ck, s in zip(c_bits, stages, strict=True):
            rest = float(s["b"][i]) - float(posit.decode(base, spec))
            exact += ck * posit.to_fraction(posit.encode(rest, spec), spec)
        step = posit.to_fraction(posit.from_fraction(exact, spec), spec)
        assert found[i] == float(posit.to_fraction(base, spec) + step)


def test_deltas_keep_more_of_each_stage_than_weights_do(stages):
    store = know.DeltaStore(stages)
    assert len(store) == 5
    assert store.nbytes == 2 * 6 * 1240
    for k, s in enumerate(stages):
        plain = posit.decode(posit.encode(s["w"].double().numpy(), "bposit16"), "bposit16")
        kept = np.abs(store.stage(k)["w"].numpy() - s["w"].double().numpy())
        lost = np.abs(plain - s["w"].double().numpy())
        assert kept.mean() < 0.25 * lost.mean()


def test_what_does_not_extrapolate_is_refused(stages):
    with pytest.raises(ValueError, match="sum to 2"):
        know.DeltaStore(stages).combine(np.array([0, 0, 0, 0, 2.0]))


@pytest.mark.parametrize("wrong", [[float("nan")] * 5, [1.0], [[1.0, 0, 0, 0, 0]]])
def test_wrong_coefficients(stages, wrong):
    with pytest.raises(ValueError, match="coefficients"):
        know.DeltaStore(stages).combine(wrong)


@pytest.mark.parametrize("spec", ["posit32", "posit16", "bposit8", "bposit32"])
def test_other_formats_lose_nothing_where_they_are_widened(stages, spec):
    """Of coefficients that are exact, the sum rounded once; posit32 has 27 bits, bposit32 24."""
    spec = posit.PositSpec.parse(spec)
    store = know.DeltaStore(stages, spec)
    c = np.array([0.5, -0.25, 0, 0.25, 0.5])
    found = store.combine(c)["b"].numpy()
    base = posit.encode(stages[-1]["b"].double().numpy(), spec)
    rests = [posit.encode(s["b"].double().numpy() - posit.decode(base, spec), spec) for s in stages]
    for i in range(40):
        terms = zip(c, rests, strict=True)
        exact = sum(Fraction(float(ck)) * posit.to_fraction(r[i], spec) for ck, r in terms)
        step = posit.to_fraction(posit.from_fraction(exact, spec), spec)
        assert found[i] == float(posit.to_fraction(base[i], spec)) + float(step)


def test_stores_that_cannot_be(stages):
    with pytest.raises(ValueError, match="is wider than float64 or bposit64"):
        know.DeltaStore(stages, "bposit64")
    other = [*stages[:-1], {**stages[-1], "b": torch.zeros(1)}]
    with pytest.raises(ValueError, match="stage 0 has the shapes"):
        know.DeltaStore(other)


@pytest.mark.parametrize("arm", ["bposit16 + quire", "bposit16 deltas + quire", "bposit32"])
def test_exact_sums_do_not_depend_on_order(stages, arm):
    c, order = know.FIXED["least squares"](5, 1), [3, 0, 2, 1, 4]  # θ_0, the base, stays last
    one = know.ARITHMETICS[arm].combine(c, stages)
    other = know.ARITHMETICS[arm].combine(c[order], [stages[k] for k in order])
    assert torch.equal(one["w"], other["w"])


def test_rounding_after_each_operation_depends_on_order(stages):
    c, order = know.FIXED["least squares"](5, 1), [3, 0, 2, 1, 4]
    arm = know.ARITHMETICS["bposit16"]
    one, other = arm.combine(c, stages), arm.combine(c[order], [stages[k] for k in order])
    assert not torch.equal(one["w"], other["w"])


def errors(predict, stages):
    truth = predict(know.ARITHMETICS["float64"])["w"]
    size = (truth - stages[-1]["w"]).norm()
    return {
        name: float((predict(how)["w"] - truth).norm() / size)
        for name, how in know.ARITHMETICS.items()
    }


def test_formats_rank_as_their_digits_do(stages):
    def sums(how):
        return how.combine(know.FIXED["linear"](5, 2), stages)

    net = know.Nowcaster({"fc": seeded(), "bias": seeded()})

    def known(how):
        return how.known(net, stages, {"w": "fc", "b": "bias"}, 2)

    for predict, factor in ((sums, 4), (known, 2)):  # KNOWN's own activations are rounded too
        found = errors(predict, stages)
        assert found["bfloat16"] > 1.5 * found["bposit16 + quire"]
        assert found["bposit16 + quire"] > factor * found["bposit16 deltas + quire"]
        assert found["bposit16 deltas + quire"] > 100 * found["bposit32"] > 0


def test_in_float64_the_network_is_the_same(stages):
    net = know.Nowcaster({"fc": seeded().double(), "bias": seeded().double()})
    wide = [{n: w.double() for n, w in s.items()} for s in stages]
    kinds = {"w": "fc", "b": "bias"}
    direct = know.recurse(lambda window: net(window, kinds), wide, 2)[-1]
    assert_allclose(know.ARITHMETICS["float64"].known(net, stages, kinds, 2)["w"], direct["w"])
    scaled = know.Nowcaster(net.networks, scaled=True)
    with pytest.raises(ValueError, match="scaled"):
        know.ARITHMETICS["float64"].known(scaled, stages, kinds, 1)


def seeded():
    """A network whose steps are as large as those between stages."""
    torch.manual_seed(0)
    net = know.Known()
    with torch.no_grad():
        net.join.weight.mul_(3)
    return net


def test_committed_results_have_seeds_and_controls():
    found = read(RESULT)
    assert not found.quick
    for network in ("mlp", "cnn"):
        e = found.experiments[f"{network}: comparison"]
        assert len(e.seeds) >= 5
        assert not set(e.seeds) & {s for sweep in found.sweeps.values() for s in sweep.seeds}
        for times in ("×2", "×4", "×8"):
            controls = {f"θ_0 shrunk to the norms of KNOWN {times}", f"KNOWN {times}, direction"}
            assert controls | {f"KNOWN {times}", "twice the data"} <= set(e.values)
        tried = {n: len(s.tried) for n, s in found.sweeps.items() if n.startswith(network)}
        assert set(tried.values()) <= {3, 9}
        assert [n for n, count in tried.items() if count == 3] == [f"{network}: θ_0"]
        stages = found.experiments[f"{network}: forgetting"]
        assert stages.mean("θ_0", "cross-entropy") < stages.mean("θ_1", "cross-entropy")
    assert set(know.ARITHMETICS) == set(found.experiments["formats"].values)


def test_committed_verdict_is_that_of_the_comparison():
    found = read(RESULT).experiments
    for network in ("mlp", "cnn"):
        e, verdict = found[f"{network}: comparison"], found[f"{network}: verdict"]
        for arm in verdict.values:
            norm = e.numbers(f"θ_0 shrunk to the norms of {arm}", "transfer")
            less = np.array(e.numbers(arm, "transfer")) - np.array(norm)
            assert_allclose(verdict.numbers(arm, "over its norm"), less, atol=2e-6)
