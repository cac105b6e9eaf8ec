"""How an operation is made: one opaque custom op, and the rules of its derivatives.

``torch.library`` has no forward-mode rule, and a bare custom op gives a zero tangent silently; an
``autograd.Function`` has one, but Dynamo does not trace functions that do. So there are two ways to
the same kernel: eager calls go through the function, traced ones see the custom op, which has the
reverse rule alone, and compiled forward mode is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch._C._dynamo import eval_frame
from torch.autograd import forward_ad

from posit import PositSpec
from posit.spec import SpecLike

from .._deposit import Terms, place_of, settled
from .._parameter import PositParameter
from ._device import anywhere

__all__ = [
    "Grad", "Inputs", "Op", "Rule", "define", "holds_posits", "is_plain", "spec_of", "text_of",
]  # fmt: skip

Inputs = tuple[Any, ...]
Grad = Callable[[], Tensor] | None
Op = Callable[..., Tensor]

_PLAIN = (Tensor, torch.nn.Parameter, PositParameter)
_KEYS: int = torch._C._dispatch_keys(torch.empty(0)).raw_repr()


@dataclass(frozen=True)
class Rule:
    """An operation on tensors, of which any may be optional.

    Parameters
    ----------
    name : str
        In the namespace ``bposit``.
    schema : str
        As ``torch.library`` writes it; tensors come first.
    kernel : callable
        Computes on CPU tensors without derivatives; see :func:`anywhere`.
    fake : callable
        An empty tensor of the result's shape and dtype.
    vjp : callable
        (inputs, output, gradient) to the gradients of the tensors, in posit operations: for each a
        callable that makes it, so that only those needed are made, or None.
    jvp : callable
        (inputs, output, tangents) to the tangent; a tangent is None where an input has none.
    batched : callable
        (function, inputs, in_dims, size) to the results with the batch as leading axis, for
        ``torch.vmap``. ``function`` is the operation itself.
    terms : callable, optional
        As ``vjp``, to what the gradients are sums of, for operands that may be parameters.
    uses_output : bool
        Whether ``vjp`` and ``terms`` look at the output; else they get None, nothing is kept of it,
        and it may be changed in place.
    """

    name: str
    schema: str
    kernel: Callable[..., Tensor]
    fake: Callable[..., Tensor]
    vjp: Callable[[Inputs, Any, Tensor], Sequence[Grad]]
    jvp: Callable[[Inputs, Tensor, Any], Tensor]
    batched: Callable[[Op, Inputs, Inputs, int], Tensor]
    terms: Callable[[Inputs, Any, Tensor], Sequence[Callable[[], Terms] | None]] | None = None
    uses_output: bool = False
    tensors: int = field(init=False)

    def __post_init__(self) -> None:
        """Count the tensors of the schema."""
        object.__setattr__(self, "tensors", self.schema.split("->")[0].count("Tensor"))


@lru_cache(maxsize=256)
def spec_of(text: str) -> PositSpec:
    """The format that a schema's string argument names."""
    return PositSpec.parse(text)


def text_of(spec: SpecLike) -> str:
    """The format as a schema's argument: text, which traces as a constant.

    Raises TypeError for formats whose values float64 does not hold.
    """
    found = PositSpec.parse(spec)
    if not found.fits_float64:
        raise TypeError(f"{found} does not fit float64, in which torch_bridge shows posits")
    return f"{found.n},{found.rs},{found.es}"


