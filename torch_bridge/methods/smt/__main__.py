"""``python -m torch_bridge.methods.smt``: needles, pixels, text, and memory in formats."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch

from .._harness import Method, Run, command
from .._result import Experiment, Metric, Result, Settings
from . import format_runs
from .experiments import Found, bptt, by_smt, gated, on_data, smt_core
from .model import Core, Teacher
from .objective import bptt_loss, smt_loss
from .tasks import digits, needle, text
from .training import networks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = [{"lr": lr} for lr in (3e-4, 1e-3, 3e-3, 1e-2)]
SWEEPS = (100, 101)
LENGTHS = (16, 32, 64, 128, 256, 512)

Arm = Callable[..., Found]

NEEDLE = {
    "accuracy": format_runs.ACCURACY,
    "teacher": Metric("accuracy of the Transformer that made the labels", "higher"),
    "before DMT": Metric("accuracy of the rollout after SMT alone", "higher"),
    "drift before DMT": Metric("mean square between rollout and teacher after SMT", "lower"),
    "drift": format_runs.DRIFT,
    "seconds": Metric("of processor time until solved, or the budget", "lower"),
}


def main(run: Run) -> None:
    """All experiments; a quick run has short needles, and no digits or text."""
    if run.quick:
        needles(run, 8, {**_same(("SMT", "BPTT")), **_gated()})
    else:
        others = {
            "SMT, Transformer core": partial(by_smt, kind="transformer"),
            "SMT, GRU core": partial(by_smt, kind="gru"),
            "BPTT, Transformer core": partial(bptt, kind="transformer"),
        }
        needles(run, 16, {**_same(("SMT", "BPTT", "BPTT, truncated")), **_gated(), **others})
        for length in (32, 64):
            needles(run, length, {**_same(("SMT", "BPTT", "BPTT, truncated")), **_gated()})
        data(run)
    times(run)
    length = 8 if run.quick else 16
    lr = run.result.experiments[f"needle {length}"].settings["SMT"]["lr"]

    def trained(seed: int) -> tuple[Teacher, Core]:
        return smt_core(length, "mlp", lr, seed)[:2]

    format_runs.labels(run, length, lr, trained)
    format_runs.rollouts(run, length, lr, trained)
    format_runs.gradients(run, length, trained)


def _same(names: tuple[str, ...]) -> dict[str, Arm]:
    """Arms with the perceptron as core."""
    arms: dict[str, Arm] = {
        "SMT": partial(by_smt, kind="mlp"),
        "BPTT": partial(bptt, kind="mlp"),
        "BPTT, truncated": partial(bptt, kind="mlp", window=4),
    }
    return {name: arms[name] for name in names}


def _gated() -> dict[str, Arm]:
    return {"GRU": partial(gated, kind="gru"), "LSTM": partial(gated, kind="lstm")}


def needles(run: Run, length: int, arms: Mapping[str, Arm]) -> None:
    """One length of the needle task; rates are swept at 16 once and hold for all lengths."""
    rates: dict[str, Settings] = {}
    for name, arm in arms.items():
        key = f"needle: {name}"
        known = run.result.sweeps.get(key)

        def score(settings: Settings, seed: int, arm: Arm = arm) -> float:
            found = arm(16, seed=seed, lr=settings["lr"])
            return found["accuracy"] - 1e-3 * found["seconds"]  # of those that solve it, the sooner

        rates[name] = known.chosen if known else run.sweep(key, RATES, score, seeds=SWEEPS)

    def trial(name: str, seed: int) -> Found:
        return arms[name](length, seed=seed, lr=rates[name]["lr"])

    run.trials(
        Experiment(
            f"needle {length}", "method",
            f"Retrieval over {length} symbols; equal processor time, the same lengths beforehand"
            " (8, 16, …) and an equal sweep of rates for all. Training stops where it is solved.",
            NEEDLE, run.seeds,
        ),
        {name: partial(trial, name) for name in arms}, rates,
    )  # fmt: skip


def data(run: Run) -> None:
    """Digits as pixels, and characters."""
    bits = {
        "bits": Metric("a symbol, by the network's own rollout", "lower"),
        "teacher": Metric("bits a symbol of the Transformer", "lower"),
        "before DMT": Metric("bits a symbol of the rollout after SMT alone", "lower"),
        "drift before DMT": Metric("mean square between rollout and teacher after SMT", "lower"),
        "drift": format_runs.DRIFT,
        "seconds": Metric("of processor time", "lower"),
    }
    probe = {"probe": Metric("accuracy of a linear classifier on the last memory", "higher")}
    for name, task, seconds in (("digits", digits(), 8.0), ("text", text(), 8.0)):
        rates = {}
        for arm in ("SMT", "BPTT", "GRU", "LSTM"):

            def score(s: Settings, seed: int, arm: str = arm) -> float:
                return on_data(task, arm, seconds, seed, s["lr"])["bits"]  # noqa: B023

            rates[arm] = run.sweep(f"{name}: {arm}", RATES, score, "lower", seeds=SWEEPS)

        def trial(arm: str, seed: int) -> Found:
            return on_data(task, arm, seconds, seed, rates[arm]["lr"])  # noqa: B023

        run.trials(
            Experiment(
                name, "method",
                f"Next symbol along {task.length}; {seconds:g} s of processor time for each arm.",
                bits | (probe if task.labels else {}), run.seeds,
            ),
            {arm: partial(trial, arm) for arm in rates}, rates,
        )  # fmt: skip


def times(run: Run) -> None:
    """Time and serial depth of one training step against the length."""
    shown = [n for n in LENGTHS if n <= 64 or not run.quick]

    def step(arm: str, length: int) -> tuple[float, float]:
        task, applied = needle(length), 0

        def count(*_: object) -> None:
            nonlocal applied
            applied += 1

        teacher, core = networks(task, 0)
        core.register_forward_hook(count)
        batch = task.train(16, torch.Generator().manual_seed(0))
        best = float("inf")
        for _ in range(3):
            begin = time.thread_time()
            if arm == "SMT":
                smt_loss(teacher, core, batch, length // 2)[0].backward()
            else:
                bptt_loss(core, *batch).backward()
            best = min(best, time.thread_time() - begin)
        return 1e3 * best, applied / 3

    def trial(arm: str, _: int) -> Mapping[str, list[float]]:
        steps = [step(arm, n) for n in shown]
        return {
            "milliseconds": [ms for ms, _ in steps],
            "depth": [applied for _, applied in steps],
            "length": [float(n) for n in shown],
        }

    run.trials(
        Experiment(
            "length", "method",
            "One training step with 16 sequences, forward and backward, on one thread. SMT takes"
            " the step in the middle. Depth counts applications of the core, each of which takes"
            " the memory of the one before.",
            {
                "milliseconds": Metric("of processor time, the best of three", "lower"),
                "depth": Metric("applications of the core that wait for each other", "lower"),
                "length": Metric("of the sequences"),
            },
            run.seeds,
        ),
        {arm: partial(trial, arm) for arm in ("SMT", "BPTT")},
    )  # fmt: skip


def draw(result: Result) -> Figure:
    """Needles by length, time by length, and rounding in the memory."""
    from .figure import drawn

    return drawn(result)


app = command(
    Method(
        "smt",
        source="arXiv 2606.06479; objective and architecture as released, at small sizes",
        needs={"sklearn": "scikit-learn", "scipy": "scipy", "matplotlib": "matplotlib"},
        run=main,
        draw=draw,
    )
)

if __name__ == "__main__":
    app(prog_name="python -m torch_bridge.methods.smt")
