"""Optimizers on posits: what rounding a weight loses is kept, drawn for, or given up, as you say.

Their bits depend on the gradients alone: every operation is one of posits, correctly rounded and
in one order, and there are no ``foreach`` or ``fused`` variants.
"""

from .adamw import PositAdamW
from .clip import clip_grad_norm_
from .sgd import PositSGD

__all__ = ["PositAdamW", "PositSGD", "clip_grad_norm_"]
