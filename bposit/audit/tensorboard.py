"""A report's figures as scalars of TensorBoard."""

from __future__ import annotations

from typing import Any, Protocol

from .gate import value
from .report import Report, groups

__all__ = ["add_to_tensorboard"]

_FIGURES = ("sqnr", "local_sqnr", "cumulative_sqnr", "quantization_sqnr", "accumulation_sqnr",
            "rounding_sqnr", "relative_max", "saturated", "to_minpos", "to_zero", "nar",
            "stagnation", "metric_change", "versor_defect")  # fmt: skip


class Writer(Protocol):
    """What is used of torch.utils.tensorboard.SummaryWriter, and of others like it."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> Any: ...


def add_to_tensorboard(report: Report, writer: Writer, step: int | None = None) -> int:
    """Write finite figures as ``audit/FIGURE/FORMAT/NAME``; returns how many.

    ``step`` is by default the step of each layer's call, so that one report of a training run draws
    its curves. Exact and failed figures have no number, and are left out.
    """
    steps = [0] * len(report["tensors"]) + [layer["step"] for layer in report["layers"]]
    written = 0
    for (name, rows), own in zip(groups(report), steps, strict=True):
        for row in rows:
            form = row["format"] + (f"_{row['accumulate']}" if row.get("accumulate") else "")
            for figure in _FIGURES:
                found = value(row, figure)
                if found is not None and abs(found) < float("inf"):
                    writer.add_scalar(
                        f"audit/{figure}/{form}/{name}", found, own if step is None else step
                    )
                    written += 1
    return written
