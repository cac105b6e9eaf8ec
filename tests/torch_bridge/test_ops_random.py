"""Dropout and stochastic rounding depend on keys and places, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import vmap

import posit
from posit.reference import encode_stochastic, uniform64
from torch_bridge import ops

SPEC = posit.bposit16


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64)


def test_what_stays_is_said_by_the_stream() -> None:
    key, p = ops.stream_key(5, 3, 1), 0.25
    samples = torch.tensor([7, 0, 2**40])
    kept = ops.dropout(ones(3, 4), p, spec=SPEC, key=key, samples=samples) != 0
    wanted = [
        [uniform64(key, s * 4 + e) < 0.75 * 2**64 for e in range(4)] for s in samples.tolist()
    ]
    assert kept.tolist() == wanted


def test_values_and_gradients_are_scaled_once() -> None:
    x = torch.linspace(-3, 5, 60, dtype=torch.float64).reshape(6, 10).requires_grad_()
    y = ops.dropout(x, 0.1, spec=SPEC, key=9)
    whole = ops.div(x.detach(), torch.tensor(0.9), spec=SPEC)
    kept = y != 0
    assert 0.7 < kept.double().mean() < 1
    assert torch.equal(y.detach(), torch.where(kept, whole, 0.0))
    y.backward(ones(6, 10))
    slope = ops.div(torch.tensor(1.0), torch.tensor(0.9), spec=SPEC)
    assert torch.equal(x.grad, kept * slope)


def test_parts_of_a_batch_drop_the_same() -> None:
    x = torch.randn(8, 5, dtype=torch.float64)
    whole = ops.dropout(x, 0.5, spec=SPEC, key=1)
    order = torch.tensor([3, 0, 7, 5])
    assert torch.equal(ops.dropout(x[order], 0.5, spec=SPEC, key=1, samples=order), whole[order])
    torch.manual_seed(1)
    assert torch.equal(ops.dropout(x, 0.5, spec=SPEC, key=1), whole)
    assert not torch.equal(ops.dropout(x, 0.5, spec=SPEC, key=2) != 0, whole != 0)


def test_the_share_that_stays() -> None:
    kept = ops.dropout(ones(100, 1000), 0.3, spec=SPEC, key=4) != 0
    assert abs(kept.double().mean().item() - 0.7) < 5 * (0.21 / 1e5) ** 0.5
    assert (kept.double().mean(0) - 0.7).abs().max() < 6 * (0.21 / 100) ** 0.5


def test_the_ends_of_dropout() -> None:
    x = torch.randn(3, 5, dtype=torch.float64)
    assert torch.equal(ops.dropout(x, 0.0, spec=SPEC, key=1), ops.fake_quant(x, SPEC))
    assert torch.equal(ops.dropout(x, 1.0, spec=SPEC, key=1), 0 * x)


def test_keys_of_places_differ() -> None:
    keys = {
        ops.stream_key(s, step, layer) for s in range(4) for step in range(9) for layer in range(9)
    }
    assert len(keys) == 4 * 81
    assert ops.stream_key(1, 2, 3) == ops.stream_key(1, 2, 3) != ops.stream_key(1, 3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": None}, "key must be an integer from 0 to 2\\^64-1, got None"),
        ({"key": -1}, "got -1"),
        ({"key": 1, "p": 1.5}, "p is a probability, got 1.5"),
        ({"key": 1, "samples": torch.arange(2)}, "samples must be 3 integers"),
    ],
)
def test_wrong_dropout(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.dropout(ones(3, 4), spec=SPEC, **options)  # type: ignore[arg-type]


def test_dropout_compiles() -> None:
    torch._dynamo.reset()
    x = torch.randn(4, 5, dtype=torch.float64)

    def drop(v: torch.Tensor) -> torch.Tensor:
        return ops.dropout(v, 0.5, spec="bposit16", key=3)

    compiled = torch.compile(drop, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), drop(x))


# ---- stochastic rounding
def test_stochastic_rounding_is_the_reference() -> None:
    x = torch.randn(50, dtype=torch.float64)
    found = ops.fake_quant(x, SPEC, rounding="stochastic", key=2**63 + 5, start=17)
    wanted = [encode_stochastic(v, SPEC, 2**63 + 5, 17 + i) for i, v in enumerate(x.tolist())]
    assert np.array_equal(posit.encode(found.numpy(), SPEC), wanted)
    assert not torch.equal(found, ops.fake_quant(x, SPEC))


def test_stochastic_rounding_passes_gradients_rounded() -> None:
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    g = torch.randn(5, dtype=torch.float64)
    ops.fake_quant(x, SPEC, rounding="stochastic", key=1).backward(g)
    assert torch.equal(x.grad, ops.fake_quant(g, SPEC))


def test_stochastic_rounding_under_vmap_is_a_loop() -> None:
    x = torch.randn(3, 5, dtype=torch.float64)

    def rounded(v: torch.Tensor) -> torch.Tensor:
        return ops.fake_quant(v, SPEC, rounding="stochastic", key=1)

    assert torch.equal(vmap(rounded)(x), torch.stack([rounded(v) for v in x]))


def test_wrong_rounding() -> None:
    with pytest.raises(ValueError, match="'nearest' and 'stochastic'"):
        ops.fake_quant(ones(2), SPEC, rounding="up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key must be an integer"):
        ops.fake_quant(ones(2), SPEC, rounding="stochastic")
    with pytest.raises(ValueError, match="belong to rounding='stochastic'"):
        ops.fake_quant(ones(2), SPEC, key=3)
