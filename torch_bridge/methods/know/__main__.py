"""``python -m torch_bridge.methods.know``: the paper's comparison, its controls, and formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import torch

from .._harness import Method, Run, Trial, command
from .._result import Experiment, Metric, Result
from . import controls, evaluate
from .experiments import AHEAD, PREDICTORS, SWEPT, Prepared, prepare
from .forgetting import Forgetting
from .formats import ARITHMETICS
from .networks import State
from .predictors import FIXED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = [{"lr": lr} for lr in (1e-3, 3e-3, 1e-2)]
GRID = [{"ahead": a, "strength": s} for a, s in product((1, 2, 3), (0.5, 1.0, 2.0))]
FACTORS = [{"factor": f / 100} for f in (98, 95, 90, 85, 80, 75, 70, 60, 50)]

WEIGHTS = {
    "transfer": Metric("accuracy on the target after 2 shots a class, last layer kept", "higher"),
    "new head": Metric("the same with a new last layer, as in the paper", "higher"),
    "accuracy": Metric("on held-out data of the source", "higher"),
    "cross-entropy": Metric("on held-out data of the source, nats", "lower"),
    "cosine": Metric("between these weights and θ_0"),
    "norm": Metric("of these weights over that of θ_0"),
}
VERDICT = {
    "over θ_0": Metric("transfer less that of θ_0, in pairs", "higher"),
    "over its norm": Metric("transfer less that of θ_0 shrunk to the same norms", "higher"),
    "over best shrink": Metric("transfer less that of θ_0 times the swept constant", "higher"),
    "direction over θ_0": Metric(
        "transfer without the part of the step along θ_0, less θ_0's", "higher"
    ),
}


def main(run: Run) -> None:
    """All experiments; a quick run has the MLP alone."""
    for network in ("mlp",) if run.quick else ("mlp", "cnn"):
        of = partial(prepare, network, quick=run.quick)
        forgotten(run, network, of)
        predicted(run, network, of)
        compared(run, network, of)
    formats(run, partial(prepare, "mlp", quick=run.quick))


Of = Callable[[int], Prepared]
Weights = Callable[[Prepared], State]


def forgotten(run: Run, network: str, of: Of) -> None:
    """The precondition: every stage knows less than the one before."""
    metrics = {k: WEIGHTS[k] for k in ("cross-entropy", "accuracy")}
    metrics |= {"size": Metric("samples"), "epochs": Metric("that θ_0 was trained")}

    def stage(k: int) -> Trial:
        def trial(seed: int) -> Mapping[str, float]:
            p = of(seed)
            placed = p.placed(p.made.stages[-1 - k])
            accuracy, entropy = evaluate.scores(placed, p.split.test)
            size, epochs = p.made.sizes[-1 - k], p.epochs
            return dict(zip(metrics, (entropy, accuracy, size, epochs), strict=True))

        return trial

    run.trials(
        Experiment(
            f"{network}: forgetting", "method",
            "The stages of the forgetting sequence on held-out data of the source. Where θ_0 is no"
            " better than θ_1 on validation data it is trained for twice as long, twice at most.",
            metrics, run.seeds,
        ),
        {f"θ_{k}": stage(k) for k in range(5)},
    )  # fmt: skip


def predicted(run: Run, network: str, of: Of) -> None:
    """How near predictions come to weights that were really trained on twice the data."""

    def error(predict: Weights) -> Trial:
        def trial(seed: int) -> Mapping[str, float]:
            p = of(seed)
            truth, base = p.unseen.stages[-1], p.unseen.stages[-2]
            mine, none = _l1(predict(p), truth), _l1(base, truth)
            return {"error": mine, "relative": mine / none}

        return trial

    def seen(p: Prepared) -> Forgetting:
        return replace(p.unseen, stages=p.unseen.stages[:-1])

    def known_norms(p: Prepared) -> State:
        return controls.shrink_to(p.unseen.stages[-2], p.predict("KNOWN", 1, seen(p)))

    def one(p: Prepared, name: str) -> State:
        return p.predict(name, 1, seen(p))

    # not WNN, which looks ahead in training rather than in data
    names = [*(n for n in PREDICTORS if n != "WNN"), "KNOWN, shuffled"]
    arms = {"identity": error(lambda p: p.unseen.stages[-2])}
    arms |= {name: error(partial(one, name=name)) for name in names}
    arms["identity shrunk to KNOWN's norms"] = error(known_norms)
    run.trials(
        Experiment(
            f"{network}: weights", "method",
            "A forgetting sequence of six stages that meta-training has not seen: the largest is"
            " predicted from the other five.",
            {
                "relative": Metric("mean absolute error over that of no change", "lower"),
                "error": Metric("mean absolute error of a weight", "lower"),
            },
            run.seeds,
        ),
        arms,
    )  # fmt: skip


def compared(run: Run, network: str, of: Of) -> None:
    """The paper's comparison, with its controls; then KNOWN less its controls, in pairs."""
    rates = {"lr": 0.0}

    def lr(settings: Mapping[str, Any], seed: int) -> float:
        p = of(seed)
        return p.transfer(p.placed(p.base), settings["lr"], sweep=True)

    rates.update(run.sweep(f"{network}: θ_0", RATES, lr))
    rate, chosen = rates["lr"], {}
    for name in SWEPT:

        def score(settings: Mapping[str, Any], seed: int, name: str = name) -> float:
            p = of(seed)
            return p.transfer(p.placed(p.swept(name, settings)), rate, sweep=True)

        grid = FACTORS if name == "shrink" else GRID
        chosen[name] = run.sweep(f"{network}: {name}", grid, score)

    states = _arms(chosen)
    done: dict[tuple[str, int], dict[str, float]] = {}

    def measured(name: str, seed: int) -> dict[str, float]:
        if (name, seed) not in done:
            p = of(seed)
            others = {"twice the data": p.twice, "θ_0 trained longer": p.longer}
            model, state = others[name] if name in others else (None, states[name](p))
            done[name, seed] = p.measure(state, rate, model)
        return done[name, seed]

    def less(name: str, seed: int) -> Mapping[str, float]:
        mine, base = (measured(n, seed)["transfer"] for n in (name, "θ_0"))
        controls = (f"θ_0 shrunk to the norms of {name}", "shrink, swept", f"{name}, direction")
        norm, best, direction = (measured(n, seed)["transfer"] for n in controls)
        return dict(
            zip(VERDICT, (mine - base, mine - norm, mine - best, direction - base), strict=True)
        )

    names = [*states, "θ_0 trained longer", "twice the data"]
    known = [n for n in states if n.startswith("KNOWN") and f"{n}, direction" in states]
    run.trials(
        Experiment(
            f"{network}: comparison", "method",
            "MNIST-5k at 8×8 to scikit-learn's digits; means over five draws of the shots. ×2, ×4,"
            " ×8: as published, 1, 2, 3 recursions. Swept: recursions and strength of the step, or"
            " the constant, chosen on other seeds and the other half of the digits.",
            WEIGHTS, run.seeds,
        ),
        {n: partial(measured, n) for n in names},
        {f"{n}, swept": s for n, s in chosen.items()} | {"θ_0": rates},
    )  # fmt: skip
    run.trials(
        Experiment(
            f"{network}: verdict", "method",
            "Differences of the comparison's transfer, seed by seed: does KNOWN gain by more than"
            " smaller weights?", VERDICT, run.seeds,
        ),
        {n: partial(less, n) for n in known},
    )  # fmt: skip


