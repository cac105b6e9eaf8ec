"""``script.py:factory``: run a user's script, and audit the model that it makes."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput
from . import report
from .formats import Format
from .loaders import load
from .model import DEFAULT_SAMPLE, Audit
from .report import Report
from .source import Source, hashed

__all__ = ["audit_script"]


def audit_script(
    target: str,
    inputs: Path | None,
    formats: Sequence[Format],
    *,
    accumulate: str | None,
    chosen: Callable[[str], bool],
    layers: str | None,
    sample: int | None,
    bound: float,
    best: int | None,
    max_bytes: int,
    progress: Callable[[int], None],
) -> tuple[Report, bool]:
    """The report, and whether it was interrupted; BadInput for whatever the script raises."""
    path, _, name = target.rpartition(":")
    script = Path(path)
    if not script.is_file():
        raise BadInput(f"{path}: No such file")
    if inputs is None:
        raise BadInput(f"{target}: give the arguments of forward: --inputs data.npz")
    compared = DEFAULT_SAMPLE if sample is None else sample
    sources: list[Source] = []
    audit, interrupted = None, False
    try:
        arrays = _arrays(inputs, max_bytes)
        sources = [_source(script), _source(inputs)]  # as they are before the script runs
        with _surroundings(script):
            model, metric = _made(script, name)
            audit = Audit(model, formats, accumulate=accumulate, sample=compared, metric=metric,
                          chosen=chosen, bound=bound, best=best, progress=progress)  # fmt: skip
            audit.measure(**arrays)
    except KeyboardInterrupt:
        interrupted = True
    except BadInput:
        raise
    except BaseException as error:
        raise BadInput(f"{target}: running the model failed: {_said(error)}") from None
    if audit is None:  # interrupted in the factory, or before
        settings = {"bound": bound, "best": best, "sample": compared}
        found = report.build("model", formats, settings, sources=sources, complete=False)
    else:
        found = audit.build(
            complete=not interrupted,
            inputs=[{"name": s.path.name, "sha256": s.sha256, "bytes": s.bytes} for s in sources],
        )
    found["settings"]["layers"] = layers
    if not found["layers"] and not interrupted:
        raise BadInput(f"{target}: no layer was called, or --layers chose none of them")
    return found, interrupted


@contextmanager
def _surroundings(script: Path) -> Iterator[None]:
    """The script finds its neighbours, prints to standard error, and may change its directory."""
    folder, here = str(script.resolve().parent), Path.cwd()
    sys.path.insert(0, folder)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.chdir(here)
        if folder in sys.path:
            sys.path.remove(folder)


def _source(path: Path) -> Source:
    return Source(path, hashed(path), path.stat().st_size)


def _arrays(path: Path, max_bytes: int) -> dict[str, Any]:
    """The arguments: floats as they are, integers and booleans too."""
    try:
        import torch
    except ImportError:
        raise BadInput("auditing a model needs torch: install bposit[torch]") from None
    if path.suffix.lower() != ".npz":
        raise BadInput(f"{path}: --inputs is an .npz, whose keys are forward's keywords")
    try:
        source = load(path, max_bytes)  # checks every size before anything is allocated
    except BadInput as error:
        if "no tensor of floats" not in str(error):
            raise
    else:
        del source
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (ValueError, TypeError, OSError) as error:
        raise BadInput(f"{path}: {error}") from None


def _made(script: Path, name: str) -> tuple[Any, Callable[[Any], Any] | None]:
    import torch

    try:
        factory = runpy.run_path(str(script)).get(name)
        if not callable(factory):
            raise BadInput(f"{script}: it has no function {name!r}")
        found = factory()
    except (BadInput, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise BadInput(f"{script}:{name} failed: {_said(error)}") from None
    model, metric = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    if not isinstance(model, torch.nn.Module) or not (metric is None or callable(metric)):
        raise BadInput(
            f"{script}:{name} returned {type(model).__name__}; wanted is a torch module, or"
            " (module, metric)"
        )
    return model.eval(), metric


def _said(error: BaseException) -> str:
    try:
        line = str(error).strip().partition("\n")[0][:200]
    except Exception:
        line = ""
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
