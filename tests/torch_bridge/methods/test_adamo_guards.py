"""What AdamO refuses, and that it refuses before a weight moves; what copies and states carry."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import torch_bridge as tb
from torch_bridge.methods.adamo import AdamO, isometric_groups, ntk_condition, singular_values


def with_grad(w: Tensor, seed: int = 0) -> nn.Parameter:
    p = nn.Parameter(w.clone())
    p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)).to(p.dtype)
    return p


def test_nothing_moves_when_any_weight_is_too_large() -> None:
    """The second group is refused, every time, and the first one has not moved."""
    small, large = with_grad(torch.eye(3)), with_grad(100 * torch.eye(3))
    groups = [{"params": [small], "iso": 0.1}, {"params": [large], "iso": 10.0}]
    opt = AdamO(groups, lr=1e-2)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"too much for a weight of shape \(3, 3\)"):
            opt.step()
        assert torch.equal(small, torch.eye(3))
        assert torch.equal(large, 100 * torch.eye(3))
        assert not opt.state[small]


def test_a_weight_is_looked_at_in_every_step() -> None:
    """After a step that was possible: a larger lr, a smaller target, a larger weight."""
    changes: list[tuple[float, float, float]] = [(0.2, 1.0, 3.0), (1e-4, 1.0, 1e3), (0.07, 0.1, 3)]
    for lr, target, scale in changes:
        w = nn.Parameter(3 * torch.eye(3))
        opt = AdamO([w], lr=1e-4, iso=1.0, target=1.0)
        opt.step()
        opt.param_groups[0].update(lr=lr, target=target)
        with torch.no_grad():
            w.copy_(scale * torch.eye(3))
        with pytest.raises(ValueError, match="too much"):
            opt.step()
        assert torch.equal(w, scale * torch.eye(3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite(bad: float) -> None:
    w = nn.Parameter(torch.tensor([[1.0, 0.0], [bad, 1.0]]))
    with pytest.raises(ValueError, match=r"shape \(2, 2\) has elements that are not finite"):
        AdamO([w], lr=1e-3, iso=1.0).step()


@pytest.mark.parametrize(("target", "size"), [(4.0, 0.0625), (0.5, 0.5)])
def test_the_bound_is_that_of_the_target(target: float, size: float) -> None:
    """Below it a value near √s comes nearer, with either convention; from it on is refused."""
    root = target**0.5
    for convention, factor in (("paper", 1.0), ("half", 2.0)):
        options: dict[str, Any] = {"target": target, "convention": convention}
        for iso in (size, 1.5 * size):
            with pytest.raises(ValueError, match=r"lr·iso·target = 0\.\d+ .* below 1/4"):
                AdamO([nn.Parameter(torch.eye(2))], lr=1.0, iso=factor * iso, **options)
        w = nn.Parameter(1.05 * root * torch.eye(2, dtype=torch.float64))
        opt = AdamO([w], lr=1.0, iso=0.95 * factor * size, **options)
        off = [float((singular_values(w) - root).abs().max())]
        for _ in range(40):
            opt.step()
            off.append(float((singular_values(w) - root).abs().max()))
        assert off[-1] < 0.1 * off[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("iso_lr", float("nan")), ("iso_lr", -5.0), ("iso_lr", float("inf")), ("lr", -1.0),
        ("lr", float("nan")), ("eps", -1e-8), ("iso", float("inf")), ("target", -1.0),
        ("betas", (2, 1)), ("betas", (0.9, float("nan"))), ("betas", (0.9,)),
        ("convention", "port"), ("update", "master"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused_wherever_they_come_from(option: str, value: Any) -> None:
    w = nn.Parameter(torch.eye(2))
    with pytest.raises(ValueError, match=f"^{option}="):
        AdamO([w], **{option: value})
    with pytest.raises(ValueError, match=f"^{option}="):
        AdamO([{"params": [w], option: value}])
    opt = AdamO([w])
    with pytest.raises(ValueError, match=f"^{option}="):
        opt.add_param_group({"params": [with_grad(torch.eye(2))], option: value})
    assert len(opt.param_groups) == 1
    opt.param_groups[0][option] = value
    w.grad = torch.ones(2, 2)
    with pytest.raises(ValueError, match=f"^{option}="):
        opt.step()
    assert torch.equal(w, torch.eye(2))


def trained(**options: Any) -> tuple[nn.Sequential, AdamO]:
    """On posits, some steps in."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    tb.convert_(net, "bposit16")
    opt = AdamO(isometric_groups(net, 0.5, skip=["2"]), lr=1e-4, **options)
    go_on(opt)
    return net, opt


def go_on(opt: AdamO) -> list[Tensor]:
    """Five steps of fixed gradients; the weights after them."""
    parameters = [p for group in opt.param_groups for p in group["params"]]
    for seed in range(5):
        for p in parameters:
            drawn = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
            p.grad = drawn.to(p.dtype)
        opt.step()
    return [p.detach().clone() for p in parameters]


