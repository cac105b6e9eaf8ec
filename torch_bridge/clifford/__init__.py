"""Geometric algebra: multivectors on declared blades, in floats and in posits.

>>> import torch
>>> from torch_bridge.clifford import Cl3, act, exp
>>> quarter_turn = exp(Cl3.bivector([-torch.pi / 4, 0, 0]))
>>> act(quarter_turn, Cl3.vector([1.0, 0, 0]))["e2"]
tensor(1.0000)

Source: H. Haynes, "Adaptive Domain Models", arXiv 2603.18104. [A] it states that the sparsity of
the Cayley table stays, and that weights keep their grades; [ours] are the representation, the
algorithms, and the update rules.
"""

from . import init, nn
from ._rotors import renormalized
from .algebra import CGA3D, PGA3D, STA, Algebra, Cl3
from .functions import (
    act,
    defect,
    exp,
    inverse,
    log,
    norm,
    norm_squared,
    normalized,
    sandwich,
)
from .multivector import Multivector
from .optim import RotorAdam, RotorSGD
from .projection import GradePreserving, grade_project_

__all__ = [
    "CGA3D", "PGA3D", "STA", "Algebra", "Cl3", "GradePreserving", "Multivector", "RotorAdam",
    "RotorSGD", "act", "defect", "exp", "grade_project_", "init", "inverse", "log", "nn", "norm",
    "norm_squared", "normalized", "renormalized", "sandwich",
]  # fmt: skip
