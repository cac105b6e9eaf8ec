"""Turn a model into one that computes in posits, and back: all of it, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from posit import PositSpec
from posit.spec import SpecLike

from . import ops
from ._module import enter, is_converted, leave
from ._parameter import PositParameter
from ._supported import objection
from .config import PositConfig
from .mode import Rounding, UnsupportedOp

__all__ = ["ConversionReport", "convert_", "unconvert_"]

Given = PositConfig | SpecLike
Overrides = Mapping[str, Given | None]


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
    modes : dict
        Module names to their modes; :attr:`unknown` reads them.
    """

    converted: dict[str, PositConfig] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    parameters: int = 0
    changed: int = 0
    modes: dict[str, Rounding] = field(default_factory=dict, repr=False)

    @property
    def unknown(self) -> dict[str, dict[str, int]]:
        """With ``strict=False``: module names to the functions that ran in float64, and how often.

        What has run so far is counted.
        """
        return {name: dict(m.unknown) for name, m in self.modes.items() if m.unknown}

    def __str__(self) -> str:
        lines = [f"{len(self.converted)} modules converted, {len(self.left)} left;"
                 f" {self.changed} of {self.parameters} numbers rounded"]  # fmt: skip
        lines += [f"  {name or '(model)'}: {config.activations or config.weights}"
                  for name, config in self.converted.items()]  # fmt: skip
        lines += [f"  {name or '(model)'}: left, {why}" for name, why in self.left.items()]
        lines += [f"  {name or '(model)'}: in float64, {', '.join(found)}"
                  for name, found in self.unknown.items()]  # fmt: skip
        return "\n".join(lines)


def convert_(
    model: nn.Module,
    config: Given = "bposit16",
    *,
    accumulate: Any = None,
    overrides: Overrides | None = None,
    filter_fn: Callable[[str, nn.Module], bool] | None = None,
    strict: bool = True,
) -> ConversionReport:
    """Let a model compute in posits, in place.

    Parameters become new ones, float64 tensors of posit values that know their ``spec``; each
    forward pass rounds every operation, and the backward pass the gradients, as the configuration
    has it (docs/torch.md). Results are float64 tensors of posits. Make optimizers afterwards; what
    one of another package leaves in a parameter is rounded wherever it is used or stored.

    A ``state_dict()`` holds posits as :class:`PositTensor`; only one of the same formats is loaded,
    and all of it or nothing. Hooks of modules run in the mode of what calls the module. Forward
    passes are not compiled: ``torch.compile`` leaves them to the interpreter.

    Parameters
    ----------
    model : nn.Module
    config : PositConfig or format
        A format stands for ``PositConfig.training``.
    accumulate : str or object, optional
        How products are summed, instead of the configuration's way: as :class:`PositConfig` has it,
        so also an object with ``matmul(a, b, spec)``, such as ``emulate.SystolicArray``. Overrides
        keep their own.
    overrides : mapping, optional
        Module names, or ``"re:pattern"`` for all whose names match, to another configuration, or
        None for modules to be left as they are. They hold for all that is inside; the last wins.
    filter_fn : callable, optional
        (name, module) to whether it is converted.
    strict : bool
        Whether modules and functions that are not known raise. Else unknown functions run in
        float64 and their results are rounded.

    Returns a :class:`ConversionReport`. Raises :class:`UnsupportedOp` for modules that are not
    known, ValueError for a model that is converted already, an override that matches nothing, or
    ``accumulate`` where products are left to float64; the model is untouched then.
    """
    chosen = _choose(model, _meant(config, accumulate), overrides or {}, filter_fn)
    _check(model, chosen, strict)
    report = ConversionReport()
    plan = _round_parameters(model, chosen, report) + _widen_buffers(model, chosen)
    for name, module in model.named_modules():
        found = chosen[name]
        report.modes[name] = Rounding(found, strict, name or type(module).__name__)
        if found is None:
            report.left[name] = "by overrides or filter_fn"
        else:
            report.converted[name] = found
    done: list[_Change] = []
    try:
        for change in plan:
            done.append(change)
            setattr(change.module, change.name, change.new)
        for name, module in model.named_modules():
            enter(module, report.modes[name], module is model)
    except BaseException:
        for module in model.modules():
            leave(module)
        for change in done:
            setattr(change.module, change.name, change.old)
        raise
    return report


