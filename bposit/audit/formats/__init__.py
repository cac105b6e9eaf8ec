"""Number formats by name, as ``--formats`` reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from posit import PositSpec

from ...errors import BadInput
from .base import F8, I8, Format, finite_amax, lines
from .floats import OTHERS, Float
from .posits import PositFormat
from .scaled import BLOCK, MX, Blocks, Scaled

__all__ = ["BLOCK", "F8", "I8", "Blocks", "Float", "Format", "PositFormat", "Scaled", "finite_amax",
           "lines", "parse", "parse_all"]  # fmt: skip


def parse(text: str) -> Format:
    """Read one format's name; BadInput says what is possible.

    ``bposit16``, ``posit16``, ``n24_rs4_es3``, ``float16``, ``bfloat16``, ``float8_e4m3fn`` and the
    other floats of ml_dtypes, each of these with ``@amax``, ``mxfp8`` and its kin.
    """
    key = re.sub(r"\s+", "", text).lower()
    if key in MX:
        return Blocks.of(key)
    plain, at, scaling = key.partition("@")
    if plain in OTHERS and (not at or scaling == "amax"):
        return Scaled.of(Float.of(plain)) if at else Float.of(plain)
    if at:
        raise BadInput(
            f"format {text[:60]!r}: NAME@amax is possible for {', '.join(OTHERS)};"
            " posits are judged as they are"
        )
    try:
        spec = PositSpec.parse(key)
    except ValueError as error:
        raise BadInput(
            f"{str(error).removeprefix('PositSpec: ')[:400]}; others are {', '.join(OTHERS)} (with"
            f" @amax too) and {', '.join(MX)}"
        ) from None
    return PositFormat.of(spec)


def parse_all(texts: str | Iterable[str | Format]) -> tuple[Format, ...]:
    """Read a comma-separated list, or several; each format once, in the order given."""
    given: list[str | Format] = []
    for item in [texts] if isinstance(texts, str) else texts:
        if isinstance(item, Format):
            given.append(item)
        else:  # commas within <n,rs,es> belong to it
            given += [part for part in re.split(r",(?![^<]*>)", item) if part.strip()]
    found = [item if isinstance(item, Format) else parse(item) for item in given]
    if not found:
        raise BadInput("no format is given: --formats bposit16,bfloat16")
    return tuple({f.name: f for f in found}.values())
