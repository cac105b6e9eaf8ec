"""What the experiments learn from: data that ship inside scikit-learn, statsmodels and Python."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles

__all__ = ["Digits", "Series", "autoregression", "digits", "nile", "reservoir", "sunspots", "text"]

SPLIT = 1400
OSCILLATION = (1 + 0.95) / ((1 - 0.95) * ((1 + 0.95) ** 2 - 1.8**2))
"""Variance of s[t] = 1.8·s[t-1] - 0.95·s[t-2] + w, where w has variance 1."""


class Digits(NamedTuple):
    """Handwritten digits as random features."""

    h: Doubles
    """(1400, size): the samples to learn from, in random order."""
    y: Doubles
    """(1400, 10): 1 for the right class, else 0."""
    test_h: Doubles
    """(397, size)."""
    test_labels: npt.NDArray[np.intp]


def digits(seed: int, size: int = 256) -> Digits:
    """scikit-learn's digits, 8×8 pixels, standardised, as tanh(V·x + b) with V, b random and fixed.

    The seed chooses split, order and features.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    x, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x, labels = x[order], labels[order]
    mean, spread = x[:SPLIT].mean(axis=0), x[:SPLIT].std(axis=0) + 1.0
    x = (x - mean) / spread
    h = np.tanh(x @ rng.normal(0, 1 / 8, (64, size)) + rng.normal(0, 0.1, size))
    return Digits(h[:SPLIT], np.eye(10)[labels[:SPLIT]], h[SPLIT:], labels[SPLIT:])


class Series(NamedTuple):
    """A series to predict one step ahead."""

    h: Doubles
    """(T, size): what is known before each observation."""
    y: Doubles
    """(T, 1)."""


def sunspots() -> Doubles:
    """Yearly sunspot numbers of 1700 to 2008, less the mean of the first 100 years, over their std.

    (309,); statsmodels ships them.
    """
    import statsmodels.api as sm  # type: ignore[import-untyped]

    raw = sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float)
    made: Doubles = (raw - raw[:100].mean()) / raw[:100].std()
    return made


def reservoir(x: Doubles, seed: int, units: int = 100, flip: int | None = None) -> Series:
    """A fixed random recurrent network that reads x; its state is to predict the next x.

    h[t+1] = tanh(0.9·W·h[t] + v·x[t]), the spectral radius of W being 1. From x[flip] on the
    network reads -x, so that by symmetry the weights that were right have the wrong sign.
    """
    rng = np.random.default_rng(seed)
    w = rng.normal(0, 1 / np.sqrt(units), (units, units))
    w *= 0.9 / np.abs(np.linalg.eigvals(w)).max()
    v = rng.normal(0, 0.5, units)
    h, states = np.zeros(units), []
    for t, value in enumerate(x[:-1]):
        seen = -value if flip is not None and t >= flip else value
        h = np.tanh(w @ h + v * seen)
        states.append(h)
    return Series(np.array(states), x[1:, np.newaxis])


def nile() -> Doubles:
    """Yearly flow of the Nile at Aswan, 1871 to 1970, in 10⁸ m³: (100,), from statsmodels."""
    import statsmodels.api as sm

    made: Doubles = sm.datasets.nile.load_pandas().data["volume"].to_numpy(float)
    return made


def autoregression(seed: int, length: int, noise: float = 1.0) -> tuple[Doubles, Doubles]:
    """A damped oscillation kept going by chance, and what is seen of it: two of (length,).

    s[t] = 1.8·s[t-1] - 0.95·s[t-2] + w, the std of s scaled to 1; seen with noise of std ``noise``.
    """
    rng = np.random.default_rng(seed)
    burn = 200
    s = np.zeros(length + burn)
    w = rng.standard_normal(len(s))
    for t in range(2, len(s)):
        s[t] = 1.8 * s[t - 1] - 0.95 * s[t - 2] + w[t]
    hidden: Doubles = s[burn:] / np.sqrt(OSCILLATION)
    return hidden, hidden + noise * rng.standard_normal(length)


def text(length: int, classes: int = 27) -> npt.NDArray[np.intp]:
    """Letters of the help texts that come with Python: 0 for anything but a to z, (length,)."""
    from pydoc_data.topics import topics

    whole = " ".join(topics[name] for name in sorted(topics)).lower().encode("ascii", "replace")
    codes = np.frombuffer(whole, np.uint8).astype(np.intp) - (ord("a") - 1)
    codes = np.where((codes >= 1) & (codes < classes), codes, 0)
    kept = np.append(True, (codes[1:] != 0) | (codes[:-1] != 0))  # runs of blanks are one
    letters: npt.NDArray[np.intp] = codes[kept][:length]
    return letters