def unconvert_(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Back to a model of floats: what was converted keeps its values, as far as ``dtype`` holds
    them; modules that were left are left. Returns the model."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        if not is_converted(module):
            continue
        mode: Rounding = module._posit_mode  # type: ignore[assignment]
        leave(module)
        if mode.config is None:
            continue
        for name, p in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(p) not in made:
                spec = mode.config.weights
                kept = p.detach() if spec is None else ops.fake_quant(p.detach(), spec)
                made[id(p)] = nn.Parameter(kept.to(dtype), p.requires_grad)
            setattr(module, name, made[id(p)])
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            if buffer.is_floating_point():
                setattr(module, name, buffer.to(dtype))
    return model


@dataclass(frozen=True)
class _Change:
    """An attribute of a module, as it was and as it becomes."""

    module: nn.Module
    name: str
    old: Any
    new: Any


def _meant(given: Given, accumulate: Any) -> PositConfig:
    config = PositConfig.of(given)
    if accumulate is None:
        return config
    if config.activations is None:
        raise ValueError("accumulate: a configuration without activations computes in float64")
    return replace(config, accumulate=accumulate)


def _choose(
    model: nn.Module, config: PositConfig, overrides: Overrides, keep: Any
) -> dict[str, PositConfig | None]:
    """A configuration, or None, for each name; all names of one module must agree."""
    paths = dict(model.named_modules(remove_duplicate=False))
    chosen: dict[str, PositConfig | None] = dict.fromkeys(paths, config)
    for pattern, given in overrides.items():
        if pattern.startswith("re:"):
            matched = [n for n in paths if re.fullmatch(pattern[3:], n)]
        else:
            matched = [n for n in paths if n == pattern]
        if not matched:
            raise ValueError(f"overrides: no module is called {pattern!r}")
        meant = None if given is None else PositConfig.of(given)
        for name in paths:
            if any(m in (name, "") or name.startswith(f"{m}.") for m in matched):
                chosen[name] = meant
    for name, module in paths.items():
        if keep is not None and not keep(name, module):
            chosen[name] = None
    first: dict[int, str] = {}
    for name, module in paths.items():
        other = first.setdefault(id(module), name)
        if chosen[other] != chosen[name]:
            raise ValueError(
                f"{other!r} and {name!r} are one module, and are given two configurations"
            )
    return chosen


def _check(model: nn.Module, chosen: Mapping[str, PositConfig | None], strict: bool) -> None:
    for name, module in model.named_modules():
        if is_converted(module):
            raise ValueError(f"{name or 'the model'} is converted already; unconvert_ it first")
        why = objection(module, strict) if chosen[name] is not None else ""
        if why:
            raise UnsupportedOp(
                f"{name or 'the model'} is {why}: leave it out, overrides={{{name!r}: None}}"
                + (", or convert with strict=False" if not objection(module, False) else "")
            )


def _round_parameters(
    model: nn.Module, chosen: Mapping[str, PositConfig | None], report: ConversionReport
) -> list[_Change]:
    """New parameters; one that is shared is rounded once and stays shared."""
    made: dict[int, nn.Parameter] = {}
    first: dict[int, tuple[str, PositSpec | None]] = {}
    plan = []
    for module_name, module in model.named_modules():
        config = chosen[module_name]
        spec = None if config is None else config.weights
        for name, old in module.named_parameters(recurse=False, remove_duplicate=False):
            full = f"{module_name}.{name}" if module_name else name
            other, its = first.setdefault(id(old), (full, spec))
            if its != spec:
                raise ValueError(
                    f"{other!r} and {full!r} are one parameter, which cannot be"
                    f" {its or 'left as it is'} and {spec or 'left as it is'}: give their modules"
                    " one configuration, or untie them"
                )
            if spec is None:
                continue
            if id(old) not in made:
                value = ops.fake_quant(old.detach(), spec)
                report.parameters += old.numel()
                report.changed += int((value != old.detach().double()).sum())
                made[id(old)] = PositParameter(value, old.requires_grad, spec)
            plan.append(_Change(module, name, old, made[id(old)]))
    return plan


def _widen_buffers(model: nn.Module, chosen: Mapping[str, PositConfig | None]) -> list[_Change]:
    made: dict[int, Tensor] = {}
    plan = []
    for module_name, module in model.named_modules():
        for name, old in module.named_buffers(recurse=False, remove_duplicate=False):
            if chosen[module_name] is not None and old.is_floating_point():
                plan.append(_Change(module, name, old, made.setdefault(id(old), old.double())))
    return plan
