"""Operations on lists of tensors: optimizers' ``foreach`` and ``fused`` ways are the plain loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from .table import TABLE, Format, aten, implements

_FOREACH = """
    abs add addcdiv addcmul ceil clamp_max clamp_min copy div exp floor lerp log maximum minimum
    mul neg pow reciprocal round sign sqrt sub tanh zero
""".split()  # noqa: SIM905
_KEYWORDS = {"addcmul": "value", "addcdiv": "value"}


def _each(f: Format, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation of one tensor for each; in place it gives None, as the schema says."""
    name = func.overloadpacket.__name__.removeprefix("_foreach_")
    in_place = name.endswith("_")
    plain = getattr(aten, name.removesuffix("_"))
    keyword = _KEYWORDS.get(name.removesuffix("_"))
    lists = list(args)
    named = dict(kwargs)
    for key in ("value", "scalars"):  # one number, or one for each tensor
        if key in named:
            lists.append(named.pop(key))
    made = []
    for i, _ in enumerate(lists[0]):
        row = [x[i] if isinstance(x, list | tuple) else x for x in lists]
        more = dict(named)
        if keyword is not None and len(row) == 4:
            more[keyword] = row.pop()
        made.append(plain(*row, **more))
        if in_place:
            row[0].copy_(made[-1])
    return None if in_place else made


for _name in _FOREACH:
    for _packet in (f"_foreach_{_name}", f"_foreach_{_name}_"):
        if hasattr(aten, _packet):
            TABLE[getattr(aten, _packet)] = _each


@implements("_foreach_norm")
def _foreach_norm(f: Format, xs: Any, ord: Any = 2, dtype: Any = None) -> Any:
    return [torch.linalg.vector_norm(x, ord, dtype=dtype) for x in xs]


def _check_unscaled(f: Format, grad_scale: Any, found_inf: Any) -> None:
    if grad_scale is not None or found_inf is not None:
        raise NotImplementedError(
            f"{f.op}: gradient scaling (torch.amp) is not possible with posits"
        )


@implements("_fused_sgd_")
def _fused_sgd(
    f: Format,
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
    *,
    lr: Any,
    is_first_step: bool,
    grad_scale: Any = None,
    found_inf: Any = None,
    **rest: Any,
) -> None:
    _check_unscaled(f, grad_scale, found_inf)
    before: list[Any] = [None] * len(params)
    if buffers and not is_first_step:
        before = list(buffers)
    sgd(params, grads, before, foreach=False, fused=False, lr=float(lr), **rest)
    for kept, made in zip(buffers, before, strict=False):
        if kept is not made and made is not None:
            kept.copy_(made)


def _enter_fused_adam(name: str, function: Any) -> None:
    @implements(name)
    def run(  # noqa: PLR0917
        f: Format,
        params: list[Tensor],
        grads: list[Tensor],
        means: list[Tensor],
        squares: list[Tensor],
        largest: list[Tensor],
        steps: list[Tensor],
        *,
        lr: Any,
        grad_scale: Any = None,
        found_inf: Any = None,
        **rest: Any,
    ) -> None:
        _check_unscaled(f, grad_scale, found_inf)
        before = [step - 1 for step in steps]  # the fused way has counted, the loop will
        function(
            params, grads, means, squares, largest, before,
            foreach=False, fused=False, lr=float(lr), **rest,
        )  # fmt: skip


_enter_fused_adam("_fused_adam_", adam)
_enter_fused_adam("_fused_adamw_", adamw)
