"""SMT: tasks, networks and losses do what their formulas say, and a small one learns."""

import copy

import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional

from torch_bridge.methods import smt
from torch_bridge.methods.smt.model import Block


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pair():
    return smt.networks(smt.needle(10), seed=0)


@pytest.fixture(scope="module")
def batch():
    return smt.needle(10).train(16, generator())


def test_the_answer_follows_the_mark_in_the_first_half():
    x, y = smt.needle(16).train(500, generator())
    assert (y[:, :-1] == smt.NONE).all()
    assert (x[:, -1] == 0).all()
    marks = (x[:, :-1] == 0).nonzero()
    assert marks[:, 0].tolist() == list(range(500))
    assert set(marks[:, 1].tolist()) == set(range(7))
    assert torch.equal(x[marks[:, 0], marks[:, 1] + 1], y[:, -1])
    with pytest.raises(ValueError, match="take 4"):
        smt.needle(3)


def test_data_predict_the_next_symbol_and_tests_are_apart():
    for task in (smt.digits(), smt.text(200)):
        x, y = task.train(300, generator())
        assert x.shape == (300, task.length)
        assert torch.equal(x[:, 1:], y[:, :-1])
        assert int(torch.cat((x, y)).max()) < task.vocabulary
        z, _ = task.test(300, generator())
        rows = {tuple(r) for r in x[:, 1:].tolist()}
        assert not rows & {tuple(r) for r in z[:, 1:].tolist()}


def test_labels_of_digits_are_their_classes():
    task = smt.digits()
    x, classes = task.labels(400, generator(), True)
    image = x[:, 1:].double().mean(1)
    ink = [float(image[classes == c].mean()) for c in range(10)]
    assert ink[1] > ink[7] > 0  # of these digits a one has the most ink, as the data set draws it
    assert set(classes.tolist()) == set(range(10))


def test_memory_is_normal_and_sees_all_of_the_past_alone(pair, batch):
    teacher, _ = pair
    x = batch[0]
    with torch.no_grad():
        m = teacher.encode(x[:, :6])
        assert_allclose(m.square().mean(-1), torch.ones(16, 1), 1e-3)
        for j in range(6):
            other = x.clone()
            other[:, j] = (other[:, j] + 1) % 5
            assert ((teacher.encode(other[:, :6]) - m).abs().amax((1, 2)) > 1e-4).all()
        assert not teacher.encode(x[:, :0]).any()
        assert_allclose(teacher.memories(x)[:, 5], m, atol=1e-5)


def test_decoder_looks_only_back_and_the_readout_is_its_first_place(pair, batch):
    teacher, _ = pair
    x = batch[0]
    with torch.no_grad():
        m = teacher.encode(x[:, :4])
        logits = teacher.decode(m, x[:, 4:])
        assert logits.shape == (16, 7, 5)
        other = x[:, 4:].clone()
        other[:, 3] = (other[:, 3] + 1) % 5
        changed = (teacher.decode(m, other) - logits).abs().amax((0, 2))
        assert (changed[:4] < 1e-5).all()
        assert (changed[4:] > 1e-4).all()
        assert_allclose(teacher.decoder(m), logits[:, :1], atol=1e-5)


def test_places_asked_for_are_those_of_the_whole():
    torch.manual_seed(0)
    block, x = Block(16, 2), torch.randn(3, 7, 16)
    assert_allclose(block(x, keep=2).detach(), block(x).detach()[:, -2:], atol=1e-6)


def test_rotation_makes_scores_depend_on_distance():
    torch.manual_seed(0)
    block, x = Block(16, 2), torch.randn(1, 4, 16)
    twice = torch.cat((x, x), dim=1)
    apart = block(twice, causal=True).detach()
    assert_allclose(apart[:, :4], block(x, causal=True).detach(), atol=1e-6)
    flat = block(x[:, :1].expand(1, 4, 16)).detach()  # equal inputs: rotation alone tells nothing
    assert_allclose(flat, flat[:, :1].expand(1, 4, 16), atol=1e-6)
    shuffled = x[:, [1, 0, 2, 3]]
    assert (block(shuffled).detach()[:, 3] - block(x).detach()[:, 3]).abs().max() > 1e-4
    still = block(shuffled, turn=False).detach()[:, 3]
    assert_allclose(still, block(x, turn=False).detach()[:, 3], atol=1e-6)


