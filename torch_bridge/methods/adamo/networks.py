"""The small networks of the experiments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CReLU", "Perceptron"]


class CReLU(nn.Module):
    """[max(x, 0), max(-x, 0)]: twice the features, of which half are never 0.

    Shang et al. (2016); against loss of plasticity, Abbas et al. (2023).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(…, units) to (…, 2·units)."""
        return torch.cat((x.relu(), (-x).relu()), dim=-1)


class Perceptron(nn.Module):
    """Fully connected layers with ReLU between; orthogonal weights, biases 0.

    Parameters
    ----------
    inputs, width, outputs : int
    depth : int
        Hidden layers.
    concatenated : bool
        CReLU on width/2 units, in place of ReLU on width.
    seed : int
        Of the weights; torch's global generator is left alone.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        *,
        depth: int = 4,
        concatenated: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        units = width // 2 if concatenated else width
        sizes = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(size, units) for size in sizes[:-1])
        self.readout = nn.Linear(width, outputs)
        self.activation = CReLU() if concatenated else nn.ReLU()
        self.reset(seed)

    @property
    def layers(self) -> list[nn.Linear]:
        """The hidden layers."""
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Draw all weights anew."""
        drawn = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, generator=drawn)
                nn.init.zeros_(layer.bias)

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of every hidden layer, (samples, width) each."""
        found = []
        for layer in self.layers:
            x = self.activation(layer(x))
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(samples, inputs) to (samples, outputs)."""
        made: Tensor = self.readout(self.features(x)[-1])
        return made
