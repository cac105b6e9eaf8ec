"""Compile the kernels without a GPU: ``python -m tests.torch_bridge.triton_compile``."""

from __future__ import annotations

from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from posit import PositSpec, bposit8, bposit16, bposit32
from torch_bridge._triton import codec, limbs, products
from torch_bridge._triton.casts import of_spec

POINTERS = {
    "x": "fp64", "bits": "P", "a": "P", "b": "P", "add": "P", "total": "fp64", "sizes": "fp64",
    "left": "fp64", "right": "fp64", "undecided": "i1", "where": "i64", "digits": "i64",
    "nars": "i32",
}  # fmt: skip
TILE = {"BM": 32, "BN": 32, "BK": 16}
KERNELS: list[tuple[Any, str, dict[str, Any]]] = [
    (codec.encode_kernel, "P", {"BLOCK": 1024}),
    (codec.decode_kernel, "fp64", {"BLOCK": 1024}),
    (products.product_kernel, "fp64", {"BOUND": True, **TILE}),
    (products.certify_kernel, "P", {"BY_NORMS": True, "ADD": True, "BR": 1, "BC": 1024}),
    (products.certify_kernel, "P", {"BY_NORMS": False, "ADD": False, "BR": 64, "BC": 16}),
    (products.enclose_kernel, "P", {"ADD": True, "BK": 128}),
    (limbs.accumulate_kernel, "", {"ADD": True, "PLANES": 8, "BK": 128}),
    (limbs.round_kernel, "P", {"BLOCK": 1024}),
]
"""Kernel, what ``out`` points to, and its constants."""


def compile_one(kernel: Any, out: str, constants: dict[str, Any], ones: bool, arch: int) -> None:
    """``ones``: for integers of 1, of which Triton makes constants."""
    pattern = f"i{8 * PositSpec(constants['N'], constants['RS'], constants['ES']).storage.itemsize}"
    types: dict[str, str] = {}
    for parameter in kernel.params:
        name = parameter.name
        if name in constants:
            types[name] = "constexpr"
        elif name in POINTERS or name == "out":
            types[name] = "*" + POINTERS.get(name, out).replace("P", pattern)
        elif ones and not parameter.do_not_specialize:
            types[name], constants = "constexpr", {**constants, name: 1}
        else:
            types[name] = "i32"
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    made = triton.compile(
        ASTSource(kernel, types, places),
        target=GPUTarget("cuda", arch, 32),
        options={"enable_fp_fusion": True},
    )
    assert "cubin" in made.asm


def main() -> None:
    jobs = [(spec, k, False, 90) for spec in (bposit16, PositSpec(48, 6, 5)) for k in KERNELS]
    jobs += [(bposit32, k, True, 90) for k in KERNELS[2:]]
    # Triton has failed on products of float64 by the width of what is loaded
    jobs += [
        (s, KERNELS[2], True, arch) for s in (bposit8, bposit16, bposit32) for arch in (80, 90)
    ]
    for spec, (kernel, out, constants), ones, arch in jobs:
        compile_one(kernel, out, {**of_spec(spec), **constants}, ones, arch)
    print(f"{len(jobs)} kernels")


if __name__ == "__main__":
    main()
