"""Train every arithmetic on every task, then sum the same gradients in other ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from .arms import ARMS
from .tasks import Digits, Plan, Task
from .text import Text
from .training import Run, Way, gradients_of, logits_of, train
from .workers import Step, Workers, limited

__all__ = ["FULL", "QUICK", "WAYS", "Bars", "Sample", "Scale", "Study"]

WAYS = (
    Way("whole batch"),
    Way("2 threads", threads=2),
    Way("5 micro-batches", parts=5),
    Way("shuffled", shuffled=True),
    Way("all of these", parts=5, shuffled=True, threads=2),
)
"""The first is how all networks are trained; in the others they begin once more."""

_BEGINNINGS = ("if the ", "a class", "the str")  # of texts to continue, of one length
_TASKS: dict[str, type[Digits] | type[Text]] = {"digits": Digits, "text": Text}
_SHOWN = "bposit16"  # whose network is looked at

Bars = Callable[[str, int], Step]
"""Makes a progress bar from its label and number of steps; gives what advances it by one."""


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Parameters
    ----------
    seeds : int
        Runs of each arithmetic on each task.
    plans : dict
        How each task is trained; its keys are the tasks.
    again : dict
        How many steps of each task are taken again in each other way.
    length : int
        Characters to write.
    """

    seeds: int
    plans: dict[str, Plan]
    again: dict[str, int]
    length: int


FULL = Scale(3, {name: t.plan for name, t in _TASKS.items()}, {"digits": 24, "text": 6}, 65)
QUICK = Scale(
    2,
    {"digits": replace(Digits.plan, steps=24), "text": replace(Text.plan, steps=6, batch=6)},
    {"digits": 4, "text": 2},
    9,
)


@dataclass(frozen=True)
class Sample:
    """A trained network to look at."""

    weights: npt.NDArray[np.float64]
    gradients: npt.NDArray[np.float64]
    lines: list[str]


@dataclass(frozen=True)
class _Job:
    """A training run, such that another process can be given it."""

    task: str
    arm: str
    plan: Plan
    seed: int
    steps: int
    hash_at: int
    way: Way = WAYS[0]
    length: int = 0  # characters to write; 0 keeps no sample

    @property
    def label(self) -> str:
        return f"{self.task} {self.arm}"


@dataclass
class Study:
    """All that was done and found.

    Parameters
    ----------
    scale : Scale
    seed : int
        The first one; the others follow.
    runs : dict
        By task and arithmetic: one run a seed.
    hashes : dict
        By task and arithmetic: of the weights after ``scale.again`` steps from the first seed, one
        a way of summing.
    sample : Sample
        Of bposit16's text, first seed.
    """

    scale: Scale
    seed: int
    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)
    hashes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    sample: Sample | None = None

    @property
    def proven(self) -> bool:
        """Whether each exact arithmetic gave the same weights for all ways of summing."""
        return all(len(set(h)) == 1 for (_, arm), h in self.hashes.items() if ARMS[arm].exact)

    @property
    def tasks(self) -> dict[str, Task]:
        """By name."""
        return {name: _load(name) for name in self.scale.plans}

    def train(self, workers: Workers, bars: Bars) -> None:
        """Train every arithmetic on every task from every seed."""
        jobs = [
            _Job(
                task, arm, plan, self.seed + i, plan.steps, self.scale.again[task],
                length=self.scale.length if (task, arm, i) == ("text", _SHOWN, 0) else 0,
            )
            for task, plan in self.scale.plans.items()
            for arm in ARMS
            for i in range(self.scale.seeds)
        ]  # fmt: skip
        for job, (run, sample) in self._done(jobs, workers, bars):
            self.runs.setdefault((job.task, job.arm), []).append(run)
            self.sample = sample or self.sample
        for key, (first, *_) in self.runs.items():
            self.hashes[key] = [first.hashes[self.scale.again[key[0]]]]

    def sum_otherwise(self, workers: Workers, bars: Bars) -> None:
        """Begin again from the first seed, once for each other way of summing."""
        jobs = [
            _Job(task, arm, plan, self.seed, steps, steps, way)
            for task, plan in self.scale.plans.items()
            for steps in (self.scale.again[task],)
            for arm in ARMS
            for way in WAYS[1:]
        ]
        for job, (run, _) in self._done(jobs, workers, bars):
            self.hashes[job.task, job.arm].append(run.hashes[job.steps])

    def _done(
        self, jobs: list[_Job], workers: Workers, bars: Bars
    ) -> list[tuple[_Job, tuple[Run, Sample | None]]]:
        """Each job with what it gave, in order; long ones begin first, so that all end together."""
        totals: dict[str, int] = {}
        for job in jobs:
            totals[job.label] = totals.get(job.label, 0) + job.steps
        steps = {label: bars(label, total) for label, total in totals.items()}
        order = sorted(range(len(jobs)), key=lambda i: _slowness(jobs[i]), reverse=True)
        made = workers.map(_do, [jobs[i] for i in order], lambda job: steps[job.label])
        found = dict(zip(order, made, strict=True))
        return [(job, found[i]) for i, job in enumerate(jobs)]


def _slowness(job: _Job) -> tuple[bool, bool, int]:
    return ARMS[job.arm].exact, job.task == "text", job.steps * job.way.parts


@cache
def _load(task: str) -> Task:
    return _TASKS[task].load()


def _do(job: _Job, progress: Step) -> tuple[Run, Sample | None]:
    """Train; score what took all steps of its plan, and keep a sample if that is wanted."""
    task, arm = _load(job.task), ARMS[job.arm]
    with limited(job.way.threads):
        model, run = train(
            task, arm, job.plan, job.seed, job.way,
            steps=job.steps, hash_at=(job.hash_at,), progress=progress,
        )  # fmt: skip
        logits = logits_of(model, arm)
        if job.steps == job.plan.steps:
            run.score = task.score(logits)
        if not (job.length and isinstance(task, Text)):
            return run, None
        lines = task.write(logits, _BEGINNINGS, job.length)
        slopes = gradients_of(model, task, arm, job.plan.batch, job.seed)
    weights = np.concatenate([w.detach().double().numpy().ravel() for w in model.parameters()])
    return run, Sample(weights, slopes, lines)
