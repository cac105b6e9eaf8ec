"""The parameters of converted models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from posit import PositSpec

__all__ = ["PositParameter"]


class PositParameter(nn.Parameter):
    """A float64 parameter whose elements are posits of a format; copies and pickles keep that.

    Parameters
    ----------
    data : Tensor of float64
        Posits of ``spec`` already.
    requires_grad : bool
    spec : PositSpec
    """

    spec: PositSpec

    def __new__(cls, data: Tensor, requires_grad: bool, spec: PositSpec) -> PositParameter:
        made = torch.Tensor._make_subclass(cls, data.detach(), requires_grad)
        made.spec = spec
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> PositParameter:
        if id(self) not in memo:
            memo[id(self)] = PositParameter(self.detach().clone(), self.requires_grad, self.spec)
        found: PositParameter = memo[id(self)]
        return found

    def __reduce_ex__(self, protocol: Any) -> Any:
        spec = self.spec
        return _rebuild, (self.detach(), self.requires_grad, spec.n, spec.rs, spec.es)

    @property
    def _fsdp_orig_uid(self) -> int:
        """Refuses ``fully_shard`` (FSDP2), which asks for it before it shards."""
        raise NotImplementedError(
            "fully_shard does not support converted models: it would add gradients rounded at every"
            " rank; torch_bridge.distributed adds exactly"
        )


def _rebuild(data: Tensor, requires_grad: bool, n: int, rs: int, es: int) -> PositParameter:
    return PositParameter(data, requires_grad, PositSpec(n, rs, es))


torch.serialization.add_safe_globals([_rebuild])
