"""torch.compile and torch.export: the bits of eager mode, because all arithmetic is opaque."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._functorch.aot_autograd import aot_module_simplified
from torch.library import opcheck

import torch_bridge as tb
from posit import bposit16, bposit32
from torch_bridge._tensor import kernels

pytestmark = pytest.mark.filterwarnings(  # torch's own, of its own code
    "ignore:`torch.jit.script:DeprecationWarning",
    "ignore:.*should not be instantiated:DeprecationWarning",
)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def sample(*shape: int, seed: int = 0, spec: Any = bposit16) -> tb.PositTensor:
    values = np.random.default_rng(seed).normal(size=shape)
    return tb.tensor(values, spec=spec)


def score(x: Any, y: Any) -> Any:
    z = torch.tanh(x @ y.mT) * 3 + x.sum(1, keepdim=True) / 7
    z = torch.where(z > 0.5, z.exp(), 0.0) - x.mean() / (y.abs() + 1).log().sum()
    z = torch.cat([z, z[:, [0, 0]]], 1)
    return z.norm() + z.max() + z.relu().sum()


def inverse(x: Any, y: Any) -> Any:
    return 3 / x - y.sqrt() / 2


def mutate(x: Any, y: Any) -> Any:
    z = x.clone()
    z[0] = y[1]
    z.mul_(2)
    z[z > 1] = 0.25
    return z.sort(1)[0], z.argmax(), z.t().contiguous()


@pytest.mark.parametrize("function", [score, inverse, mutate])
@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_compiled_bits_are_eager_bits(function: Callable[..., Any], spec: Any) -> None:
    x, y = sample(6, 6, spec=spec), sample(6, 6, seed=1, spec=spec)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    made, want = compiled(x, y), function(x, y)
    for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (made, want)), strict=True):
        assert type(a) is type(b)
        assert torch.equal(a, b)
    assert torch.equal(x, sample(6, 6, spec=spec))


def test_inductor_gives_the_bits_of_eager_mode() -> None:
    """Trap 15: stock exp and softmax change bits under torch.compile."""
    xs = [sample(6, 6).requires_grad_() for _ in range(2)]
    y = sample(6, 6, seed=1)
    compiled = torch.compile(score, fullgraph=True)
    values = [f(x, y) for f, x in zip((compiled, score), xs, strict=True)]
    assert torch.equal(values[0].bits(), values[1].bits())
    for value in values:
        value.backward()
    assert torch.equal(xs[0].grad.bits(), xs[1].grad.bits())  # type: ignore[union-attr]


def test_gradients_compile() -> None:
    x, y = sample(5, 4), sample(5, 4, seed=1)
    function = torch.func.grad(lambda a, b: (a * b).exp().mean() + (a @ b.mT).sum())
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, y), function(x, y))
    batched = torch.vmap(lambda a: (a * a).sum())
    compiled = torch.compile(batched, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), batched(x))


def test_arguments_are_written_and_views_are_views() -> None:
    def double(x: Any) -> Any:
        x.mul_(2)
        return x.view(-1)

    x = sample(3, 4)
    want = x * 2
    made = torch.compile(double, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(x, want)
    made[0] = 5
    assert x[0, 0] == 5


def test_tangents_compile() -> None:
    """Trap 14: of posits they are torch's own formulas, and right; the gates refuse them."""

    def inside(x: Any, t: Any) -> Any:
        return torch.func.jvp(lambda a: (a * a.exp()).sum(), (x,), (t,))

    x, t = sample(4), sample(4, seed=1)
    made = torch.compile(inside, fullgraph=True, backend="aot_eager")(x, t)
    assert [v.bits().item() for v in made] == [v.bits().item() for v in inside(x, t)]
    assert made[1].item() != 0

    def through(x: Any) -> Any:
        return torch.func.jvp(lambda a: tb.tensor(a, spec=bposit16) ** 2, (x,), (x,))

    assert through(torch.ones(2))[1].tolist() == [2, 2]
    with pytest.raises(Exception, match=r"Observed exception|forward-mode"):
        torch.compile(through, fullgraph=True, backend="aot_eager")(torch.ones(2))