def _arms(chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, Weights]:
    """From the names of arms to what makes their weights; the oracle and longer training aside."""

    def fixed(p: Prepared, name: str, ahead: int) -> State:
        return p.predict(name, ahead)

    def swept(p: Prepared, name: str) -> State:
        return p.swept(name, chosen[name])

    def shrunk(p: Prepared, like: Weights) -> State:
        return controls.shrink_to(p.base, like(p))

    def direction(p: Prepared, of: Weights) -> State:
        return controls.without_radial(of(p), p.base)

    made: dict[str, Weights] = {"θ_0": lambda p: p.base}
    for name, (times, ahead) in product(PREDICTORS, AHEAD.items()):
        made[f"{name} {times}"] = partial(fixed, name=name, ahead=ahead)
    made |= {f"{name}, swept": partial(swept, name=name) for name in SWEPT}
    made["model soup"] = partial(fixed, name="model soup", ahead=1)
    made["KNOWN, shuffled ×8"] = partial(fixed, name="KNOWN, shuffled", ahead=3)
    for name in [n for n in made if n.startswith("KNOWN") and "shuffled" not in n]:
        make = made[name]
        made[f"θ_0 shrunk to the norms of {name}"] = partial(shrunk, like=make)
        made[f"{name}, direction"] = partial(direction, of=make)
    return made


