"""Operations that move patterns and compute nothing: torch's own, on the integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..ops import decode
from . import kernels
from .table import TABLE, Format, aten, implements
from .wrapper import PositTensor

_MOVES = """
    alias as_strided cat clone constant_pad_nd copy detach diagonal diagonal_backward diagonal_copy
    diagonal_scatter embedding expand expand_copy fill flip full_like gather index index_copy
    index_fill index_select lift_fresh lift_fresh_copy masked_fill masked_scatter masked_select
    native_channel_shuffle new_empty_strided new_full permute permute_copy pixel_shuffle
    pixel_unshuffle repeat repeat_interleave roll scatter select select_backward select_copy
    select_scatter slice slice_backward slice_copy slice_scatter split split_copy split_with_sizes
    split_with_sizes_copy squeeze squeeze_copy stack t t_copy take transpose transpose_copy tril
    triu unbind unbind_copy unfold unfold_copy unsqueeze unsqueeze_copy view view_copy where zero
    zeros_like new_zeros new_empty empty_like _unsafe_view _reshape_alias _reshape_copy
    _unsafe_index
""".split()  # noqa: SIM905
_FILLED_WITH_0 = {"new_empty": "new_zeros", "empty_like": "zeros_like"}
_PLACES = {"condition", "index", "indices", "mask", "repeats"}
_ASKED = (
    "is_same_size",
    "_has_same_storage_numel",
    "is_pinned",
    "sym_size",
    "sym_stride",
    "sym_numel",
)


def _is_number(argument: Any) -> bool:
    return str(argument.type) in ("number", "Optional[number]")


def _move(f: Format, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run on patterns. All tensors and numbers but those that say where are values."""
    dtype = kwargs.get("dtype")
    if dtype not in (None, torch.float64):  # a new tensor of another kind: no posits in it
        return func(*tree_map(_patterns_of, args), **kwargs)
    if dtype is not None:
        kwargs = {**kwargs, "dtype": f.like.dtype}
    scalars = {a.name for a in func._schema.arguments if _is_number(a)}
    names = [a.name for a in func._schema.arguments]

    def argument(name: str, x: Any) -> Any:
        if name in _PLACES or x is None:
            return x
        if name in scalars:
            return f.pattern(x)
        return tree_map(lambda v: f.bits(v) if isinstance(v, Tensor) else v, x)

    made = func(
        *(argument(n, x) for n, x in zip(names, args, strict=False)),
        **{n: argument(n, x) for n, x in kwargs.items()},
    )
    return tree_map(lambda x: f.wrap(x) if isinstance(x, Tensor) else x, made)


def _patterns_of(x: Any) -> Any:
    return x._bits if isinstance(x, PositTensor) else x


def _clean(f: Format, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """ "Empty" posits are zeros: memory that was never written may hold no pattern."""
    name = _FILLED_WITH_0[func.overloadpacket.__name__]
    return _move(f, getattr(aten, name).default, args, kwargs)


def _ask(f: Format, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*tree_map(_patterns_of, args), **kwargs)


TABLE.update({getattr(aten, name): _move for name in _MOVES if hasattr(aten, name)})
TABLE.update({getattr(aten, name): _clean for name in _FILLED_WITH_0})
TABLE.update({getattr(aten, name): _ask for name in _ASKED if hasattr(aten, name)})


@implements("equal")
def _equal(f: Format, a: Any, b: Any) -> bool:
    x, y = f.bits(a), f.bits(b)
    return torch.equal(x, y)


@implements("ones_like")
def _ones_like(f: Format, x: Any, *, dtype: torch.dtype | None = None, **rest: Any) -> Any:
    if dtype not in (None, torch.float64):
        return torch.ones_like(x._bits, dtype=dtype, **rest)
    return f.wrap(torch.full_like(x._bits, f.spec.one, **rest))


@implements("new_ones")
def _new_ones(f: Format, x: Any, size: Any, *, dtype: Any = None, **rest: Any) -> Any:
    if dtype not in (None, torch.float64):
        return x._bits.new_ones(size, dtype=dtype, **rest)
    return f.wrap(x._bits.new_full(size, f.spec.one, **rest))


@implements("_to_copy")
def _to_copy(f: Format, x: Any, *, dtype: torch.dtype | None = None, **rest: Any) -> Any:
    if dtype not in (None, torch.float64):
        raise TypeError(
            f"{f.op}: a PositTensor of {f.spec} cannot become {dtype} in place of its format."
            " Leave posits first: x.float() or x.double(), then convert"
        )
    return f.wrap(torch.ops.aten._to_copy(x._bits, **rest))


@implements("to")
def _to(f: Format, x: Any, *, device: Any = None, copy: bool = False, **rest: Any) -> Any:
    """``device="meta"`` gives no posits: autograd asks so for the shape and dtype of a product."""
    if device is not None and torch.device(device).type == "meta":
        return torch.empty_strided(x.shape, x.stride(), dtype=torch.float64, device="meta")
    rest.pop("non_blocking", None)
    made = _to_copy(f, x, device=device, **rest)
    return made if copy or device not in (None, x.device) else x


@implements("_local_scalar_dense")
def _local_scalar_dense(f: Format, x: Any) -> Any:
    return decode(x._bits, f.spec).item()


# ---- several values to one place: exact sums
def _add_at(f: Format, x: Any, places: Tensor, values: Any) -> Any:
    addends = f.bits(values).expand(places.shape)
    flat = kernels.add_at(x._bits.reshape(-1), places.reshape(-1), addends.reshape(-1), f.text)
    return f.wrap(flat.view(x.shape))


def _places(x: Any) -> Tensor:
    return torch.arange(x.numel(), device=x.device).view(x.shape)


def _index_put(f: Format, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, indices, values, *rest = args
    if not (rest[0] if rest else kwargs.get("accumulate", False)):
        return _move(f, aten.index_put.default, (x, indices, values), {})
    return _add_at(f, x, aten.index.Tensor(_places(x), indices), values)


TABLE[aten.index_put] = TABLE[aten._unsafe_index_put] = _index_put
TABLE[aten._index_put_impl] = _index_put


@implements("index_add")
def _index_add(f: Format, x: Any, dim: int, index: Tensor, source: Any, *, alpha: Any = 1) -> Any:
    scaled = source if alpha == 1 else f.apply("mul", source, alpha)
    return _add_at(f, x, _places(x).index_select(dim, index), scaled)


@implements("scatter_add")
def _scatter_add(f: Format, x: Any, dim: int, index: Tensor, source: Any) -> Any:
    values = f.bits(source)[tuple(slice(n) for n in index.shape)]
    return _add_at(f, x, _places(x).gather(dim, index), f.wrap(values))


@implements("embedding_dense_backward")
def _embedding_backward(  # noqa: PLR0917
    f: Format, grad: Any, indices: Tensor, rows: int, padding: int, by_frequency: bool
) -> Any:
    if by_frequency:
        raise NotImplementedError(f"{f.op}: scale_grad_by_freq is not possible with posits")
    width = grad.shape[-1]
    used = indices.reshape(-1)
    kept = f.wrap(grad._bits.reshape(-1, width) * (used != padding).to(f.like.dtype)[:, None])
    return _index_add(f, f.wrap(grad._bits.new_zeros(rows, width)), 0, used, kept)
