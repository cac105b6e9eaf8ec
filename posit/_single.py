"""One element at a time through the C core, without an array: what scalars are made of."""

from __future__ import annotations

from typing import Any

from ._arrays import core_spec, ffi, lib
from .spec import PositSpec

__all__ = ["ADD", "DIV", "MUL", "SUB", "apply", "convert", "from_float", "from_int", "to_float"]

ADD, SUB, MUL, DIV = lib.BP_ADD, lib.BP_SUB, lib.BP_MUL, lib.BP_DIV

_PATTERN = {8: "int8_t", 16: "int16_t", 32: "int32_t", 64: "int64_t"}
_OPERANDS = {size: ffi.typeof(f"{name}[3]") for size, name in _PATTERN.items()}


def _bits(spec: PositSpec) -> int:
    """The width of the storage."""
    n = spec.n
    return 8 if n <= 8 else 16 if n <= 16 else 32 if n <= 32 else 64


def apply(op: int, a: int, b: int, spec: PositSpec) -> int:
    """op(a, b) of patterns, rounded once."""
    x = ffi.new(_OPERANDS[_bits(spec)], (a, b, 0))
    lib.bp_apply(op, core_spec(spec), 1, x, 0, x + 1, 0, ffi.NULL, 0, x + 2, 0)
    return int(x[2])


def convert(a: int, spec: PositSpec, to: PositSpec) -> int:
    """The pattern of ``to`` nearest to pattern ``a`` of ``spec``."""
    x = ffi.new(_OPERANDS[_bits(spec)], (a, 0, 0))
    made = ffi.new(_OPERANDS[_bits(to)])
    lib.bp_convert(core_spec(spec), core_spec(to), 1, x, 0, made, 0)
    return int(made[0])


def from_float(value: float, spec: PositSpec) -> int:
    """The pattern nearest to a float."""
    made = ffi.new(_OPERANDS[_bits(spec)])
    lib.bp_encode_f64(core_spec(spec), 1, ffi.new("double *", value), 0, made, 0)
    return int(made[0])


def from_int(value: int, spec: PositSpec) -> int:
    """The pattern nearest to an int64; OverflowError for other integers."""
    made = ffi.new(_OPERANDS[_bits(spec)])
    lib.bp_encode_i64(core_spec(spec), 1, ffi.new("int64_t *", value), 0, made, 0)
    return int(made[0])


def to_float(a: int, spec: PositSpec) -> float:
    """The float nearest to pattern ``a``."""
    x = ffi.new(_OPERANDS[_bits(spec)], (a, 0, 0))
    made = ffi.new("double *")
    lib.bp_decode_f64(core_spec(spec), 1, x, 0, made, 0, 0)
    found: Any = made[0]
    return float(found)
