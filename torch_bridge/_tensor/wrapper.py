"""``PositTensor``: posits as a tensor."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

import posit
from posit import PositSpec
from posit.spec import SpecLike

from ..ops import decode
from ..ops.casts import storage

__all__ = ["PositTensor"]


class PositTensor(Tensor):
    """A tensor of posits: signed-integer patterns and their format; it appears as float64.

    Make one by :func:`tensor`, :func:`from_numpy` or :func:`from_bits`; the class itself takes
    patterns unchecked but for their dtype.

    Parameters
    ----------
    bits : Tensor of the format's storage dtype
        Shared, not copied.
    spec : PositSpec
    requires_grad : bool

    Arithmetic is posit arithmetic, each operation exact and rounded once; sums and products of
    matrices go through the quire. Derivatives are torch's formulas in the same arithmetic. What is
    not in the table of operations raises NotImplementedError, see :func:`emulate`.

    Beside posits may stand: posits of the same format; tensors of bools; and Python numbers (or
    tensors without axes) that are posits of the format exactly, as divisors all whole numbers.
    Others raise ValueError (numbers) and RuntimeError (tensors), with what to write instead.

    NaR equals itself and is below everything, as :mod:`posit` has it; maxima keep it, as torch's
    keep NaN. There is no infinity.
    """

    _bits: Tensor
    _spec: PositSpec
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, bits: Tensor, spec: PositSpec, *, requires_grad: bool = False) -> PositTensor:
        if bits.dtype != storage(spec):
            raise TypeError(f"patterns of {spec} are {storage(spec)}, got a tensor of {bits.dtype}")
        return torch.Tensor._make_wrapper_subclass(
            cls,
            bits.shape,
            strides=bits.stride(),
            storage_offset=bits.storage_offset(),
            dtype=torch.float64,
            layout=bits.layout,
            device=bits.device,
            requires_grad=requires_grad,
        )

    def __init__(self, bits: Tensor, spec: PositSpec, *, requires_grad: bool = False) -> None:
        self._bits = bits
        self._spec = spec

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        from .table import dispatch

        return dispatch(func, args, kwargs or {})

    def __tensor_flatten__(self) -> tuple[list[str], PositSpec]:
        return ["_bits"], self._spec

    @staticmethod
    def __tensor_unflatten__(
        inner: dict[str, Tensor], spec: PositSpec, size: Any, stride: Any
    ) -> PositTensor:
        return PositTensor(inner["_bits"], spec)

    def _stable_hash_for_caching(self) -> str:
        return f"torch_bridge.PositTensor{self._spec}"

    # ---- what is inside
    @property
    def data(self) -> PositTensor:
        """The same posits without derivatives. Only a PositTensor of the format can be assigned."""
        return self.detach()  # type: ignore[return-value]

    @data.setter
    def data(self, given: Tensor) -> None:
        if not isinstance(given, PositTensor) or given._spec != self._spec:
            kind = given.spec if isinstance(given, PositTensor) else f"ordinary {given.dtype}"
            raise RuntimeError(
                f"this tensor or parameter holds posits of {self._spec}; its data cannot become"
                f" {kind}. Make a new one: torch.nn.Parameter(p.double()) or"
                " torch.nn.Parameter(torch_bridge.tensor(values, spec=p.spec))"
            )
        Tensor.data.__set__(self, given)  # type: ignore[attr-defined]
        self._bits = given._bits

    @property
    def spec(self) -> PositSpec:
        """The format of the elements; ``dtype`` says float64, as which they appear."""
        return self._spec

    def bits(self) -> Tensor:
        """The patterns, sharing memory: a tensor of int8, int16, int32 or int64."""
        return self._bits

    def to_spec(self, spec: SpecLike) -> PositTensor:
        """The same values in another format, rounded once; the derivative is taken to be 1."""
        from .gates import convert

        return convert(self, PositSpec.parse(spec))

    # ---- explicit exits
    def double(self) -> Tensor:
        """The values as an ordinary float64 tensor, exactly; NaR becomes NaN.

        Gradients that come back are rounded to the format. TypeError for formats that float64 does
        not hold (n = 64).
        """
        from .gates import to_float64

        return to_float64(self)

    def float(self) -> Tensor:
        """The values rounded to float32; beyond its range, infinities."""
        return self.double().to(torch.float32)

    def numpy(self, *, force: bool = False) -> npt.NDArray[Any]:
        """As :meth:`to_numpy`; with ``force``, of tensors that require gradients too."""
        kept = cast("PositTensor", self.detach()) if force else self
        return kept.to_numpy()

    def to_numpy(self) -> npt.NDArray[Any]:
        """A NumPy array of the posit dtype that shares the memory.

        Raises RuntimeError where gradients are required; detach() first.
        """
        if self.requires_grad:
            raise RuntimeError("to_numpy of a PositTensor that requires grad; write x.detach()")
        return posit.view(self._bits.numpy(), self._spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.to_numpy(), dtype=dtype, copy=copy)

    def tolist(self) -> Any:
        """The values as nested lists of Python floats."""
        return decode(self._bits, self._spec).tolist()

    # ---- memory, which lies in the patterns: torch would follow a null pointer
    def share_memory_(self) -> PositTensor:
        """Move the patterns to shared memory, for other processes."""
        self._bits.share_memory_()
        return self

    def is_shared(self) -> bool:
        """Whether the patterns are in shared memory."""
        found: bool = self._bits.is_shared()
        return found

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("DLPack has no posits; export x.bits(), or x.double()")

    # ---- Python's operators that torch would round twice
    def __rtruediv__(self, other: Any) -> Any:
        """other / self, rounded once. (Inside torch.func it is torch's, other · (1 / self).)"""
        return torch.div(other if isinstance(other, Tensor) else self.new_full((), other), self)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        if type(self._bits) not in (Tensor, torch.nn.Parameter):  # fake, functional, batched
            return f"PositTensor({self._bits!r}, spec={self._spec})"
        text = np.array2string(posit.view(self._bits.cpu().numpy(), self._spec), separator=", ")
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"PositTensor({text}, spec={self._spec}{grad})"

    def __format__(self, text: str) -> str:
        return format(self.item(), text) if self.dim() == 0 and text else repr(self)

    # ---- files and processes
    def __reduce_ex__(self, protocol: Any) -> Any:
        spec = self._spec
        is_parameter = isinstance(self, torch.nn.Parameter)
        state = (self._bits, spec.n, spec.rs, spec.es, self.requires_grad, is_parameter)
        return _rebuild, state

    @property
    def fsdp_pre_all_gather(self) -> Any:
        """Refuses ``fully_shard`` (FSDP2), which asks for this hook before it shards."""
        raise NotImplementedError(
            "fully_shard does not support PositTensor parameters: it would add their gradients"
            " rounded at every rank; torch_bridge.distributed adds exactly"
        )


def _rebuild(  # noqa: PLR0917
    bits: Tensor, n: int, rs: int, es: int, requires_grad: bool, is_parameter: bool
) -> PositTensor:
    from .gates import from_bits

    made = from_bits(bits, PositSpec(n, rs, es))
    if is_parameter:
        return torch.nn.Parameter(made, requires_grad)  # type: ignore[return-value]
    return made.requires_grad_(requires_grad)  # type: ignore[return-value]


def _collate(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    return torch.stack(batch)


torch.serialization.add_safe_globals([_rebuild])
default_collate_fn_map[PositTensor] = _collate
