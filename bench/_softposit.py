"""SoftPosit's own C quire, built at bench time from its source distribution.

The flags are those of its setup.py, and -O3. Where the sources cannot be had, the installed Python
package is called in a loop instead; that measures the calls, so no target is judged by it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import numpy.typing as npt

from ._harness import Unavailable

__all__ = ["SoftPosit", "softposit"]

VERSION = "0.3.4.4"
SHA256 = "d7c12b82339731a7470b03aa1137e7a8b93bad60ecce7df0038c722133d8ff75"
FLAGS = ["-std=gnu99", "-O3"]  # the first is setup.py's
DRIVER = Path(__file__).with_name("softposit_dot.c")

Patterns = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class SoftPosit:
    """``dot(a, b)`` of int16 <16,15,1> or int32 <32,31,2> patterns in SoftPosit's quire.

    Its result is a scalar of their dtype. ``limit`` is the most elements worth timing, None for any
    number; ``how`` says what is run, and ``in_c`` whether the loop is C.
    """

    dot: Callable[[Patterns, Patterns], Any]
    how: str
    in_c: bool
    limit: int | None


@contextmanager
def softposit() -> Iterator[SoftPosit]:
    """SoftPosit, from C if it can be built, else from Python.

    Raises Unavailable if there is neither; its text gives both reasons.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            made = _from_c(_compile(_sources(Path(folder)), Path(folder)))
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as reason:
            made = _from_python(str(reason))
        yield made


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"{Path(command[0]).name} failed: {last}")


def _sources(folder: Path) -> Path:
    """Download and unpack the source distribution; its ``SoftPosit-master`` folder."""
    _run([
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-binary", ":all:", "--no-deps", "--dest", str(folder), f"softposit=={VERSION}",
    ])  # fmt: skip
    archive = folder / f"softposit-{VERSION}.tar.gz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        raise RuntimeError(f"{archive.name} has sha256 {digest}, expected {SHA256}")
    shutil.unpack_archive(archive, folder)
    return folder / f"softposit-{VERSION}" / "SoftPosit-master"


def _compile(master: Path, folder: Path) -> Path:
    """A shared library of SoftPosit and the driver, by the compiler that Python names."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]
    includes = [f"-I{master / 'source/include'}", f"-I{master / 'build/Linux-x86_64-GCC'}"]
    library = folder / "softposit.so"
    sources = [str(DRIVER), *map(str, sorted((master / "source").glob("*.c")))]
    _run(
        [
            *compiler,
            *FLAGS,
            "-w",
            "-shared",
            "-fPIC",
            *includes,
            *sources,
            "-o",
            str(library),
            "-lm",
        ]
    )
    return library


def _from_c(library: Path) -> SoftPosit:
    ffi = cffi.FFI()
    ffi.cdef(
        "uint16_t softposit_dot16(size_t, const uint16_t *, const uint16_t *);"
        "uint32_t softposit_dot32(size_t, const uint32_t *, const uint32_t *);"
    )
    lib = ffi.dlopen(str(library))

    def dot(a: Patterns, b: Patterns) -> Any:
        assert a.size == b.size
        assert a.dtype == b.dtype
        width = 8 * a.dtype.itemsize
        x, y = (ffi.from_buffer(f"uint{width}_t[]", v.view(f"uint{width}")) for v in (a, b))
        bits = {16: lib.softposit_dot16, 32: lib.softposit_dot32}[width](a.size, x, y)
        return np.array(bits, f"uint{width}").view(a.dtype)[()]

    return SoftPosit(dot, f"{VERSION} in C ({' '.join(FLAGS)})", True, None)


def _from_python(reason: str) -> SoftPosit:
    try:
        package = importlib.import_module("softposit")
    except ImportError as missing:
        raise Unavailable(
            f"SoftPosit's sources cannot be built ({reason}), nor is it installed ({missing})"
        ) from None

    def dot(a: Patterns, b: Patterns) -> Any:
        width = 8 * a.dtype.itemsize
        posit = {16: package.posit16, 32: package.posit32}[width]
        q = {16: package.quire16, 32: package.quire32}[width]()
        mask = (1 << width) - 1
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            q.qma(posit(bits=x & mask), posit(bits=y & mask))
        return np.array(q.toPosit().v.v, f"uint{width}").view(a.dtype)[()]

    how = f"its Python package, a Python call for each product (no C: {reason})"
    return SoftPosit(dot, how, False, 1 << 12)
