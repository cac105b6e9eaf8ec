"""The teacher's memories, kept as labels in few bits.

They are normalised to root mean square 1, where a tapered format has most of its digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

import torch_bridge as tb
from posit import PositSpec
from posit.spec import SpecLike

from .model import Teacher

__all__ = ["LabelCache"]


class LabelCache:
    """Sequences and the teacher's memories of all their prefixes.

    Parameters
    ----------
    teacher : Teacher
    x : Tensor (N, T)
    form : posit format or dtype of torch's
        What memories are kept in.
    piece : int
        Sequences encoded at a time.

    Raises TypeError for a dtype without fractions.
    """

    def __init__(
        self,
        teacher: Teacher,
        x: Tensor,
        form: SpecLike | torch.dtype = "bposit16",
        piece: int = 256,
    ) -> None:
        if isinstance(form, torch.dtype) and not form.is_floating_point:
            raise TypeError(f"labels cannot be kept in {form}: possible are posits and floats")
        self.x = x
        self.form = form if isinstance(form, torch.dtype) else PositSpec.parse(form)
        self._kept = torch.cat([self._stored(teacher.memories(rows)) for rows in x.split(piece)])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences (B, T) and labels (B, T, K, d) in float32."""
        kept = self._kept[rows]
        if isinstance(self.form, PositSpec):
            return self.x[rows], tb.ops.decode(kept, self.form).float()
        return self.x[rows], kept.float()

    @property
    def nbytes(self) -> int:
        """Bytes of the labels."""
        return self._kept.nbytes

    def _stored(self, memory: Tensor) -> Tensor:
        if isinstance(self.form, PositSpec):
            return tb.ops.encode(memory, self.form)
        return memory.to(self.form)