@pytest.mark.parametrize("t", [-1, 3, 8])
def test_objective_is_its_three_terms(pair, batch, t):
    teacher, core = pair
    x, y = batch
    before = torch.zeros(16, 1, 32) if t < 0 else teacher.encode(x[:, : t + 1])
    after = teacher.encode(x[:, : t + 2])
    dynamics = (core(before, x[:, t + 1]) - after).square().mean()
    decode = functional.cross_entropy(teacher.decode(after, x[:, t + 2 :])[:, -1], y[:, -1])
    z = after[:, 0] / after[:, 0].norm(dim=1, keepdim=True)
    pairs = [(-2 * (z[a] - z[b]).square().sum()).exp() for a in range(16) for b in range(a)]
    uniform = torch.stack(pairs).mean().log()
    loss, found = smt.smt_loss(teacher, core, batch, t)
    assert_allclose(found.detach(), dynamics.detach(), 1e-5)
    whole = decode + 0.1 * dynamics + 0.001 * uniform
    assert_allclose(loss.detach(), whole.detach(), 1e-5)


def test_dynamics_teach_the_teacher_through_both_ends(batch):
    teacher, core = smt.networks(smt.needle(10), seed=1)
    only = smt.Weights(decode=0, dynamics=1, uniformity=0)
    smt.smt_loss(teacher, core, batch, 4, only)[0].backward()
    assert teacher.registers.grad.abs().max() > 0
    assert all(p.grad is None or not p.grad.any() for p in teacher.decoder.parameters())
    mine = teacher.registers.grad.clone()
    x = batch[0]
    ends = teacher.encode(x[:, :5]), teacher.encode(x[:, :6])
    shares = []
    for now, after in ((ends[0], ends[1].detach()), (ends[0].detach(), ends[1])):
        loss = functional.mse_loss(core(now, x[:, 5]), after)
        shares.append(torch.autograd.grad(loss, teacher.registers, retain_graph=True)[0])
    assert all(share.abs().max() > 1e-6 for share in shares)
    assert_allclose(mine, shares[0] + shares[1], atol=1e-6)


def test_uniformity_is_highest_for_one_memory():
    same = torch.ones(6, 1, 8)
    assert_allclose(smt.uniformity(same), 0, atol=1e-6)
    assert smt.uniformity(torch.randn(6, 1, 8, generator=generator())) < -1


def test_truncation_cuts_the_gradient_and_nothing_else(batch):
    x, y = batch
    _, core = smt.networks(smt.needle(10), seed=0)
    x = x.clone()
    x[:, :5] = 1  # and nowhere else
    x[:, 5:][x[:, 5:] == 1] = 2
    found = {}
    for window in (None, 5):
        core.zero_grad()
        loss = smt.bptt_loss(core, x, y, window)
        loss.backward()
        found[window] = float(loss.detach()), core.embed.weight.grad.clone()
    assert found[None][0] == found[5][0]
    assert found[None][1][1].abs().max() > 0
    assert found[5][1][1].abs().max() == 0
    assert_allclose(found[None][1][0], found[5][1][0], atol=1e-6)  # the question, at the end


def test_dmt_is_one_step_from_the_cores_own_memories(pair, batch):
    teacher, core = pair
    x, _ = batch
    labels = teacher.memories(x)
    own = smt.rollout(core, x).detach()
    terms = []
    for t in range(10):
        start = core.start(16) if t == 0 else own[:, t - 1]
        terms.append((core(start, x[:, t]) - labels[:, t]).square().mean())
    loss = smt.dmt_loss(core, x, labels)
    assert_allclose(loss.detach(), torch.stack(terms).mean().detach(), 1e-5)
    mine = torch.autograd.grad(loss, core.step.last.weight)[0]
    assert_allclose(
        mine, torch.autograd.grad(torch.stack(terms).mean(), core.step.last.weight)[0], atol=1e-6
    )
    onto_own = smt.dmt_loss(core, x, own)
    assert float(onto_own.detach()) < 1e-10


