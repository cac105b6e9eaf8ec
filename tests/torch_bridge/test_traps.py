"""The traps met with posits in PyTorch, one test each. Other files look closer at most of them."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch._functorch.aot_autograd import aot_module_simplified
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.func import jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

import posit
import quire
import torch_bridge as tb
from posit import bposit16, bposit32
from torch_bridge import gradients, ops
from torch_bridge.optim import PositSGD

pytestmark = pytest.mark.filterwarnings(  # torch's own, of its own code
    "ignore:.*torch.jit.script:DeprecationWarning",
    "ignore:.*should not be instantiated:DeprecationWarning",
)


def values(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def model(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(*(layers or (nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))))
    tb.convert_(made)
    return made


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


MOVES = {
    f"aten.{name}"
    for name in (
        "transpose.int", "permute.default", "t.default", "view.default", "_unsafe_view.default",
        "reshape.default",
    )
}  # fmt: skip


def graph_of(function: Callable[..., Any], *inputs: Tensor) -> torch.fx.GraphModule:
    """What torch.compile lowers the function to, after its own decompositions."""
    torch._dynamo.reset()
    found: list[Any] = []

    def keep(lowered: Any, given: Any) -> Any:
        found.append(lowered)
        return lowered

    def backend(graph: Any, given: Any) -> Any:
        return aot_module_simplified(graph, given, fw_compiler=keep)

    torch.compile(function, fullgraph=True, backend=backend)(*inputs)
    (made,) = found
    return made  # type: ignore[no-any-return]


def test_trap_01_a_dtype_swapped_under_posits() -> None:
    converted = model()
    tensors = nn.Module()
    tensors.w = nn.Parameter(tb.tensor(values(3), spec=bposit16))
    for module in (converted, tensors):
        before = copy.deepcopy([*module.parameters()])
        for cast in (module.half, module.bfloat16, lambda m=module: m.to(torch.float32)):
            with pytest.raises((TypeError, RuntimeError)):
                cast()
        for p, old in zip(module.parameters(), before, strict=True):
            assert p.dtype == torch.float64
            assert p.spec == bposit16  # type: ignore[attr-defined]
            assert torch.equal(p, old)


def score(x: Tensor) -> Tensor:
    return ops.softmax(ops.gelu(ops.exp(x, spec=bposit16), spec=bposit16), spec=bposit16)


def test_trap_02_tables_stay_inside_opaque_ops() -> None:
    """A table met by Dynamo would be an attribute of the graph, or break it under fake tensors."""
    graph = graph_of(score, values(4, 5))
    assert not [n for n in graph.graph.nodes if n.op == "get_attr"]
    assert not [*graph.buffers()]
    with torch._subclasses.FakeTensorMode() as mode:
        assert score(mode.from_tensor(values(4, 5))).shape == (4, 5)


def test_trap_03_the_codec_is_not_inlined() -> None:
    for function in (score, lambda x: tb.tensor(x, spec=bposit16).exp().double()):
        nodes = graph_of(function, values(4, 5)).graph.nodes
        called = [str(n.target) for n in nodes if n.op == "call_function"]
        assert len([name for name in called if name.startswith("bposit.")]) == 3
        assert {name for name in called if not name.startswith("bposit.")} <= MOVES


def test_trap_04_in_place_list_operations_give_none() -> None:
    xs = [tb.tensor([1.0, 2.0], spec=bposit16)]
    for made in (
        torch.ops.aten._foreach_add_.Scalar(xs, 1), torch.ops.aten._foreach_mul_.Scalar(xs, 2),
        torch.ops.aten._foreach_zero_(xs), torch.ops.aten._foreach_add_.List(xs, xs),
    ):  # fmt: skip
        assert made is None
    p = nn.Parameter(tb.tensor([1.0], spec=bposit32))
    for options in ({"foreach": True}, {"fused": True}):
        p.grad = tb.tensor([0.5], spec=bposit32)
        torch.optim.SGD([p], lr=0.5, **options).step()  # type: ignore[arg-type]
    assert p.item() == 0.5


def test_trap_05_ways_to_numpy_and_lists() -> None:
    x = tb.tensor([1.5, -2.0], spec=bposit16)
    assert x.numpy().dtype == posit.dtype(bposit16)
    assert np.asarray(x).tolist() == x.tolist() == [1.5, -2.0]
    assert model()(values(3, 4)).detach().numpy().dtype == np.float64


def test_trap_06_plain_models_do_not_swallow_posits() -> None:
    plain = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    before = copy.deepcopy(plain.state_dict())
    with pytest.raises(RuntimeError, match="would write posits of <16,6,5>"):
        plain.load_state_dict(model().state_dict())
    assert all(torch.equal(before[k], v) for k, v in plain.state_dict().items())
    with pytest.raises(ValueError, match="this checkpoint is not one of this converted model"):
        model().load_state_dict(before)


def test_trap_07_the_safe_loader_knows_posits() -> None:
    file = io.BytesIO()
    made = model()
    torch.save({"x": tb.tensor([0.1], spec=bposit16), "model": made.state_dict()}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert loaded["x"].spec == bposit16
    other = model()
    other.load_state_dict(loaded["model"])
    assert torch.equal(other[0].weight, made[0].weight)
    file = io.BytesIO()
    torch.save(made[0].weight, file)
    file.seek(0)
    assert torch.load(file, weights_only=True).spec == bposit16


def test_trap_08_safetensors_refuses_subclasses(tmp_path: Any) -> None:
    file = tmp_path / "m.safetensors"
    made, other = model(), model()
    with torch.no_grad():
        made[0].weight.mul_(2)
    tb.save_safetensors(made, file)
    weights = sum(p.numel() for p in made.parameters())
    assert 2 * weights < file.stat().st_size < 2 * weights + 1500
    tb.load_safetensors(file, other)
    assert torch.equal(other[0].weight, made[0].weight)


@pytest.mark.usefixtures("group")
def test_trap_09_fsdp_is_refused() -> None:
    mesh = init_device_mesh("cpu", (1,))
    tensors = nn.Linear(2, 2, bias=False)
    tensors.weight = nn.Parameter(tb.tensor(values(2, 2), spec=bposit16))
    for module in (model(), tensors):
        with pytest.raises(NotImplementedError, match="fully_shard does not support"):
            fully_shard(module, mesh=mesh)
    wrapped = model()
    wrapped.__class__ = type("FSDPSequential", (nn.Sequential,), {})  # as older ones would go on
    with pytest.raises(NotImplementedError, match="fully_shard does not support"):
        wrapped(values(3, 4))


@pytest.mark.usefixtures("group")
def test_trap_10_collectives_do_not_add_patterns() -> None:
    x = tb.tensor([1.0], spec=bposit16)
    with pytest.raises(RuntimeError, match=r"Use torch_bridge.distributed.all_reduce"):
        dist.all_reduce(x)
    assert x.item() == 1
    sums = quire.Accumulators((1,), bposit16).add(x.numpy().view(np.int16))
    tb.distributed.all_reduce([sums])
    assert posit.decode(sums.round(), bposit16) == [1.0]


class Ops(TorchDispatchMode):
    """Counts the package's ops."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "bposit":
            self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_trap_11_one_op_for_each_layer() -> None:
    """An op takes tens of microseconds, whatever is in it."""
    layers: list[tuple[nn.Module, list[str], tuple[int, ...]]] = [
        (nn.Linear(6, 4), ["matmul"], (5, 6)), (nn.GELU(), ["unary"], (5, 6)),
        (nn.Conv1d(3, 2, 3), ["conv"], (5, 3, 6)), (nn.AvgPool1d(2), ["avg_pool"], (5, 6)),
        (nn.Softmax(-1), ["softmax"], (5, 6)), (nn.LayerNorm(6), ["normalize", "fma"], (5, 6)),
        (nn.BatchNorm1d(6, track_running_stats=False), ["normalize", "fma"], (5, 6)),
    ]  # fmt: skip
    for layer, want, shape in layers:
        tb.convert_(layer)
        with Ops() as mode:
            layer(values(*shape))
        assert mode.seen == want
    attention = model(nn.MultiheadAttention(8, 2, batch_first=True))[0]
    x = values(2, 3, 8)
    with Ops() as mode:
        attention(x, x, x, need_weights=False)
    assert mode.seen == ["matmul", "matmul", "mul", "softmax", "matmul", "matmul"]


