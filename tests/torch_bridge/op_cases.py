"""Every function of torch_bridge.ops that has a float64 twin in torch, with operands to try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torch_bridge import ops

SPEC = "bposit32"
MASK = torch.tensor([[True, True, False, True, True], [True, False, False, True, False]])
FLOATS = torch.tensor([[0.5, -1.0, 0.25], [2.0, 0.0, -0.75]], dtype=torch.float64)
TARGET = torch.tensor([2, 0, -100, 4])
SHARES = torch.linspace(0, 1, 20, dtype=torch.float64).reshape(4, 5)
WEIGHTS = torch.tensor([0.5, 1, 2, 1, 0.25], dtype=torch.float64)
PLACES = torch.tensor([[1, 2, 1], [0, 3, 1]])
NEW_GELU = {"approximate": "tanh"}


@dataclass(frozen=True)
class Case:
    """``ours`` and ``twin`` of tensors of these shapes; both take positive numbers if asked."""

    name: str
    ours: Callable[..., Tensor]
    twin: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    positive: bool = False

    def tensors(self, seed: int = 0, *leading: int) -> list[Tensor]:
        """Operands that are posits of SPEC, spread so that neither kinks nor ties are near."""
        generator = torch.Generator().manual_seed(seed)
        made = []
        for shape in self.shapes:
            size = (*leading, *shape)
            x = torch.randn(size, generator=generator, dtype=torch.float64)
            made.append(ops.fake_quant(x.abs() + 0.5 if self.positive else x, SPEC))
        return made


def masked(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(~mask, -torch.inf)


def both(name: str, *shapes: tuple[int, ...], positive: bool = False, **options: Any) -> Case:
    """A function that torch.nn.functional or torch has under the same name."""
    twin = getattr(F, name, None) or getattr(torch, name)
    ours = getattr(ops, name)
    return Case(
        f"{name}{options or ''}",
        lambda *x: ours(*x, **options, spec=SPEC),
        lambda *x: twin(*x, **options),
        shapes,
        positive,
    )


def of(name: str, ours: Any, twin: Any, *shapes: tuple[int, ...], positive: bool = False) -> Case:
    return Case(name, ours, twin, shapes, positive)


FUNCTIONS = {
    "sin_h": torch.sinh, "cos_h": torch.cosh, "arc_tan": torch.arctan, "sin": torch.sin,
    "cos": torch.cos, "exp_minus_1": torch.expm1, "log_plus_1": torch.log1p, "abs": torch.abs,
    "r_sqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "square": torch.square,
}  # fmt: skip

ELEMENTWISE = [
    *(both(n, (37,)) for n in ["exp", "tanh", "sigmoid", "silu", "gelu", "relu", "softplus"]),
    *(both(n, (37,)) for n in ["erf", "elu", "leaky_relu"]),
    *(both(n, (37,), positive=True) for n in ["log", "sqrt"]),
    both("gelu", (37,), **NEW_GELU),
    both("softplus", (37,), beta=2.0),
    *(both(n, (37,)) for n in ["mish", "relu6", "selu", "celu", "softsign", "tanhshrink"]),
    *(both(n, (37,)) for n in ["hardswish", "hardsigmoid", "hardtanh"]),
    both("hardtanh", (37,), min_val=-0.25, max_val=0.5),
    both("clamp", (37,), min=-0.25),
    both("celu", (37,), alpha=2.0),
    both("threshold", (37,), threshold=0.25, value=-1.0),
    of("log_sigmoid", lambda x: ops.log_sigmoid(x, spec=SPEC), F.logsigmoid, (37,)),
    of("neg", lambda x: ops.neg(x, spec=SPEC), torch.neg, (37,)),
    of("fake_quant", lambda x: ops.fake_quant(x, SPEC), lambda x: 1.0 * x, (37,)),
    of("per", lambda x: ops.per(x, 7, times=3, spec=SPEC), lambda x: x * 3 / 7, (37,)),
    *(
        of(
            name, lambda x, n=name: ops.unary(x, n, spec=SPEC), twin, (37,),
            positive=name in ("log_plus_1", "r_sqrt", "reciprocal"),
        )
        for name, twin in FUNCTIONS.items()
    ),
]  # fmt: skip
"""Of one tensor: equal elements give equal results wherever they lie."""

OTHERS = [
    *(both(n, (3, 1, 4), (2, 4)) for n in ["add", "sub", "mul"]),
    both("div", (3, 1, 4), (2, 4), positive=True),
    of(
        "fma", lambda a, b, c: ops.fma(a, b, c, spec=SPEC), lambda a, b, c: a * b + c,
        (3, 1), (4,), (3, 4),
    ),
    both("linear", (2, 3, 4), (5, 4), (5,)),
    both("linear", (3, 4), (5, 4)),
    both("matmul", (2, 3, 4), (4, 5)),
    both("matmul", (2, 1, 3, 4), (3, 4, 2)),
    both("matmul", (4,), (4, 3)),
    both("matmul", (4,), (4,)),
    both("sum", (3, 4, 2), dim=(0, 2)),
    both("sum", (3, 4)),
    both("mean", (3, 4, 2), dim=(0, 2), keepdim=True),
    of(
        "mean where", lambda x: ops.mean(x, -1, where=MASK, spec=SPEC),
        lambda x: (x * MASK).sum(-1) / MASK.sum(-1), (3, 2, 5),
    ),
    of(
        "mean count", lambda x: ops.mean(x, 0, count=11, spec=SPEC), lambda x: x.sum(0) / 11,
        (3, 2),
    ),
    of(
        "mean_square", lambda x: ops.mean_square(x, (0, 2), spec=SPEC),
        lambda x: x.square().mean((0, 2)), (3, 2, 5),
    ),
    of(
        "dot", lambda a, b: ops.dot(a, b, 0, spec=SPEC), lambda a, b: (a * b).sum(0),
        (3, 2), (3, 1),
    ),
    both("conv1d", (2, 4, 9), (6, 2, 3), (6,), stride=2, padding=3, dilation=2, groups=2),
    both("conv2d", (2, 3, 5, 6), (4, 3, 3, 2), (4,), padding=(1, 0), stride=(1, 2)),
    both("conv2d", (3, 5, 6), (2, 3, 2, 2), stride=3),
    both("max_pool1d", (2, 3, 7), kernel_size=3, stride=2, padding=1),
    both("max_pool2d", (2, 3, 7, 6), kernel_size=(2, 3), stride=1),
    both("avg_pool1d", (2, 3, 7), kernel_size=3, stride=2, padding=1),
    both("avg_pool2d", (2, 3, 7, 6), kernel_size=(2, 3), stride=(1, 2)),
    both("adaptive_avg_pool1d", (2, 3, 6), output_size=2),
    both("adaptive_avg_pool2d", (2, 3, 4, 6), output_size=(2, 3)),
    both("adaptive_max_pool1d", (2, 3, 6), output_size=3),
    both("adaptive_max_pool2d", (2, 3, 4, 6), output_size=(None, 2)),
    both("glu", (3, 4, 2), dim=1),
    both("prelu", (3, 4, 2), (4,)),
    both("prelu", (5,), (1,)),
    both("softmax", (3, 2, 5), dim=-1),
    both("softmax", (3, 2, 5), dim=0),
    both("log_softmax", (3, 2, 5), dim=-1),
    of(
        "softmax mask", lambda x: ops.softmax(x, mask=MASK, spec=SPEC),
        lambda x: F.softmax(masked(x, MASK), -1), (3, 2, 5),
    ),
    of(
        "log_softmax mask",
        lambda x: torch.where(MASK, ops.log_softmax(x, mask=MASK, spec=SPEC), 0),
        lambda x: torch.where(MASK, F.log_softmax(masked(x, MASK), -1), 0), (3, 2, 5),
    ),
    of(
        "layer_norm", lambda x, w, b: ops.layer_norm(x, (2, 3), w, b, spec=SPEC),
        lambda x, w, b: F.layer_norm(x, (2, 3), w, b), (4, 2, 3), (2, 3), (2, 3),
    ),
    of(
        "rms_norm", lambda x, w: ops.rms_norm(x, 5, w, 1e-3, spec=SPEC),
        lambda x, w: F.rms_norm(x, (5,), w, 1e-3), (3, 2, 5), (5,),
    ),
    of(
        "batch_norm", lambda x, w, b: ops.batch_norm(x, None, None, w, b, True, spec=SPEC),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (4, 2, 3), (2,), (2,),
    ),
    of(
        "group_norm", lambda x, w, b: ops.group_norm(x, 2, w, b, spec=SPEC),
        lambda x, w, b: F.group_norm(x, 2, w, b), (3, 4, 5), (4,), (4,),
    ),
    of(
        "instance_norm", lambda x, w, b: ops.instance_norm(x, None, None, w, b, spec=SPEC),
        lambda x, w, b: F.instance_norm(x, None, None, w, b), (3, 2, 5), (2,), (2,),
    ),
    of("embedding", lambda w: ops.embedding(PLACES, w, spec=SPEC), lambda w: w[PLACES], (5, 3)),
    *(
        of(
            f"cross_entropy {options}",
            lambda x, o=options: ops.cross_entropy(x, TARGET, **o, spec=SPEC),
            lambda x, o=options: F.cross_entropy(x, TARGET, **o), (4, 5),
        )
        for options in (
            {}, {"reduction": "sum"}, {"reduction": "none"}, {"label_smoothing": 0.25},
            {"weight": WEIGHTS},
        )
    ),
    both("mse_loss", (4, 5), (4, 5)),
    *(both(n, (4, 5), (4, 5)) for n in ["l1_loss", "smooth_l1_loss", "huber_loss"]),
    both("smooth_l1_loss", (4, 5), (4, 5), beta=0.5, reduction="sum"),
    both("huber_loss", (4, 5), (4, 5), delta=0.5, reduction="none"),
    *(
        both("binary_cross_entropy_with_logits", (4, 5), target=SHARES, **o)
        for o in ({}, {"pos_weight": WEIGHTS, "weight": WEIGHTS, "reduction": "sum"})
    ),
    *(
        of(
            f"attention {[*options]}",
            lambda q, k, v, o=options: ops.scaled_dot_product_attention(q, k, v, **o, spec=SPEC),
            lambda q, k, v, o=options: attention(q, k, v, **o),
            (2, 2, 4), (2, 3, 4), (2, 3, 5),
        )
        for options in (
            {}, {"is_causal": True}, {"attn_mask": MASK[:, :3] | MASK[:, 3:4]},
            {"attn_mask": FLOATS}, {"scale": 0.25},
        )
    ),
]  # fmt: skip
"""Of several tensors, or of elements together."""


def attention(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    """torch's in its plain form, the only one with a forward-mode derivative."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, **options)


CASES = ELEMENTWISE + OTHERS
