"""What nn.RNN, nn.LSTM, nn.GRU and their cells mean: each step a few operations that round.

The input projections of all steps are one product with one bias, rounded once, as is each step's
projection of the hidden state. With i and h these two, σ the logistic function:

- RNN: h' = tanh(i + h), or relu: the sum and the function round.
- LSTM: the sums i + h of the four gates round, then σ or tanh; c' = f·c + g·in, the exact sum of
  two products, rounds once; then tanh c', then its product with the output gate.
- GRU: the sums of two gates round, then σ; n = tanh(i + r·h), the argument rounded once;
  h' = n + z·(h - n) rounds the difference, and once the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import accumulate, ops
from .config import PositConfig
from .streams import next_key, samples_of

__all__ = ["CELLS", "LAYERS"]

State = tuple[Tensor, ...]
Step = Callable[[Any, Tensor, Tensor, State], State]


def _rnn(activation: str) -> Step:
    def step(spec: Any, i: Tensor, h: Tensor, state: State) -> State:
        return (ops.unary(ops.add(i, h, spec=spec), activation, spec=spec),)

    return step


def _lstm(spec: Any, i: Tensor, h: Tensor, state: State) -> State:
    gates = ops.add(i, h, spec=spec).chunk(4, -1)
    enter, keep, leave = ops.sigmoid(
        torch.stack([gates[0], gates[1], gates[3]]), spec=spec
    ).unbind()
    new = ops.tanh(gates[2], spec=spec)
    cell = ops.dot(torch.stack([keep, enter]), torch.stack([state[1], new]), 0, spec=spec)
    return ops.mul(leave, ops.tanh(cell, spec=spec), spec=spec), cell


def _gru(spec: Any, i: Tensor, h: Tensor, state: State) -> State:
    size = state[0].shape[-1]
    both = ops.add(i[..., : 2 * size], h[..., : 2 * size], spec=spec)
    reset, stay = ops.sigmoid(both, spec=spec).chunk(2, -1)
    new = ops.tanh(ops.fma(reset, h[..., 2 * size :], i[..., 2 * size :], spec=spec), spec=spec)
    return (ops.fma(stay, ops.sub(state[0], new, spec=spec), new, spec=spec),)


_STEPS: dict[str, Step] = {
    "rnn_tanh": _rnn("tan_h"), "rnn_relu": _rnn("relu"), "lstm": _lstm, "gru": _gru,
}  # fmt: skip


def _cell(name: str) -> Callable[..., Any]:
    def handle(  # noqa: PLR0917
        config: PositConfig, x: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor,
        b_ih: Tensor | None = None, b_hh: Tensor | None = None,
    ) -> Any:  # fmt: skip
        given: State = tuple(hx) if name == "lstm" else (hx,)
        state = tuple(ops.fake_quant(s, _spec(config)) for s in given)
        i = accumulate.linear(config, x, w_ih, b_ih)
        h = accumulate.linear(config, state[0], w_hh, b_hh)
        made = _STEPS[name](_spec(config), i, h, state)
        return made if name == "lstm" else made[0]

    return handle


def _layers(name: str) -> Callable[..., Any]:
    def handle(  # noqa: PLR0917
        config: PositConfig, x: Tensor, hx: Any, weights: Any, has_biases: bool, layers: int,
        dropout: float, training: bool, both_ways: bool, batch_first: Any = None,
    ) -> Any:  # fmt: skip
        if not isinstance(has_biases, bool):  # the arguments of a packed call lie otherwise
            raise NotImplementedError(
                f"{name}: a PackedSequence has no posit form; give padded sequences"
            )
        starts: State = tuple(hx) if name == "lstm" else (hx,)
        each = 4 if has_biases else 2
        count = layers * (2 if both_ways else 1)
        if len(weights) != each * count:
            raise NotImplementedError(f"{name}: proj_size > 0 has no posit form")
        parts = [weights[n * each : (n + 1) * each] for n in range(count)]
        seen = x.transpose(0, 1) if batch_first else x
        if not len(seen):
            raise ValueError(f"{name}: a sequence without steps, of shape {tuple(x.shape)}")
        ends: list[State] = []
        for layer in range(layers):
            if layer and dropout and training:
                seen = _dropped(config, seen, dropout)
            ways = []
            for back in range(2 if both_ways else 1):
                place = len(ends)
                steps, end = _run(
                    config, name, seen, [s[place] for s in starts], parts[place], bool(back)
                )
                ways.append(steps)
                ends.append(end)
            seen = torch.cat(ways, -1)
        made = seen.transpose(0, 1) if batch_first else seen
        return (made, *(torch.stack(s) for s in zip(*ends, strict=True)))

    return handle


def _run(  # noqa: PLR0917
    config: PositConfig, name: str, x: Tensor, start: Sequence[Tensor], weights: Sequence[Any],
    backwards: bool,
) -> tuple[Tensor, State]:  # fmt: skip
    """One layer in one direction: (T, N, H) and the last state."""
    spec = _spec(config)
    w_ih, w_hh, b_ih, b_hh = (*weights, None, None)[:4]
    inputs = accumulate.linear(config, x, w_ih, b_ih).unbind()
    state: State = tuple(ops.fake_quant(s, spec) for s in start)
    made: list[Tensor] = []
    for i in reversed(inputs) if backwards else inputs:
        h = accumulate.linear(config, state[0], w_hh, b_hh)
        state = _STEPS[name](spec, i, h, state)
        made.append(state[0])
    return torch.stack(made[::-1] if backwards else made), state


def _dropped(config: PositConfig, x: Tensor, p: float) -> Tensor:
    rows = x.transpose(0, 1)
    made = ops.dropout(rows, p, spec=_spec(config), key=next_key(), samples=samples_of(rows))
    return made.transpose(0, 1)


def _spec(config: PositConfig) -> Any:
    return config.activations


LAYERS = {name: _layers(name) for name in _STEPS}
CELLS = {f"{name}_cell": _cell(name) for name in _STEPS}
