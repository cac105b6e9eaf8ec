"""Teacher and recurrent cores of supervised memory training.

Source: arXiv 2606.06479 (equations 1 to 3) and its released code, at small sizes. A memory is
K tokens of width d, (B, K, d), each with root mean square 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-6  # torch's default depends on the dtype, so that formats would differ by it
_BASE = 1000.0  # of the rates of rotation; 10,000 is for longer sequences

CoreKind = Literal["mlp", "transformer", "gru"]

__all__ = ["Core", "CoreKind", "Gated", "Shape", "Teacher", "make_core"]


@dataclass(frozen=True)
class Shape:
    """Sizes of the networks.

    Parameters
    ----------
    vocabulary : int
        Symbols of the sequences, whose length is any.
    width, tokens : int
        d and K: a memory has K·d numbers.
    heads, encoder, decoder, core : int
        Heads of attention, and depths.
    """

    vocabulary: int
    width: int = 32
    tokens: int = 1
    heads: int = 2
    encoder: int = 2
    decoder: int = 1
    core: int = 2


class Block(nn.Module):
    """Attention and a perceptron, each added to what comes in, RMSNorm before each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.RMSNorm(width, eps=_EPS), nn.RMSNorm(width, eps=_EPS)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self, x: Tensor, causal: bool = False, keep: int | None = None, turn: bool = True
    ) -> Tensor:
        """x (B, L, d) to the same, or to its last ``keep`` places only.

        ``turn``: whether queries and keys are rotated by their places (rotary embedding), so that
        scores depend on distances.
        """
        b, n, d = x.shape
        h, w = self.before(x), self.qkv.weight
        kept = n if keep is None else keep
        q = self._heads(functional.linear(h[:, n - kept :], w[:d]))
        k, v = (self._heads(functional.linear(h, part)) for part in w[d:].chunk(2))
        if turn:
            q, k = _turned(q, n - kept), _turned(k, 0)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x[:, n - kept :] + self.out(seen.transpose(1, 2).reshape(b, kept, d))
        made: Tensor = x + self.down(functional.gelu(self.up(self.between(x))))
        return made

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


@lru_cache(maxsize=256)
def _angles(first: int, count: int, size: int) -> tuple[Tensor, Tensor]:
    rates = _BASE ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(first, first + count)[:, None] * rates
    return angles.cos(), angles.sin()


def _turned(x: Tensor, first: int) -> Tensor:
    """Pairs of x (B, heads, L, size) rotated by angles in proportion to first, first + 1, …."""
    cos, sin = (t.to(x.dtype) for t in _angles(first, x.shape[2], x.shape[3]))
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def _blocks(depth: int, shape: Shape) -> nn.ModuleList:
    return nn.ModuleList(Block(shape.width, shape.heads) for _ in range(depth))


class Decoder(nn.Module):
    """Memory and the inputs after it to logits. With the memory alone it is the readout g(m)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.blocks = _blocks(shape.decoder, shape)
        self.norm = nn.RMSNorm(shape.width, eps=_EPS)
        self.logits = nn.Linear(shape.width, shape.vocabulary)

    def forward(self, memory: Tensor, future: Tensor | None = None) -> Tensor:
        """Logits (B, 1 + n, V) of y_t, y_{t+1}, …, each from what comes before it.

        memory (B, K, d) is m_t; future (B, n, d) the embedded x_{t+1}, …. Nothing tells the time,
        and the readout g(m) is the case n = 0.
        """
        h = memory
        if future is not None and future.shape[1]:
            h = torch.cat((h, future), dim=1)
        keep = h.shape[1] - memory.shape[1] + 1
        for block in self.blocks[:-1]:
            h = block(h, causal=True)
        h = self.blocks[-1](h, causal=True)[:, -keep:]
        made: Tensor = self.logits(self.norm(h))
        return made


class Teacher(nn.Module):
    """E, from all of the past at once to the memory, and D, from memory to the future."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.registers = nn.Parameter(torch.randn(shape.tokens, shape.width))
        self.blocks = _blocks(shape.encoder, shape)
        self.decoder = Decoder(shape)

    def encode(self, x: Tensor) -> Tensor:
        """The memory (B, K, d) after x (B, n). After none it is 0."""
        k = self.shape.tokens
        if not x.shape[1]:
            return torch.zeros(len(x), k, self.shape.width)
        h = torch.cat((self.embed(x), self.registers.expand(len(x), -1, -1)), dim=1)
        for block in self.blocks[:-1]:
            h = block(h)
        return _normal(self.blocks[-1](h, keep=k))

    def decode(self, memory: Tensor, future: Tensor) -> Tensor:
        """Logits (B, 1 + n, V) of y_t, … from m_t and x_{t+1}, … (B, n)."""
        made: Tensor = self.decoder(memory, self.embed(future))
        return made

    @torch.no_grad()
    def memories(self, x: Tensor) -> Tensor:
        """m_0 … m_{T-1} of x (B, T): (B, T, K, d). The labels of a core."""
        return torch.stack([self.encode(x[:, : t + 1]) for t in range(x.shape[1])], dim=1)


