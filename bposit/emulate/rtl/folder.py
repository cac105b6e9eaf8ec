"""A unit's files in a folder, with what simulates them."""

from __future__ import annotations

from pathlib import Path

from posit import PositSpec
from posit.spec import SpecLike

from ...errors import BadInput
from ..codec import Form
from ..vectors import Task
from ..vectors import write as write_vectors
from ..vectors.operands import how_many
from .coding import Regime
from .sums import Dataflow
from .units import bench, generate, task, top

__all__ = ["write"]

_EXHAUSTIVE = 16  # bits of operands
_COUNT = 1000


def write(
    folder: str | Path,
    unit: str,
    spec: SpecLike,
    *,
    form: Form = "sign-magnitude",
    regime: Regime = "auto",
    dataflow: Dataflow = "os",
    testbench: bool = False,
    count: int | None = None,
    seed: int = 0,
) -> list[Path]:
    """Write the modules and, with ``testbench``, a bench and its vectors; returns their paths.

    There are ``count`` vectors; if it is not given, all that there can be where operands have at
    most 16 bits together, or else 1000. The folder is made, files that are there are replaced.

    Raises BadInput for what :func:`generate` does not take, and OSError.
    """
    spec, folder = PositSpec.parse(spec), Path(folder)
    texts = generate(unit, spec, form=form, regime=regime, dataflow=dataflow)
    paths = []
    if testbench:
        of, module = task(unit, spec, form=form), top(unit, spec, form=form, dataflow=dataflow)
        style = "mixed"
        if count is None:
            bits = sum(c.bits for c in of.inputs)
            every = bits <= _EXHAUSTIVE and not of.sequential
            style, count = ("exhaustive", 1 << bits) if every else ("mixed", _COUNT)
        how_many(of, style, count, seed)  # before there is a folder
        texts[f"{module}_tb.v"] = bench(unit, spec, count, form=form, dataflow=dataflow)
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(_vectors(folder / f"{module}.hex", of, style, count, seed))
    elif count is not None:
        raise BadInput("vectors belong to a bench: --count needs --testbench")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="ascii")
    return paths


def _vectors(path: Path, of: Task, style: str, count: int, seed: int) -> Path:
    """A whole file of vectors, or none."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            write_vectors(file, of, style=style, count=count, seed=seed)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
