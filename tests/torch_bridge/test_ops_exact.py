"""What is said to be rounded once is: against quire and exact fractions, in several formats."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, standard
from torch_bridge import ops

SPECS = [bposit8, bposit16, bposit32, PositSpec(16, 3, 2), standard(16)]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def numbers(spec: PositSpec, *shape: int, seed: int = 0) -> Tensor:
    """Posits of all magnitudes near 1, and some far away, so that sums cancel and round."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * 2.0 ** rng.integers(-3, 4, shape)
    far = rng.random(shape) < 0.1
    x = np.where(far, x * 2.0 ** rng.integers(-spec.reach, spec.reach, shape), x)
    return ops.fake_quant(torch.from_numpy(x), spec)


def bits(x: Tensor, spec: PositSpec) -> np.ndarray:
    """Patterns of a tensor that holds posits, and nothing else."""
    found = posit.encode(x.detach().numpy(), spec)
    assert np.array_equal(posit.decode(found, spec), x.detach().numpy(), equal_nan=True)
    return found


def fractions(x: Tensor) -> np.ndarray:
    return np.vectorize(Fraction, otypes=[object])(x.detach().numpy())


def rounded(x: np.ndarray, spec: PositSpec) -> Tensor:
    """Exact fractions, each rounded once by the reference."""
    found = [posit.reference.encode(v, spec) for v in np.ravel(x)]
    made = np.array(found, spec.storage).reshape(np.shape(x))
    return torch.from_numpy(np.asarray(posit.decode(made, spec)))