def test_trap_12_plain_rounding_drifts() -> None:
    ends = {}
    for update in ("nearest", "residue", "master", "stochastic"):
        w = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = PositSGD([w], lr=1.0, spec=bposit16, update=update)
        for _ in range(1000):
            w.grad = torch.full((1,), 1e-3, dtype=torch.float64)
            optimizer.step()
        ends[update] = w.item()
    assert ends["nearest"] == -0.2275390625
    assert all(abs(ends[update]) < 1e-4 for update in ("residue", "master"))
    assert abs(ends["stochastic"]) < 0.15


FUNCTIONS = [
    "sigmoid", "gelu", "gelu_tanh", "silu", "softplus", "exp", "tan_h", "erf", "log", "sin",
]  # fmt: skip


def test_trap_13_an_element_does_not_know_its_neighbours() -> None:
    """torch's own loops differ between vector body and tail: sigmoid in 789 of 20,000 elements."""
    x = values(20_000) * 4
    for name in FUNCTIONS:
        whole = ops.unary(x, name, spec=bposit32)
        parts = [ops.unary(p, name, spec=bposit32) for p in x.split(37)]
        assert torch.equal(torch.cat(parts).nan_to_num(9), whole.nan_to_num(9)), name
    for compose in (ops.mish, ops.elu, ops.hardswish, ops.selu):
        parts = [compose(p, spec=bposit32) for p in x.split(37)]
        assert torch.equal(torch.cat(parts), compose(x, spec=bposit32))


