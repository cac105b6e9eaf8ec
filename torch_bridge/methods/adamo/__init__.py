"""AdamO: an optimizer that keeps a network able to learn, task after task.

Rosseau, Mueller and Nowé, "Preserving Plasticity in Continual Learning via Dynamical Isometry"
(arXiv 2606.09762). (Another AdamO, of arXiv 2602.05136, is another method.) docs/methods/adamo.md
tells what was found of it, and what was measured.

>>> import torch
>>> from torch_bridge.methods.adamo import AdamO, isometric_groups, singular_values
>>> _ = torch.manual_seed(0)
>>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
>>> optimizer = AdamO(isometric_groups(model, iso=10.0, skip=["2"]), lr=1e-2)
>>> for _ in range(300):
...     optimizer.zero_grad()
...     model(torch.randn(16, 8)).square().mean().backward()
...     optimizer.step()
>>> bool((singular_values(model[0].weight) - 1).abs().max() < 0.1)
True
"""

from .diagnostics import condition, dormant_share, effective_rank, ntk_condition, singular_values
from .groups import isometric_groups
from .isometry import as_matrix, gram_deviation, isometry_gradient, isometry_penalty, largest_step
from .optimizer import AdamO

__all__ = [
    "AdamO",
    "as_matrix",
    "condition",
    "dormant_share",
    "effective_rank",
    "gram_deviation",
    "isometric_groups",
    "isometry_gradient",
    "isometry_penalty",
    "largest_step",
    "ntk_condition",
    "singular_values",
]
