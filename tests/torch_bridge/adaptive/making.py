"""Keys, small models and signed versions for the tests of certificates and rotation."""

from __future__ import annotations

from pathlib import Path

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch import Tensor, nn

import torch_bridge as tb
from bposit.recorder import Recorder
from torch_bridge.adaptive.certificate import certify
from torch_bridge.adaptive.rotation import ModelSlot
from torch_bridge.adaptive.versions import publish

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))  # signs versions
WRITER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))  # signs records
SPEC = "bposit16"
MODEL = "two layers"
FAR = 1e9  # a threshold that every version passes


def inputs(count: int) -> Tensor:
    return tb.tensor(torch.randn(count, 6, generator=torch.Generator().manual_seed(0)), spec=SPEC)


PROBES = inputs(5)


class TwoLayers(nn.Module):
    """Two matrices of bposit16: a request that meets both old and new weights is seen."""

    first: Tensor
    second: Tensor

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        for name, shape in (("first", (6, 5)), ("second", (5, 4))):
            weights = tb.tensor(torch.randn(shape, generator=draw), spec=SPEC)
            self.register_buffer(name, weights)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.first @ self.second


def version(folder: Path, seed: int, serial: int | None = None) -> Path:
    """A signed version of :class:`TwoLayers`, with the weights of a seed."""
    state = TwoLayers(seed)
    made = folder / f"version {seed}"
    certificate = certify(state, model=MODEL, serial=seed if serial is None else serial)
    publish(made, state, certificate, KEY)
    return made


def recorder(folder: Path) -> Recorder:
    (folder / "kept").mkdir(exist_ok=True)
    return Recorder(folder / "records", WRITER, folder / "kept" / "head")


def slot_of(records: Recorder, folder: Path, kind: type[ModelSlot] = ModelSlot) -> ModelSlot:
    return kind(
        folder / "store", TwoLayers, name=MODEL, trusted=KEY.public_key(), records=records,
        probes=PROBES, threshold=FAR,
    )  # fmt: skip


def bits(answer: Tensor) -> bytes:
    return answer.bits().numpy().tobytes()  # type: ignore[attr-defined]
