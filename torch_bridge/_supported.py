"""Which modules have a posit form, and which of their options have none."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ._tensor import PositTensor

__all__ = ["objection"]

SUPPORTED: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding, nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell,
    nn.GRUCell, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.MultiheadAttention, nn.Transformer, nn.TransformerEncoder,
    nn.TransformerEncoderLayer, nn.TransformerDecoder, nn.TransformerDecoderLayer, nn.GELU, nn.SiLU,
    nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU, nn.PReLU,
    nn.Mish, nn.GLU, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softplus, nn.Softsign,
    nn.Tanhshrink, nn.Threshold, nn.LogSigmoid, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, nn.Flatten, nn.Unflatten, nn.PixelShuffle,
    nn.PixelUnshuffle, nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d,
    nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.MaxPool1d,
    nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss,
    nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss, nn.Sequential, nn.ModuleList,
    nn.ModuleDict, nn.ParameterList, nn.ParameterDict,
)  # fmt: skip

# Of a module, an attribute and what it may be.
_LIMITS: tuple[tuple[tuple[type[nn.Module], ...], str, tuple[Any, ...]], ...] = (
    ((nn.LSTM,), "proj_size", (0,)),
    ((nn.Embedding,), "max_norm", (None,)),
    ((nn.Embedding,), "scale_grad_by_freq", (False,)),
    ((nn.Embedding,), "sparse", (False,)),
    ((nn.MultiheadAttention,), "bias_k", (None,)),
    ((nn.MultiheadAttention,), "bias_v", (None,)),
    ((nn.MultiheadAttention,), "add_zero_attn", (False,)),
    ((nn.MaxPool1d, nn.MaxPool2d), "dilation", (1, (1,), (1, 1))),
    ((nn.MaxPool1d, nn.MaxPool2d), "ceil_mode", (False,)),
    ((nn.MaxPool1d, nn.MaxPool2d), "return_indices", (False,)),
    ((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), "return_indices", (False,)),
    ((nn.AvgPool1d, nn.AvgPool2d), "ceil_mode", (False,)),
    ((nn.AvgPool1d, nn.AvgPool2d), "count_include_pad", (True,)),
    ((nn.AvgPool2d,), "divisor_override", (None,)),
    ((nn.Upsample,), "mode", ("nearest", "nearest-exact")),
    ((nn.InstanceNorm1d, nn.InstanceNorm2d), "track_running_stats", (False,)),
)
_TORCH = ("torch.nn.", "torch.ao.", "torch.jit.", "torch.distributed.", "torch._dynamo.")


def objection(module: nn.Module, strict: bool = True) -> str:
    """Why a module itself, without those inside, has no posit form; empty if it has one.

    If not ``strict``, only what cannot be made one at all: what is unknown runs in float64.
    """
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        return f"a scripted {kind}: convert the module before it is scripted or traced"
    if parametrize.is_parametrized(module):
        names = ", ".join(module.parametrizations.keys())  # type: ignore[operator, union-attr]
        return (
            f"a {kind} whose {names} is computed by a parametrization:"
            " torch.nn.utils.parametrize.remove_parametrizations first"
        )
    for hook in module._forward_pre_hooks.values():
        if type(hook).__module__.startswith("torch.nn.utils."):
            return (
                f"a {kind} whose weights are computed by a hook, {type(hook).__name__}: remove it"
                " first, as torch.nn.utils has functions for"
            )
    for name, p in module.named_parameters(recurse=False):
        if isinstance(p, nn.parameter.UninitializedParameter):
            return f"a {kind} whose {name} has no shape yet: run the model once, then convert it"
        if p.is_meta:
            return f"a {kind} whose {name} is on the meta device, without values: load it first"
        if isinstance(p, PositTensor):
            return f"a {kind} whose {name} is a PositTensor, which computes in posits by itself"
        if not p.is_floating_point():
            return f"a {kind} whose {name} is a parameter of {p.dtype}"
    if not strict:
        return ""
    for types, name, possible in _LIMITS:
        if isinstance(module, types):
            value = getattr(module, name)
            if isinstance(value, torch.Tensor) or value not in possible:
                shown = "a tensor" if isinstance(value, torch.Tensor) else repr(value)
                return f"a {kind} with {name}={shown}, which has no posit form"
    known = isinstance(module, SUPPORTED) or not type(module).__module__.startswith(_TORCH)
    return "" if known else f"a {kind}, which has no posit form"
