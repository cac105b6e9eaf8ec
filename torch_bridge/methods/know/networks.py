"""The networks whose weights are predicted, and which of their parameters are."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

__all__ = ["Kind", "State", "cnn", "kinds", "mlp", "state_of", "with_state"]

Kind = Literal["conv", "fc", "bias"]
State = dict[str, Tensor]
"""Parameters of a network by name, those that are predicted: :func:`kinds` says which."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def mlp() -> nn.Module:
    """64-64-64-10 over images of 8×8, (N, 1, 8, 8) to (N, 10); no normalisation."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def cnn() -> nn.Module:
    """Two convolutions, each with BatchNorm, and a linear layer: (N, 1, 8, 8) to (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 16, 10),
    )  # fmt: skip


def kinds(model: nn.Module) -> dict[str, Kind]:
    """Names of the parameters that are predicted, with their kinds.

    Weights and biases of linear layers and convolutions. Those of normalisation layers are not, as
    in the released code: "if len(temp)==2", which a BatchNorm layer of Keras, with four, is not;
    nor are those of other layers (of nn.MultiheadAttention the output's alone are). A weight that
    several layers share has the first one's name.

    Raises ValueError for a layer whose weight is parametrized.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, Kind] = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
            if "weight" not in dict(module.named_parameters(recurse=False)):
                raise ValueError(f"{name}: its weight is parametrized; remove that first")
            found[names[id(module.weight)]] = "fc" if isinstance(module, nn.Linear) else "conv"
            if module.bias is not None:
                found[names[id(module.bias)]] = "bias"
    return found


def state_of(model: nn.Module) -> State:
    """A copy of the parameters that are predicted."""
    here = dict(model.named_parameters())
    return {name: here[name].detach().clone() for name in kinds(model)}


def with_state(model: nn.Module, state: State) -> nn.Module:
    """The model, its parameters overwritten by those of ``state``; all others stay."""
    missing = kinds(model).keys() ^ state.keys()
    if missing:
        raise ValueError(f"parameters of state and model differ: {', '.join(sorted(missing))}")
    here = dict(model.named_parameters())
    for name, value in state.items():
        if value.shape != here[name].shape:
            raise ValueError(f"{name}: shape {value.shape} of the state, {here[name].shape} here")
    for name, value in state.items():
        here[name].data.copy_(value)
    return model
