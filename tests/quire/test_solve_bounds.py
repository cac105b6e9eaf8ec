"""The bounds of linear systems hold, whatever the inverse; weaker ones would give wrong bits."""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit16, bposit64, reference, standard

from ..oracle import boundary
from .systems import SPECS, bits, certified_wrongly, every, fractions

Bits = npt.NDArray[np.signedinteger[Any]]
module: Any = import_module("quire.solve")  # whose name in quire is the function's
WIDE = [
    standard(64), PositSpec(64, 63, 0), PositSpec(64, 63, 3), PositSpec(64, 40, 4),
    PositSpec(64, 16, 8), PositSpec(64, 63, 6), PositSpec(64, 2, 0),
]  # fmt: skip


def unlike(spec: PositSpec, rng: np.random.Generator, n: int = 2) -> tuple[Bits, Bits]:
    """A matrix of nearly equal magnitudes, and right-hand sides, at any scales the format has."""
    signs = np.array([[1.0, 1.0], [-1.0, 1.0]]) if n == 2 else rng.choice([-1.0, 1.0], (n, n))
    noise = 1 + rng.standard_normal((n, n)) * 2.0 ** -rng.integers(3, 50)
    reach = min(spec.reach, 500)
    scales = rng.integers(-reach, reach, 2)
    b = rng.standard_normal((n, 2)) * 2.0 ** scales[1]
    return posit.encode(signs * noise * 2.0 ** scales[0], spec), posit.encode(b, spec)


@every
def test_any_scales(spec: PositSpec) -> None:
    """Residuals below minpos and beyond maxpos, inverses and corrections beyond float64."""
    rng = np.random.default_rng([spec.n, spec.rs])
    for _ in range(60):
        assert certified_wrongly(*unlike(spec, rng), spec)[1] == 0


@pytest.mark.parametrize("spec", SPECS[:10], ids=str)
@pytest.mark.parametrize("off", [0.5, 0.9, -0.9, 1e-3, 1e-9])
def test_poor_inverses_do_no_harm(
    off: float, spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E = off·I and a little more: corrections fall short, and the bound is just met."""
    right, rng = np.linalg.inv, np.random.default_rng([9, spec.n])
    noise = 1 + 1e-3 * rng.standard_normal((2, 2)) * off
    monkeypatch.setattr(np.linalg, "inv", lambda a: (1 - off) * noise * right(a))
    certified = 0
    for _ in range(20):
        a = posit.encode(rng.standard_normal((2, 2)) + 3 * np.eye(2), spec)
        count, wrong = certified_wrongly(a, posit.encode(rng.standard_normal((2, 1)), spec), spec)
        assert wrong == 0
        certified += count
    assert certified or abs(off) > 0.5


@pytest.mark.parametrize("weaker", [0.0, 0.5, 0.9])
def test_a_bound_without_the_inverses_error_is_wrong(
    weaker: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail. Halves of the corrections are made, and the true bound is met."""
    right, inverse = np.linalg.inv, module._inverse
    monkeypatch.setattr(np.linalg, "inv", lambda a: 0.5 * right(a))

    def mutant(*given: Any) -> Any:
        found, error = inverse(*given)
        return found, weaker * error

    def wrong() -> int:
        found = [certified_wrongly(*x, bposit16) for x in zip(a, b, strict=True)]
        assert sum(count for count, _ in found) > 50
        return sum(bad for _, bad in found)

    x = np.random.default_rng(3).uniform(1, 2, (2, 200, 1, 1))
    a, b = posit.encode(x, bposit16)
    assert wrong() == 0
    monkeypatch.setattr(module, "_inverse", mutant)
    assert wrong() > 0


def test_residuals_below_minpos(monkeypatch: pytest.MonkeyPatch) -> None:
    """They become minpos: two of them cancel in R·r where the residuals themselves do not."""
    rng = np.random.default_rng(0)

    def wrong() -> int:
        count = 0
        for _ in range(30):
            noise = 1 + rng.standard_normal((2, 2)) * 2.0 ** -rng.integers(22, 50)
            a = np.array([[1.0, 1.0], [-1.0, 1.0]]) * noise * 2.0 ** -rng.integers(5, 40)
            b = rng.standard_normal((2, 4)) * 2.0 ** rng.integers(-154, -138)
            given = posit.encode(a, bposit64), posit.encode(b, bposit64)
            count += certified_wrongly(*given, bposit64)[1]
        return count

    assert wrong() == 0
    monkeypatch.setattr(module, "_precise", lambda work: 2.0**-900)
    assert wrong() > 0


def test_corrections_below_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """2^-1000 / 2^200 is not zero."""
    spec = PositSpec(24, 16, 8)
    a, b = bits([[Fraction(2) ** 200]], spec), bits([Fraction(1, 2**1000)], spec)
    assert not quire.solve(a, b, spec).certified.any()
    monkeypatch.setattr(module, "_TINY", 0.0)
    found = quire.solve(a, b, spec)
    assert found.certified.all()
    assert found.x[0] == 0


@every
def test_the_inverses_error_is_bounded(spec: PositSpec) -> None:
    rng = np.random.default_rng([2, spec.n])
    work = module._wider(spec)
    for n in (1, 2, 6):
        for spread in (0, 5, 60):
            x = rng.standard_normal((n, n)) * 2.0 ** rng.integers(-spread, spread + 1, (n, n))
            a = posit.convert(posit.encode(x, spec), spec, work)
            if (a == 0).any():
                continue
            inverse, error = module._inverse(a, work)
            if not np.isfinite(error):
                continue
            r, m = [[Fraction(v) for v in row] for row in inverse.tolist()], fractions(a, work)
            product = np.array(r, object) @ np.array(m, object)
            assert np.abs(np.eye(n, dtype=int) - product).sum(axis=1).max() <= error


@pytest.mark.parametrize("spec", [bposit64, *WIDE], ids=str)
def test_residuals_have_twenty_bits(spec: PositSpec) -> None:
    """At both ends of where they are trusted to, hence between them."""
    least = Fraction(module._precise(spec))
    assert least > spec.minpos
    for end, step in ((least, 1), (1 / least, -1)):
        p = reference.encode(end, spec)
        value = reference.decode(p, spec)
        assert value is not None
        assert abs(boundary(min(p, p + step), spec) - value) <= value / 2**20
