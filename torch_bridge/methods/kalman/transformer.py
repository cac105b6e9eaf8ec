"""Does correcting a Transformer's activations help? Frozen blocks, filtered head.

Everything is gradient-free: blocks are random and stay so, the head is a parameter filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles
from .._harness import Run
from .._result import Experiment, Metric
from . import data
from .activation import ActivationCorrection
from .parameters import ParameterFilter

__all__ = ["Blocks", "corrected"]

CLASSES, WIDTH, WINDOW, LAYERS = 27, 96, 12, 2


class Blocks:
    """A stack of causal attention and tanh layers with random weights, run a token at a time.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        d = WIDTH
        self._embedding = rng.normal(0, 1, (CLASSES, d))
        self._places = rng.normal(0, 1, (LAYERS, WINDOW, d)) / 2
        self._weights = [rng.normal(0, 1 / np.sqrt(d), (5, d, d)) for _ in range(LAYERS)]
        self._past: list[list[Doubles]] = [[] for _ in range(LAYERS)]

    def forward(
        self, token: int, correct: Callable[[int, Doubles], Doubles]
    ) -> tuple[Doubles, list[Doubles]]:
        """Features for what follows the token, (width,), and each layer's activation.

        ``correct(layer, h)`` gives the activation that goes on, to the next layer and into the
        window of the last tokens that later ones attend to.
        """
        h: Doubles = self._embedding[token]
        activations = []
        for layer, (q, k, v, up, down) in enumerate(self._weights):
            past = self._past[layer]
            past.append(h)
            del past[:-WINDOW]
            seen = np.array(past[::-1])  # newest first, so that places are distances
            keyed = seen + self._places[layer, : len(seen)]
            scores = keyed @ k @ (q.T @ h) / np.sqrt(WIDTH)
            share = np.exp(scores - scores.max())
            h = _normal(h + (share / share.sum()) @ keyed @ v)
            h = _normal(h + np.tanh(h @ up * 2) @ down)
            activations.append(h)
            h = correct(layer, h)
        return h, activations


def _normal(h: Doubles) -> Doubles:
    made: Doubles = h / np.sqrt(np.mean(h * h) + 1e-6)
    return made


def read(tokens: npt.NDArray[np.intp], seed: int, where: str, lag: int) -> tuple[float, float]:
    """Accuracy and squared error of the second half of a text, read once.

    Parameters
    ----------
    where : {"nowhere", "last", "all", "shuffled", "features"}
        Layers that are corrected. "shuffled" corrects all with an innovation of another time, which
        carries nothing. "features" corrects none and gives the innovation to the head as inputs.
    lag : {0, 1}
        The gain is of the covariance of h with the innovation of its own token (0), or with that of
        the token before, by which it is corrected (1).
    """
    blocks, rng = Blocks(seed), np.random.default_rng(seed + 10_000)
    size = WIDTH + 1 + (CLASSES if where == "features" else 0)
    head = ParameterFilter(size, CLASSES, noise=1.0, prior=1.0)
    layers = range(LAYERS) if where in ("all", "shuffled") else range(LAYERS - 1, LAYERS)
    corrects = where in ("last", "all", "shuffled")
    gains = {i: ActivationCorrection(WIDTH, CLASSES) for i in layers if corrects}
    innovation: Doubles = np.zeros(CLASSES)
    older = [innovation]
    right, squares = [], []
    for t, (token, follows) in enumerate(pairwise(tokens)):
        used = older[rng.integers(len(older))] if where == "shuffled" else innovation

        def correct(layer: int, h: Doubles, used: Doubles = used) -> Doubles:
            return gains[layer].correct(h, used) if layer in gains else h

        h, activations = blocks.forward(int(token), correct)
        features = np.concatenate([h, [1.0], innovation if where == "features" else []])
        made, target = head.predict(features), np.eye(CLASSES)[follows]
        right.append(made.argmax() == follows)
        squares.append(float(np.sum((made - target) ** 2)))
        before, innovation = used, head.update(features, target)
        older = [*older[-499:], innovation]
        for layer, gain in gains.items():
            gain.observe(activations[layer], before if lag else innovation)
            if t % 25 == 0 and t >= 200:
                gain.solve()
    half = len(right) // 2
    return float(np.mean(right[half:])), float(np.mean(squares[half:]))


def corrected(run: Run) -> None:
    """Reading help texts with and without corrections."""
    tokens = data.text(2000 if run.quick else 12_000)

    def trial(where: str, lag: int) -> Callable[[int], Mapping[str, Any]]:
        def measure(seed: int) -> dict[str, float]:
            accuracy, squares = read(tokens, seed, where, lag)
            return {"accuracy": accuracy, "squares": squares}

        return measure

    arms = {
        "no correction": trial("nowhere", 1),
        "last layer": trial("last", 1),
        "all layers": trial("all", 1),
        "all layers, own token": trial("all", 0),
        "all layers, shuffled": trial("shuffled", 1),
        "innovation as input": trial("features", 1),
    }
    metrics = {
        "accuracy": Metric(
            "share of next letters that are predicted, in the second half", "higher"
        ),
        "squares": Metric("Σ(onehot - output)², in the second half", "lower"),
    }
    about = (
        f"{len(tokens)} letters of Python's help texts, read once: {LAYERS} frozen random causal"
        f" blocks of width {WIDTH} over the last {WINDOW} letters, a filtered linear head."
        " Experimental: h ← h + K·ν."
    )
    experiment = Experiment("activation correction", "method", about, metrics, run.seeds)
    run.trials(experiment, arms)
