"""Joins the C core's scalar arithmetic and quire into one text, ``core.h``.

    python -m bposit.emulate.cmodel.joined

In a checkout: reads ctypes_src, writes core.h beside this file. A test does the same and compares.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["join"]

_HERE = Path(__file__).parent
_TAKEN = {"elementwise.c": ("bp_on_words", "bp_negated")}
_TYPES = ("bp_spec", "bp_op", "bp_layout")


def join(sources: Path) -> str:
    """The text, from the folder of the C core."""
    seen: set[str] = set()
    parts = [
        "/* The C core of bposit, joined by `python -m bposit.emulate.cmodel.joined`. */",
        "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>",
        _types((sources / "bposit.h").read_text()),
        _inlined("codec.h", sources, seen),
        *(_function(name, (sources / file).read_text())
          for file, names in _TAKEN.items() for name in names),
        _inlined("limbs.h", sources, seen),
        _static(_inlined("quire.c", sources, seen)),
    ]  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part.strip() for part in parts)) + "\n"


def _types(text: str) -> str:
    """The types and constants of the public header, without its functions."""
    found = [_match(rf"typedef (?:struct|enum) \{{[^}}]*\}} {name};", text) for name in _TYPES]
    found.append(_match(r"#define BP_MAX_LIMBS \d+", text))
    found.append(_match(r"enum \{ BP_NAR = 1, BP_INEXACT = 2 \};", text))
    return "\n".join(found)


def _match(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"the C core has no {pattern}")
    return found[0]


def _inlined(name: str, sources: Path, seen: set[str]) -> str:
    """A file with its own includes in place; guarded ones once, others each time."""
    text = (sources / name).read_text()
    guard = re.search(r"#ifndef (BPOSIT_\w+_H|BPOSIT_H)\n#define \1\n", text)
    if guard:
        if name in seen:
            return ""
        seen.add(name)
        text = text.replace(guard[0], "")
        text = text[: text.rindex("#endif")]
    lines = []
    for line in text.splitlines():
        found = re.fullmatch(r'#include [<"](.*)[>"]', line)
        if found is None:
            lines.append(line)
        elif line.endswith('"') and found[1] != "bposit.h":
            lines.append(_inlined(found[1], sources, seen).strip())
    return "\n".join(lines)


def _function(name: str, text: str) -> str:
    return _match(
        rf"BP_INLINE [\w ]+\b{name}\([^{{;]*\{{\n(?:.*\n)*?\}}\n|BP_INLINE [\w ]+\b{name}\(.*\}}\n",
        text,
    )


def _static(text: str) -> str:
    """Functions with external names as inline ones."""
    return re.sub(r"^(?:static )?(?=(?:void|int64_t|bp_layout) bp_\w+\()", "BP_INLINE ", text,
                  flags=re.M)  # fmt: skip


def main() -> None:
    """Write core.h."""
    (_HERE / "core.h").write_text(join(_HERE.parents[2] / "ctypes_src"), encoding="utf-8")


if __name__ == "__main__":
    main()
