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
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from posit import PositSpec
from posit.spec import SpecLike

__all__ = ["Rule", "define", "spec_of", "text_of"]

Grads = Sequence[Tensor | None]


@dataclass(frozen=True)
class Rule:
    """An operation on tensors.

    Parameters
    ----------
    name : str
        In the namespace ``bposit``.
    schema : str
        As ``torch.library`` writes it; tensors come first.
    kernel : callable
        Computes on CPU tensors without derivatives.
    fake : callable
        An empty tensor of the result's shape and dtype.
    vjp : callable
        (inputs, output, gradient) to the gradients of the tensors, in posit operations.
    jvp : callable
        (inputs, output, tangents) to the tangent; a tangent is None where an input has none.
    batched : callable
        (inputs, in_dims, size) to inputs with the batch as leading axis, for ``torch.vmap``.
    """

    name: str
    schema: str
    kernel: Callable[..., Tensor]
    fake: Callable[..., Tensor]
    vjp: Callable[[tuple[Any, ...], Tensor, Tensor], Grads]
    jvp: Callable[[tuple[Any, ...], Tensor, Grads], Tensor]
    batched: Callable[[tuple[Any, ...], tuple[Any, ...], int], tuple[Any, ...]]
    tensors: int = field(init=False)

    def __post_init__(self) -> None:
        """Count the tensors of the schema."""
        object.__setattr__(self, "tensors", self.schema.split("->")[0].count("Tensor"))


@lru_cache(maxsize=256)
def spec_of(text: str) -> PositSpec:
    """The format that a schema's string argument names; only those that float64 can show.

    Raises TypeError for formats whose values float64 does not hold.
    """
    spec = PositSpec.parse(text)
    if spec.f_max > 52 or spec.reach > 1022:
        raise TypeError(f"{spec} does not fit float64, in which torch_bridge shows posits")
    return spec


def text_of(spec: SpecLike) -> str:
    """The format as a schema's argument: text, which traces as a constant."""
    found = PositSpec.parse(spec)
    text = f"{found.n},{found.rs},{found.es}"
    spec_of(text)
    return text


def define(rule: Rule) -> Callable[..., Tensor]:
    """Register the custom op, and make the function that users' code calls."""
    made: Any = torch.library.custom_op(
        f"bposit::{rule.name}", rule.kernel, mutates_args=(), schema=rule.schema
    )
    made.register_fake(rule.fake)

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[: rule.tensors], output)
        ctx.save_for_forward(*inputs[: rule.tensors], output)
        ctx.rest = inputs[rule.tensors :]

    def saved(ctx: Any) -> tuple[tuple[Any, ...], Tensor]:
        *tensors, output = ctx.saved_tensors
        return (*tensors, *ctx.rest), output

    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, output = saved(ctx)
        grads = rule.vjp(inputs, output, gradient)
        return (*grads, *[None] * len(ctx.rest))

    made.register_autograd(backward, setup_context=setup)

    def batch(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return function(*rule.batched(inputs, in_dims, info.batch_size)), 0

    made.register_vmap(batch)
    torch_op = getattr(torch.ops.bposit, rule.name)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(*inputs: Any) -> Tensor:
            found: Tensor = torch_op(*inputs)
            return found

        setup_context = staticmethod(setup)
        vmap = staticmethod(batch)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
            return backward(ctx, gradient)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Tensor:
            inputs, output = saved(ctx)
            return rule.jvp(inputs, output, tangents[: rule.tensors])

    def function(*inputs: Any) -> Tensor:
        if torch.compiler.is_compiling():
            _refuse_compiled_jvp(rule.name)
            found: Tensor = torch_op(*inputs)
            return found
        applied: Tensor = Function.apply(*inputs)
        return applied

    Function.__name__ = Function.__qualname__ = rule.name
    function.__name__ = function.__qualname__ = rule.name
    return function


def _refuse_compiled_jvp(name: str) -> None:
    if forward_ad._current_level >= 0:
        raise RuntimeError(
            f"bposit::{name}: forward-mode derivatives do not compile (Dynamo would give zeros);"
            " call torch.func.jvp outside torch.compile"
        )
