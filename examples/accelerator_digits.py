"""Train a network for an accelerator, as that accelerator would compute it.

    python examples/accelerator_digits.py
    python examples/accelerator_digits.py --format posit8 --rows 8 --cols 8 --dataflow os

Handwritten digits (scikit-learn's, 8×8), two layers. First one network, trained with exact sums, is
run on systolic arrays of several accumulators: what a narrow one costs. Then it trains on on the
narrowest, forward and backward, and learns around what that accumulator loses. Last, bits flip: of
accumulators at work, and of the stored weights, one position at a time.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import torch_bridge as tb
from bposit import emulate
from posit import PositSpec

ACCUMULATORS: dict[str, emulate.Accumulator] = {
    "quire": emulate.Quire(),
    "window of 24 bits": emulate.Window(-15, 8, "saturate", "rne"),
    "window of 14 bits": emulate.Window(-5, 8, "saturate", "rne"),
    "aligned to 12 bits": emulate.Aligned(12, group=4),
    "aligned to 6 bits": emulate.Aligned(6, group=4),
    "rounded each step": emulate.RoundEachStep(),
}
STRIKES = 1e-4  # probability that a bit of an accumulator flips in a step


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images in 0 … 1 and labels, for training and for testing."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.data[order] / 16, digits.target[order]
    cut = 1400
    return tuple(torch.tensor(v) for v in (x[:cut], y[:cut], x[cut:], y[cut:]))  # type: ignore[return-value]


def network(spec: PositSpec, accumulate: Any) -> nn.Module:
    """Two layers that compute in posits on ``accumulate``."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    tb.convert_(model, spec, accumulate=accumulate)
    return model


def train(model: nn.Module, spec: PositSpec, epochs: int, rate: float = 0.25) -> nn.Module:
    """Posit gradients, posit updates."""
    x, y, _, _ = data()
    optimizer = tb.optim.PositSGD(model.parameters(), lr=rate)
    draw = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for some in torch.randperm(len(x), generator=draw).split(100):
            tb.ops.cross_entropy(model(x[some]), y[some], spec=spec).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """On the images it was not trained with, in per cent."""
    _, _, x, y = data()
    return 100 * float((model(x).argmax(-1) == y).double().mean())


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All that is printed, by name."""
    spec = PositSpec.parse(options.format)

    def array(accumulator: emulate.Accumulator, upset: Any = None) -> emulate.SystolicArray:
        cell = emulate.Mac(spec, accumulator=accumulator, upset=upset)
        return emulate.SystolicArray(options.rows, options.cols, options.dataflow, cell)

    exact = train(network(spec, "quire"), spec, options.epochs)
    found: dict[str, Any] = {"formats": spec.name, "exact": accuracy(exact), "on": {}, "cycles": {}}
    for name, accumulator in ACCUMULATORS.items():
        same = network(spec, array(accumulator))
        same.load_state_dict(exact.state_dict())
        found["on"][name] = accuracy(same)
        found["cycles"][name] = array(accumulator).plan(1, 64, 32).cycles
    learned = network(spec, array(ACCUMULATORS["aligned to 6 bits"]))
    learned.load_state_dict(exact.state_dict())
    found["trained on it"] = accuracy(train(learned, spec, 2, 0.1))

    register = ACCUMULATORS["window of 24 bits"]
    found["struck"] = {}
    for half, positions in (("low", range(12)), ("high", range(12, 24))):
        hit = network(spec, array(register, emulate.Upsets(STRIKES, 1, tuple(positions))))
        hit.load_state_dict(exact.state_dict())
        found["struck"][half] = accuracy(hit)

    words = {n: tb.ops.encode(p.detach(), spec).numpy() for n, p in exact.named_parameters()}
    parameters = dict(exact.named_parameters())

    def upset(bits: dict[str, Any]) -> float:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(tb.ops.decode(torch.from_numpy(bits[name]), spec).nan_to_num(0.0))
        return accuracy(exact)

    scores = emulate.sensitivity(upset, words, spec, rate=options.flips, seed=2)
    found["upset"] = {k: score[0] for k, score in scores.items()}
    return found


def main() -> None:
    """Print what :func:`run` finds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--format", default="bposit16")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--cols", type=int, default=16)
    parser.add_argument("--dataflow", choices=("os", "ws"), default="ws")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--flips", type=float, default=0.01, help="share of weights struck")
    options = parser.parse_args()
    found = run(options)
    print(f"{found['formats']} digits, exact sums: {found['exact']:.1f} % right")
    for name, score in found["on"].items():
        print(f"  the same weights, {name}: {score:.1f} %")
    print(f"  two epochs on the array, aligned to 6 bits: {found['trained on it']:.1f} %")
    for half, score in found["struck"].items():
        print(f"  {STRIKES:.0e} of the {half} 12 bits of 24 struck after each step: {score:.1f} %")
    print(f"one weight in {1 / options.flips:.0f} struck, by bit position (highest first):")
    print("  " + " ".join(f"{score:.0f}" for _, score in sorted(found["upset"].items())[::-1]))


if __name__ == "__main__":
    main()
