"""Activations and their derivatives, correctly rounded: against MPFR at 600 bits and other forms.

The forms here differ from those of the library, so that a mistake in a formula shows.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import gmpy2
import numpy as np
import pytest
import torch

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, standard
from tests.conftest import Slice
from torch_bridge import ops

Real = Any
BITS = 4000  # enough for x + tiny at all magnitudes that do not underflow below
FAR = 1500.0  # beyond it e^-x is far outside every format here


def sigmoid(x: Real) -> Real:
    return (1 + gmpy2.tanh(x / 2)) / 2


def density(x: Real) -> Real:
    return gmpy2.exp(-x * x / 2) / gmpy2.sqrt(2 * gmpy2.const_pi())


def share(x: Real) -> Real:
    return (1 + gmpy2.erf(x / gmpy2.sqrt(gmpy2.mpfr(2)))) / 2


def cubic(x: Real) -> tuple[Real, Real]:
    c, k = gmpy2.sqrt(2 / gmpy2.const_pi()), gmpy2.mpfr(44715) / 1000000
    return c * (x + k * x**3), c * (1 + 3 * k * x * x)


def gelu_tanh_slope(x: Real) -> Real:
    u, du = cubic(x)
    t = gmpy2.tanh(u)
    return (1 + t) / 2 + x / 2 * (1 - t * t) * du


ORACLE: dict[str, tuple[Callable[[Real], Real], float]] = {
    "sigmoid": (sigmoid, FAR),
    "sigmoid_slope": (lambda x: sigmoid(x) * (1 - sigmoid(x)), FAR / 2),
    "softplus": (lambda x: gmpy2.log(1 + gmpy2.exp(x)), FAR),
    "silu": (lambda x: x * sigmoid(x), FAR),
    "silu_slope": (lambda x: sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x)), FAR),
    "gelu": (lambda x: x * share(x), 60.0),
    "gelu_slope": (lambda x: share(x) + x * density(x), 60.0),
    "gelu_tanh": (lambda x: x / 2 * (1 + gmpy2.tanh(cubic(x)[0])), 30.0),
    "gelu_tanh_slope": (gelu_tanh_slope, 30.0),
    "erf": (gmpy2.erf, 60.0),
    "erf_slope": (lambda x: 2 / gmpy2.sqrt(gmpy2.const_pi()) * gmpy2.exp(-x * x), 60.0),
    "tanh_slope": (lambda x: 1 - gmpy2.tanh(x) ** 2, FAR / 2),
}
"""With how far from 0 the plain form has the precision to be right."""

HARD = [-1.2784645427610738, -0.7517915246935645, -0.75246142, 0.0, 1e-9, -1e-9]


def expected(name: str, x: float, spec: PositSpec) -> int:
    function, _ = ORACLE[name]
    with gmpy2.context(precision=BITS):
        top, bottom = function(gmpy2.mpfr(x)).as_integer_ratio()
    return posit.reference.encode(Fraction(int(top), int(bottom)), spec)


def check(name: str, patterns: np.ndarray, spec: PositSpec) -> None:
    values = posit.decode(patterns, spec)
    near = np.abs(values) <= ORACLE[name][1]
    found = posit.encode(ops.unary(torch.from_numpy(values), name, spec=spec).numpy(), spec)
    wanted = [expected(name, x, spec) for x in values[near].tolist()]
    assert np.array_equal(found[near], wanted)


@pytest.mark.parametrize("name", ORACLE)
def test_every_bposit8(name: str) -> None:
    check(name, np.arange(-127, 128).astype(np.int8), bposit8)


@pytest.mark.parametrize("name", ORACLE)
@pytest.mark.parametrize("spec", [bposit16, bposit32, PositSpec(24, 5, 3), standard(16)], ids=str)
def test_numbers_of_every_size(name: str, spec: PositSpec) -> None:
    """Near zeros and the roots of derivatives too, a few patterns around each."""
    rng = np.random.default_rng(0)
    x = [*rng.normal(size=60) * 3, *rng.normal(size=15) * 30, *2.0 ** rng.uniform(-30, 4, 15)]
    bits = posit.encode(np.array([*x, *HARD]), spec).astype(np.int64)
    around = posit.encode(np.array(HARD), spec).astype(np.int64)[:, None] + np.arange(-3, 4)
    check(name, np.concatenate([bits, around.ravel()]).astype(spec.storage), spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLE)
def test_every_bposit16(name: str, part: Slice) -> None:
    check(
        name, np.array(list(part.range(65535)), np.int64).__sub__(32767).astype(np.int16), bposit16
    )


LIMITS = {
    "sigmoid": ("minpos", 1.0), "sigmoid_slope": ("minpos", "minpos"),
    "softplus": ("minpos", "x"), "silu": ("-minpos", "x"), "silu_slope": ("-minpos", 1.0),
    "gelu": ("-minpos", "x"), "gelu_slope": ("-minpos", 1.0), "gelu_tanh": ("-minpos", "x"),
    "gelu_tanh_slope": ("-minpos", 1.0), "erf": (-1.0, 1.0), "erf_slope": ("minpos", "minpos"),
    "tanh_slope": ("minpos", "minpos"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("spec", [bposit16, bposit32, PositSpec(40, 6, 5)], ids=str)
def test_far_out(name: str, spec: PositSpec) -> None:
    """A result that is not 0 never becomes 0, nor changes its sign; NaN stays NaN."""
    far = torch.tensor([1e10, 2.0**60, float(spec.maxpos)], dtype=torch.float64)
    far = ops.fake_quant(far, spec)
    for x, limit in zip((-far, far), LIMITS[name], strict=True):
        tiny = float(spec.minpos)
        wanted = {"minpos": 0 * x + tiny, "-minpos": 0 * x - tiny, "x": x}.get(limit)  # type: ignore[call-overload]
        found = ops.unary(x, name, spec=spec)
        assert torch.equal(found, 0 * x + limit if wanted is None else wanted)
    assert ops.unary(torch.tensor([float("nan")]), name, spec=spec).isnan().all()


def test_relu_and_step_keep_nan() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0, float("nan")])
    assert torch.equal(ops.relu(x, spec="bposit16")[:3], torch.tensor([0.0, 0.0, 3.0]).double())
    assert ops.relu(x, spec="bposit16")[3].isnan()
    assert ops.unary(x, "step", spec="bposit16")[3].isnan()
    assert ops.unary(x, "step", spec="bposit16")[:3].tolist() == [0, 0, 1]


def test_values_of_a_wide_format_by_mpfr() -> None:
    """Too many fraction bits for float64 to decide, all of which float64 still shows."""
    spec = PositSpec(56, 6, 5)
    check("gelu", posit.encode(np.array([0.3, -1.7, 2.5]), spec), spec)
    check("softplus", posit.encode(np.array([0.3, -1.7, 2.5]), spec), spec)


def test_the_oracle_can_disagree() -> None:
    values = torch.tensor([0.5], dtype=torch.float64)
    assert posit.encode(ops.gelu(values, spec=bposit16).numpy(), bposit16) != expected(
        "silu", 0.5, bposit16
    )


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="'hypot' is no function of one posit"):
        ops.unary(torch.ones(2), "hypot", spec="bposit16")
    with pytest.raises(ValueError, match="'none' or 'tanh'"):
        ops.gelu(torch.ones(2), "sigmoid", spec="bposit16")  # type: ignore[arg-type]
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(NotImplementedError, match="derivative of tan_pi is not known"):
        ops.unary(x, "tan_pi", spec="bposit16").sum().backward()
