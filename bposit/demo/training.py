"""Train a small classifier of handwritten digits, in any arithmetic and any order of summing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .arithmetic import Arithmetic, Labels, Numbers, Sums

__all__ = ["Data", "Plan", "Trained", "Way", "load_digits", "train"]


@dataclass(frozen=True, slots=True)
class Data:
    """Images as float64 (count, pixels) in [0, 1], multiples of 1/16; labels 0 to 9."""

    train_x: npt.NDArray[np.float64]
    train_y: Labels
    test_x: npt.NDArray[np.float64]
    test_y: Labels


@dataclass(frozen=True, slots=True)
class Plan:
    """The network and how it is trained; the same for every arithmetic."""

    epochs: int = 30
    batch: int = 32
    hidden: int = 64
    momentum: float = 0.875
    rate: float = 2.0**-8  # learning rate for the gradient summed over a batch


@dataclass(frozen=True, slots=True)
class Way:
    """One way to sum the gradient of a batch; exact arithmetic cannot tell them apart."""

    label: str = "whole batch"
    parts: int = 1  # micro-batches, each with its own forward and backward pass
    shuffled: bool = False  # whether samples are added in another order
    threads: int = 1  # micro-batches are shared among so many, partial sums then merged


_WHOLE = Way()


@dataclass(slots=True)
class Trained:
    """What training left: one weight matrix a layer, its last row the biases."""

    arithmetic: Arithmetic
    layers: list[Numbers]
    tried: int = 0  # updates of a single parameter that were not zero
    lost: int = 0  # of those, how many rounding undid: the parameter stayed as it was
    gradients: list[Numbers] = field(default_factory=list)  # of the last epoch

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes of all weights, little-endian, in hexadecimal."""
        digest = hashlib.sha256()
        for w in self.layers:
            digest.update(w.astype(w.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    def weights(self) -> npt.NDArray[np.float64]:
        """Values of all parameters."""
        return np.concatenate([self.arithmetic.decode(w).reshape(-1) for w in self.layers])

    def accuracy(self, x: npt.NDArray[np.float64], labels: Labels) -> float:
        """Share of images classified rightly, computed in the arithmetic of training."""
        numbers = self.arithmetic.encode(x)
        *_, (_, logits) = _forward(self.arithmetic, self.layers, numbers)
        return float((logits.argmax(axis=1) == labels).mean())


def load_digits() -> Data:
    """scikit-learn's 1797 images of 8×8 pixels: 1437 to train on, 360 to test with."""
    from sklearn import datasets  # type: ignore[import-untyped]
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    x, y = datasets.load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        x / 16.0, y, test_size=360, stratify=y, random_state=0
    )
    return Data(train_x, train_y.astype(np.int64), test_x, test_y.astype(np.int64))


def train(
    arithmetic: Arithmetic,
    data: Data,
    plan: Plan,
    seed: int,
    way: Way = _WHOLE,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Trained:
    """Minimise softmax cross-entropy by stochastic gradient descent with momentum.

    v ← μ·v + g and w ← w - η·v, each one fused multiply-add; g is the gradient summed over the
    batch. Weights and momentum are kept in the arithmetic's own format and in no other copy, so
    an update below half a unit in the last place of its weight is lost; :class:`Trained` counts
    them. ``progress`` is called after each epoch.

    ``seed`` fixes the first weights and the batches; ``way`` only how a batch's gradient is summed.
    """
    rng = np.random.default_rng(seed)
    sizes = [data.train_x.shape[1], plan.hidden, int(data.train_y.max()) + 1]
    made = Trained(arithmetic, [_first_weights(arithmetic, rng, m, n) for m, n in pairwise(sizes)])
    moments = [np.zeros_like(w) for w in made.layers]
    x = arithmetic.encode(data.train_x)
    mu, minus_eta = (arithmetic.encode(np.array(c)) for c in (plan.momentum, -plan.rate))
    shuffle = np.random.default_rng([seed, 1])
    with ThreadPoolExecutor(way.threads) as pool:
        for _ in range(plan.epochs):
            made.gradients.clear()
            for batch in _batches(rng.permutation(len(x)), plan.batch):
                order = shuffle.permutation(batch) if way.shuffled else batch
                gradient = _gradient(made, x[order], data.train_y[order], way, pool)
                for k, g in enumerate(gradient):
                    moments[k] = arithmetic.fma(mu, moments[k], g)
                    updated = arithmetic.fma(minus_eta, moments[k], made.layers[k])
                    made.tried += int(np.count_nonzero(moments[k]))
                    undone = (updated == made.layers[k]) & (moments[k] != 0)
                    made.lost += int(np.count_nonzero(undone))
                    made.layers[k] = updated
                    made.gradients.append(g)
            progress()
    return made


def _batches(order: Labels, size: int) -> Iterator[Labels]:
    """Whole batches; the few samples left over wait for the next epoch's order."""
    for i in range(0, len(order) - size + 1, size):
        yield order[i : i + size]


def _first_weights(
    arithmetic: Arithmetic, rng: np.random.Generator, inputs: int, outputs: int
) -> Numbers:
    """He's uniform initialisation, rounded once; biases, in the last row, are 0."""
    w = rng.uniform(-1, 1, (inputs, outputs)) * np.sqrt(6 / inputs)
    return arithmetic.encode(np.concatenate([w, np.zeros((1, outputs))]))


def _forward(
    arithmetic: Arithmetic, layers: list[Numbers], x: Numbers
) -> Iterator[tuple[Numbers, Numbers]]:
    """(input with a column of ones, output before the ReLU) of each layer.

    The ones make a bias one more product of the same inner product.
    """
    one = arithmetic.encode(np.ones((len(x), 1)))
    for w in layers:
        inputs = np.concatenate([x, one], axis=1)
        outputs = arithmetic.matmul(inputs, w)
        yield inputs, outputs
        x = arithmetic.relu(outputs)


def _backward(
    arithmetic: Arithmetic, layers: list[Numbers], x: Numbers, labels: Labels, sums: list[Sums]
) -> None:
    """Add the gradients of some samples to the sums, one for each layer."""
    passed = list(_forward(arithmetic, layers, x))
    delta = arithmetic.residual(passed[-1][1], labels)
    for k in reversed(range(len(layers))):
        inputs = passed[k][0]
        sums[k].add_products(inputs.T, delta)
        if k:
            back = arithmetic.matmul(delta, layers[k][:-1].T)
            delta = np.where(inputs[:, :-1] > 0, back, back.dtype.type(0))


def _gradient(
    made: Trained, x: Numbers, labels: Labels, way: Way, pool: ThreadPoolExecutor
) -> list[Numbers]:
    """Gradient of each layer, summed over a batch in the given way and rounded once."""
    parts = np.array_split(np.arange(len(x)), way.parts)

    def work(worker: int) -> list[Sums]:
        sums = [made.arithmetic.sums(w.shape) for w in made.layers]
        for part in parts[worker :: way.threads]:
            _backward(made.arithmetic, made.layers, x[part], labels[part], sums)
        return sums

    total, *others = pool.map(work, range(way.threads)) if way.threads > 1 else [work(0)]
    for sums in others:
        for mine, theirs in zip(total, sums, strict=True):
            mine.merge(theirs)
    return [s.round() for s in total]
