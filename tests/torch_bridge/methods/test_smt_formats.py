"""SMT: labels and rollouts in 16 bits, exact gradients, and what is committed of its results."""

from pathlib import Path

import pytest
import torch
from numpy.testing import assert_allclose

from torch_bridge.methods import smt
from torch_bridge.methods._result import read

RESULT = Path(__file__).parents[3] / "bench" / "results" / "methods" / "smt" / "result.json"


@pytest.fixture(scope="module")
def trained():
    task = smt.needle(8)
    teacher, core = smt.networks(task, seed=0)
    smt.train_smt(teacher, core, task, smt.Budget(60, 3e-3, batch=32, steps=60))
    return teacher, core


@pytest.fixture(scope="module")
def x():
    return smt.needle(8).train(24, torch.Generator().manual_seed(3))[0]


def test_labels_in_sixteen_bits(trained, x):
    teacher, _ = trained
    rows = torch.tensor([5, 0, 23])
    exact = smt.LabelCache(teacher, x, torch.float32)
    assert_allclose(exact[rows][1], teacher.memories(x)[rows], atol=1e-5)
    errors = {}
    for form in ("bposit16", torch.bfloat16, "bposit8"):
        cache = smt.LabelCache(teacher, x, form)
        sequences, labels = cache[rows]
        assert torch.equal(sequences, x[rows])
        errors[form] = float((labels - exact[rows][1]).square().mean())
    assert 0 < errors["bposit16"] < 0.5 * errors[torch.bfloat16] < errors["bposit8"]
    assert smt.LabelCache(teacher, x).nbytes == exact.nbytes // 2 == 24 * 8 * 32 * 2


def test_pieces_do_not_matter(trained, x):
    teacher, _ = trained
    one, other = smt.LabelCache(teacher, x), smt.LabelCache(teacher, x, piece=5)
    near = (one[torch.arange(24)][1] - other[torch.arange(24)][1]).abs()
    assert float(near.max()) < 0.02  # batches of other sizes, so other float32 sums


def test_drift_ranks_as_the_digits_of_formats_do(trained, x):
    _, core = trained
    drift = {arm: float(smt.rounding_drift(core, x, arm).median()) for arm in smt.ARITHMETICS}
    assert drift["float64"] == 0 < drift["bposit32"] < 1e-10
    assert 1e-10 < drift["bposit16 + quire"] < 0.7 * drift["bfloat16"]
    assert drift["bposit16 + quire"] < 0.7 * drift["bposit16"]
    assert smt.rounding_drift(core, x, "bfloat16").shape == (24, 8)


def steps(teacher, x):
    made = teacher.memories(x)
    return made[:, :-1].flatten(0, 1), x[:, 1:].reshape(-1), made[:, 1:].flatten(0, 1)


def divisions(count):
    g = torch.Generator().manual_seed(0)
    whole = torch.arange(count)
    yield [whole]
    yield [whole.flip(0)]
    yield list(whole.split(1))
    for size in (2, 7, 50):
        yield list(torch.randperm(count, generator=g).split(size))


def test_one_step_gradients_have_the_same_bits_however_divided(trained, x):
    teacher, core = trained
    given = steps(teacher, x[:8])
    exact, floats = set(), set()
    for parts in divisions(56):
        exact.add(smt.fingerprint(smt.exact_gradients(core, *given, parts)))
        floats.add(smt.fingerprint(smt.float_gradients(core, *given, parts)))
    assert len(exact) == 1
    assert len(floats) > 3


def test_terms_that_cancel_leave_the_others_whole(trained, x):
    teacher, core = trained
    memory, symbols, labels = steps(teacher, x[:4])
    memory[1], symbols[1] = memory[0], symbols[0]
    labels[0], labels[1] = 2.0**80, -(2.0**80)  # float64 sums would lose all else between the two
    given = memory, symbols, labels
    apart = torch.cat((torch.tensor([0]), torch.arange(2, 28), torch.tensor([1])))
    prints = {
        smt.fingerprint(smt.exact_gradients(core, *given, parts))
        for parts in ([torch.arange(28)], list(apart.split(1)), [apart.flip(0)])
    }
    assert len(prints) == 1
    others = smt.exact_gradients(core, *given, list(apart.split(1)))
    assert max(float(g.abs().max()) for g in others) > 0


def test_exact_gradients_are_the_gradients(trained, x):
    teacher, core = trained
    given = steps(teacher, x)
    whole = [torch.arange(len(given[1]))]
    mine, theirs = (f(core, *given, whole) for f in (smt.exact_gradients, smt.float_gradients))
    assert len(mine) == len(theirs) == 7
    for a, b in zip(mine, theirs, strict=True):
        assert float((a - b).norm() / b.norm()) < 0.03
    half = smt.exact_gradients(core, *given, [whole[0][:84]])
    assert smt.fingerprint(half) != smt.fingerprint(mine)


def test_committed_results_say_what_must_be_shown():
    found = read(RESULT)
    assert not found.quick
    for length in (16, 32, 64):
        e = found.experiments[f"needle {length}"]
        assert len(e.seeds) >= 5
        assert {"SMT", "BPTT", "BPTT, truncated", "GRU", "LSTM"} <= set(e.values)
    assert {"SMT, GRU core", "SMT, Transformer core", "BPTT, Transformer core"} <= set(
        found.experiments["needle 16"].values
    )
    seeds = {s for sweep in found.sweeps.values() for s in sweep.seeds}
    assert not seeds & set(found.experiments["needle 16"].seeds)
    assert {len(s.tried) for s in found.sweeps.values()} == {4}
    assert found.experiments["length"].curves("SMT", "length").max() == 512
    exact = found.experiments["gradients"]
    assert set(exact.numbers("bposit16 + quire", "different")) == {1.0}
    assert exact.mean("float32", "different") > 1
    assert {"digits", "text", "label cache", "rollout"} <= set(found.experiments)
