"""Converted models in files: formats travel with the numbers, and nothing is half loaded."""

from __future__ import annotations

import copy
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import torch_bridge as tb
from posit import bposit16, bposit32
from torch_bridge import PositTensor


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(7, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 7)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.rnn(self.embed(x))[0].transpose(1, 2)
        out: Tensor = self.head(self.norm(y).transpose(1, 2))
        return out


X = torch.arange(21).reshape(7, 3) % 7


def converted(spec: Any = bposit16, seed: int = 0, **options: Any) -> Net:
    model = Net(seed).eval()
    tb.convert_(model, spec, **options)
    return model


def held(model: nn.Module) -> list[Tensor]:
    return [x.detach().clone() for x in [*model.parameters(), *model.buffers()]]


def unchanged(model: nn.Module, before: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(held(model), before, strict=True))


def test_a_state_dict_holds_posits() -> None:
    model = converted(overrides={"rnn": bposit32, "norm": None})
    state = model.state_dict()
    assert isinstance(state["head.bias"], PositTensor)
    assert state["head.bias"].spec == bposit16
    assert state["rnn.weight_hh_l0"].spec == bposit32
    assert type(state["norm.weight"]) is Tensor
    assert state["head.weight"] is state["embed.weight"]  # tied ones are stored once
    assert torch.equal(state["head.bias"].double(), model.head.bias)
    assert isinstance(model.head.state_dict()["bias"], PositTensor)
    outer = nn.ModuleDict({"net": model, "plain": nn.Linear(2, 2)})
    assert isinstance(outer.state_dict()["net.head.bias"], PositTensor)
    kept = model.state_dict(keep_vars=True)
    assert kept["head.bias"] is model.head.bias
    assert not isinstance(tb.unconvert_(model).state_dict()["head.bias"], PositTensor)


def test_there_and_back() -> None:
    model, other = converted(), converted(seed=1)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    weights = sum(p.numel() for p in model.parameters())
    assert file.tell() < 2 * weights + 8000  # two bytes each, and names
    file.seek(0)
    parameters = [id(p) for p in other.parameters()]
    missing = other.load_state_dict(torch.load(file, weights_only=True))
    assert not missing.missing_keys
    assert torch.equal(other(X), model(X))
    assert [id(p) for p in other.parameters()] == parameters
    assert all(p.spec == bposit16 for p in other.parameters())  # type: ignore[attr-defined]
    assert other.head.weight is other.embed.weight
    other.head.load_state_dict(converted(seed=3).head.state_dict())
    assert torch.equal(other.head.bias, converted(seed=3).head.bias)
    outer, target = (nn.Sequential(m, nn.Linear(2, 2)) for m in (model, other))
    target.load_state_dict(outer.state_dict())
    assert unchanged(target, held(outer))


def wrong_states() -> list[tuple[dict[str, Any], type[Exception], str]]:
    state = dict(converted(seed=1).state_dict())
    bias, plain, wide = state["head.bias"], Net(1).state_dict(), converted(bposit32).state_dict()
    return [
        (dict(wide), ValueError, r"posits of <16,6,5> .* posits of <32,6,5>"),
        (dict(plain), ValueError, r"'embed\.weight' is posits of <16,6,5> .* torch\.float32"),
        (dict(Net(1).double().state_dict()), ValueError, r"torch\.float64 of shape"),
        (state | {"head.bias": plain["head.bias"]}, ValueError, r"'head\.bias' is posits of"),
        (state | {"head.bias": bias[:3]}, ValueError, r"shape \(3,\) in the file"),
        (state | {"norm.running_mean": bias}, ValueError, r"'norm\.running_mean' is torch"),
        (state | {"head.bias": 3}, ValueError, "a int in the file"),
        (state | {"extra": torch.ones(2)}, RuntimeError, r"Unexpected key.*extra"),
        ({k: v for k, v in state.items() if k != "head.bias"}, RuntimeError, r"Missing.*head\.b"),
    ]


@pytest.mark.parametrize("case", range(9))
def test_nothing_is_half_loaded(case: int) -> None:
    state, error, match = wrong_states()[case]
    model = converted()
    before = held(model)
    with pytest.raises(error, match=match):
        model.load_state_dict(state)
    assert unchanged(model, before)