@pytest.mark.parametrize("update", ["nearest", "residue"])
def test_copies_go_on_with_the_same_bits_and_counts(update: str) -> None:
    net, opt = trained(update=update, convention="half", state_spec="bposit64")
    _, copied = copy.deepcopy((net, opt))
    _, pickled = pickle.loads(pickle.dumps((net, opt)))
    at = opt.lost, opt.moved
    assert at[1] > 0
    assert (update == "nearest") == (at[0] > 0)
    ends = []
    for one in (opt, copied, pickled):
        assert (one.lost, one.moved) == at
        ends.append((go_on(one), one.lost, one.moved))
    for end in ends[1:]:
        assert all(torch.equal(p, q) for p, q in zip(ends[0][0], end[0], strict=True))
        assert end[1:] == ends[0][1:]


def test_a_state_on_disk_has_the_counts() -> None:
    _, opt = trained(update="nearest")
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    _, other = trained(update="nearest")
    go_on(other)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert (other.lost, other.moved) == (opt.lost, opt.moved)
    assert opt.lost > 0


@pytest.mark.parametrize(
    ("option", "value"),
    [("convention", "half"), ("update", "nearest"), ("state_spec", "bposit64")],
)
def test_a_state_of_another_kind_is_refused(option: str, value: str) -> None:
    _, opt = trained()
    kept = trained(**{option: value})[1].state_dict()
    before = pickle.dumps(opt.state_dict())
    with pytest.raises(ValueError, match=f"group 0 was saved with {option}=.*does not carry over"):
        opt.load_state_dict(kept)
    assert pickle.dumps(opt.state_dict()) == before


def test_a_state_that_is_not_of_adamo() -> None:
    w = nn.Parameter(torch.eye(2))
    opt = AdamO([w])
    with pytest.raises(ValueError, match="group 0 of the state has no convention, iso"):
        opt.load_state_dict(torch.optim.AdamW([w]).state_dict())
    kept = opt.state_dict()
    kept["param_groups"][0]["iso"] = float("nan")
    with pytest.raises(ValueError, match="iso=nan"):
        opt.load_state_dict(kept)
    torch.optim.lr_scheduler.StepLR(opt, 1)  # adds an option of its own, which a state may lack
    opt.load_state_dict(AdamO([w], iso=0.25).state_dict())
    assert opt.param_groups[0]["iso"] == 0.25


def test_frozen_weights_stay_and_those_without_gradient_go_on() -> None:
    frozen, idle = (nn.Parameter(torch.eye(3) / 2) for _ in range(2))
    frozen.requires_grad_(False)
    opt = AdamO([frozen, idle], lr=0.1, iso=1.0)
    opt.step()
    assert torch.equal(frozen, torch.eye(3) / 2)
    assert (singular_values(idle) > 0.6).all()


def test_sparse_gradients_are_refused_before_anything_moves() -> None:
    dense, table = with_grad(torch.eye(3)), nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    opt = AdamO([dense, table.weight], lr=0.1)
    with pytest.raises(RuntimeError, match=r"shape \(4, 2\) has a sparse gradient: .*sparse=False"):
        opt.step()
    assert torch.equal(dense, torch.eye(3))


class Tied(nn.Module):
    """One matrix for embedding and readout, and one for two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.readout = nn.Linear(4, 5, bias=False)
        self.readout.weight = self.embedding.weight
        self.second.weight = self.first.weight


def names(model: nn.Module, skip: Any = ()) -> list[str]:
    """The isometric weights; and every parameter is in a group, once."""
    known = {id(p): name for name, p in model.named_parameters()}
    groups = isometric_groups(model, 0.5, skip=skip)
    placed = [id(p) for group in groups for p in group["params"]]
    assert sorted(placed) == sorted(known)
    AdamO(groups)
    return sorted(known[id(p)] for p in groups[0]["params"])


def test_skipping_a_container_skips_what_it_holds() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    assert names(net) == ["0.weight", "1.0.weight"]
    assert names(net, ["1"]) == ["0.weight"]
    with pytest.raises(ValueError, match="is left to be isometric"):
        names(net, [""])  # the model itself
    with pytest.raises(TypeError, match=r"skip='1': give a list of names, such as \['1'\]"):
        names(net, "1")


def test_tied_weights_are_there_once_and_any_name_frees_them() -> None:
    assert names(Tied()) == ["embedding.weight", "first.weight"]
    assert names(Tied(), ["second"]) == ["embedding.weight"]
    assert names(Tied(), ["embedding"]) == ["first.weight"]
    shared = nn.Linear(3, 3)
    assert names(nn.Sequential(shared, nn.Linear(3, 3), shared), ["2"]) == ["1.weight"]


def test_grouped_and_transposed_convolutions_stay_free() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv1d(8, 4, 3, groups=2),
        nn.ConvTranspose2d(4, 2, 3),
    )  # fmt: skip
    assert names(net) == ["0.weight"]


def test_the_kernel_needs_samples_on_their_own() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    x = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"1 is a BatchNorm1d in training: .* model\.eval\(\)"):
        ntk_condition(net, x)
    assert ntk_condition(net.eval(), x) > 1
