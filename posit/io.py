"""Posit arrays in files: ``.npy`` and ``.npz`` that any NumPy can read, and safetensors.

A saved array is two ordinary ``.npy`` records, one after the other: the patterns as integers, and
a byte string such as ``bposit 1 <16,6,5> crc32 0f3a9c21 5b1d77e0``. ``numpy.load`` reads the first
and stops, as it does for arrays appended to one file, and so gets the integers; :func:`load` reads
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from . import _npy
from ._dtype import bits
from ._npy import Array
from .spec import PositSpec

__all__ = ["load", "load_safetensors", "save", "save_safetensors", "savez", "savez_compressed"]

_FORMAT, _SUM = "posit:", "bposit"  # keys of safetensors' metadata

Name = str | os.PathLike[str]
File = Name | IO[bytes]


def save(file: File, array: npt.ArrayLike) -> None:
    """Write one posit array as ``.npy``, which any NumPy reads as integers.

    Parameters
    ----------
    file : path or open binary file
        ``.npy`` is appended to a name without it. A named file is replaced at once and whole, or
        left as it was. An open file is written from where it stands, and may take several arrays,
        to be loaded in the same order.
    array : array of a posit dtype, Posit, or sequence of Posits
        Any shape. Records (a structured dtype) are refused: save their fields by :func:`savez`.

    Raises TypeError unless ``array`` has a posit dtype, OSError where the file cannot be written.
    """
    parts = _npy.sealed(array, "array")
    with _writing(file, ".npy") as out:
        out.writelines(parts)


def savez(file: File, /, *arrays: npt.ArrayLike, **named: npt.ArrayLike) -> None:
    """Write arrays as ``.npz``, uncompressed; the same arrays give the same bytes.

    Parameters
    ----------
    file : path or open binary file
        ``.npz`` is appended to a name without it; a named file is replaced as by :func:`save`.
    arrays, named : arrays of a posit dtype, Posits, or plain arrays
        By name; those without one are called ``arr_0``, ``arr_1``, … as by ``numpy.savez``. Arrays
        of NumPy's numbers, booleans, text and times may lie beside the posits.

    Raises TypeError for other arrays (of objects, of records), ValueError where two have one name.
    """
    _zipped(file, arrays, named, zipfile.ZIP_STORED)


def savez_compressed(file: File, /, *arrays: npt.ArrayLike, **named: npt.ArrayLike) -> None:
    """:func:`savez`, with deflate; :func:`load` reads both."""
    _zipped(file, arrays, named, zipfile.ZIP_DEFLATED)


def _zipped(
    file: File, arrays: Sequence[npt.ArrayLike], named: Mapping[str, npt.ArrayLike], method: int
) -> None:
    given = {f"arr_{i}": array for i, array in enumerate(arrays)}
    if twice := given.keys() & named.keys():
        raise ValueError(f"savez: {min(twice)!r} is the name of an array without one; use another")
    members = {
        name: _npy.sealed(array, name, _npy.PLAIN) for name, array in {**given, **named}.items()
    }
    with _writing(file, ".npz") as out, zipfile.ZipFile(out, "w", method) as archive:
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
        ``numpy.memmap`` does. The checksum of the elements is then not verified, since that would
        read everything; that of their format and shape is. Nothing can be written through the map:
        the checksum would no longer hold.

    Returns
    -------
    array, writeable unless mapped with "r"; of an ``.npz`` a dict of arrays, plain ones too

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

    Parameters
    ----------
    file : path
        Replaced as by :func:`save`.
    arrays : dict of arrays of a posit dtype, Posits, or plain arrays
        Posits are stored as integers, their format as the metadata ``posit:NAME`` = ``16,6,5``;
        other readers see the integers. Numeric arrays may lie beside them.
    metadata : dict of str, optional
        More of it. Keys that start with ``posit:``, and ``bposit``, a checksum of all arrays and
        formats, are taken.

    Raises TypeError for other arrays, ValueError for metadata under a taken key, OSError.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"save_safetensors: expected a path and a dict of arrays by name, got"
            f" {type(arrays).__name__} in place of the dict"
        )
    made: dict[str, Array] = {}
    specs: dict[str, str] = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        spec = _npy.spec_of(array)
        if spec is not None:
            specs[_FORMAT + name] = f"{spec.n},{spec.rs},{spec.es}"
            array = bits(array)
        elif array.dtype.kind not in "biufc":
            raise TypeError(f"{name}: safetensors cannot hold an array of {array.dtype}")
        made[name] = np.asarray(array, order="C")
    notes = dict(metadata or {})
    if taken := [key for key in notes if key == _SUM or key.startswith(_FORMAT)]:
        raise ValueError(f"metadata: {taken[0]!r} is taken by the posits' own")
    with _replacing(file) as temporary:
        try:
            save_file(made, temporary, {**notes, **specs, _SUM: _sum(made, specs)})
        except SafetensorError as error:  # a full disk is one too
            raise OSError(f"cannot write {file}: {error}") from error


def load_safetensors(file: Name) -> dict[str, Array]:
    """All arrays of a safetensors file; those with ``posit:NAME`` in the metadata are posits.

    Parameters
    ----------
    file : path
        As :func:`save_safetensors` wrote it, or of another program, without posits.

    Raises
    ------
    ValueError
        Where a format does not fit its integers; for a damaged file, or one that a program changed
        that does not know of the checksum.
    """
    from safetensors import safe_open

    with open(file, "rb"):  # a missing file is the system's error
        pass
    with _refusing(file):
        with safe_open(file, framework="numpy") as opened:
            notes: dict[str, str] = opened.metadata() or {}
            arrays: dict[str, Array] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        specs = {key: text for key, text in notes.items() if key.startswith(_FORMAT)}
        if specs and _SUM not in notes:
            raise ValueError(f"it has formats of posits, but no checksum {_SUM!r} in its metadata")
        if _SUM in notes and notes[_SUM] != _sum(arrays, specs):
            raise ValueError("it is damaged, or was changed: the checksum does not match")
        for key, text in specs.items():
            name = key.removeprefix(_FORMAT)
            if name not in arrays:
                raise ValueError(f"its metadata has a format for {name!r}, but it has no such")
            arrays[name] = _npy.posits(arrays[name], PositSpec.parse(text))
    return arrays


def _sum(arrays: Mapping[str, Array], specs: Mapping[str, str]) -> str:
    """The checksum of all that is loaded: names, formats, dtypes, shapes and elements."""
    crc = zlib.crc32(repr(sorted(specs.items())).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(repr((name, array.dtype.str, array.shape)).encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data if array.nbytes else b"", crc)
    return f"1 crc32 {crc:08x}"


@contextmanager
def _replacing(file: Name) -> Iterator[Path]:
    """A path beside ``file``; what is written there takes its place if the block ends well."""
    target = Path(os.path.realpath(file))
    if target.exists() and not target.is_file():
        raise ValueError(f"{target} is no regular file; open it and pass the open file")
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        open(temporary, "xb").close()
    except OSError as error:  # of the folder: name the file that was asked for
        raise type(error)(error.errno, error.strerror, str(target)) from None
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
    with _replacing(name) as temporary, open(temporary, "wb") as out:
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