def test_other_ways_to_load() -> None:
    model = converted()
    state = converted(seed=1).state_dict()
    before = held(model)
    with pytest.raises(ValueError, match="assign"):
        model.load_state_dict(state, assign=True)
    with pytest.raises(ValueError, match=r"posits of <16,6,5>.*torch\.float32"):
        model.head.load_state_dict(Net().head.state_dict())
    assert unchanged(model, before)
    del state["head.bias"]
    assert model.load_state_dict({**state, "x": X}, strict=False).missing_keys == ["head.bias"]
    assert not unchanged(model, before)


def test_a_plain_model_refuses_posits() -> None:
    """Trap 6: it would dequantise them silently."""
    plain = Net()
    with pytest.raises(RuntimeError, match="load a checkpoint of posits"):
        plain.load_state_dict(converted().state_dict())
    plain.load_state_dict({k: v.double() for k, v in converted().state_dict().items()})


def test_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    model, other = converted(), converted(seed=1)
    tb.save_safetensors(model, file)
    size = int.from_bytes(file.read_bytes()[:8], "little")
    header = json.loads(file.read_bytes()[8 : 8 + size])
    assert header["head.bias"]["dtype"] == "I16"
    assert "16,6,5" in str(header["__metadata__"])
    tb.load_safetensors(file, other)
    assert torch.equal(other(X), model(X))
    before = held(other)
    for wrong, match in (
        (converted(bposit32), "<16,6,5> of .* in the model, <32,6,5>"),
        (Net(), "<16,6,5> .* in the model, torch.float32"),
        (converted().head, "no 'embed.weight' in the file"),
    ):
        tb.save_safetensors(wrong, file)
        with pytest.raises(ValueError, match=match):
            tb.load_safetensors(file, other)
    tb.save_safetensors(model, file)
    good = file.read_bytes()
    for bad in (good[:-1], good[: len(good) // 2], good[:-1] + bytes([good[-1] ^ 1]), b"", b"x"):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match=r"m\.safetensors"):
            tb.load_safetensors(file, other)
    assert unchanged(other, before)
    file.write_bytes(good)
    with pytest.raises(ValueError, match=r"torch\.float32 of .* in the model, <16,6,5>"):
        tb.load_safetensors(file, Net())


def test_damaged_torch_files() -> None:
    model = converted()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    for cut in (100, len(file.getvalue()) // 2):
        with pytest.raises((RuntimeError, pickle.UnpicklingError, EOFError)):
            torch.load(io.BytesIO(file.getvalue()[:cut]), weights_only=True)


def test_whole_models_are_copied_and_pickled() -> None:
    model = converted()
    want = model(X)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    copies = [
        copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    ]  # fmt: skip
    with torch.no_grad():
        model.head.bias.add_(1)
    for twin in copies:
        assert torch.equal(twin(X), want)  # its own weights, its own forward
        assert twin.head.weight is twin.embed.weight
        assert twin.head.bias.spec == bposit16
        twin.load_state_dict(model.state_dict())
        assert torch.equal(twin(X), model(X))
        with pytest.raises(TypeError, match=r"cannot become torch\.float16"):
            twin.half()
        tb.unconvert_(twin)
        assert twin(X).dtype == torch.float32
    assert not torch.equal(model(X), want)


def test_a_part_converted_by_itself_inside_of_a_converted_model() -> None:
    """Such as a new head for an old model."""
    models = []
    for seed in (0, 1):
        model = converted(seed=seed)
        model.head = nn.Linear(8, 7)
        tb.convert_(model.head, bposit32)
        models.append(model)
    one, other = models
    state = one.state_dict()
    assert [state[n].spec for n in ("embed.weight", "head.bias")] == [bposit16, bposit32]
    other.load_state_dict(state)
    assert torch.equal(other(X), one(X))
    before = {name: p.detach().clone() for name, p in other.named_parameters()}
    wrong = converted(seed=2).state_dict()  # whose head is of bposit16
    with pytest.raises(ValueError, match=r"'head\.weight' is posits of <32,6,5>"):
        other.load_state_dict(wrong)
    for name, p in other.named_parameters():
        assert torch.equal(p, before[name])
