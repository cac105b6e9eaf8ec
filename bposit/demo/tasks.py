"""What is learned: data, network, batches, and how to score. The text is in text.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from .models import conv_net

__all__ = ["Digits", "Logits", "Plan", "Task"]

Logits = Callable[[Tensor], Tensor]
"""A network without gradients: inputs to logits, in float64."""


@dataclass(frozen=True)
class Plan:
    """How a network is trained; the same in every arithmetic.

    Parameters
    ----------
    steps, batch : int
    optimizer : str
        A class of ``torch.optim``, and with Posit before it of ``torch_bridge.optim``.
    options : dict
        Its options other than the learning rate.
    rate : float
        The highest learning rate of ``torch.optim.lr_scheduler.OneCycleLR``.
    """

    steps: int
    batch: int
    optimizer: str
    options: dict[str, Any]
    rate: float


@dataclass(frozen=True)
class Task(ABC):
    """Data, and a network to learn it. Abstract.

    Parameters
    ----------
    inputs, targets : Tensor
        To train with.
    test_inputs, test_targets : Tensor
        To score with: (count, …), and integers.
    """

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor

    name: ClassVar[str]
    unit: ClassVar[str]  # of the score
    plan: ClassVar[Plan]

    @property
    @abstractmethod
    def about(self) -> str:
        """A sentence: which network learns what."""

    @abstractmethod
    def model(self) -> nn.Module:
        """The network, its first weights drawn from torch's global generator."""

    @abstractmethod
    def batches(self, seed: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of ``size`` samples, for ever; the same for the same seed."""

    @abstractmethod
    def score(self, logits: Logits) -> float:
        """How well a network does on the test data."""


@final
class Digits(Task):
    """scikit-learn's 1797 images of 8×8 pixels: 1437 to train with, 360 to test with."""

    name = "digits"
    unit = "% right"
    plan = Plan(300, 48, "SGD", {"momentum": 0.9}, 0.1)

    @classmethod
    def load(cls) -> Digits:
        """From scikit-learn's wheel; nothing is downloaded."""
        from sklearn import datasets  # type: ignore[import-untyped]
        from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

        x, y = datasets.load_digits(return_X_y=True)
        split = train_test_split(x / 16.0, y, test_size=360, stratify=y, random_state=0)
        images = [torch.tensor(a, dtype=torch.float32).reshape(-1, 1, 8, 8) for a in split[:2]]
        labels = [torch.tensor(a, dtype=torch.int64) for a in split[2:]]
        return cls(images[0], labels[0], images[1], labels[1])

    @property
    def about(self) -> str:
        """See the base class."""
        return (
            f"Digits: a convolutional net learns {len(self.targets)} handwritten digits, and is"
            f" tested on {len(self.test_targets)} others."
        )

    def model(self) -> nn.Module:
        """See the base class."""
        return conv_net()

    def batches(self, seed: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches of a random order; the few images left over wait for the next order."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            order = torch.randperm(len(self.inputs), generator=generator)
            for i in range(0, len(order) - size + 1, size):
                yield self.inputs[order[i : i + size]], self.targets[order[i : i + size]]

    def score(self, logits: Logits) -> float:
        """The share of test images that are told rightly, in percent."""
        found = logits(self.test_inputs).argmax(1)
        return 100 * float((found == self.test_targets).double().mean())
