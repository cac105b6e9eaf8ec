"""Functions of a bivector's square, smooth through 0 where their formulas change.

B² = s is positive for boosts, negative for rotations, 0 for translations. Each function is one
power series in s; near 0 the series is summed, which also gives derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import torch
from torch import Tensor

__all__ = ["cosh_of_root", "log_factor", "sinh_over_root"]

_NEAR = 1.0 / 64  # below it 8 terms leave less than 2^-62 of the sum: s^8/17! and s^8/16!
_LOG_NEAR = 1.0 / 1024  # below it 6 terms leave less than s^6/50, 2^-65


def _series(s: Tensor, terms: Sequence[float]) -> Tensor:
    total = torch.full_like(s, terms[-1])
    for c in reversed(terms[:-1]):
        total = total * s + c
    return total


def _by_sign(
    s: Tensor,
    near: float,
    terms: Sequence[float],
    positive: Callable[[Tensor], Tensor],
    negative: Callable[[Tensor], Tensor],
) -> Tensor:
    """The series near 0, else a function of √s or of √-s.

    Every branch gets arguments at which it is finite, so that no NaN meets a derivative of 0.
    """
    above, below = s > near, s < -near
    one = torch.ones_like(s)
    a, b = (torch.sqrt(torch.where(w, x, one)) for w, x in ((above, s), (below, -s)))
    inner = _series(torch.where(above | below, torch.zeros_like(s), s), terms)
    return torch.where(above, positive(a), torch.where(below, negative(b), inner))


def cosh_of_root(s: Tensor) -> Tensor:
    """cosh √s = cos √-s."""
    terms = [1 / factorial(2 * k) for k in range(8)]
    return _by_sign(s, _NEAR, terms, torch.cosh, torch.cos)


def sinh_over_root(s: Tensor) -> Tensor:
    """sinh √s / √s = sin √-s / √-s."""
    terms = [1 / factorial(2 * k + 1) for k in range(8)]
    return _by_sign(s, _NEAR, terms, lambda x: torch.sinh(x) / x, lambda x: torch.sin(x) / x)


def log_factor(c: Tensor, s: Tensor) -> Tensor:
    """f with f·b = log(c + b) for b² = s and c² - s = 1.

    asinh √s / √s, or atan2(√-s, c) / √-s, whose value is in (0, π). NaN for c < 0 and s ≥ 0, where
    there is no real logarithm (or at c = -1 too many).
    """
    terms = [
        (-1) ** k * factorial(2 * k) / (4**k * factorial(k) ** 2 * (2 * k + 1)) for k in range(6)
    ]
    near = torch.where(c > 0, _LOG_NEAR, 0.0)
    above, below = s > near, s < -near
    one = torch.ones_like(s)
    a, b = (torch.sqrt(torch.where(w, x, one)) for w, x in ((above, s), (below, -s)))
    inner = _series(torch.where(above | below, torch.zeros_like(s), s), terms)
    turned = torch.atan2(b, torch.where(below, c, one)) / b
    found = torch.where(above, torch.asinh(a) / a, torch.where(below, turned, inner))
    return torch.where((c <= 0) & (s >= 0), torch.full_like(s, torch.nan), found)
