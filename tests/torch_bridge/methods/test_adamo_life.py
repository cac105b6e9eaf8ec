"""AdamO keeps a network able to learn where Adam alone does not: a short life, for real."""

from __future__ import annotations

from dataclasses import replace

from torch_bridge.methods.adamo.lifetime import live
from torch_bridge.methods.adamo.tasks import TASKS


def test_a_life_of_random_labels() -> None:
    """At a rate where Adam is lost by the tenth task: on seeds 0 to 2, on one thread or two."""
    plan = replace(TASKS["random labels"], count=13)
    with_it = live("random labels", plan, "AdamO", {"lr": 4e-3, "strength": 0.1}, 1)
    without = live("random labels", plan, "AdamW", {"lr": 4e-3}, 1)
    assert min(with_it.accuracy) > 0.95
    assert min(without.accuracy[:3]) > 0.85
    assert without.accuracy[-1] < 0.5
    assert with_it.dormant[-1] < 0.05
    assert without.dormant[-1] > 0.2
