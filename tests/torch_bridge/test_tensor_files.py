"""PositTensors in files: pickle, torch.save, safetensors, distributed checkpoints."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as checkpoints

import posit
import torch_bridge as tb
from posit import PositSpec, bposit16, bposit32, bposit64

SPECS = [bposit16, bposit32, bposit64, PositSpec(10, 4, 2)]


def sample(spec: PositSpec = bposit16, *shape: int) -> tb.PositTensor:
    values = np.random.default_rng(0).normal(size=shape or (3, 4))
    return tb.tensor(values, spec=spec)


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert a.spec == b.spec
    assert torch.equal(a.bits(), b.bits())
    assert a.requires_grad == b.requires_grad
    assert isinstance(a, torch.nn.Parameter) == isinstance(b, torch.nn.Parameter)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_pickle_and_weights_only(spec: PositSpec) -> None:
    """Trap 7: the safe loader takes registered functions alone."""
    x = sample(spec)
    given = {
        "tensor": x,
        "view": x.t()[1:],
        "leaf": x.clone().requires_grad_(),
        "parameter": torch.nn.Parameter(x.clone()),
        "frozen": torch.nn.Parameter(x.clone(), requires_grad=False),
        "number": x[0, 0].clone(),
        "empty": x[:0],
    }
    file = io.BytesIO()
    torch.save(given, file)
    file.seek(0)
    for loaded in (torch.load(file, weights_only=True), pickle.loads(pickle.dumps(given))):
        assert loaded.keys() == given.keys()
        for name, found in loaded.items():
            same(found, given[name])
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    loaded["tensor"][0, 1] = 9
    assert loaded["view"][0, 0] == 9  # memory that was shared still is


def test_a_tampered_file_is_no_posits(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    torch.save(sample(PositSpec(10, 4, 2)), file)
    bad = tmp_path / "bad.pt"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, b"\xff\x7f" * (len(data) // 2) if "/data/" in name else data)
    with pytest.raises(ValueError, match="32767 is no pattern of <10,4,2>"):
        torch.load(bad, weights_only=True)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"K\x0aK\x04K\x02", b"K\x20K\x06K\x05"))
    with pytest.raises(TypeError, match=r"<32,6,5> are torch.int32, got a tensor of torch.int16"):
        torch.load(bad, weights_only=True)


class Net(torch.nn.Module):
    def __init__(self, spec: PositSpec = bposit16) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(sample(spec))
        self.plain = torch.nn.Linear(2, 2)
        self.register_buffer("count", torch.tensor(3))


def test_safetensors_of_a_model(tmp_path: Path) -> None:
    """Trap 8: safetensors refuses subclasses; these are integers and metadata."""
    file = tmp_path / "model.safetensors"
    net, other = Net(), Net()
    with torch.no_grad():
        net.w.mul_(2)
    tb.save_safetensors(net, file, {"note": "hello"})
    loaded = tb.load_safetensors(file, other)
    assert torch.equal(other.w, net.w)
    assert torch.equal(other.plain.weight, net.plain.weight)
    assert isinstance(loaded["w"], tb.PositTensor)
    assert type(loaded["plain.weight"]) is torch.Tensor
    assert loaded["count"] == 3
    in_numpy = posit.load_safetensors(file)
    assert in_numpy["w"].dtype == posit.dtype(bposit16)
    assert np.array_equal(posit.bits(in_numpy["w"]), net.w.bits().numpy())  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"h: NumPy has no torch\.bfloat16"):
        tb.save_safetensors({"h": torch.ones(2, dtype=torch.bfloat16)}, file)
    with pytest.raises(TypeError, match="n: expected a tensor, got int"):
        tb.save_safetensors({"n": 3}, file)  # type: ignore[dict-item]
    assert tb.load_safetensors(file).keys() == loaded.keys()


def test_a_file_that_does_not_fit_leaves_the_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    net = Net()
    before = net.w.bits().clone()  # type: ignore[operator]
    state = {name: x * 2 for name, x in net.state_dict().items()}
    for wrong, match in (
        ({**state, "w": sample(bposit32)}, r"'w' is <16,6,5> of .* in the model, <32,6,5> of"),
        ({**state, "w": state["w"].double()}, r"'w' is <16,6,5> .*, torch.float64 of shape"),
        ({**state, "w": state["w"][:2]}, r"shape \(3, 4\) in the model, .* shape \(2, 4\)"),
        ({**state, "plain.bias": sample(bposit16, 2)}, r"'plain.bias' is torch.float32 of"),
        ({k: v for k, v in state.items() if k != "count"}, "no 'count' in the file"),
        ({**state, "x": torch.ones(1)}, "no 'x' in the model"),
    ):
        tb.save_safetensors(wrong, file)
        with pytest.raises(ValueError, match=f"does not fit the model: .*{match}"):
            tb.load_safetensors(file, net)
    tb.save_safetensors(state, file)
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="checksum does not match"):
        tb.load_safetensors(file, net)
    file.write_bytes(bytes(data[:-9]))
    with pytest.raises(ValueError, match="cannot load"):
        tb.load_safetensors(file, net)
    assert torch.equal(net.w.bits(), before)  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore::UserWarning:torch.distributed", "ignore::FutureWarning")
def test_distributed_checkpoints(tmp_path: Path) -> None:
    state = {"w": sample(), "plain": torch.ones(2)}
    checkpoints.save(state, checkpoint_id=tmp_path, no_dist=True)
    fresh = {"w": torch.zeros_like(state["w"]), "plain": torch.zeros(2)}
    checkpoints.load(fresh, checkpoint_id=tmp_path, no_dist=True)
    same(fresh["w"], state["w"])
    wrong = {"w": torch.zeros_like(sample(bposit32)), "plain": torch.zeros(2)}
    with pytest.raises(
        checkpoints.CheckpointException, match="<16,6,5> and of <32,6,5> do not mix"
    ):
        checkpoints.load(wrong, checkpoint_id=tmp_path, no_dist=True)
