"""``python -m torch_bridge.methods.adamo``: measure it, and draw the result."""

from __future__ import annotations

from .._harness import Method, Run, command
from . import formats, study
from .figure import draw

__all__ = ["METHOD", "app"]


def run(run: Run) -> None:
    """All experiments."""
    for experiment in (
        formats.deviation, study.revival, study.streams, study.reinforcement, formats.sixteen_bits,
    ):  # fmt: skip
        experiment(run)


METHOD = Method(
    "adamo",
    source=(
        "arXiv 2606.09762: the update is the article's, eqs. 16, 19 and 20, from two transcriptions"
        " and the authors' port; tasks and sizes are ours"
    ),
    needs={"sklearn": "scikit-learn", "mlxtend": "mlxtend", "gymnasium": "gymnasium",
           "ml_dtypes": "ml_dtypes", "matplotlib": "matplotlib"},
    run=run,
    draw=draw,
)  # fmt: skip

app = command(METHOD)

if __name__ == "__main__":
    app(prog_name="python -m torch_bridge.methods.adamo")
