"""Turn a model into one that computes in posits, and back: all of it, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from posit.spec import SpecLike

from . import ops
from .config import PositConfig
from .mode import Rounding, UnsupportedOp

__all__ = ["ConversionReport", "convert_", "unconvert_"]

Given = PositConfig | SpecLike
Overrides = Mapping[str, Given | None]

SUPPORTED: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d,
    nn.BatchNorm2d, nn.MultiheadAttention, nn.GELU, nn.SiLU, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.ELU,
    nn.LeakyReLU, nn.Softplus, nn.LogSigmoid, nn.Softmax, nn.LogSoftmax, nn.Dropout, nn.Identity,
    nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.Sequential, nn.ModuleList,
    nn.ModuleDict, nn.ParameterList, nn.ParameterDict,
)  # fmt: skip


@dataclass
class ConversionReport:
    """What :func:`convert_` did; print it.

    Parameters
    ----------
    converted : dict
        Module names to their configurations.
    left : dict
        Names of modules that were left as they are, to the reason.
    parameters : int
        Numbers rounded.
    changed : int
        Of those, how many were no posits before.
    """

    converted: dict[str, PositConfig] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    parameters: int = 0
    changed: int = 0

    def __str__(self) -> str:
        lines = [f"{len(self.converted)} modules converted, {len(self.left)} left;"
                 f" {self.changed} of {self.parameters} numbers rounded"]  # fmt: skip
        lines += [f"  {name or '(model)'}: {config.activations or config.weights}"
                  for name, config in self.converted.items()]  # fmt: skip
        lines += [f"  {name or '(model)'}: left, {why}" for name, why in self.left.items()]
        return "\n".join(lines)


def convert_(
    model: nn.Module,
    config: Given = "bposit16",
    *,
    overrides: Overrides | None = None,
    filter_fn: Callable[[str, nn.Module], bool] | None = None,
    strict: bool = True,
) -> ConversionReport:
    """Let a model compute in posits, in place.

    Parameters become float64 tensors of posit values; each forward pass rounds every operation, and
    the backward pass the gradients, as the configuration has it (docs/torch.md). Results are
    float64 tensors of posits.

    Parameters
    ----------
    model : nn.Module
    config : PositConfig or format
        A format stands for ``PositConfig.training``.
    overrides : mapping, optional
        Module names, or ``"re:pattern"`` for all whose names match, to another configuration, or
        None for modules to be left as they are. They hold for all that is inside; the last wins.
    filter_fn : callable, optional
        (name, module) to whether it is converted.
    strict : bool
        Whether modules and functions that are not known raise. Else unknown functions run in
        float64 and their results are rounded.

    Returns a :class:`ConversionReport`. Raises :class:`UnsupportedOp` for modules that are not
    known, ValueError for a model that is converted already or an override that matches nothing;
    the model is untouched then.
    """
    chosen = _choose(model, PositConfig.of(config), overrides or {}, filter_fn)
    _check(model, chosen, strict)
    report = ConversionReport()
    rounded = _round_parameters(model, chosen, report)
    for name, parameter in rounded.items():  # from here on nothing fails
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, parameter)
    for name, module in model.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            if chosen[name] is not None and buffer.is_floating_point():
                setattr(module, key, buffer.double())
    for name, module in model.named_modules():
        found = chosen[name]
        if found is None:
            report.left[name] = "by overrides or filter_fn"
        else:
            report.converted[name] = found
        _enter(module, found, strict, name)
    return report


def unconvert_(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Back to a model of floats: the weights keep their posit values, as far as ``dtype`` holds
    them. Returns the model."""
    for module in model.modules():
        if hasattr(module, "_posit_mode"):
            del module._posit_mode
            module.__dict__.pop("forward", None)
    return model.to(dtype)


def _choose(
    model: nn.Module, config: PositConfig, overrides: Overrides, keep: Any
) -> dict[str, PositConfig | None]:
    names = [name for name, _ in model.named_modules()]
    chosen: dict[str, PositConfig | None] = dict.fromkeys(names, config)
    for pattern, given in overrides.items():
        if pattern.startswith("re:"):
            matched = [n for n in names if re.fullmatch(pattern[3:], n)]
        else:
            matched = [n for n in names if n == pattern]
        if not matched:
            raise ValueError(f"overrides: no module is called {pattern!r}")
        meant = None if given is None else PositConfig.of(given)
        for name in names:
            if any(m in (name, "") or name.startswith(f"{m}.") for m in matched):
                chosen[name] = meant
    for name, module in model.named_modules():
        if keep is not None and not keep(name, module):
            chosen[name] = None
    return chosen


def _check(model: nn.Module, chosen: Mapping[str, PositConfig | None], strict: bool) -> None:
    for name, module in model.named_modules():
        if hasattr(module, "_posit_mode"):
            raise ValueError(f"{name or 'the model'} is converted already; unconvert_ it first")
        known = isinstance(module, SUPPORTED) or not type(module).__module__.startswith("torch.nn")
        if chosen[name] is not None and strict and not known:
            raise UnsupportedOp(
                f"{name} is a {type(module).__name__}, which has no posit form: leave it out,"
                f" overrides={{{name!r}: None}}, or convert with strict=False"
            )


def _round_parameters(
    model: nn.Module, chosen: Mapping[str, PositConfig | None], report: ConversionReport
) -> dict[str, nn.Parameter]:
    """New parameters; one that is shared is rounded once and stays shared."""
    made: dict[int, nn.Parameter] = {}
    found = {}
    for module_name, module in model.named_modules():
        config = chosen[module_name]
        if config is None or config.weights is None:
            continue
        for name, old in module.named_parameters(recurse=False):
            full = f"{module_name}.{name}" if module_name else name
            if not old.is_floating_point():
                raise UnsupportedOp(f"{full} is a parameter of {old.dtype}")
            if id(old) not in made:
                value = ops.fake_quant(old.detach(), config.weights)
                report.parameters += old.numel()
                report.changed += int((value != old.detach().double()).sum())
                made[id(old)] = nn.Parameter(value, old.requires_grad)
                made[id(old)].spec = config.weights  # type: ignore[attr-defined]
            found[full] = made[id(old)]
    return found


def _enter(module: nn.Module, config: PositConfig | None, strict: bool, name: str) -> None:
    """Let the module's forward run under its own mode."""
    mode = Rounding(config, strict, name or type(module).__name__)
    original = type(module).forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return original(module, *args, **kwargs)

    module._posit_mode = mode  # type: ignore[assignment]
    module.forward = forward
