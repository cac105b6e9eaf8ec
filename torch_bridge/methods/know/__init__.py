"""KNOW: predict the weights that more data would have given, by turning forgetting back.

Source: Jang, Kim, Kim, "Learning from Oblivion: Predicting Knowledge-Overflowed Weights via
Retrodiction of Forgetting", CVPR 2026, arXiv 2508.05059. See docs/methods/know.md.

>>> import torch
>>> from torch_bridge.methods import know
>>> x, y = torch.randn(40, 1, 8, 8), torch.arange(40) % 10
>>> plan = know.Plan(epochs=2, stage_epochs=1)
>>> made = know.forget(know.mlp, x, y, plan, torch.Generator().manual_seed(0))
>>> made.sizes
[2, 5, 10, 20, 40]
>>> store = know.DeltaStore(made.stages)             # 16 bits a number
>>> ahead = store.combine(know.FIXED["linear"](5, 1))  # θ_0 + (θ_0 - θ_1), one rounding
>>> sorted(ahead) == sorted(made.stages[-1])
True
"""

from .controls import alignment, shrink, shrink_to, shuffled, without_radial
from .forgetting import Forgetting, NotForgotten, Plan, check, forget, nested
from .formats import ARITHMETICS
from .known import Known, Nowcaster, histories, meta_train
from .networks import State, cnn, kinds, mlp, state_of, with_state
from .predictors import FIXED, combine, recurse, strengthened
from .storage import DeltaStore

__all__ = [
    "ARITHMETICS",
    "FIXED",
    "DeltaStore",
    "Forgetting",
    "Known",
    "NotForgotten",
    "Nowcaster",
    "Plan",
    "State",
    "alignment",
    "check",
    "cnn",
    "combine",
    "forget",
    "histories",
    "kinds",
    "meta_train",
    "mlp",
    "nested",
    "recurse",
    "shrink",
    "shrink_to",
    "shuffled",
    "state_of",
    "strengthened",
    "with_state",
    "without_radial",
]
