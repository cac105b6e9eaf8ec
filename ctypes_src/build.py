"""Builds ``posit._core`` from the C core with cffi in API mode.

The declarations are read from the public header, so there is no second list to keep in step.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
SOURCES = ("elementwise.c", "cast.c", "parts.c", "quire.c", "reduce.c")
# Exactness depends on the first flag; the next two let square roots and selections vectorise.
FLAGS = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-O3", "-std=c11"]


def declarations() -> str:
    """The public header without its preprocessor lines, save for numeric constants."""
    text = re.sub(r"/\*.*?\*/", "", (HERE / "bposit.h").read_text(), flags=re.S)
    keep = (line for line in text.splitlines() if re.match(r"#define \w+ \d+\s*$|[^#]|$", line))
    return "\n".join(keep)


ffi = cffi.FFI()
ffi.cdef(declarations())
ffi.set_source(
    "posit._core",
    '#include "bposit.h"',
    sources=[os.path.join("ctypes_src", name) for name in SOURCES],
    include_dirs=["ctypes_src"],
    depends=[os.path.join("ctypes_src", p.name) for p in HERE.glob("*.h")],
    extra_compile_args=FLAGS + os.environ.get("BPOSIT_CFLAGS", "").split(),
    extra_link_args=os.environ.get("BPOSIT_LDFLAGS", "").split(),
    libraries=["m"],
)
