"""Memory images: patterns as the files that synthesis tools load into block memories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns, patterns
from posit.spec import SpecLike

__all__ = ["KINDS", "read", "write"]

KINDS = ("mem", "coe", "mif")
_COE = re.compile(
    r"memory_initialization_radix\s*=\s*16\s*;\s*memory_initialization_vector\s*=\s*([^;]*);",
    re.IGNORECASE,
)


def write(
    bits: npt.ArrayLike,
    spec: SpecLike,
    path: str | Path,
    *,
    kind: str | None = None,
    pack: int = 1,
    depth: int | None = None,
) -> None:
    """Write patterns in C order, one memory word a line, in hexadecimal.

    Parameters
    ----------
    bits : patterns of ``spec``, any shape
    spec : PositSpec, posit dtype or name
    path : path-like
    kind : {"mem", "coe", "mif"}, optional
        ``$readmemh``; Xilinx coefficients; Intel memory initialisation. Default by the suffix.
    pack : int
        Patterns in a word of n·pack bits, the first in the lowest bits; the last word is filled up
        with zeros.
    depth : int, optional
        Words of the memory; default as many as there are. The rest is zeros: written out, or in
        mif, as a range.

    Raises ValueError for an unknown kind, ``pack`` below 1, or a depth that is too small.
    """
    spec, path = PositSpec.parse(spec), Path(path)
    words = _words(patterns(bits, spec), spec, pack)
    size = len(words) if depth is None else depth
    if size < max(1, len(words)):
        raise ValueError(f"depth {size}: the patterns fill {len(words)} words, and 1 is the least")
    text = {"mem": _mem, "coe": _coe, "mif": _mif}[_kind(kind, path)](
        words, size, spec.n * pack, f"{spec.name} {spec}, {pack} a word"
    )
    path.write_text(text, encoding="ascii")


def read(
    path: str | Path, spec: SpecLike, count: int, *, kind: str | None = None, pack: int = 1
) -> Patterns:
    """The first ``count`` patterns of a memory image, (count,).

    Reads what :func:`write` makes, and what others make in hexadecimal: comments, several words a
    line, ``@`` addresses in mem, ranges in mif. Words never set are zeros.

    Raises ValueError for what is malformed, too wide, or too short.
    """
    spec, path = PositSpec.parse(spec), Path(path)
    text = path.read_text(encoding="latin-1")
    memory = {"mem": _from_mem, "coe": _from_coe, "mif": _from_mif}[_kind(kind, path)](text, path)
    found, mask = np.zeros(count, object), (1 << spec.n) - 1
    last = -1
    for address, word in memory:
        if word >> (spec.n * pack):
            raise ValueError(
                f"{path}: word {address} is {word:x}, of more than {spec.n * pack} bits"
            )
        last = max(last, address)
        for i in range(pack):
            if address * pack + i < count:
                found[address * pack + i] = word >> (spec.n * i) & mask
    if (last + 1) * pack < count:
        raise ValueError(f"{path} has {last + 1} words, not {count} patterns, {pack} a word")
    half = 1 << (spec.n - 1)
    return np.array([int(p) - 2 * half if p & half else int(p) for p in found], spec.storage)


def _kind(kind: str | None, path: Path) -> str:
    name = path.suffix.removeprefix(".").lower() if kind is None else kind
    name = "mem" if kind is None and name == "hex" else name
    if name not in KINDS:
        raise ValueError(f"memory image {name or str(path)!r}: possible are {', '.join(KINDS)}")
    return name


def _words(array: Patterns, spec: PositSpec, pack: int) -> list[int]:
    if pack < 1:
        raise ValueError(f"pack = {pack}: at least one pattern in a word")
    mask, line = (1 << spec.n) - 1, array.reshape(-1).tolist()
    return [
        sum((p & mask) << (spec.n * i) for i, p in enumerate(line[k : k + pack]))
        for k in range(0, len(line), pack)
    ]


def _filled(words: Sequence[int], depth: int, width: int) -> list[str]:
    digits = -(-width // 4)
    return [f"{w:0{digits}x}" for w in [*words, *[0] * (depth - len(words))]]


def _mem(words: Sequence[int], depth: int, width: int, what: str) -> str:
    return f"// {what}\n" + "\n".join(_filled(words, depth, width)) + "\n"


def _coe(words: Sequence[int], depth: int, width: int, what: str) -> str:
    head = f"; {what}\nmemory_initialization_radix=16;\nmemory_initialization_vector=\n"
    return head + ",\n".join(_filled(words, depth, width)) + ";\n"


def _mif(words: Sequence[int], depth: int, width: int, what: str) -> str:
    lines = [f"-- {what}", f"WIDTH={width};", f"DEPTH={depth};", "ADDRESS_RADIX=HEX;",
             "DATA_RADIX=HEX;", "CONTENT BEGIN"]  # fmt: skip
    lines += [f"{i:x} : {w};" for i, w in enumerate(_filled(words, len(words), width))]
    if depth > len(words):
        lines.append(f"[{len(words):x}..{depth - 1:x}] : {0:0{-(-width // 4)}x};")
    return "\n".join([*lines, "END;"]) + "\n"


def _number(text: str, path: Path) -> int:
    digits = text.replace("_", "")
    if not re.fullmatch(r"[0-9a-fA-F]+", digits):
        raise ValueError(f"{path}: {text[:40]!r} is not hexadecimal")
    return int(digits, 16)


def _from_mem(text: str, path: Path) -> Iterator[tuple[int, int]]:
    plain = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    address = 0
    for token in plain.split():
        if token.startswith("@"):
            address = _number(token[1:], path)
            continue
        yield address, _number(token, path)
        address += 1


def _from_coe(text: str, path: Path) -> Iterator[tuple[int, int]]:
    plain = "\n".join("" if line.lstrip().startswith(";") else line for line in text.splitlines())
    found = _COE.search(plain)
    if found is None:
        raise ValueError(f"{path}: expected memory_initialization_radix=16 and …_vector=…;")
    for address, token in enumerate(t for t in re.split(r"[\s,]+", found[1]) if t):
        yield address, _number(token, path)


def _from_mif(text: str, path: Path) -> Iterator[tuple[int, int]]:
    plain = re.sub(r"--[^\n]*|%[^%]*%", " ", text)
    head, begin, body = plain.partition("BEGIN")
    radices = re.findall(r"(\w+)_RADIX\s*=\s*(\w+)", head)
    if not begin or dict(radices) != {"ADDRESS": "HEX", "DATA": "HEX"}:
        raise ValueError(f"{path}: expected CONTENT BEGIN after ADDRESS_RADIX=HEX, DATA_RADIX=HEX")
    for line in body.partition("END")[0].split(";"):
        if not line.strip():
            continue
        place, colon, values = line.partition(":")
        ends = [_number(t.strip(" []\n\r\t"), path) for t in place.split("..")]
        words = [_number(t, path) for t in values.split()]
        if not colon or not words or len(ends) > 2:
            raise ValueError(f"{path}: {line.strip()[:40]!r} is no address and words")
        last = ends[0] + len(words) - 1 if len(ends) == 1 else ends[1]
        for address in range(ends[0], last + 1):
            yield address, words[(address - ends[0]) % len(words)]
