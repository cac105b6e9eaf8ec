"""Every module that convert_ knows: torch's own values and gradients within a wide format."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from posit import bposit16, bposit32
from torch_bridge import _supported, ops
from torch_bridge.convert import convert_
from torch_bridge.mode import UnsupportedOp
from torch_bridge.streams import stream

LINE, PLANE = (2, 6, 8), (2, 6, 4, 8)

MODULES: list[tuple[nn.Module, tuple[int, ...]]] = [
    *((m, LINE) for m in (
        nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Tanh(),
        nn.ELU(0.5), nn.CELU(0.5), nn.SELU(), nn.LeakyReLU(0.125), nn.PReLU(), nn.PReLU(6),
        nn.Mish(), nn.GLU(1), nn.Hardtanh(-0.5, 0.25), nn.Hardsigmoid(), nn.Hardswish(),
        nn.Softplus(2.0), nn.Softsign(), nn.Tanhshrink(), nn.Threshold(0.25, -1.0),
        nn.LogSigmoid(), nn.Softmax(1), nn.Softmin(-1), nn.LogSoftmax(-1), nn.Dropout(0.0),
        nn.Identity(), nn.Flatten(), nn.Unflatten(1, (2, 3)), nn.Linear(8, 3), nn.LayerNorm(8),
        nn.RMSNorm(8), nn.GroupNorm(3, 6), nn.InstanceNorm1d(6, affine=True), nn.BatchNorm1d(6),
        nn.Conv1d(6, 4, 3, padding=1), nn.Conv1d(6, 4, 4, padding="same", dilation=2),
        nn.Conv1d(6, 4, 3, padding="valid"), nn.Conv1d(6, 6, 3, padding=2, padding_mode="circular"),
        nn.MaxPool1d(2), nn.AvgPool1d(3, 2, 1), nn.AdaptiveAvgPool1d(2), nn.AdaptiveMaxPool1d(4),
        nn.ZeroPad1d(2), nn.ConstantPad1d(1, 0.5), nn.ReflectionPad1d(2), nn.ReplicationPad1d(2),
    )),
    *((m, PLANE) for m in (
        nn.Softmax2d(), nn.InstanceNorm2d(6), nn.BatchNorm2d(6), nn.Conv2d(6, 3, 3, padding="same"),
        nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, None)), nn.AdaptiveMaxPool2d(2),
        nn.Upsample(scale_factor=2), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 0.5),
        nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.PixelUnshuffle(2),
    )),
    (nn.PixelShuffle(2), (2, 8, 3, 3)),
]  # fmt: skip
LOSSES: list[nn.Module] = [
    nn.MSELoss(), nn.L1Loss(reduction="sum"), nn.SmoothL1Loss(beta=0.5), nn.HuberLoss(delta=0.5),
    nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2, 0.5, 1])),
]  # fmt: skip
BY_CLASS: list[nn.Module] = [
    nn.CrossEntropyLoss(label_smoothing=0.25), nn.NLLLoss(ignore_index=2),
    nn.CrossEntropyLoss(torch.tensor([1.0, 2, 0.5, 1]), ignore_index=0),
]  # fmt: skip
ELSEWHERE = (  # tested in other files, or below
    nn.Embedding, nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell,
    nn.MultiheadAttention, nn.Transformer, nn.TransformerEncoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoder, nn.TransformerDecoderLayer, nn.Dropout1d, nn.Dropout2d, nn.Sequential,
    nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict,
)  # fmt: skip


def test_no_module_is_forgotten() -> None:
    tested = {type(m) for m, _ in MODULES} | {type(m) for m in LOSSES + BY_CLASS} | set(ELSEWHERE)
    assert tested == set(_supported.SUPPORTED)


def compare(ours: nn.Module, *inputs: Tensor, tolerance: float = 2e-6) -> None:
    ours = copy.deepcopy(ours).double()
    twin = copy.deepcopy(ours)
    convert_(ours, bposit32)
    xs = [
        [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
        for _ in range(2)
    ]
    made = [m(*x) for m, x in zip((ours, twin), xs, strict=True)]
    torch.testing.assert_close(made[0], made[1], atol=tolerance, rtol=tolerance)
    assert torch.equal(ops.fake_quant(made[0], bposit32), made[0])
    weights = torch.linspace(-1, 1, made[0].numel(), dtype=torch.float64).reshape(made[0].shape)
    for out in made:
        (out * weights).sum().backward()
    leaves = [[*x[:1], *m.parameters()] for x, m in zip(xs, (ours, twin), strict=True)]
    for p, q in zip(*leaves, strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("module", "shape"), MODULES, ids=lambda x: str(x)[:40])
def test_torch_within_rounding(module: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    x = ops.fake_quant(torch.randn(shape, dtype=torch.float64), bposit32)
    compare(module, x)
    if module.training and any(b.is_floating_point() for b in module.buffers()):
        compare(copy.deepcopy(module).eval(), x)


@pytest.mark.parametrize("loss", LOSSES + BY_CLASS, ids=str)
def test_losses(loss: nn.Module) -> None:
    torch.manual_seed(2)
    x = torch.randn(5, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 1]) if loss in BY_CLASS else torch.rand(5, 4).double()
    compare(loss, x, y)


def test_embedding_with_padding() -> None:
    layer = nn.Embedding(6, 3, padding_idx=-2)
    places = torch.tensor([[1, 4, 1], [0, 4, 5]])
    twin = copy.deepcopy(layer)
    convert_(layer, bposit32)
    layer(places).sum().backward()
    twin(places).sum().backward()
    assert torch.equal(layer.weight.grad, twin.weight.grad.double())
    assert not layer.weight.grad[4].any()
    with pytest.raises(IndexError, match="6 into 6 rows"):
        layer(torch.tensor([6]))


@pytest.mark.parametrize("axes", [1, 2])
def test_dropout_of_channels(axes: int) -> None:
    layer = (nn.Dropout1d, nn.Dropout2d)[axes - 1](0.5)
    convert_(layer, bposit16)
    x = torch.ones(8, 5, *[3] * axes)
    with stream(1, 2):
        whole = layer(x)
    assert set(whole.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(whole, whole[(..., *[slice(0, 1)] * axes)].expand_as(whole))
    with stream(1, 2, torch.arange(3, 8)):
        assert torch.equal(layer(x[3:]), whole[3:])
    with stream(1, 2), pytest.raises(ValueError, match=r"must be \(N, C"):
        layer(x[0])
    assert torch.equal(layer.eval()(x), x.double())


REFUSED: list[tuple[nn.Module, str]] = [
    (nn.Bilinear(2, 2, 2), "a Bilinear, which has no posit form"),
    (nn.Conv3d(1, 1, 1), "Conv3d"), (nn.ConvTranspose1d(1, 1, 1), "ConvTranspose1d"),
    (nn.EmbeddingBag(3, 2), "EmbeddingBag"), (nn.AlphaDropout(), "AlphaDropout"),
    (nn.SyncBatchNorm(2), "SyncBatchNorm"), (nn.KLDivLoss(), "KLDivLoss"),
    (nn.DataParallel(nn.Linear(2, 2)), "DataParallel"),
    (nn.Embedding(3, 2, max_norm=1.0), "max_norm=1.0"),
    (nn.Embedding(3, 2, sparse=True), "sparse=True"),
    (nn.MultiheadAttention(2, 1, add_bias_kv=True), "bias_k=a tensor"),
    (nn.MultiheadAttention(2, 1, add_zero_attn=True), "add_zero_attn=True"),
    (nn.MaxPool1d(2, dilation=2), "dilation=2"), (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode"),
    (nn.MaxPool2d(2, return_indices=True), "return_indices"),
    (nn.AvgPool1d(2, count_include_pad=False), "count_include_pad=False"),
    (nn.AvgPool2d(2, divisor_override=3), "divisor_override=3"),
    (nn.Upsample(2, mode="bilinear"), "mode=.bilinear."),
    (nn.InstanceNorm1d(2, track_running_stats=True), "track_running_stats=True"),
    (nn.LazyLinear(3), "weight has no shape yet"),
    (nn.Linear(3, 3, device="meta"), "weight is on the meta device, without values"),
    (parametrizations.weight_norm(nn.Linear(2, 2)), "weight is computed by a param"),
    (parametrizations.spectral_norm(nn.Linear(2, 2)), "remove_parametrizations first"),
    (prune.random_unstructured(nn.Linear(2, 2), "weight", 0.5), "by a hook, Random"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize(("module", "match"), REFUSED, ids=lambda x: str(x)[:30])
def test_what_has_no_posit_form_is_named(module: nn.Module, match: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), module)
    before = [*model.parameters()]
    with pytest.raises(UnsupportedOp, match=rf"^1 is .*{match}.*overrides=\{{'1': None\}}"):
        convert_(model)
    assert [id(p) for p in model.parameters()] == [id(p) for p in before]
    assert "forward" not in model.__dict__
    convert_(model, overrides={"1": None})
