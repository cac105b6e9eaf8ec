"""KNOW: forgetting, predictors and controls do what their formulas say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from torch_bridge.methods import know
from torch_bridge.methods.know import data, evaluate
from torch_bridge.methods.know.predictors import line

PLAN = know.Plan(epochs=2, stage_epochs=1, batch=16)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    x, y = torch.randn(160, 1, 8, 8), torch.arange(160) % 10
    return know.forget(know.cnn, x, y, replace(PLAN, snapshot_every=1), generator())


def some_stages(count=5, shapes=((7, 3), (4,))):
    g = generator(1)
    return [
        {f"p{i}": torch.randn(s, generator=g) for i, s in enumerate(shapes)} for _ in range(count)
    ]


def test_subsets_are_nested_and_shrink_by_the_rate():
    parts = know.nested(100, 0.5, 5, generator())
    assert [len(p) for p in parts] == [100, 50, 25, 12, 6]
    for large, small in pairwise(parts):
        assert set(small.tolist()) < set(large.tolist())
    with pytest.raises(ValueError, match="leave none for stage 7"):
        know.nested(100, 0.5, 8, generator())


def test_stages_come_smallest_first_and_start_from_each_other(made):
    assert made.sizes == [10, 20, 40, 80, 160]
    assert len(made.path) == 2
    assert all(torch.equal(w, made.stages[-1][n]) for n, w in made.path[-1].items())
    assert all(torch.equal(w, made.stages[-1][n]) for n, w in know.state_of(made.model).items())
    far = [(made.stages[k]["0.weight"] - made.stages[-1]["0.weight"]).norm() for k in range(5)]
    assert far == sorted(far, reverse=True)
    assert far[3] > 0  # one epoch of five batches moves away from θ_0 and on from there


def test_batch_norm_is_not_predicted():
    assert know.kinds(know.cnn()) == {
        "0.weight": "conv", "3.weight": "conv", "7.weight": "fc", "7.bias": "bias",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"differ: 0\.weight"):
        know.with_state(know.cnn(), {k: torch.zeros(1) for k in ("3.weight", "7.weight", "7.bias")})


def test_without_forgetting_nothing_is_turned_back():
    know.check([0.9, 0.8])
    with pytest.raises(know.NotForgotten, match="did not forget"):
        know.check([0.8, 0.8])


def test_known_is_the_released_network():
    torch.manual_seed(0)
    net = know.Known().double()
    assert sum(p.numel() for p in net.parameters()) == 9425
    w = torch.randn(6, 5).double()

    def dense(layer, x):
        return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    def stream(layers, x):
        first, gate, second, _ = layers
        h = dense(first, x)
        z = np.maximum(dense(gate.narrow, h), 0)
        h = dense(gate.shift, z) + dense(gate.scale, z) * np.exp(dense(gate.rate, z) * h)
        h = dense(second, h)
        return np.where(h > 0, h, 0.3 * h)

    x = w.numpy()
    both = np.concatenate([stream(net.values, x), stream(net.differences, np.diff(x))], axis=1)
    assert_allclose(net(w, w.diff(dim=1)).detach(), np.tanh(dense(net.join, both))[:, 0], 1e-12)


def test_penalty_counts_four_layers_and_weighs_biases_more():
    net = know.Known()
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1.0)
    kernels = 5 * 64 + 4 * 64 + 2 * 64 * 32
    assert_allclose(net.penalty().item(), 1e-6 * kernels + 0.1 * (64 + 64 + 32 + 32), 1e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_meta_training_learns_a_law_that_lines_do_not_have(scaled):
    start = 0.1 * torch.randn(4000, 1, generator=generator())
    step = 0.05 * torch.randn(4000, 1, generator=generator(1))
    rows = start + step * (1 - 0.5 ** torch.arange(6.0)) * 2  # each step is half the one before
    made = know.meta_train({"fc": rows[:3000]}, steps=300, batch=512, lr=3e-3, scaled=scaled)
    states = [{"w": rows[3000:, k]} for k in range(6)]
    found = made(states[:5], {"w": "fc"})["w"]
    truth = states[5]["w"]

    def error(x):
        return (x - truth).abs().mean()

    linear = know.combine(know.FIXED["linear"](5, 1), states[:5])["w"]
    assert error(found) < 0.5 * min(error(states[4]["w"]), error(linear))


def test_histories_are_windows_by_kind():
    states = some_stages(7)
    found = know.histories([states], {"p0": "fc", "p1": "bias"})
    assert {k: tuple(v.shape) for k, v in found.items()} == {"fc": (42, 6), "bias": (8, 6)}
    assert_allclose(found["bias"][4], [s["p1"][0] for s in states[1:]])
    with pytest.raises(ValueError, match="6 states or more"):
        know.histories([states[:5]], {"p0": "fc"})


@pytest.mark.parametrize("name", know.FIXED)
def test_coefficients_of_every_predictor_sum_to_one(name):
    for ahead in (1, 2, 3):
        assert_allclose(know.FIXED[name](5, ahead).sum(), 1)


def test_lines_are_continued_exactly():
    k = np.arange(9.0)
    for name in ("linear", "least squares", "task vector"):
        for ahead in (1, 2, 3):
            assert_allclose(know.FIXED[name](5, ahead) @ (3 - 2 * k[:5]), 3 - 2 * k[4 + ahead])
    logs = 3 - 2 * np.log(k + 1)
    assert_allclose(know.FIXED["LogFit"](5, 2) @ logs[:5], logs[6])


def test_least_squares_is_the_fit_over_the_logarithm_of_the_data():
    sizes = 1000 * 0.5 ** np.arange(4, -1, -1.0)
    by_size = line(np.log(sizes).tolist(), float(np.log(4000)))
    assert_allclose(know.FIXED["least squares"](5, 2), by_size, atol=1e-12)


def test_recursion_drops_the_oldest_and_appends():
    stages = some_stages()

    def once(window):
        return know.combine(know.FIXED["linear"](5, 1), window)

    found = know.recurse(once, stages, 3)
    for ahead, state in enumerate(found, 1):
        direct = know.combine(know.FIXED["linear"](5, ahead), stages)
        assert_allclose(state["p0"], direct["p0"], atol=1e-5)


def test_strength_scales_the_step():
    a, b = some_stages(2)
    assert_allclose(know.strengthened(a, b, 0.5)["p0"], (a["p0"] + b["p0"]) / 2, atol=1e-6)


def test_controls_take_norm_and_direction_apart():
    base, predicted = some_stages(2)
    shrunk = know.shrink_to(base, predicted)
    for n in base:
        assert_allclose(shrunk[n].norm(), predicted[n].norm(), 1e-6)
        cosine = torch.nn.functional.cosine_similarity(
            shrunk[n].reshape(-1), base[n].reshape(-1), 0
        )
        assert_allclose(cosine, 1, 1e-6)
    side = know.without_radial(predicted, base)
    for n in base:
        assert abs(((side[n] - base[n]) * base[n]).sum()) < 1e-5
        left = (predicted[n] - side[n]).reshape(-1)
        assert_allclose((left @ base[n].reshape(-1)).abs(), left.norm() * base[n].norm(), 1e-4)
    assert_allclose(know.alignment(know.shrink(base, 0.25), base), (1, 0.25))


def test_shuffling_keeps_the_newest_alone():
    stages = some_stages()
    order = know.shuffled(stages, generator())
    assert order[-1] is stages[-1]
    assert [id(s) for s in order] != [id(s) for s in stages]
    assert {id(s) for s in order} == {id(s) for s in stages}


def test_no_image_is_in_two_parts():
    split = data.source(3)
    parts = [split.meta, split.train, split.more, split.validation, split.test]
    assert [len(p) for p in parts] == [1500, 1000, 1000, 500, 1000]
    seen = [{row.tobytes() for row in p.x.numpy().reshape(len(p), -1)} for p in parts]
    assert sum(map(len, seen)) == len(set().union(*seen))
    halves = [{row.tobytes() for row in data.target(s).x.numpy().reshape(-1, 64)} for s in (0, 1)]
    assert not halves[0] & halves[1]
    assert not set().union(*halves) & set().union(*seen)


def test_few_shots_are_balanced_and_not_tested_on():
    few = data.few_shot(data.target(False), 2, generator())
    assert torch.bincount(few.shots.y).tolist() == [2] * 10
    assert len(few.test) == len(data.target(False)) - 20


def test_statistics_are_taken_anew_for_other_weights(made):
    images = data.Labelled(torch.randn(50, 1, 8, 8), torch.arange(50) % 10)
    base = made.stages[-1]
    smaller = {n: w * (0.5 if "7." not in n else 1) for n, w in base.items()}
    outputs = [evaluate.placed(made.model, s, images)(images.x).detach() for s in (base, smaller)]
    # BatchNorm undoes the scale of a convolution before it, with statistics that belong to it
    assert_allclose(outputs[0], outputs[1], atol=2e-3)
    stale = know.with_state(made.model.eval(), smaller)(images.x).detach()
    know.with_state(made.model, base)
    assert (stale - outputs[0]).abs().max() > 0.05


@pytest.mark.parametrize("new_head", [False, True])
def test_transfer_learns_and_leaves_the_model_alone(new_head):
    torch.manual_seed(0)
    few = data.few_shot(data.target(True), 2, generator())
    model = know.mlp()
    before = know.state_of(model)
    assert evaluate.transfer(model, few, 1e-2, 0, new_head) > 0.5
    assert all(torch.equal(w, before[n]) for n, w in know.state_of(model).items())


def test_scaled_histories_lie_within_a_half_and_come_back():
    class Probe(torch.nn.Module):
        length = 5

        def forward(self, w, d):
            self.seen = w
            return torch.full((len(w),), 0.25)

    probe, states = Probe(), some_stages()
    made = know.Nowcaster({"fc": probe}, scaled=True)(states, {"p0": "fc"})["p0"]
    history = torch.stack([s["p0"].reshape(-1) for s in states], dim=1)
    span = history.amax(1) - history.amin(1)
    assert_allclose(probe.seen.amax(1) - probe.seen.amin(1), torch.full((21,), 0.5), 1e-3)
    assert not probe.seen[:, 0].any()
    assert_allclose(made.reshape(-1), history[:, -1] + 0.25 * 2 * span, atol=1e-4)


def test_names_of_single_shared_and_parametrized_layers():
    assert know.kinds(torch.nn.Linear(2, 3)) == {"weight": "fc", "bias": "bias"}
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    second.weight = first.weight
    shared = torch.nn.Sequential(first, second)
    assert [*know.state_of(shared)] == ["0.weight", "0.bias", "1.bias"]
    normed = torch.nn.Sequential(torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="0: its weight is parametrized"):
        know.kinds(normed)


def test_a_state_of_another_shape_changes_nothing():
    model = know.mlp()
    before = know.state_of(model)
    state = {**know.state_of(know.mlp()), "1.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"1\.bias: shape"):
        know.with_state(model, state)
    assert all(torch.equal(w, before[n]) for n, w in know.state_of(model).items())


def test_known_takes_every_dtype_and_says_what_it_has_not_seen():
    stages = [{"w": torch.randn(3, 2).double(), "b": torch.randn(3).bfloat16()} for _ in range(5)]
    kinds = {"w": "fc", "b": "bias"}
    caster = know.Nowcaster({"fc": know.Known(), "bias": know.Known()})
    ahead = caster(stages, kinds)
    assert (ahead["w"].dtype, ahead["b"].dtype) == (torch.float64, torch.bfloat16)
    with pytest.raises(
        ValueError, match=r"no network for 'conv'; meta-training saw \['bias', 'fc'\]"
    ):
        caster(stages, {"w": "conv"})


def test_small_print():
    zero = {"w": torch.zeros(3)}
    assert torch.equal(know.shrink_to(zero, {"w": torch.ones(3)})["w"], zero["w"])
    with pytest.raises(ValueError, match="of θ_0 and θ_1 at least"):
        know.check([0.5])
    assert [len(d) for d in know.nested(100, 0.7, 3, torch.Generator())] == [100, 70, 49]
    assert know.combine([0.5, 0.5], [{"w": torch.ones(2)}, {"w": torch.zeros(2)}])["w"][0] == 0.5
