"""The same numbers as kingdon and clifford, two libraries of other hands."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torch_bridge.clifford import (
    PGA3D,
    STA,
    Algebra,
    Cl3,
    Multivector,
    act,
    exp,
    inverse,
)

from .model import ALGEBRAS, squares

SMALL = {name: a for name, a in ALGEBRAS.items() if a.dimension <= 5}
every_algebra = pytest.mark.parametrize("algebra", SMALL.values(), ids=SMALL)


def imported(name: str) -> Any:
    pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own dependencies
        return importlib.import_module(name)


def numbers(algebra: Algebra, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1 << algebra.dimension, generator=generator, dtype=torch.float64)


def whole(x: Multivector) -> Tensor:
    return x.into(x.algebra.blades()).coefficients


def close(found: Tensor, wanted: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(found, wanted, rtol=within, atol=within)


# ---- kingdon: https://github.com/tBuLi/kingdon
KINGDON: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "geometric": (lambda x, y: x * y, lambda x, y: x * y),
    "outer": (lambda x, y: x ^ y, lambda x, y: x ^ y),
    "inner": (lambda x, y: x | y, lambda x, y: x | y),
    "regressive": (lambda x, y: x & y, lambda x, y: x & y),
    "left": (lambda x, y: x << y, lambda x, y: x.lc(y)),
    "right": (lambda x, y: x >> y, lambda x, y: x.rc(y)),
    "reverse": (lambda x, y: ~x, lambda x, y: ~x),
    "involute": (lambda x, y: x.involute(), lambda x, y: x.involute()),
    "conjugate": (lambda x, y: x.conjugate(), lambda x, y: x.conjugate()),
    "dual": (lambda x, y: x.dual(), lambda x, y: x.dual(kind="hodge")),
    "undual": (lambda x, y: x.undual(), lambda x, y: x.undual(kind="hodge")),
    "sandwich": (lambda x, y: x * y * ~x, lambda x, y: x * y * ~x),
}


def of_kingdon(theirs: Any, algebra: Algebra) -> Tensor:
    made = torch.zeros(1 << algebra.dimension, dtype=torch.float64)
    for key, value in zip(theirs.keys(), theirs.values(), strict=True):
        made[key] = float(value)
    return made


@every_algebra
def test_kingdon(algebra: Algebra) -> None:
    kingdon = imported("kingdon")
    other = kingdon.Algebra(signature=squares(algebra))
    raw, keys = numbers(algebra, 1), tuple(algebra.blades())
    x, y = (algebra.multivector(v) for v in raw)
    u, v = (other.multivector(keys=keys, values=v.tolist()) for v in raw)
    for ours, theirs in KINGDON.values():
        close(whole(ours(x, y)), of_kingdon(theirs(u, v), algebra))


def test_kingdon_names_blades_alike() -> None:
    kingdon = imported("kingdon")
    for algebra in (Cl3, PGA3D, STA):
        theirs = kingdon.Algebra(algebra.p, algebra.q, algebra.r).canon2bin
        ours = dict(zip(algebra.names(), algebra.blades(), strict=True))
        assert ours == {("1" if n == "e" else n): m for n, m in theirs.items()}


# ---- clifford: https://github.com/pygae/clifford, in a process where it is not compiled first
CLIFFORD = """
import sys
import numpy as np
import clifford

files = np.load(sys.argv[1])
made = {}
for name in {key.split("/")[0] for key in files}:
    layout = clifford.Layout([int(s) for s in files[name + "/squares"]])
    at = layout._basis_blade_order.index_to_bitmap
    x, y, b, v = (layout.MultiVector(files[f"{name}/{k}"][at]) for k in "xybv")
    r = b.exp()
    found = {"x*y": x * y, "x^y": x ^ y, "x<<y": x.lc(y), "~x": ~x, "x.involute()": x.gradeInvol(),
             "x.conjugate()": x.conjugate(), "exp(b)": r, "act(exp(b), v)": r * v * ~r}
    if 0 not in files[name + "/squares"]:
        found["inverse(x)"] = x.leftLaInv()
    for key, value in found.items():
        out = np.zeros(len(at))
        out[at] = value.value
        made[f"{name}/{key}"] = out
np.savez(sys.argv[2], **made)
"""


def test_clifford(tmp_path: Path) -> None:
    if importlib.util.find_spec("clifford") is None:
        pytest.skip("clifford is not installed")
    cases: dict[str, dict[str, Multivector]] = {}
    given: dict[str, np.ndarray[Any, Any]] = {}
    for name, algebra in SMALL.items():
        raw = numbers(algebra, 2)
        b = algebra.bivector(0.5 * raw[0, : len(algebra.blades(grades=(2,)))])
        x, y = (algebra.multivector(v) for v in raw)
        cases[name] = {"x": x, "y": y, "b": b, "v": algebra.vector(raw[1, : algebra.dimension])}
        given |= {f"{name}/{k}": whole(m).numpy() for k, m in cases[name].items()}
        given[f"{name}/squares"] = np.array(squares(algebra))
    np.savez(tmp_path / "given.npz", **given)  # type: ignore[arg-type]
    command = [sys.executable, "-c", CLIFFORD, *(str(tmp_path / f) for f in ("given.npz", "made"))]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = np.load(tmp_path / "made.npz")
    functions = {"exp": exp, "act": act, "inverse": inverse}
    assert len(made) > 8 * len(SMALL)
    for key in made:
        name, expression = key.split("/")
        found = whole(eval(expression, {**functions, **cases[name]}))
        # its exponential stops at 1e-10
        close(found, torch.from_numpy(made[key]), 1e-9 if "exp" in expression else 1e-12)
