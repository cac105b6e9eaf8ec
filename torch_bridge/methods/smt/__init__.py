"""SMT: train a recurrent network one step at a time, on the memories of a Transformer.

Source: Kumar, Isola, "Pretraining Recurrent Networks without Recurrence", 2026, arXiv 2606.06479,
and its released code. See docs/methods/smt.md.

>>> from torch_bridge.methods import smt
>>> task = smt.needle(8)
>>> teacher, core = smt.networks(task, seed=0)
>>> budget = smt.Budget(seconds=5, steps=3, batch=8)
>>> smt.train_smt(teacher, core, task, budget).steps
3
>>> import torch
>>> cache = smt.LabelCache(teacher, task.train(16, torch.Generator().manual_seed(0))[0])
>>> cache.nbytes                                # 16 sequences, 8 memories of 32 numbers of 16 bits
8192
>>> smt.train_dmt(core, cache, budget).steps
3
"""

from .formats import ARITHMETICS, exact_gradients, fingerprint, float_gradients, rounding_drift
from .labels import LabelCache
from .model import Core, Gated, Shape, Teacher, make_core
from .objective import Weights, bptt_loss, dmt_loss, read_loss, rollout, smt_loss, uniformity
from .tasks import NONE, Task, digits, needle, text
from .training import (
    Budget,
    Trained,
    drift,
    networks,
    read,
    taught,
    train_bptt,
    train_dmt,
    train_smt,
)

__all__ = [
    "ARITHMETICS",
    "NONE",
    "Budget",
    "Core",
    "Gated",
    "LabelCache",
    "Shape",
    "Task",
    "Teacher",
    "Trained",
    "Weights",
    "bptt_loss",
    "digits",
    "dmt_loss",
    "drift",
    "exact_gradients",
    "fingerprint",
    "float_gradients",
    "make_core",
    "needle",
    "networks",
    "read",
    "read_loss",
    "rollout",
    "rounding_drift",
    "smt_loss",
    "taught",
    "text",
    "train_bptt",
    "train_dmt",
    "train_smt",
    "uniformity",
]
