"""The losses: supervised memory training, its second phase on the core's own memories, and BPTT.

    L_dec  = CE(y_{t…}, D(m_t, x_{t+1…}))                                              (2)
    L_dyn  = mean (f(m_t, x_{t+1}) - m_{t+1})²                                         (3)
    L_unif = log E exp(-2 ‖m_a - m_b‖²), memory tokens scaled to length 1               (4)
    L_smt  = L_dec + 0.1·L_dyn + 0.001·L_unif                                           (5)
    DMT:     mean (f(m̂_{t-1}, x_t) - m_t)², m̂ from the core's own rollout, teacher frozen (6)

Source: arXiv 2606.06479 and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .model import Core, Gated, Teacher
from .tasks import NONE

__all__ = [
    "PAPER",
    "Weights",
    "bptt_loss",
    "dmt_loss",
    "read_loss",
    "rollout",
    "smt_loss",
    "uniformity",
]


@dataclass(frozen=True)
class Weights:
    """Coefficients of the three terms; those of the paper."""

    decode: float = 1.0
    dynamics: float = 0.1
    uniformity: float = 0.001


PAPER = Weights()


def smt_loss(
    teacher: Teacher, core: Core, batch: tuple[Tensor, Tensor], t: int, weights: Weights = PAPER
) -> tuple[Tensor, Tensor]:
    """(L_smt, L_dyn) of the step from m_t to m_{t+1}, t in -1 … T-2, for a batch (x, y).

    m_{-1} = 0 is a label like the others, so that the core starts without the teacher (in the
    released code it cannot). The memory that is decoded is m_{t+1}. Gradients of L_dyn flow into
    the teacher, through both ends of the step.
    """
    x, y = batch
    now, after = teacher.encode(x[:, : t + 1]), teacher.encode(x[:, : t + 2])
    decode = read_loss(teacher.decode(after, x[:, t + 2 :]), y[:, t + 1 :])
    dynamics = functional.mse_loss(core(now, x[:, t + 1]), after)
    total = weights.decode * decode + weights.dynamics * dynamics
    return total + weights.uniformity * uniformity(after), dynamics


def uniformity(memory: Tensor) -> Tensor:
    """L_unif of memories (B, K, d), at least in float32; 0 where there is no pair."""
    wide = torch.promote_types(memory.dtype, torch.float32)
    z = functional.normalize(memory.reshape(-1, memory.shape[-1]).to(wide), dim=-1)
    if len(z) < 2:
        return z.sum() * 0
    return torch.pdist(z).pow(2).mul(-2).exp().mean().log()


def read_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy (nats) of logits (…, V) where there is a target; 0 where there is none."""
    found = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), y.reshape(-1), ignore_index=NONE, reduction="sum"
    )
    return found / (y != NONE).sum().clamp_min(1)


def rollout(core: Core, x: Tensor) -> Tensor:
    """The core's own memories m̂_0 … m̂_{T-1} from m_{-1} = 0: (B, T, K, d)."""
    memory, found = core.start(len(x)), []
    for t in range(x.shape[1]):
        memory = core(memory, x[:, t])
        found.append(memory)
    return torch.stack(found, dim=1)


def dmt_loss(core: Core, x: Tensor, labels: Tensor) -> Tensor:
    """Imitate the teacher's memories (B, T, K, d) from the core's own: one step each, no BPTT.

    The states of the rollout are detached, as in the released code by default (its switch is
    inverted); so all B·T steps are independent terms.
    """
    with torch.no_grad():
        own = rollout(core, x)
    before = torch.cat((core.start(len(x))[:, None], own[:, :-1]), dim=1)
    steps = core(before.flatten(0, 1), x.reshape(-1))
    return functional.mse_loss(steps, labels.flatten(0, 1))


def bptt_loss(core: Core | Gated, x: Tensor, y: Tensor, window: int | None = None) -> Tensor:
    """The loss of the readout, through all of time; or through ``window`` steps at most."""
    if isinstance(core, Gated):
        return read_loss(core(x), y)
    memory, found = core.start(len(x)), []
    for t in range(x.shape[1]):
        if window is not None and t and t % window == 0:
            memory = memory.detach()
        memory = core(memory, x[:, t])
        found.append(memory)
    asked = (y != NONE).any(0)
    states = torch.stack(found, dim=1)[:, asked]
    logits = core.readout(states.flatten(0, 1))[:, 0]
    return read_loss(logits, y[:, asked])