def formats(run: Run, of: Of) -> None:
    """The same predictions from stages stored and computed in other formats."""
    sums = {"linear ×2": ("linear", 1), "linear ×8": ("linear", 3)}
    sums |= {"least squares ×2": ("least squares", 1)}
    nets = {"KNOWN ×2": 1, "KNOWN ×8": 3}
    truths: dict[tuple[int, str], State] = {}

    def predict(arm: str, seed: int, what: str) -> State:
        p, arithmetic = of(seed), ARITHMETICS[arm]
        if what in nets:
            return arithmetic.known(p.known, p.made.stages, p.kind_of, nets[what])
        name, ahead = sums[what]
        return arithmetic.combine(FIXED[name](len(p.made.stages), ahead), p.made.stages)

    def trial(arm: str, seed: int) -> Mapping[str, float]:
        p, found = of(seed), {}
        for what in (*sums, *nets):
            if (seed, what) not in truths:
                truths[seed, what] = predict("float64", seed, what)
            truth, made = truths[seed, what], predict(arm, seed, what)
            found[what] = _l2(made, truth) / _l2(truth, p.base)
        found["cross-entropy"] = evaluate.scores(p.placed(made), p.split.test)[1]
        stored = len(p.made.stages) + ARITHMETICS[arm].deltas
        return found | {"bytes": stored * ARITHMETICS[arm].bits / 8}

    about = "root-mean-square error of the predicted weights over that of the step, to float64"
    metrics = {what: Metric(f"{what}: {about}", "lower") for what in (*sums, *nets)}
    metrics["cross-entropy"] = Metric("of KNOWN ×8's weights on held-out data, nats", "lower")
    metrics["bytes"] = Metric("stored for each weight and all stages")
    run.trials(
        Experiment(
            "formats", "format",
            "The MLP's float32 stages, stored in each format, and predicted from in it: sums with"
            " fixed coefficients, and KNOWN converted. bposit16 rounds after each operation.",
            metrics, run.seeds,
        ),
        {arm: partial(trial, arm) for arm in ARITHMETICS},
    )  # fmt: skip


def draw(result: Result) -> Figure:
    """KNOWN and its controls for each network, and what formats cost."""
    from .figure import drawn

    return drawn(result)


def _l1(a: State, b: State) -> float:
    return float((_flat(a) - _flat(b)).abs().mean())


def _l2(a: State, b: State) -> float:
    return float((_flat(a) - _flat(b)).norm())


def _flat(state: State) -> torch.Tensor:
    return torch.cat([state[name].double().reshape(-1) for name in sorted(state)])


app = command(
    Method(
        "know",
        source="arXiv 2508.05059; KNOWN's network and loss as released, data and sizes our own",
        needs={
            "mlxtend": "mlxtend", "sklearn": "scikit-learn", "scipy": "scipy",
            "matplotlib": "matplotlib",
        },
        run=main,
        draw=draw,
    )
)  # fmt: skip

if __name__ == "__main__":
    app(prog_name="python -m torch_bridge.methods.know")
