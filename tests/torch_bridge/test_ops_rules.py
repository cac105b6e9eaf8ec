"""Each function against its float64 twin: values, gradients, tangents, vmap, compiled code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap
from torch.nn import functional as F

from torch_bridge import ops

from . import op_cases
from .op_cases import CASES, ELEMENTWISE, PLACES, SPEC, Case

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"  # torch.func.jvp's own use of it
)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
SOME = (
    "gelu", "fma", "linear", "mean", "dot", "conv", "softmax mask", "log_softmax", "layer_norm",
    "batch", "embedding", "max_pool2d", "avg_pool2d", "cross_entropy {}",
    "attention ['is_causal']", "per",
)  # fmt: skip
few = [c for c in CASES if c.name.startswith(SOME)]
some_cases = pytest.mark.parametrize("case", few, ids=lambda c: c.name)


def close(ours: Any, twin: Any, case: Case) -> None:
    """Within a few roundings of bposit32 (2^-25 of a term each) of terms of the size of 1 to 10."""
    torch.testing.assert_close(ours, twin.to(torch.float64), rtol=2e-6, atol=2e-6, msg=case.name)


def of_posits(x: Tensor) -> bool:
    return torch.equal(ops.fake_quant(x, SPEC), x)


def gradients(function: Any, tensors: list[Tensor], seed: int) -> tuple[Tensor, ...]:
    leaves = [x.clone().requires_grad_() for x in tensors]
    out = function(*leaves)
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    return torch.autograd.grad(out, leaves, ops.fake_quant(direction, SPEC))


@every_case
def test_values_and_gradients(case: Case) -> None:
    for seed in range(3):
        x = case.tensors(seed)
        close(case.ours(*x), case.twin(*x), case)
        for ours, twin in zip(
            gradients(case.ours, x, seed), gradients(case.twin, x, seed), strict=True
        ):
            assert of_posits(ours)
            close(ours, twin, case)


@every_case
def test_tangents(case: Case) -> None:
    """All operands moving at once, and each alone."""
    x, t = case.tensors(1), case.tensors(2)
    close(jvp(case.ours, tuple(x), tuple(t))[1], jvp(case.twin, tuple(x), tuple(t))[1], case)
    for i in range(len(x)):

        def alone(v: Tensor, function: Any, at: int = i) -> Tensor:
            return function(*x[:at], v, *x[at + 1 :])

        found = [
            jvp(lambda v, f=f: alone(v, f), (x[i],), (t[i],))[1] for f in (case.ours, case.twin)
        ]
        assert of_posits(found[0])
        close(*found, case)


@every_case
def test_finite_differences(case: Case) -> None:
    """The same derivative, from values alone: a wrong twin would not be seen above."""
    x, t = case.tensors(3), case.tensors(4)
    step = 2.0**-9
    ends = [case.ours(*(a + s * step * b for a, b in zip(x, t, strict=True))) for s in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(jvp(case.ours, tuple(x), tuple(t))[1], slope, rtol=2e-3, atol=2e-3)


@every_case
def test_gradcheck(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own check with its own step and tolerances, at 52 fraction bits."""
    monkeypatch.setattr(op_cases, "SPEC", "58,6,3")
    x = [v.requires_grad_() for v in case.tensors(12)]
    assert torch.autograd.gradcheck(case.ours, x, check_forward_ad=True)


@every_case
def test_vmap_is_a_loop(case: Case) -> None:
    x = case.tensors(5, 3)
    looped = torch.stack([case.ours(*(v[i] for v in x)) for i in range(3)])
    assert torch.equal(vmap(case.ours)(*x).nan_to_num(7.0), looped.nan_to_num(7.0))
    if len(x) > 1:  # only the last has a batch, which is not its first axis
        dims = (*[None] * (len(x) - 1), -1)
        some = [v[0] for v in x[:-1]]
        found = vmap(case.ours, in_dims=dims)(*some, x[-1].movedim(0, -1))
        assert torch.equal(found, torch.stack([case.ours(*some, v) for v in x[-1]]))