def same(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == torch.float64
    assert torch.equal(found.detach(), expected)


@every_spec
def test_linear(spec: PositSpec) -> None:
    """Forward and all three gradients."""
    x, w, b = numbers(spec, 2, 5, 7), numbers(spec, 4, 7, seed=1), numbers(spec, 4, seed=2)
    g = numbers(spec, 2, 5, 4, seed=3)
    leaves = [v.clone().requires_grad_() for v in (x, w, b)]
    y = ops.linear(*leaves, spec=spec)
    y.backward(g)
    fx, fw, fb, fg = (fractions(v) for v in (x, w, b, g))
    same(y, rounded(fx @ fw.T + fb, spec))
    same(leaves[0].grad, rounded(fg @ fw, spec))
    rows, slopes = fx.reshape(-1, 7), fg.reshape(-1, 4)
    same(leaves[1].grad, rounded(slopes.T @ rows, spec))
    same(leaves[2].grad, rounded(slopes.sum(0), spec))


@every_spec
def test_linear_is_quire_matmul(spec: PositSpec) -> None:
    """At a size that takes the fast routes."""
    x, w, b = numbers(spec, 33, 40), numbers(spec, 20, 40, seed=1), numbers(spec, 20, seed=2)
    made = quire.matmul(bits(x, spec), bits(w, spec).T, spec, add=bits(b, spec))
    assert np.array_equal(bits(ops.linear(x, w, b, spec=spec), spec), made)


@every_spec
def test_broadcast_gradients_are_one_sum(spec: PositSpec) -> None:
    """A matrix shared by a batch, a scalar shared by all elements."""
    a, b = numbers(spec, 3, 2, 4), numbers(spec, 4, 5, seed=1).requires_grad_()
    g = numbers(spec, 3, 2, 5, seed=2)
    ops.matmul(a, b, spec=spec).backward(g)
    exact = fractions(a).reshape(6, 4).T @ fractions(g).reshape(6, 5)
    same(b.grad, rounded(exact, spec))
    s = numbers(spec, 1, 4, seed=3).requires_grad_()
    ops.mul(a[0], s, spec=spec).backward(a[1])
    same(s.grad, rounded((fractions(a[0]) * fractions(a[1])).sum(0)[None], spec))


def slow_conv(  # type: ignore[no-untyped-def]
    x: np.ndarray, w: np.ndarray, *, stride: int, padding: int, dilation: int, groups: int
):
    """The definition over one spatial axis: indices of output, input and weight of each product."""
    count, _, length = x.shape
    outputs, per_group, taps = w.shape
    places = (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    for n, o, t, c, k in product(*map(range, (count, outputs, places, per_group, taps))):
        i = t * stride + k * dilation - padding
        if 0 <= i < length:
            yield (n, o, t), (n, o // (outputs // groups) * per_group + c, i), (o, c, k)


@every_spec
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (3, 4, 2, 1)]
)
def test_conv(spec: PositSpec, stride: int, padding: int, dilation: int, groups: int) -> None:
    x, w = numbers(spec, 2, 4, 9), numbers(spec, 6, 4 // groups, 3, seed=1)
    b = numbers(spec, 6, seed=2)
    leaves = [v.clone().requires_grad_() for v in (x, w, b)]
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = ops.conv1d(*leaves, **how, spec=spec)
    g = numbers(spec, *y.shape, seed=3)
    y.backward(g)
    fx, fw, fb, fg = (fractions(v) for v in (x, w, b, g))
    out = np.zeros(y.shape, object) + fb[:, None]
    dx, dw = np.zeros(x.shape, object), np.zeros(w.shape, object)
    for at, i, k in slow_conv(fx, fw, **how):
        out[at] += fx[i] * fw[k]
        dx[i] += fg[at] * fw[k]
        dw[k] += fg[at] * fx[i]
    same(y, rounded(out, spec))
    same(leaves[0].grad, rounded(dx, spec))
    same(leaves[1].grad, rounded(dw, spec))
    same(leaves[2].grad, rounded(fg.sum((0, 2)), spec))


def test_conv2d_is_quire_conv() -> None:
    spec = bposit16
    x, w, b = numbers(spec, 3, 4, 11, 10), numbers(spec, 8, 2, 3, 2, seed=1), numbers(spec, 8)
    how = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    made = quire.conv(bits(x, spec), bits(w, spec), spec, bias=bits(b, spec), **how)
    assert np.array_equal(bits(ops.conv2d(x, w, b, **how, spec=spec), spec), made)


@every_spec
@pytest.mark.parametrize("count", [1, 2, 3, 7, 10**6 + 3, 2**40 + 1])
def test_quotients_by_counts(spec: PositSpec, count: int) -> None:
    x = numbers(spec, 300)
    exact = fractions(x)
    same(ops.per(x, count, times=3, spec=spec), rounded(exact * 3 / count, spec))


def test_counts_of_zero_give_nan() -> None:
    found = ops.per(torch.ones(3), torch.tensor([0, 1, 2]), spec="bposit16")
    assert torch.equal(found.isnan(), torch.tensor([True, False, False]))


@every_spec
def test_quotients_near_ties(spec: PositSpec) -> None:
    """Odd multiples of half a unit times the count, over the count: ties and their neighbours."""
    rng = np.random.default_rng(3)
    one = posit.to_fraction(spec.one, spec)
    for count in (3, 5, 6, 48, 1023):
        at = spec.one + rng.integers(-60, 60, 200)
        x = [posit.to_fraction(int(p), spec) * count for p in at]
        x = rounded(np.array(x, object), spec)
        same(ops.per(x, count, spec=spec), rounded(fractions(x) / count, spec))
        same(ops.per(x, 2 * count, spec=spec), rounded(fractions(x) / (2 * count), spec))
    assert one == 1


@every_spec
def test_means(spec: PositSpec) -> None:
    x = numbers(spec, 5, 6, 7)
    f = fractions(x)
    same(ops.mean(x, (0, 2), spec=spec), rounded(f.sum((0, 2)) / 35, spec))
    same(ops.mean(x, 1, count=100, spec=spec), rounded(f.sum(1) / 100, spec))
    same(ops.mean_square(x, (0, 1), spec=spec), rounded((f * f).sum((0, 1)) / 30, spec))
    same(ops.mean_square(x, 2, count=9, spec=spec), rounded((f * f).sum(2) / 9, spec))
    where = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(0)) < 0.6
    kept = np.where(where.numpy(), f, Fraction(0))
    some = where.numpy().sum(1)
    exact = kept.sum(1) / np.vectorize(Fraction, otypes=[object])(np.maximum(some, 1))
    found = ops.mean(x, 1, where=where, spec=spec)
    same(found[torch.from_numpy(some > 0)], rounded(exact[some > 0], spec))
    same(ops.mean(x, 1, where=where, count=50, spec=spec), rounded(kept.sum(1) / 50, spec))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@every_spec
def test_dot_and_its_tangent(spec: PositSpec) -> None:
    a, b, da, db = (numbers(spec, 3, 5, seed=s) for s in range(4))
    with torch.autograd.forward_ad.dual_level():
        dual = [torch.autograd.forward_ad.make_dual(*pair) for pair in ((a, da), (b, db))]
        found = torch.autograd.forward_ad.unpack_dual(ops.dot(*dual, spec=spec))
    fa, fb, ga, gb = (fractions(v) for v in (a, b, da, db))
    same(found.primal, rounded((fa * fb).sum(1), spec))
    same(found.tangent, rounded((ga * fb + fa * gb).sum(1), spec))


@every_spec
@pytest.mark.parametrize("length", [1, 8, 12])
def test_softmax_rounds_the_difference_the_exponential_and_the_quotient(
    spec: PositSpec, length: int
) -> None:
    x = ops.fake_quant(numbers(spec, 40, length).clamp(-30, 30), spec)
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    top = np.where(mask.numpy(), x.numpy(), -np.inf).max(1, keepdims=True)
    less = posit.sub(bits(x, spec), posit.encode(np.maximum(top, -40), spec), spec)
    raised = fractions(torch.from_numpy(posit.decode(posit.functions.exp(less, spec), spec)))
    kept = np.where(mask.numpy(), raised, Fraction(0))
    total = kept.sum(1, keepdims=True)
    exact = np.where(total == 0, Fraction(0), kept / np.where(total == 0, Fraction(1), total))
    same(ops.softmax(x, mask=mask, spec=spec), rounded(exact, spec))


@every_spec
@pytest.mark.parametrize("length", [1, 3, 16, 70])
def test_layer_norm_subtracts_the_exact_mean(spec: PositSpec, length: int) -> None:
    rng = np.random.default_rng(length)
    x = numbers(spec, 40, length)
    whole = ops.fake_quant(torch.from_numpy(rng.integers(-9, 9, x.shape) * 1.0), spec)
    for v in (x, whole, torch.ones_like(x)):
        f = fractions(v)
        found = torch.ops.bposit.centre(v, [1], str(spec)[1:-1])
        same(found, rounded(f - f.sum(1, keepdims=True) / length, spec))


@every_spec
def test_norms_round_as_they_say(spec: PositSpec) -> None:
    x, w, b = numbers(spec, 6, 5), numbers(spec, 5, seed=1), numbers(spec, 5, seed=2)
    f, eps = fractions(x), rounded(np.array(Fraction(1, 64)), spec).numpy()
    for centre in (True, False):
        moved = f - f.sum(1, keepdims=True) / 5 if centre else f
        square = (moved * moved).sum(1) / 5
        wide = posit.add(bits(rounded(square, spec), spec), posit.encode(eps, spec), spec)
        root = posit.functions.r_sqrt(wide, spec)[:, None]
        z = posit.mul(bits(rounded(moved, spec), spec), root, spec)
        if centre:
            y = posit.fma(z, bits(w, spec), bits(b, spec), spec)
            found = ops.layer_norm(x, 5, w, b, 1 / 64, spec=spec)
        else:
            y = posit.mul(z, bits(w, spec), spec)
            found = ops.rms_norm(x, 5, w, 1 / 64, spec=spec)
        assert np.array_equal(bits(found, spec), y)


@every_spec
def test_a_row_of_an_embedding_gets_one_sum(spec: PositSpec) -> None:
    places = torch.tensor([3, 1, 3, 3, 0, 1, 3])
    w, g = numbers(spec, 5, 4).requires_grad_(), numbers(spec, 7, 4, seed=1)
    ops.embedding(places, w, spec=spec).backward(g)
    exact, f = np.zeros((5, 4), object), fractions(g)
    np.add.at(exact, places.numpy(), f)
    same(w.grad, rounded(exact + Fraction(0), spec))


@every_spec
def test_pooling(spec: PositSpec) -> None:
    """Overlapping windows: gradients are one sum each element."""
    x = numbers(spec, 3, 11)
    f = fractions(x)
    padded = np.pad(f, [(0, 0), (1, 1)], constant_values=Fraction(0))
    places = range(0, 11, 2)
    for ours, weight in ((ops.avg_pool1d, Fraction(1, 3)), (ops.max_pool1d, None)):
        v = x.clone().requires_grad_()
        y = ours(v, 3, 2, 1, spec=spec)
        g = numbers(spec, *y.shape, seed=1)
        y.backward(g)
        gradient = np.zeros((3, 13), object)
        for row, (t, start) in product(range(3), enumerate(places)):
            window = list(range(start, start + 3))
            if weight:
                expected, at = padded[row, window].sum() * weight, window
            else:
                at = [max((i for i in window if 0 < i < 12), key=lambda i: (padded[row, i], -i))]
                expected = padded[row, at[0]]
            assert y[row, t].item() == rounded(np.array(expected), spec).item()
            for i in at:
                gradient[row, i] += Fraction(g[row, t].item()) * (weight or 1)
        same(v.grad, rounded(gradient[:, 1:-1] + Fraction(0), spec))


@every_spec
def test_losses(spec: PositSpec) -> None:
    logs, target = numbers(spec, 6, 4), torch.tensor([0, 3, -100, 1, 2, 3])
    f = [-Fraction(logs[i, t].item()) for i, t in enumerate(target.tolist()) if t >= 0]
    same(ops.nll_loss(logs, target, spec=spec), rounded(np.array(sum(f) / 5), spec))
    same(ops.nll_loss(logs, target, count=64, spec=spec), rounded(np.array(sum(f) / 64), spec))
    same(ops.nll_loss(logs, target, reduction="sum", spec=spec), rounded(np.array(sum(f)), spec))


def test_parts_of_a_batch_have_its_gradients() -> None:
    """With count= the size of the whole, each sample's gradient is the same in any part."""
    spec = bposit16
    x, target = numbers(spec, 12, 5), torch.arange(12) % 5
    whole = x.clone().requires_grad_()
    ops.cross_entropy(whole, target, spec=spec).backward()
    for part in (slice(0, 5), slice(5, 6), slice(6, 12)):
        v = x[part].clone().requires_grad_()
        ops.cross_entropy(v, target[part], count=12, spec=spec).backward()
        assert torch.equal(v.grad, whole.grad[part])