def test_gates_compile() -> None:
    def function(x: Any, y: Any) -> Any:
        z = tb.tensor(x * 0.1, spec=bposit16)
        return (z * y).double() + tb.tensor(z, spec=bposit32).double()

    x = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    grads = []
    for f in (compiled, function):
        leaf = x.clone().requires_grad_()
        made = f(leaf, sample(5))
        made.sum().backward()
        grads.append((made.detach(), leaf.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    assert torch.equal(grads[0][1], grads[1][1])


def test_graphs_hold_no_float_arithmetic() -> None:
    """Traps 2 and 3: neither tables nor the codec are inlined; one opaque op per operation."""
    seen: list[str] = []

    def look(graph: Any, inputs: Any) -> Any:
        def inner(lowered: Any, given: Any) -> Any:
            seen.extend(str(n.target) for n in lowered.graph.nodes if n.op == "call_function")
            assert all(
                v.dtype in (torch.int16, torch.bool, torch.int64)
                for n in lowered.graph.nodes
                if isinstance(v := n.meta.get("val"), torch.Tensor)
            )
            return lowered

        return aot_module_simplified(graph, inputs, fw_compiler=inner)

    x, y = sample(4, 4), sample(4, 4, seed=1)
    torch.compile(lambda a, b: (a @ b).exp() * 2 + b.sum(), fullgraph=True, backend=look)(x, y)
    opaque = [name for name in seen if name.startswith("bposit.")]
    assert opaque == [
        "bposit.patterns_product.default", "bposit.patterns_apply.default",
        "bposit.patterns_apply.default", "bposit.patterns_reduce.default",
        "bposit.patterns_apply.default",
    ]  # fmt: skip
    assert {name for name in seen if name not in opaque} <= {
        "aten.full.default",
        "aten.new_full.default",
    }


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(sample(3, 4, seed=2))
        self.register_buffer("b", sample(3, seed=3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.w, self.b).tanh() / 3  # type: ignore[arg-type]


def test_export() -> None:
    net, x = Net(), sample(5, 4)
    program = torch.export.export(net, (x,))
    assert torch.equal(program.module()(x), net(x))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(x), net(x))


def test_compiled_modules() -> None:
    net, x = Net(), sample(5, 4)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), net(x))
    compiled(x).sum().backward()
    made = net.w.grad
    net.w.grad = None
    net(x).sum().backward()
    assert torch.equal(made, net.w.grad)  # type: ignore[arg-type]


TEXT = "16,6,5"
CALLS: dict[str, tuple[Any, Callable[[], tuple[Any, ...]]]] = {
    "apply": (kernels.apply, lambda: ([bits(3, 1), bits(4)], "mul", TEXT)),
    "apply one": (kernels.apply, lambda: ([bits(3).expand(2, 3)], "exp", TEXT)),
    "apply none": (kernels.apply, lambda: ([bits(0, 2)], "exp", TEXT)),
    "apply number": (kernels.apply, lambda: ([bits()], "exp", TEXT)),
    "convert": (kernels.convert, lambda: (bits(3, 2), TEXT, "8,3,2")),
    "divide": (kernels.divide_whole, lambda: (bits(3, 2).mT, 7, TEXT)),
    "divide number": (kernels.divide_whole, lambda: (bits(), 7, TEXT)),
    "sum": (kernels.reduce, lambda: (bits(3, 2, 4), [0, -1], True, "sum", TEXT)),
    "mean": (kernels.reduce, lambda: (bits(3, 2), [1], False, "mean", TEXT)),
    "norm": (kernels.reduce, lambda: (bits(3, 2, 4), [2, 0], False, "norm2", TEXT)),
    "norm of none": (kernels.reduce, lambda: (bits(3, 0), [1], True, "norm2", TEXT)),
    "product": (kernels.product, lambda: (bits(2, 3, 4), bits(4, 5), None, TEXT)),
    "product and sum": (kernels.product, lambda: (bits(3, 4), bits(4), bits(3), TEXT)),
    "dot": (kernels.product, lambda: (bits(4), bits(4), None, TEXT)),
    "add_at": (kernels.add_at, lambda: (bits(4), torch.tensor([0, 3, 0]), bits(3), TEXT)),
}


def bits(*shape: int) -> torch.Tensor:
    return sample(*shape).bits()


@pytest.mark.parametrize("name", CALLS)
def test_opcheck(name: str) -> None:
    op, arguments = CALLS[name]
    result = opcheck(op, arguments())
    assert set(result.values()) == {"SUCCESS"}
