"""``python -m torch_bridge.methods.kalman``: measure it, and draw the result."""

from __future__ import annotations

from .._harness import Method, Run, command
from . import change, formats, study, transformer
from .figure import draw

__all__ = ["METHOD", "app"]


def run(run: Run) -> None:
    """All experiments."""
    for experiment in (
        study.identity, formats.any_order, study.nile, study.one_pass, change.online,
        change.regime, change.relabelled, study.latent, formats.sixteen_bits, transformer.corrected,
    ):  # fmt: skip
        experiment(run)


METHOD = Method(
    "kalman",
    source=(
        "in the manner of arXiv 2603.13423, whose abstract alone was to be had; the equations are"
        " textbook filtering"
    ),
    needs={"sklearn": "scikit-learn", "statsmodels": "statsmodels", "ml_dtypes": "ml_dtypes",
           "matplotlib": "matplotlib"},
    run=run,
    draw=draw,
)  # fmt: skip

app = command(METHOD)

if __name__ == "__main__":
    app(prog_name="python -m torch_bridge.methods.kalman")
