"""How fast is a product of multivectors, beside the dense product by the Cayley tensor?

The peer is ``torch.einsum("...i,ijk,...j->...k", a, cayley, b)`` on the same batches. Algebras of
one to six dimensions with all blades, in float32 and float64; then what a step of training does,
forward and backward; then operands that lack most blades, whose dense product is as large as ever:
the einsum gets the part of the tensor that they need; then few multivectors, where calls cost more
than arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ._harness import Config, Mismatch, Pair, Side

TARGET = 3.0
COEFFICIENTS = 1 << 18  # of each operand
FEW = 64
NAMES = {(1, 0, 0): "Cl(1)", (2, 0, 0): "Cl(2)", (3, 0, 0): "Cl(3)", (3, 0, 1): "PGA3D",
         (1, 3, 0): "STA", (4, 1, 0): "CGA3D", (3, 3, 0): "Cl(3,3)"}  # fmt: skip


def pairs(config: Config) -> Iterator[Pair]:
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(config.cores)
    try:
        with threadpool_limits(config.cores):
            for signature in NAMES:
                for dtype in (torch.float32, torch.float64):
                    yield _pair(signature, None, dtype, False, config)
            for signature in ((3, 0, 0), (3, 0, 1), (4, 1, 0)):
                yield _pair(signature, None, torch.float32, True, config)
            yield _pair((3, 0, 1), ("even", (1,)), torch.float32, False, config)
            yield _pair((4, 1, 0), ("even", (1,)), torch.float32, False, config)
            for signature in ((3, 0, 0), (4, 1, 0)):
                yield _pair(signature, None, torch.float32, False, config, rows=FEW)
    finally:
        torch.set_num_threads(before)


def _pair(
    signature: Any,
    parts: Any,
    dtype: Any,
    training: bool,
    config: Config,
    *,
    rows: int | None = None,
) -> Pair:
    import torch

    from torch_bridge.clifford import Algebra

    algebra = Algebra(*signature)
    a, b = (
        algebra.even if part == "even" else algebra.blades(grades=part)
        for part in parts or (None, None)
    )
    whole = rows is None and parts is None and not training and not config.quick
    rows = rows or config.size(COEFFICIENTS) >> algebra.dimension
    generator = torch.Generator().manual_seed(config.seed)

    def operand(blades: Any) -> Any:
        x = torch.randn(rows, len(blades), generator=generator, dtype=dtype)
        return algebra.multivector(x, blades=blades)

    x, y = operand(a), operand(b)
    units = [algebra.multivector(torch.eye(len(s), dtype=dtype), blades=s) for s in (a, b)]
    cayley = (units[0][:, None] * units[1][None]).coefficients
    u, v = x.coefficients.clone(), y.coefficients.clone()
    if training:
        for leaf in (x.coefficients, y.coefficients, u, v):
            leaf.requires_grad_()

    def dense() -> Any:
        return torch.einsum("...i,ijk,...j->...k", u, cayley, v)

    def sparse() -> Any:
        return (x * y).coefficients

    def trained(function: Callable[[], Any], *leaves: Any) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(function().sum(), leaves)

    calls = (sparse, dense)
    if training:
        calls = (trained(sparse, x.coefficients, y.coefficients), trained(dense, u, v))

    def check() -> str:
        found, wanted = ([*calls[i]()] if training else [calls[i]()] for i in (0, 1))
        worst = max(float((f - w).abs().max()) for f, w in zip(found, wanted, strict=True))
        size = max(float(w.abs().max()) for w in wanted)
        if not worst <= 2.0**algebra.dimension * 4 * torch.finfo(dtype).eps * size:
            raise Mismatch(f"{algebra}: {worst} off, of {size}")
        return f"einsum differs by {worst:.0e}"

    what = f"{NAMES[signature]}, {str(dtype).removeprefix('torch.')}"
    what += ", even × vector" if parts else ", forward and backward" if training else ""
    moved = u.itemsize * rows * (len(a) + len(b) + cayley.shape[2])
    ours = Side(f"{what}, batch {rows}", calls[0], rows, moved)
    peer = Side("torch.einsum, Cayley tensor", calls[1], rows, moved)
    return Pair(ours, peer, "products", check, TARGET if whole and algebra.dimension <= 5 else None)
