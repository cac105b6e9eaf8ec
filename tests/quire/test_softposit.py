"""The quire against SoftPosit's quires."""

from __future__ import annotations

import numpy as np
import pytest

import quire
from quire import Quire

from ..formats import mixed
from ..soft import LEGACY, STANDARD, Soft


@pytest.mark.parametrize("soft", [*LEGACY, *STANDARD[5:]], ids=str)
def test_dot(soft: Soft) -> None:
    spec = soft.spec
    rng = np.random.default_rng(spec.n)
    for k in list(range(8)) * 25:
        a, b = mixed(spec, (2, k), rng)
        a[a == spec.nar] = 1  # SoftPosit's NaR is absorbing too, but one in 20 would hide the rest
        if k > 3 and rng.random() < 0.5:
            a[1], b[1] = -a[0], b[0]
        want = soft.dot(a, b)
        assert quire.dot(a, b, spec) == want
        q = Quire(spec)
        for x, y in zip(a, b, strict=True):
            q.fma(x, y)
        assert q.round() == want
