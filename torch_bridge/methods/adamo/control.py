"""Continual control: proximal policy optimization on a cart-pole whose physics change.

Schulman et al. (2017), with generalized advantages (λ = 0.95, γ = 0.99), ratios clipped at 0.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._result import Settings
from .arms import Arm
from .diagnostics import dormant_share
from .networks import Perceptron

__all__ = ["ENVS", "STEPS", "Played", "play"]

ENVS, STEPS, EPOCHS, PARTS = 16, 64, 4, 4
GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.2


class Played(NamedTuple):
    """What happened, phase by phase."""

    returns: list[float]
    """Mean reward of the episodes that ended in the second half of a phase."""
    dormant: list[float]


class Physics(NamedTuple):
    """What changes from phase to phase."""

    force: float
    gravity: float
    length: float
    swapped: bool


def physics(seed: int, phases: int) -> list[Physics]:
    """Drawn anew for each phase; the actions are swapped in every other one."""
    rng = np.random.default_rng(seed)
    return [
        Physics(rng.uniform(6, 14), rng.uniform(6, 14), rng.uniform(0.3, 0.9), bool(i % 2))
        for i in range(phases)
    ]


def play(kind: str, settings: Settings, seed: int, phases: int, updates: int) -> Played:
    """A policy's life.

    Parameters
    ----------
    kind, settings
        Of :data:`arms.ARMS`.
    seed : int
        Of physics, weights and choices.
    phases, updates : int
        Changes of physics, and updates of the policy (of STEPS·ENVS steps) in each.
    """
    import gymnasium

    drawn = torch.Generator().manual_seed(seed)
    model = Perceptron(4, 64, 3, depth=3, seed=seed)  # two logits and a value
    with torch.no_grad():
        model.readout.weight *= 0.1
    arm = Arm(model, kind, seed, **settings)
    env: Any = gymnasium.make_vec(
        "CartPole-v1", num_envs=ENVS, vectorization_mode="vector_entry_point"
    )
    returns, dormant = [], []
    for number, now in enumerate(physics(seed, phases)):
        inner = env.unwrapped
        inner.force_mag, inner.gravity, inner.length = now.force, now.gravity, now.length
        inner.polemass_length = inner.masspole * now.length
        if number:
            arm.next_task()
        state, _ = env.reset(seed=1000 * seed + number)
        running, ended = np.zeros(ENVS), []
        for update in range(updates):
            batch, state, running, done = _collect(env, model, state, running, now, drawn)
            if update >= updates // 2:
                ended += done
            _learn(arm, batch, drawn)
        with torch.no_grad():
            dormant.append(dormant_share(model.features(batch["states"])))
        returns.append(float(np.mean(ended)) if ended else float(running.mean()))
    return Played(returns, dormant)


def _collect(  # noqa: PLR0917
    env: Any, model: Perceptron, state: Any, running: Any, now: Physics, drawn: torch.Generator
) -> tuple[dict[str, Tensor], Any, Any, list[float]]:
    """STEPS steps in all environments: a flat batch, and the rewards of episodes that ended."""
    rows: dict[str, list[Tensor]] = {
        k: [] for k in ("states", "actions", "logs", "values", "rewards", "goes", "valid")
    }
    ended: list[float] = []
    reset = np.zeros(ENVS, bool)  # an environment that has ended ignores the next action
    for _ in range(STEPS):
        seen = torch.from_numpy(np.asarray(state, np.float32))
        with torch.no_grad():
            made = model(seen)
        logs = made[:, :2].log_softmax(dim=-1)
        actions = torch.multinomial(logs.exp(), 1, generator=drawn)[:, 0]
        sent = actions.numpy() ^ int(now.swapped)
        state, reward, over, cut, _ = env.step(sent)
        running = np.where(reset, 0.0, running + reward)
        for name, row in {
            "states": seen, "actions": actions, "logs": logs.gather(1, actions[:, None])[:, 0],
            "values": made[:, 2], "rewards": torch.from_numpy(np.asarray(reward, np.float32)),
            "goes": torch.from_numpy(~(over | cut)).float(), "valid": torch.from_numpy(~reset),
        }.items():  # fmt: skip
            rows[name].append(row)
        reset = over | cut
        ended += running[reset].tolist()
        running = np.where(reset, 0.0, running)
    with torch.no_grad():
        after = model(torch.from_numpy(np.asarray(state, np.float32)))[:, 2]
    stacked = {name: torch.stack(values) for name, values in rows.items()}
    advantages = _advantages(stacked, after)
    stacked["advantages"], stacked["targets"] = advantages, advantages + stacked["values"]
    keep = stacked.pop("valid").flatten()
    return {n: v.flatten(0, 1)[keep] for n, v in stacked.items()}, state, running, ended


def _advantages(rows: dict[str, Tensor], after: Tensor) -> Tensor:
    found, ahead, following = [], torch.zeros(ENVS), after
    for t in range(STEPS - 1, -1, -1):
        surprise = rows["rewards"][t] + GAMMA * following * rows["goes"][t] - rows["values"][t]
        ahead = surprise + GAMMA * LAMBDA * rows["goes"][t] * ahead
        following = rows["values"][t]
        found.append(ahead)
    return torch.stack(found[::-1])


def _learn(arm: Arm, batch: dict[str, Tensor], drawn: torch.Generator) -> None:
    count = len(batch["states"])
    for _ in range(EPOCHS):
        for part in torch.randperm(count, generator=drawn).chunk(PARTS):
            b = {name: values[part] for name, values in batch.items()}
            made = arm.model(b["states"])
            logs = made[:, :2].log_softmax(dim=-1)
            ratio = (logs.gather(1, b["actions"][:, None])[:, 0] - b["logs"]).exp()
            gain = (b["advantages"] - b["advantages"].mean()) / (b["advantages"].std() + 1e-8)
            policy = torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            value = nn.functional.smooth_l1_loss(made[:, 2], b["targets"])
            entropy = -(logs.exp() * logs).sum(dim=-1).mean()
            arm.descend(0.5 * value - policy - 0.01 * entropy)
