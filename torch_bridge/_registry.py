"""Which parameters have exact gradient sums, and which collect them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from posit import PositSpec
from posit.spec import SpecLike

from ._gradient_sum import GradientSum

__all__ = ["collect", "find", "is_collecting", "of", "release"]

_sums: Any = WeakTensorKeyDictionary()
_collecting: Any = WeakTensorKeyDictionary()


def find(parameter: Tensor) -> GradientSum | None:
    """The parameter's sum, if it has one."""
    found: GradientSum | None = _sums.get(parameter)
    return found


def of(parameter: Tensor, spec: SpecLike) -> GradientSum:
    """The parameter's sum, made on first use; all uses of a tied parameter share it.

    It belongs to the tensor itself: copies, and what a checkpoint restores, begin without.

    Raises ValueError if the sum is not empty and of another format.
    """
    found, wanted = find(parameter), PositSpec.parse(spec)
    if found is None or (found.spec != wanted and found.is_empty):
        found = _sums[parameter] = GradientSum(parameter.shape, wanted)
    if found.spec != wanted:
        raise ValueError(
            f"a parameter's gradient is summed in {found.spec}, and {wanted} was asked for: all its"
            " uses share one format"
        )
    return found


def collect(parameters: Iterable[Tensor]) -> None:
    """From now on ``backward()`` adds to the parameters' exact sums instead of to ``.grad``.

    The optimizers of :mod:`torch_bridge.optim` call it for theirs. It holds where an operation of
    :mod:`torch_bridge.ops`, run eagerly, takes the parameter or a view of it: as the weight or bias
    of a layer, as a table of embeddings, as an operand of + - · and of matrix products. Elsewhere,
    and for ``torch.autograd.grad``, ``torch.func``, ``create_graph=True`` and parameters with hooks
    on their gradient, gradients are rounded tensors as ever.
    """
    for p in parameters:
        _collecting[p] = True


def release(parameters: Iterable[Tensor]) -> None:
    """Undo :func:`collect`: gradients go to ``.grad``, rounded by each ``backward()``."""
    for p in parameters:
        _collecting.pop(p, None)


def is_collecting(parameter: Tensor) -> bool:
    """Whether :func:`collect` holds for it."""
    return parameter in _collecting
