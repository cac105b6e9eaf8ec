"""Builds ``posit._core`` from the C core with cffi in API mode.

The declarations are read from the public header, so there is no second list to keep in step.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
SOURCES = (
    "elementwise.c",
    "sums.c",
    "cast.c",
    "parts.c",
    "quire.c",
    "reduce.c",
    "certify.c",
    "window.c",
    "bilinear.c",
)
HEADERS = [f"ctypes_src/{path.name}" for path in sorted(HERE.glob("*.h"))]
# Exactness depends on the first flag; the next two let square roots and selections vectorise.
FLAGS = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-O3", "-std=c11"]
FLAGS += os.environ.get("BPOSIT_CFLAGS", "").split()
LINK_FLAGS = os.environ.get("BPOSIT_LDFLAGS", "").split()
# The core is compiled once, to a static library that every extension links.
LIBRARY = (
    "bposit_core",
    {
        "sources": [f"ctypes_src/{name}" for name in SOURCES],
        "obj_deps": {"": HEADERS},
        "include_dirs": ["ctypes_src"],
        "cflags": [*FLAGS, "-fPIC"],
    },
)


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
    include_dirs=["ctypes_src"],
    depends=HEADERS,
    extra_compile_args=FLAGS,
    extra_link_args=LINK_FLAGS,
    libraries=["m"],  # and the core: setuptools adds the project's own libraries to every extension
)
