"""How fast do numbers become patterns, and patterns numbers?

bposit16 beside torch's float32 <-> bfloat16, the cast of everyday training; bposit32 beside a plain
copy of float64, the speed of memory; reversed arrays beside copying them forward first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch

import posit
from posit import PositSpec

from ._harness import Config, Pair, Side, agree, sample

Array = npt.NDArray[Any]

FULL = 1 << 24  # elements: well beyond any cache


def pairs(config: Config) -> Iterator[Pair]:
    torch.set_num_threads(1)
    x = config.rng().standard_normal(config.size(FULL), dtype=np.float32)
    yield from _beside_bfloat16(x, posit.bposit16, config)
    yield from _beside_copy(x.astype(np.float64), posit.bposit32, config)
    yield from _reversed(x, posit.bposit16)
    yield from _reversed(x.astype(np.float64), posit.bposit32)


def _encoding(x: Array, spec: PositSpec) -> tuple[Side, Array]:
    """Encoding all of x, and where the patterns go."""
    bits = np.empty(x.size, spec.storage)
    label, moved = f"{x.dtype.name} → {spec.name}", x.nbytes + bits.nbytes
    return Side(label, lambda: posit.encode(x, spec, out=bits), x.size, moved), bits


def _decoding(bits: Array, spec: PositSpec, dtype: np.dtype[Any]) -> tuple[Side, Array]:
    """Decoding all of bits, and where the numbers go."""
    out = np.empty(bits.size, dtype)
    label, moved = f"{spec.name} → {dtype.name}", bits.nbytes + out.nbytes
    return Side(label, lambda: posit.decode(bits, spec, dtype, out=out), out.size, moved), out


def _check_encode(x: Array, bits: Array, spec: PositSpec, config: Config) -> str:
    at = sample(x.size, config.rng())
    wanted = [posit.reference.encode(float(v), spec) for v in x[at]]
    agree(f"encode to {spec}", bits[at], np.array(wanted, bits.dtype))
    return f"{at.size} elements = posit.reference"


def _check_decode(bits: Array, out: Array, spec: PositSpec, config: Config) -> str:
    at = sample(bits.size, config.rng())
    wanted = [float(posit.reference.decode(int(p), spec) or 0) for p in bits[at]]  # exact here
    agree(f"decode of {spec}", out[at], np.array(wanted, out.dtype))
    return f"{at.size} elements = posit.reference"


def _beside_bfloat16(x: Array, spec: PositSpec, config: Config) -> Iterator[Pair]:
    """As people call the casts, each making its result, and into arrays that exist already.

    The target is judged on the first: there a new result's pages are part of the cost on both
    sides. The second is the bare loop, where torch runs at the speed of memory.
    """
    encoding, bits = _encoding(x, spec)
    decoding, out = _decoding(bits, spec, x.dtype)
    source, narrow, wide = (torch.empty(x.size, dtype=d) for d in (None, torch.bfloat16, None))
    source.copy_(torch.from_numpy(x))
    moved = x.nbytes + bits.nbytes
    narrowing = Side("torch float32 → bfloat16", lambda: narrow.copy_(source), x.size, moved)
    widening = Side("torch bfloat16 → float32", lambda: wide.copy_(narrow), x.size, moved)

    def check_encode() -> str:
        encoding.call()
        narrowing.call()
        theirs = x.astype(ml_dtypes.bfloat16)
        agree("torch's bfloat16", narrow.view(torch.int16).numpy(), theirs.view(np.int16))
        return f"{_check_encode(x, bits, spec, config)}; torch = ml_dtypes"

    def check_decode() -> str:
        encoding.call()
        decoding.call()
        narrowing.call()
        widening.call()
        theirs = x.astype(ml_dtypes.bfloat16).astype(np.float32)
        agree("torch's float32", wide.numpy(), theirs)
        return f"{_check_decode(bits, out, spec, config)}; torch = ml_dtypes"

    yield Pair(
        replace(encoding, name=f"{encoding.name}, new result", call=lambda: posit.encode(x, spec)),
        replace(narrowing, call=lambda: source.to(torch.bfloat16)),
        "elements", check_encode, target=1.0,
    )  # fmt: skip
    yield Pair(
        replace(
            decoding,
            name=f"{decoding.name}, new result",
            call=lambda: posit.decode(bits, spec, x.dtype),
        ),
        replace(widening, call=lambda: narrow.to(torch.float32)),
        "elements", check_decode, target=1.0,
    )  # fmt: skip
    yield Pair(encoding, narrowing, "elements", check_encode)
    yield Pair(decoding, widening, "elements", check_decode)


def _beside_copy(x: Array, spec: PositSpec, config: Config) -> Iterator[Pair]:
    encoding, bits = _encoding(x, spec)
    decoding, out = _decoding(bits, spec, x.dtype)
    copied = np.empty_like(x)
    copy = Side(f"NumPy {x.dtype.name} copy", lambda: np.copyto(copied, x), x.size, 2 * x.nbytes)

    def check_encode() -> str:
        encoding.call()
        return _check_encode(x, bits, spec, config)

    def check_decode() -> str:
        encoding.call()
        decoding.call()
        return _check_decode(bits, out, spec, config)

    yield Pair(encoding, copy, "elements", check_encode, target=0.4)
    yield Pair(decoding, copy, "elements", check_decode, target=0.4)


def _reversed(x: Array, spec: PositSpec) -> Iterator[Pair]:
    """A cast that reads backwards must not be slower than copying forward and casting that."""
    backward_bits = posit.encode(x, spec)[::-1]
    numbers, bits = np.empty_like(x), np.empty(x.size, spec.storage)
    direct_encode, patterns = _encoding(x[::-1], spec)
    later_encode, later_patterns = _encoding(numbers, spec)
    direct_decode, values = _decoding(backward_bits, spec, x.dtype)
    later_decode, later_values = _decoding(bits, spec, x.dtype)
    yield _copied_first(direct_encode, later_encode, x, numbers, (patterns, later_patterns))
    yield _copied_first(
        direct_decode, later_decode, backward_bits[::-1], bits, (values, later_values)
    )


def _copied_first(
    direct: Side, later: Side, forward: Array, copy: Array, results: tuple[Array, Array]
) -> Pair:
    """``direct`` beside reversing ``forward`` into ``copy`` and then ``later``."""

    def copy_first() -> None:
        np.copyto(copy, forward[::-1])
        later.call()

    def check() -> str:
        direct.call()
        copy_first()
        agree(f"{direct.name}, reversed", *results)
        return "all elements = those of the copy"

    return Pair(
        replace(direct, name=f"{direct.name}, reversed"),
        Side("the same, copied first", copy_first, later.work, later.moved + 2 * copy.nbytes),
        "elements",
        check,
        target=1.0,
    )
