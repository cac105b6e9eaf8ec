"""Means over a count of terms that are elsewhere: exact, and no zeros stand for the others."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

import posit
from posit import PositSpec, bposit8, bposit16, bposit32
from torch_bridge import ops

SPECS = [bposit8, bposit16, bposit32, PositSpec(16, 10, 6), PositSpec(20, 15, 6)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("more", [0, 1, 5, 1 << 40])
@pytest.mark.parametrize("terms", [0, 1, 7])
def test_the_exact_sum_over_the_count(spec: PositSpec, more: int, terms: int) -> None:
    generator = torch.Generator().manual_seed(terms)
    x = torch.randn(5, terms, generator=generator, dtype=torch.float64)
    x *= 2.0 ** (torch.randn(5, terms, generator=generator) * spec.reach / 8).double()
    if terms > 1:
        x[0, 0], x[1, 0], x[2] = torch.nan, -x[1, 1], x[2].round()
    values = [[posit.to_fraction(p, spec) for p in row] for row in ops.encode(x, spec).tolist()]
    count = max(terms + more, 1)
    for function, power in ((ops.mean, 1), (ops.mean_square, 2)):
        found = ops.encode(function(x, 1, count=count, spec=spec), spec).tolist()
        for p, row in zip(found, values, strict=True):
            known = [v for v in row if v is not None]
            total = sum((v**power for v in known), Fraction(0)) / count
            assert p == posit.from_fraction(total if len(known) == terms else None, spec)


def test_a_loss_of_a_huge_batch() -> None:
    """Zeros for all of it would take 2^63 bytes."""
    x, target = torch.zeros(2, 4, dtype=torch.float64), torch.tensor([0, -100])
    found = ops.cross_entropy(x, target, count=1 << 62, spec=bposit16)
    log = ops.cross_entropy(x, target, reduction="sum", spec=bposit16)
    assert found == ops.fake_quant(log / 2**62, bposit16)