@some_cases
def test_gradients_of_each_sample(case: Case) -> None:
    """vmap of grad, and of jvp."""
    x, t = case.tensors(6, 2), case.tensors(7, 2)

    def loss(*v: Tensor) -> Tensor:
        return case.ours(*v).sum()

    found = vmap(grad(loss))(*x)
    assert torch.equal(found, torch.stack([grad(loss)(*(v[i] for v in x)) for i in range(2)]))

    def tangent(v: Any, d: Any) -> Tensor:
        return jvp(case.ours, tuple(v), tuple(d))[1]

    looped = [tangent([v[i] for v in x], [d[i] for d in t]) for i in range(2)]
    assert torch.equal(vmap(tangent)(x, t), torch.stack(looped))


@some_cases
def test_gradient_of_a_batch(case: Case) -> None:
    """grad of vmap: operands without a batch get one exact sum, as without vmap."""
    x = case.tensors(8, 2)
    shared = [v[0] for v in x[1:]]

    def loss(*v: Tensor) -> Tensor:
        return vmap(lambda a: case.ours(a, *v))(x[0]).sum()

    def twin(*v: Tensor) -> Tensor:
        return torch.stack([case.twin(a, *v) for a in x[0]]).sum()

    for i in range(len(shared)):
        ours = grad(loss, argnums=i)(*shared)
        assert of_posits(ours)
        close(ours, grad(twin, argnums=i)(*shared), case)


def test_padding_of_an_embedding_does_not_learn() -> None:
    """No gradient and, unlike in torch, no tangent either."""
    (w,), (t,) = (next(c for c in CASES if c.name == "embedding").tensors(seed) for seed in (1, 2))

    def ours(v: Tensor) -> Tensor:
        return ops.embedding(PLACES, v, 1, spec=SPEC)

    assert torch.equal(ours(w), w[PLACES])
    (found,) = gradients(ours, [w], 0)
    assert torch.equal(found, gradients(lambda v: F.embedding(PLACES, v, 1), [w], 0)[0])
    still = (PLACES == 1)[..., None]
    assert torch.equal(jvp(ours, (w,), (t,))[1], torch.where(still, 0.0, t[PLACES]))


@some_cases
def test_compiled_bits_are_eager_bits(case: Case) -> None:
    torch._dynamo.reset()
    x = case.tensors(9)
    compiled = torch.compile(case.ours, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*x), case.ours(*x))
    for a, b in zip(gradients(compiled, x, 0), gradients(case.ours, x, 0), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["linear", "softmax mask", "gelu"])
def test_compiled_forward_mode_is_refused(name: str) -> None:
    torch._dynamo.reset()
    case = next(c for c in CASES if c.name == name)
    x = tuple(case.tensors(1))

    @torch.compile(fullgraph=True, backend="aot_eager")
    def tangent(*v: Tensor) -> Tensor:
        return jvp(case.ours, v, v)[1]

    with pytest.raises(Exception, match="forward-mode derivatives do not compile"):
        tangent(*x)


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
def test_an_element_is_the_same_anywhere(case: Case) -> None:
    """In a vector, in its tail, alone, in any order: values and gradients."""
    (x,) = case.tensors(10)
    order = torch.randperm(x.numel(), generator=torch.Generator().manual_seed(1))
    value, (slope,) = case.ours(x), gradients(lambda v: case.ours(v).sum(), [x], 0)
    assert torch.equal(case.ours(x[order]), value[order])
    for part in (slice(1, None), slice(5, 6), slice(None, None, 3)):
        assert torch.equal(case.ours(x[part]), value[part])
        (cut,) = gradients(lambda v: case.ours(v).sum(), [x[part]], 0)
        assert torch.equal(cut, slope[part])


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "linear", "matmul", "conv2d"])
def test_a_sample_is_the_same_in_any_batch(name: str) -> None:
    case = next(c for c in CASES if c.name.startswith(name) and len(c.shapes[0]) >= 3)
    x, *rest = case.tensors(11)
    wide = torch.cat([x, x.flip(0), x])
    if name == "conv2d":
        assert x.dim() == 4
    found = case.ours(wide, *rest)
    assert torch.equal(found[: len(x)], case.ours(x, *rest))
    assert torch.equal(found[-1:], case.ours(x[-1:], *rest))