@pytest.mark.parametrize("kind", ["mlp", "transformer", "gru"])
def test_cores_keep_the_shape_of_memory_for_any_number_of_tokens(kind):
    core = smt.make_core(smt.Shape(5, width=16, tokens=3), kind)
    made = core(core.start(4), torch.arange(4))
    assert made.shape == (4, 3, 16)
    assert_allclose(made.detach().square().mean(-1), torch.ones(4, 3), 1e-2)
    assert core.readout(made).shape == (4, 1, 5)


def test_unknown_cores_are_named():
    with pytest.raises(ValueError, match="'lstm': possible are mlp, transformer, gru"):
        smt.make_core(smt.Shape(5), "lstm")


def test_budgets_end():
    teacher, core = smt.networks(smt.needle(8), seed=0)
    by_steps = smt.train_smt(teacher, core, smt.needle(8), smt.Budget(60, steps=7, batch=4))
    assert by_steps.steps == 7
    by_time = smt.train_bptt(core, smt.needle(8), smt.Budget(0.05, batch=4))
    assert by_time.seconds >= 0.05
    asked = []
    smt.train_bptt(
        core, smt.needle(8), smt.Budget(60, batch=4), solved=lambda: bool(asked.append(1) or True)
    )
    assert asked == [1]


def test_a_small_one_learns_and_dmt_brings_it_nearer():
    task = smt.needle(8)
    teacher, core = smt.networks(task, seed=0)
    smt.train_smt(teacher, core, task, smt.Budget(60, 3e-3, batch=32, steps=500))
    x, y = task.test(400, generator(9))
    assert smt.taught(teacher, x, y)[0] > 0.95
    before = smt.drift(core, teacher, x)
    cache = smt.LabelCache(teacher, task.train(256, generator(5))[0])
    readout = copy.deepcopy(core.readout.state_dict())
    smt.train_dmt(core, cache, smt.Budget(60, 1.5e-3, batch=32, steps=200))
    assert smt.drift(core, teacher, x) < 0.7 * before
    assert smt.read(core, x, y)[0] > 0.95
    assert all(torch.equal(v, readout[k]) for k, v in core.readout.state_dict().items())


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"steps": -1}, {"lr": float("nan")}, {"batch": 0}]
)
def test_budgets_are_positive(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} = .*: must be positive"):
        smt.Budget(**{"seconds": 1.0, **wrong})


def test_uniformity_of_one_memory_and_of_short_floats():
    memory = torch.randn(1, 1, 8, requires_grad=True)
    smt.uniformity(memory).backward()
    assert smt.uniformity(memory) == 0
    assert memory.grad.abs().max() == 0
    many = torch.randn(6, 2, 8)
    assert_allclose(smt.uniformity(many.bfloat16()), smt.uniformity(many), rtol=0.02)


@pytest.mark.parametrize("form", [torch.int8, torch.bool])
def test_labels_have_fractions(pair, batch, form):
    with pytest.raises(TypeError, match="labels cannot be kept in torch"):
        smt.LabelCache(pair[0], batch[0], form)


def test_depth_counts_the_core_s_applications():
    from torch_bridge.methods.smt import __main__ as command

    class Few:
        quick = True
        seeds = (0,)

        def trials(self, experiment, arms, settings=None):
            self.found = {arm: trial(0) for arm, trial in arms.items()}

    few = Few()
    command.times(few)
    assert few.found["SMT"]["depth"] == [1, 1, 1]
    assert few.found["BPTT"]["depth"] == few.found["BPTT"]["length"] == [16, 32, 64]
