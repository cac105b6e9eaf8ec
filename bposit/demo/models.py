"""The two networks of the demo, as anyone would write them in PyTorch: nothing knows of posits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Transformer", "conv_net"]


def conv_net() -> nn.Sequential:
    """(N, 1, 8, 8) images to (N, 10) logits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


class _Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.split = nn.Linear(width, 3 * width, bias=False)
        self.join = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.split(self.norms[0](x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (N, heads, time, width / heads)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.join(seen.transpose(1, 2).flatten(2))
        made: Tensor = x + self.mlp(self.norms[1](x))
        return made


class Transformer(nn.Module):
    """(N, time) numbers of characters to (N, time, characters) logits of the next one.

    The embedding of characters is also the last layer's weight.
    """

    def __init__(
        self, characters: int, context: int, width: int = 64, heads: int = 1, depth: int = 2
    ) -> None:
        super().__init__()
        self.context = context
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, characters)
        self.out.weight = self.characters.weight
        for table in (self.characters, self.places):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, text: Tensor) -> Tensor:
        # a place for each row: broadcast, its gradients would be summed, and rounded, before they
        # reach the table
        x = self.characters(text) + self.places(torch.arange(text.shape[1]).expand_as(text))
        made: Tensor = self.out(self.norm(self.blocks(x)))
        return made