def test_trap_14_forward_mode_is_not_silently_zero() -> None:
    x, t = values(3, 4), values(3, 4, seed=1)
    made = model()

    def function(x: Tensor) -> Tensor:
        return made(x)  # type: ignore[no-any-return]

    tangent = jvp(function, (x,), (t,))[1]
    step = 2.0**-12
    tb.unconvert_(plain := copy.deepcopy(made), torch.float64)
    want = (plain(x + step * t) - plain(x - step * t)) / (2 * step)
    torch.testing.assert_close(tangent, want, atol=0.05, rtol=0.05)
    assert tangent.abs().min() > 0
    each = vmap(lambda a, b: jvp(function, (a[None],), (b[None],))[1][0])(x, t)
    assert torch.equal(each, tangent)
    torch._dynamo.reset()

    def compiled(x: Tensor, t: Tensor) -> Tensor:
        return jvp(lambda x: ops.gelu(x, spec=bposit16), (x,), (t,))[1]  # type: ignore[no-any-return]

    with pytest.raises(Exception, match="forward-mode derivatives do not compile"):
        torch.compile(compiled, backend="eager", fullgraph=True)(x, t)
    assert torch.equal(torch.compile(compiled, backend="eager")(x, t), compiled(x, t))


def test_trap_15_compiled_bits_are_eager_bits() -> None:
    """The compiler may change what it sees: of float arithmetic it must see nothing."""
    x = values(8, 16)

    def function(x: Tensor) -> Tensor:
        y = ops.layer_norm(score(x), 16, spec=bposit16)
        return ops.linear(ops.add(y, x, spec=bposit16), x, spec=bposit16)

    graph = graph_of(function, x)
    rest = [str(n.target) for n in graph.graph.nodes if n.op == "call_function"]
    assert {name for name in rest if not name.startswith("bposit.")} <= MOVES
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager_decomp_partition")
    assert torch.equal(compiled(x), function(x))
    assert torch.equal(torch.compile(model(), backend="aot_eager")(x[:, :4]), model()(x[:, :4]))


def test_trap_16_gradients_are_rounded_once_not_at_every_rank() -> None:
    """Ranks that round their shares before they add: other bits than one rank has."""
    x, y = values(12, 4), torch.arange(12) % 2
    found, apart = [], []
    for shares in ([12], [5, 7], [4, 4, 4]):
        made = model()
        gradients.collect(made.parameters())
        for part_x, part_y in zip(x.split(shares), y.split(shares), strict=True):
            loss = ops.cross_entropy(made(part_x), part_y, spec=bposit16, count=12)
            loss.backward()
        assert all(p.grad is None for p in made.parameters())
        found.append([gradients.rounded(p, bposit16).tolist() for p in made.parameters()])  # type: ignore[union-attr]
        other = model()
        for part_x, part_y in zip(x.split(shares), y.split(shares), strict=True):
            ops.cross_entropy(other(part_x), part_y, spec=bposit16, count=12).backward()
        apart.append([ops.encode(p.grad, bposit16).tolist() for p in other.parameters()])  # type: ignore[arg-type]
    assert found[0] == found[1] == found[2]
    assert not apart[0] == apart[1] == apart[2]


@pytest.mark.usefixtures("group")
def test_trap_17_what_gloo_takes() -> None:
    """Its sums take no int16, so digits travel as int64."""
    with pytest.raises((RuntimeError, ValueError)):
        dist.all_reduce(torch.ones(2, dtype=torch.int16))
    sent: list[torch.dtype] = []
    real = dist.all_reduce

    def watch(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        sent.append(x.dtype)
        return real(x, *args, **kwargs)

    w = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    gradients.of(w, bposit16).add(posit.encode([1.0, 2.0], bposit16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_reduce", watch)
        tb.distributed.all_reduce_gradients([w])
    assert sent
    assert set(sent) <= {torch.int64, torch.uint8}


def test_trap_18_zeros_of_relu_do_not_reach_the_quire() -> None:
    """dW = gᵀ·h where many sums are of zeros alone: no relative bound decides these."""
    draw = np.random.default_rng(0)
    h, g = np.maximum(draw.normal(size=(128, 256)), 0), draw.normal(size=(128, 64))
    h[::2, :64] = 0  # units that are active on other samples than
    g[1::2, :16] = 0  # those whose errors come to these outputs
    a, b = (posit.encode(v, bposit16) for v in (g.T, h))
    stats: dict[str, int] = {}
    made = quire.matmul(a, b, bposit16, stats=stats)
    zeros = 16 * 64
    assert (made[:16, :64] == 0).all()
    assert sum(stats.values()) == made.size
    assert made.size - stats["norms"] >= zeros  # the bound by norms leaves them
    assert stats.get("quire", 0) + stats.get("slices", 0) < zeros // 10  # to a cheap second tier
    for i, j in ((0, 0), (0, 100), (63, 3), (20, 255)):
        assert made[i, j] == quire.dot(a[i], b[:, j], bposit16)