class Core(nn.Module):
    """The recurrent network: m_{t+1} = f(m_t, x_{t+1}), and a readout."""

    def __init__(self, shape: Shape, step: nn.Module) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.step = step
        self.readout = Decoder(shape)

    def start(self, count: int) -> Tensor:
        """m_{-1}, which is 0: (count, K, d)."""
        return torch.zeros(
            count, self.shape.tokens, self.shape.width, dtype=self.embed.weight.dtype
        )

    def forward(self, memory: Tensor, x: Tensor) -> Tensor:
        """m (B, K, d) and the next symbols (B,) to the next memory."""
        return _normal(self.step(memory, self.embed(x)))


class _Perceptron(nn.Module):
    """[m; embed(x)] through hidden layers of four times its width."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.tokens * shape.width
        sizes = [size + shape.width, *[4 * shape.width] * shape.core]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], size)

    def forward(self, memory: Tensor, symbol: Tensor) -> Tensor:
        h = torch.cat((memory.flatten(1), symbol), dim=1)
        for layer in self.layers:
            h = functional.gelu(layer(h))
        made: Tensor = self.last(h).reshape(memory.shape)
        return made


class _Attention(nn.Module):
    """Blocks over the memory tokens and embed(x), of which the former are taken."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.places = nn.Parameter(0.5 * torch.randn(shape.tokens + 1, shape.width))
        self.blocks = _blocks(shape.core, shape)

    def forward(self, memory: Tensor, symbol: Tensor) -> Tensor:
        h = torch.cat((memory, symbol[:, None]), dim=1) + self.places
        for block in self.blocks:
            h = block(h, turn=False)
        return h[:, :-1]


class _GatedStep(nn.Module):
    """A GRU cell on the memory as one vector."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.cell = nn.GRUCell(shape.width, shape.tokens * shape.width)

    def forward(self, memory: Tensor, symbol: Tensor) -> Tensor:
        made: Tensor = self.cell(symbol, memory.flatten(1)).reshape(memory.shape)
        return made


_STEPS = {"mlp": _Perceptron, "transformer": _Attention, "gru": _GatedStep}


def make_core(shape: Shape, kind: CoreKind = "mlp") -> Core:
    """A core with a step of one kind. Raises ValueError for another."""
    if kind not in _STEPS:
        raise ValueError(f"core {kind!r}: possible are {', '.join(_STEPS)}")
    return Core(shape, _STEPS[kind](shape))


class Gated(nn.Module):
    """A GRU or LSTM of torch's with a linear readout: the baseline that is trained through time."""

    def __init__(self, shape: Shape, kind: Literal["gru", "lstm"]) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        layer = nn.GRU if kind == "gru" else nn.LSTM
        self.layer = layer(shape.width, 2 * shape.width, batch_first=True)
        self.readout = nn.Linear(2 * shape.width, shape.vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T) to logits (B, T, V)."""
        made: Tensor = self.readout(self.states(x))
        return made

    def states(self, x: Tensor) -> Tensor:
        """The hidden states (B, T, 2d)."""
        made: Tensor = self.layer(self.embed(x))[0]
        return made


def _normal(memory: Tensor) -> Tensor:
    return functional.rms_norm(memory, memory.shape[-1:], eps=_EPS)