def define(rule: Rule) -> Op:
    """Register the custom op, and make the function that users' code calls."""
    kernel = anywhere(rule.name)(rule.kernel)
    made: Any = torch.library.custom_op(
        f"bposit::{rule.name}",
        kernel,
        mutates_args=(),
        schema=rule.schema,
    )
    made.register_fake(rule.fake)

    def setup(ctx: Any, inputs: Inputs, output: Tensor) -> None:
        tensors = inputs[: rule.tensors]
        ctx.save_for_backward(*tensors, output if rule.uses_output else None)
        ctx.save_for_forward(*tensors, output)
        ctx.rest = inputs[rule.tensors :]

    def saved(ctx: Any) -> tuple[Inputs, Any]:
        *tensors, output = ctx.saved_tensors
        return (*tensors, *ctx.rest), output

    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, output = saved(ctx)
        return made_of(ctx, rule.vjp(inputs, output, gradient))

    def made_of(ctx: Any, makers: Sequence[Grad]) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[: rule.tensors]
        grads = [m() if m and need else None for m, need in zip(makers, needed, strict=True)]
        return (*grads, *[None] * len(ctx.rest))

    def depositing(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """As backward, but the terms of parameters that collect go to their sums."""
        inputs, output = saved(ctx)
        makers = list(rule.vjp(inputs, output, gradient))
        assert rule.terms is not None
        found = rule.terms(inputs, output, gradient)
        for i, terms in enumerate(found):
            if terms is None or not ctx.needs_input_grad[i]:
                continue
            if settled(place_of(inputs[i], ctx.next_functions[i]), terms, inputs[-1]):
                makers[i] = None
        return made_of(ctx, makers)

    made.register_autograd(backward, setup_context=setup)

    def batch(info: Any, in_dims: Inputs, *inputs: Any) -> tuple[Tensor, int]:
        return rule.batched(call, inputs, in_dims, info.batch_size), 0

    made.register_vmap(batch)
    torch_op = getattr(torch.ops.bposit, rule.name)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(*inputs: Any) -> Tensor:
            found: Tensor = kernel(*inputs) if is_plain(inputs) else torch_op(*inputs)
            return found

        setup_context = staticmethod(setup)
        vmap = staticmethod(batch)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return backward(ctx, gradient) if rule.terms is None else depositing(ctx, gradient)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Tensor:
            inputs, output = saved(ctx)
            return rule.jvp(inputs, output, tangents[: rule.tensors])

    forward: Any = Function.forward
    forward.__signature__ = signature(forward)  # else torch asks for it in every call

    def call(*inputs: Any) -> Tensor:
        if torch.compiler.is_compiling():
            _refuse_compiled_jvp(rule.name)
            found: Tensor = torch_op(*inputs)
            return found
        applied: Tensor = Function.apply(*inputs)  # type: ignore[no-untyped-call]
        if not applied.is_inference():  # those do not count their changes
            applied._made_of = inputs[-1], applied._version  # type: ignore[attr-defined]
        return applied

    Function.__name__ = Function.__qualname__ = rule.name
    call.__name__ = call.__qualname__ = rule.name
    return call


def _traces() -> bool:
    """Whether Dynamo may be at work on the functions called here."""
    if torch.compiler.is_compiling():
        return True
    callback = getattr(eval_frame, "get_eval_frame_callback", None)
    return callback is None or callback() not in (None, False)


def is_plain(inputs: Inputs) -> bool:
    """Whether torch's dispatcher would call the kernel and nothing else, at a third of the cost.

    No mode looks on, Dynamo does not trace, and every tensor is a plain one on the CPU: not fake,
    wrapped, batched, of a subclass, or with a negation or zeros still to be made.
    """
    if _traces() or torch._C._len_torch_dispatch_stack():
        return False
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    return all(
        type(x) in _PLAIN and torch._C._dispatch_keys(x).raw_repr() | _KEYS == _KEYS
        for x in tensors
    )


def holds_posits(x: Tensor, text: str) -> bool:
    """Whether x is the very tensor that an operation gave in this format, not changed since.

    As autograd knows changes: not those through ``.data`` or a NumPy array that shares memory.
    """
    made: Any = getattr(x, "_made_of", None)
    return made is not None and not x.is_inference() and bool(made == (text, x._version))


def _refuse_compiled_jvp(name: str) -> None:
    if forward_ad._current_level >= 0:
        raise RuntimeError(
            f"bposit::{name}: forward-mode derivatives do not compile (Dynamo would give zeros);"
            " call torch.func.jvp outside torch.compile"
        )
