"""Posit arrays in files: ``.npy`` and ``.npz`` that any NumPy can read, and safetensors.

A saved array is two ordinary ``.npy`` records, one after the other: the patterns as integers, and
a byte string such as ``bposit 1 <16,6,5> crc32 0f3a9c21``. ``numpy.load`` reads the first and
stops, as it does for arrays appended to one file, and so gets the integers; :func:`load` reads
both. An ``.npz`` holds such a file for each array, and a comment that seals their names. Nothing is
ever pickled or unpickled.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from . import _npy
from ._dtype import bits
from ._npy import Array
from .spec import PositSpec

__all__ = ["load", "load_safetensors", "save", "save_safetensors", "savez"]

Name = str | os.PathLike[str]
File = Name | IO[bytes]


def save(file: File, array: npt.ArrayLike) -> None:
    """Write one posit array (or Posit) as ``.npy``, which is appended to a name without it.

    A named file is replaced at once and whole, or left as it was. An open binary file is written
    from where it stands, and may take several arrays, to be loaded in the same order.

    Raises TypeError unless ``array`` has a posit dtype.
    """
    parts = _npy.sealed(array, "array")
    with _writing(file, ".npy") as out:
        out.writelines(parts)


def savez(file: File, /, **arrays: npt.ArrayLike) -> None:
    """Write arrays by name as ``.npz``, uncompressed; the same arrays give the same bytes.

    Arrays of NumPy's numbers, booleans, text and times may lie beside the posits; TypeError for
    others. A named file is replaced as by :func:`save`.
    """
    members = {name: _npy.sealed(array, name, _npy.PLAIN) for name, array in arrays.items()}
    with _writing(file, ".npz") as out, zipfile.ZipFile(out, "w") as archive:
        for name, parts in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.writelines(parts)
        archive.comment = _names_seal(members)


def load(file: File, *, mmap_mode: Literal["r", "c"] | None = None) -> Array | dict[str, Array]:
    """Read what :func:`save` wrote (an array) or :func:`savez` did (a dict of them, by name).

    Parameters
    ----------
    file : path, or a binary file that can seek, open at the start of a saved array
    mmap_mode : "r" or "c", optional
        Map a ``.npy`` named by its path into memory, read-only or copy-on-write, as
        ``numpy.memmap`` does. The checksum is then not verified, since that would read everything.
        Nothing can be written through the map: the checksum would no longer hold.

    Raises
    ------
    ValueError
        If the file is truncated, damaged, of another version, or holds no posits; the text says
        which. Memory is taken only for bytes that are really there.
    """
    if mmap_mode not in (None, "r", "c"):
        raise ValueError(f"mmap_mode {mmap_mode!r}: possible are 'r', 'c' and None")
    if not isinstance(file, (str, os.PathLike)):
        if mmap_mode is not None:
            raise ValueError("mmap_mode needs the path of a file, not an open file")
        return _loaded(file, getattr(file, "name", "the open file"), whole=False)
    with open(file, "rb") as stream:
        if mmap_mode is None:
            return _loaded(stream, file, whole=True)
        with _refusing(file):
            return _npy.mapped(stream, mmap_mode)


def save_safetensors(
    file: Name, arrays: Mapping[str, npt.ArrayLike], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name as safetensors (extra ``safetensors``).

    Posits are stored as integers, their format as the metadata ``posit:NAME`` = ``16,6,5``; other
    readers see the integers. Numeric arrays and more metadata may lie beside them; TypeError for
    other arrays. The file is replaced as by :func:`save`.
    """
    from safetensors.numpy import save_file

    made, notes = {}, dict(metadata or {})
    for name, given in arrays.items():
        array = np.asarray(given)
        spec = _npy.spec_of(array)
        if spec is not None:
            notes[f"posit:{name}"] = f"{spec.n},{spec.rs},{spec.es}"
            array = bits(array)
        elif array.dtype.kind not in "biufc":
            raise TypeError(f"{name}: safetensors cannot hold an array of {array.dtype}")
        made[name] = np.asarray(array, order="C")
    with _replacing(file) as temporary:
        save_file(made, temporary, notes or None)


def load_safetensors(file: Name) -> dict[str, Array]:
    """All arrays of a safetensors file; those with ``posit:NAME`` in the metadata are posits.

    Raises ValueError where a format does not fit its integers, and for a damaged file.
    """
    from safetensors import safe_open

    with open(file, "rb"):  # a missing file is the system's error
        pass
    with _refusing(file):
        with safe_open(file, framework="numpy") as opened:
            notes: dict[str, str] = opened.metadata() or {}
            arrays: dict[str, Array] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        for key, text in notes.items():
            if key.startswith("posit:"):
                name = key.removeprefix("posit:")
                if name not in arrays:
                    raise ValueError(f"its metadata has a format for {name!r}, but it has no such")
                arrays[name] = _npy.posits(arrays[name], PositSpec.parse(text))
    return arrays


@contextmanager
def _replacing(file: Name) -> Iterator[Path]:
    """A path beside ``file``; what is written there takes its place if the block ends well."""
    target = Path(os.path.realpath(file))
    if target.exists() and not target.is_file():
        raise ValueError(f"{target} is no regular file; open it and pass the open file")
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as done:
            os.fsync(done.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(file: File, suffix: str) -> Iterator[IO[bytes]]:
    if not isinstance(file, (str, os.PathLike)):
        yield file
        return
    name = os.fspath(file)
    name += "" if name.endswith(suffix) else suffix
    with _replacing(name) as temporary, open(temporary, "xb") as out:
        yield out


def _loaded(stream: IO[bytes], name: Any, whole: bool) -> Array | dict[str, Array]:
    start = stream.read(4)
    stream.seek(-len(start), os.SEEK_CUR)
    with _refusing(name):
        return _archive(stream) if start[:2] == b"PK" else _npy.read(stream, whole)


def _archive(stream: IO[bytes]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in found:
                raise ValueError(f"its member {info.filename!r} is no array, or a second one")
            with archive.open(info) as member:
                found[name] = _npy.read(member, whole=True)
        if archive.comment != _names_seal(found):
            raise ValueError("its arrays are not those that posit.savez wrote there")
    return found


def _names_seal(names: Iterable[str]) -> bytes:
    """Without it, one wrong length in a zip directory can hide an array."""
    return b"bposit crc32 %08x" % zlib.crc32("\0".join(names).encode())


@contextmanager
def _refusing(name: Any) -> Iterator[None]:
    """Whatever NumPy, zip and safetensors raise on a bad file, as one ValueError."""
    try:
        yield
    except Exception as error:
        system = isinstance(error, OSError) and error.errno != errno.EINVAL  # a seek before 0
        if system or isinstance(error, MemoryError):
            raise
        raise ValueError(f"cannot load {name}: {error}") from error
