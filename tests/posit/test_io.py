"""Files: they read back bit for bit, plain NumPy reads them, and bad ones are refused."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from posit.io import (
    _sum,
    load,
    load_safetensors,
    save,
    save_safetensors,
    savez,
    savez_compressed,
)

from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, mixed

Array = npt.NDArray[Any]
SPECS = [*TINY, *EIGHT, *SIXTEEN, *WIDE]


def posits(spec: PositSpec, shape: int | tuple[int, ...], seed: int = 1) -> Array:
    return posit.view(mixed(spec, shape, np.random.default_rng(seed)), spec)


def assert_same(got: Any, wanted: Array) -> None:
    assert isinstance(got, np.ndarray)
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()


SHAPES: dict[str, Callable[[PositSpec], Array]] = {
    "corners": lambda s: posit.view(corners(s), s),
    "empty": lambda s: posits(s, (0, 3)),
    "0-d": lambda s: posits(s, ()),
    "3-d": lambda s: posits(s, (2, 3, 4)),
    "Fortran": lambda s: np.asfortranarray(posits(s, (3, 4))),
    "reversed": lambda s: posits(s, 9)[::-2],
    "broadcast": lambda s: np.broadcast_to(posits(s, 3), (4, 3)),
    "misaligned": lambda s: np.frombuffer(
        b"\1" + posits(s, 5).tobytes(), dtype=posit.dtype(s), offset=1
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_it_reads_back(spec: PositSpec, shape: str, tmp_path: Path) -> None:
    array = SHAPES[shape](spec)
    path = tmp_path / "a.npy"
    save(path, array)
    assert_same(load(path), array)
    assert load(path).flags.writeable  # type: ignore[union-attr]
    assert_same(load(path, mmap_mode="r"), array)
    plain = np.load(path, allow_pickle=False)
    assert plain.dtype == spec.storage
    assert plain.tobytes() == array.tobytes()
    assert plain.flags.fnc == array.flags.fnc


def test_a_plain_reader_finds_the_format_as_a_second_array(tmp_path: Path) -> None:
    save(tmp_path / "a.npy", posits(bposit16, 4))
    with open(tmp_path / "a.npy", "rb") as file:
        assert np.load(file).dtype == np.int16
        assert np.load(file).item().startswith(b"bposit 1 <16,6,5> crc32 ")
        assert not file.read()


def test_files_of_version_1_stay_readable() -> None:
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }"
    tail = b"\x93NUMPY\x01\x00v\x00{'descr': '|S41', 'fortran_order': False, 'shape': (), }"
    data = head.ljust(127) + b"\n\x00\x40\x00\x80" + tail.ljust(127) + b"\n"
    data += b"bposit 1 <16,6,5> crc32 2c7a90a7 aa321fae"
    assert_same(load(io.BytesIO(data)), posit.view([0x4000, -0x8000], bposit16))


def test_names_as_numpy_makes_them(tmp_path: Path) -> None:
    a = posits(bposit16, 3)
    save(str(tmp_path / "a"), a)
    savez(tmp_path / "b", a=a)
    savez(tmp_path / "c.npz", file=a, a=a)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "b.npz", "c.npz"]
    assert list(load(tmp_path / "c.npz")) == ["file", "a"]


def test_arrays_without_a_name() -> None:
    a, b = posits(bposit16, 30), np.arange(3)
    for write in (savez, savez_compressed):
        out = io.BytesIO()
        write(out, a, b, c=a[:2])
        out.seek(0)
        found = load(out)
        assert isinstance(found, dict)
        assert list(found) == ["arr_0", "arr_1", "c"]
        assert_same(found["arr_0"], a)
        assert_same(found["arr_1"], b)
        with pytest.raises(ValueError, match="'arr_0' is the name of an array without one"):
            write(out, a, arr_0=a)


def test_compressed_archives_are_smaller() -> None:
    a = np.zeros(10_000, posit.dtype(bposit32))
    sizes = [len(saved(write, a=a)) for write in (savez, savez_compressed)]
    assert sizes[0] > a.nbytes > 10 * sizes[1]
    assert_same(load(io.BytesIO(saved(savez_compressed, a=a)))["a"], a)  # type: ignore[call-overload]


def test_open_files_take_several_arrays() -> None:
    arrays = [posits(bposit8, 3), posits(bposit64, (2, 2)), posits(bposit16, 0)]
    out = io.BytesIO()
    for a in arrays:
        save(out, a)
    out.seek(0)
    for a in arrays:
        assert_same(load(out), a)
    assert not out.read()


def test_scalars_and_lists_of_them() -> None:
    out = io.BytesIO()
    save(out, posit.Posit(1.5, bposit16))
    save(out, [posit.Posit(1.5, bposit16), posit.Posit(2, bposit16)])
    out.seek(0)
    assert load(out)[()] == 1.5  # type: ignore[index]
    assert_same(load(out), np.array([1.5, 2], dtype=posit.dtype(bposit16)))


def test_npz(tmp_path: Path) -> None:
    arrays: dict[str, Array] = {
        "a": posits(bposit16, (2, 3)),
        "x/y": np.asfortranarray(posits(PositSpec(13, 6, 5), (2, 3))),
        "": posits(bposit64, ()),
        "labels": np.arange(5, dtype=">i4"),
        "mask": np.array([True, False]),
        "names": np.array(["Ä", "b"]),
        "when": np.array(["2026-01-01"], dtype="M8[D]"),
    }
    savez(tmp_path / "a", **arrays)
    found = load(tmp_path / "a.npz")
    assert isinstance(found, dict)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert_same(found[name], array)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        assert plain["a"].dtype == np.int16
        assert plain["x/y"].tobytes() == arrays["x/y"].tobytes()
        assert (plain["labels"] == arrays["labels"]).all()
    savez(tmp_path / "b", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    out = io.BytesIO()
    savez(out, **arrays)
    out.seek(0)
    assert_same(load(out)["a"], arrays["a"])  # type: ignore[call-overload]


# ---- memory maps
def test_maps_are_views_of_the_file(tmp_path: Path) -> None:
    a = posits(bposit32, (100, 7))
    save(tmp_path / "a.npy", a)
    found = load(tmp_path / "a.npy", mmap_mode="r")
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    copy = load(tmp_path / "a.npy", mmap_mode="c")
    copy[0] = 1  # type: ignore[call-overload]
    assert_same(load(tmp_path / "a.npy"), a)
    assert (posit.sum(found, axis=0) == posit.sum(a, axis=0)).all()


@pytest.mark.parametrize("mode", ["r+", "w+", "x"])
def test_maps_that_would_write_are_refused(mode: Any, tmp_path: Path) -> None:
    save(tmp_path / "a.npy", posits(bposit32, 3))
    with pytest.raises(ValueError, match="possible are 'r', 'c' and None"):
        load(tmp_path / "a.npy", mmap_mode=mode)
    with (
        open(tmp_path / "a.npy", "rb") as file,
        pytest.raises(ValueError, match="path of a file"),
    ):
        load(file, mmap_mode="r")


def test_a_map_checks_all_but_the_checksum(tmp_path: Path) -> None:
    spec = PositSpec(13, 6, 5)
    path = tmp_path / "a.npy"
    save(path, posits(spec, 10))
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(ValueError, match="cannot load"):
        load(path, mmap_mode="r")
    path.write_bytes(good + b"x")
    with pytest.raises(ValueError, match="more bytes"):
        load(path, mmap_mode="r")
    path.write_bytes(good[:128] + b"\xff\x7f" + good[130:])
    with pytest.raises(ValueError, match="32767 is not a pattern of <13,6,5>"):
        load(path, mmap_mode="r")
    path.write_bytes(good[:128] + b"\x01\x00" + good[130:])
    assert load(path, mmap_mode="r")[0].bits == 1  # type: ignore[index]


def test_a_map_of_a_damaged_format_or_shape_is_refused(tmp_path: Path) -> None:
    """Every bit outside of the elements: refused, or of no consequence."""
    path, a = tmp_path / "a.npy", posits(PositSpec(13, 6, 5), (3, 2))
    save(path, a)
    good = path.read_bytes()
    refused = 0
    for i in (*range(128), *range(128 + a.nbytes, len(good))):
        for bit in range(8):
            path.write_bytes(good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1 :])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = load(path, mmap_mode="r")
            except ValueError:
                refused += 1
            else:
                assert_same(np.asarray(found), a)
    assert refused > 8 * 128


# ---- bad files
def saved(write: Callable[..., None], *args: Any, **kwds: Any) -> bytes:
    out = io.BytesIO()
    write(out, *args, **kwds)
    return out.getvalue()


def attempt(data: bytes, path: Path) -> Any:
    """What loads, or None where ValueError is raised, as for every bad file; all else escapes."""
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers that it takes for Python 2's
        try:
            return load(path)
        except ValueError as error:
            return None if str(error).startswith(f"cannot load {path}: ") else error


ONE = saved(save, posits(PositSpec(13, 6, 5), (3, 2)))
MANY = saved(savez, a=posits(bposit16, 3), b=np.arange(2.0))


@pytest.mark.parametrize("data", [ONE, MANY], ids=["npy", "npz"])
def test_every_truncation_is_refused(data: bytes, tmp_path: Path) -> None:
    for size in range(len(data)):
        assert attempt(data[:size], tmp_path / "a") is None, size


@pytest.mark.parametrize("data", [ONE, MANY], ids=["npy", "npz"])
def test_every_flipped_bit_is_refused_or_harmless(data: bytes, tmp_path: Path) -> None:
    good = attempt(data, tmp_path / "a")
    refused = 0
    for i in range(len(data)):
        for bit in (i % 8, (i + 4) % 8):
            found = attempt(data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :], tmp_path / "a")
            refused += found is None
            if isinstance(found, dict):
                assert list(found) == list(good), (i, bit)
                for name in good:
                    assert_same(found[name], good[name])
            elif found is not None:
                assert_same(found, good)
    assert refused > len(data)


def test_what_loads_is_what_the_seal_says(tmp_path: Path) -> None:
    """A whole seal of other bytes, or of another format, does not pass."""
    other = saved(save, posits(PositSpec(13, 6, 5), (3, 2), seed=2))
    assert attempt(other[:140] + ONE[140:], tmp_path / "a") is None
    for text in (b"<13,5,5>", b"<16,6,5>", b"<13,6,4>", b"plain   "):
        assert attempt(ONE.replace(b"<13,6,5>", text), tmp_path / "a") is None
    assert attempt(ONE, tmp_path / "a") is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EOF"),
        (b"hello, world", "magic"),
        (saved(np.save, np.arange(3)), "or of plain NumPy"),
        (saved(np.save, np.arange(3)) + saved(np.save, np.arange(3)), "is no posit format"),
        (saved(np.savez, a=np.arange(3)), "or of plain NumPy"),
        (saved(np.save, np.array(["a"], dtype=object)), "holds object"),
        (ONE + b"\0", "more bytes follow"),
        (ONE.replace(b"bposit 1", b"bposit 2"), "of version 2; this is 1"),
        (ONE.replace(b"'<i2'", b"'>i2'"), "damaged"),
        (ONE.replace(b"(3, 2)", b"(2, 3)"), "damaged"),
        (ONE.replace(b"(3, 2)", b"(3,-2)"), "not possible"),
        (ONE.replace(b"(3, 2)", b"(9**9)"), "malformed"),
        (ONE.replace(b"NUMPY\x01", b"NUMPY\x02"), "version is 2.0"),
    ],
)  # fmt: skip
def test_the_error_says_why(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=reason) as caught:
        load(tmp_path / "a")
    assert str(caught.value).startswith(f"cannot load {tmp_path / 'a'}: ")


def test_archives_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", ONE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", ONE)
    with pytest.raises(ValueError, match=r"'a\.npy' is no array, or a second one"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", ONE)
    with pytest.raises(ValueError, match=r"'a\.txt' is no array"):
        load(path)
    with zipfile.ZipFile(io.BytesIO(MANY)) as whole, zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", whole.read("a.npy"))
        archive.comment = whole.comment
    with pytest.raises(ValueError, match=r"not those that posit\.savez wrote"):
        load(path)


def test_archives_may_be_compressed(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(io.BytesIO(MANY)) as whole,
        zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
        archive.comment = whole.comment
    assert_same(load(tmp_path / "a")["a"], posits(bposit16, 3))  # type: ignore[call-overload]


def test_a_lying_header_costs_no_memory(tmp_path: Path) -> None:
    for shape in (b"(10**9,)", b"(999999999999,)", b"(9999999999999999999999,)"):
        data = ONE.replace(b"(3, 2), }" + b" " * (len(shape) - 6), shape + b", }")
        tracemalloc.start()
        try:
            assert attempt(data, tmp_path / "a") is None
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


class Evil:
    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Evil, "ran", True)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    evil = np.array([Evil()], dtype=object)
    for data in (saved(np.save, evil), saved(np.savez, a=evil), pickle.dumps(Evil())):
        assert attempt(data, tmp_path / "a") is None
        assert attempt(ONE[:140] + data, tmp_path / "a") is None
    assert not Evil.ran
    pickle.loads(pickle.dumps(Evil()))
    assert Evil.ran  # the trap works


@pytest.mark.parametrize(
    "array",
    [np.arange(3.0), [1, 2], np.array([None]), np.zeros(2, [("a", posit.dtype(bposit16))]), "a"],
)
def test_save_takes_posits_only(array: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected an array of a posit dtype"):
        save(tmp_path / "a", array)
    assert not list(tmp_path.iterdir())


def test_savez_takes_no_objects(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="b: expected an array of a posit dtype, got object"):
        savez(tmp_path / "a", a=posits(bposit16, 2), b=np.array([None]))
    assert not list(tmp_path.iterdir())


# ---- replacing files
def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = posits(bposit16, 5)
    save(tmp_path / "a.npy", a)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for attempt_ in (
        lambda: save(tmp_path / "a.npy", a[::-1]),
        lambda: savez(tmp_path / "b", a=a),
        lambda: save_safetensors(tmp_path / "c", {"a": a}),
    ):
        with pytest.raises(OSError, match="No space left"):
            attempt_()
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]
    assert_same(load(tmp_path / "a.npy"), a)


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    versions = [posits(bposit16, 1000 * k, k) for k in (1, 5)]
    wanted = [v.tobytes() for v in versions]
    save(path, versions[0])
    done = threading.Event()

    def write() -> None:
        for i in range(60):
            save(path, versions[i % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        found = load(path)
        assert isinstance(found, np.ndarray)
        assert found.tobytes() in wanted
        reads += 1
    writer.join()
    assert reads
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_modes_and_links_stay(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(tmp_path / "a.npy", posits(bposit16, 3))
    finally:
        os.umask(before)
    assert (tmp_path / "a.npy").stat().st_mode & 0o777 == 0o640
    (tmp_path / "a.npy").chmod(0o604)
    (tmp_path / "link.npy").symlink_to("a.npy")
    save(tmp_path / "link.npy", posits(bposit16, 5))
    assert (tmp_path / "link.npy").is_symlink()
    assert load(tmp_path / "a.npy").shape == (5,)  # type: ignore[union-attr]
    assert (tmp_path / "a.npy").stat().st_mode & 0o777 == 0o604


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(ValueError, match="no regular file"):
        save(tmp_path / "a.npy", posits(bposit16, 3))
    for write in (save, savez, lambda file, a: save_safetensors(file, {"a": a})):
        with pytest.raises(FileNotFoundError) as caught:
            write(tmp_path / "none" / "a.npy", posits(bposit16, 3))
        assert caught.value.filename.startswith(str(tmp_path / "none" / "a.npy"))
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


# ---- safetensors
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_safetensors(spec: PositSpec, tmp_path: Path) -> None:
    arrays = {name: make(spec) for name, make in SHAPES.items()}
    arrays["plain"] = np.arange(3, dtype=np.float32)
    path = tmp_path / "a.safetensors"
    save_safetensors(path, arrays, {"posits": "yes"})
    found = load_safetensors(path)
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert_same(found[name], array)


def test_safetensors_in_other_readers(tmp_path: Path) -> None:
    from safetensors import safe_open

    a = posits(bposit16, (2, 3))
    save_safetensors(tmp_path / "a", {"a": a}, {"by": "test"})
    with safe_open(tmp_path / "a", framework="numpy") as plain:
        sealed = {"bposit": "1 crc32 5e6cf173"}
        assert plain.metadata() == {"by": "test", "posit:a": "16,6,5", **sealed}
        assert (plain.get_tensor("a") == posit.bits(a)).all()


def test_safetensors_that_are_wrong(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "a"
    ints = np.array([32767], dtype=np.int16)
    for notes, reason in [
        ({"posit:b": "16,6,5"}, "no such"),
        ({"posit:a": "32,6,5"}, "it holds int16, but <32,6,5> is stored as int32"),
        ({"posit:a": "13,6,5"}, "32767 is not a pattern"),
        ({"posit:a": "16,6"}, "unknown format"),
        ({"posit:a": "99,6,5"}, "3 to 64 bits"),
    ]:
        save_file({"a": ints}, path, {**notes, "bposit": _sum({"a": ints}, notes)})
        with pytest.raises(ValueError, match=reason) as caught:
            load_safetensors(path)
        assert str(caught.value).startswith(f"cannot load {path}: ")
    save_file({"a": ints}, path, {"posit:a": "16,6,5"})
    with pytest.raises(ValueError, match="no checksum 'bposit'"):
        load_safetensors(path)
    save_safetensors(path, {"a": posits(bposit16, 9)})
    good = path.read_bytes()
    for size in range(0, len(good), 3):
        path.write_bytes(good[:size])
        with pytest.raises(ValueError, match="cannot load"):
            load_safetensors(path)
    with pytest.raises(FileNotFoundError):
        load_safetensors(tmp_path / "none")
    with pytest.raises(TypeError, match="b: safetensors cannot hold an array of object"):
        save_safetensors(path, {"b": np.array([None])})
    with pytest.raises(TypeError, match="a path and a dict of arrays by name, got str"):
        save_safetensors({"a": ints}, "a")  # type: ignore[arg-type]
    for key in ("bposit", "posit:a"):
        with pytest.raises(ValueError, match=f"metadata: '{key}' is taken"):
            save_safetensors(path, {"a": ints}, {key: "x"})


def test_every_flipped_bit_of_safetensors_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a"
    arrays = {"a": posits(bposit16, (2, 3)), "plain": np.arange(2.0)}
    save_safetensors(path, arrays, {"by": "test"})
    good = path.read_bytes()
    refused = 0
    for i in range(len(good)):
        for bit in range(8):
            path.write_bytes(good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1 :])
            try:
                found = load_safetensors(path)
            except ValueError:
                refused += 1
                continue
            assert sorted(found) == sorted(arrays), (i, bit)
            for name, array in arrays.items():
                assert_same(found[name], array)
    assert refused > 7 * len(good)
    plain = {"x": np.arange(3)}
    save_safetensors(path, plain)
    assert_same(load_safetensors(path)["x"], plain["x"])


# ---- NumPy's own
@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32, bposit64, standard(19)], ids=str)
def test_np_save_pickles_and_reads_back(spec: PositSpec, tmp_path: Path) -> None:
    a = posits(spec, (3, 5))
    with pytest.warns(UserWarning, match="pickle"):
        np.save(tmp_path / "a.npy", a)
    assert_same(np.load(tmp_path / "a.npy", allow_pickle=True), a)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "a.npy", allow_pickle=False)
    assert_same(pickle.loads(pickle.dumps(a)), a)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_text(spec: PositSpec) -> None:
    """Shortest decimals there and back: with fmt="%s" savetxt loses nothing, in any format."""
    a = posit.view(corners(spec), spec)
    text = io.StringIO()
    np.savetxt(text, a, fmt="%s")
    text.seek(0)
    assert_same(np.loadtxt(text, dtype=posit.dtype(spec), ndmin=1), a)


def test_text_is_rounded_once() -> None:
    """Just above the middle between 1 and its neighbour; float64 would fall on the tie."""
    text = "1.00195312500000000000000000001"
    assert float(text) == 1 + 2.0**-9
    for read in (np.loadtxt, np.genfromtxt):
        found = read(io.StringIO(f"{text} NaR"), dtype=posit.dtype(bposit16))
        assert posit.bits(found).tolist() == [bposit16.one + 1, bposit16.nar]


def test_raw_bytes(tmp_path: Path) -> None:
    a = posits(bposit32, 7)
    a.tofile(tmp_path / "a")
    assert_same(np.fromfile(tmp_path / "a", dtype=a.dtype), a)
    assert_same(np.frombuffer(a.tobytes(), dtype=a.dtype), a)
    assert_same(np.memmap(tmp_path / "a", a.dtype, "r").view(np.ndarray), a)


@pytest.mark.parametrize("text", ["1 2.5 -3e10", "1,2"])
def test_fromstring(text: str) -> None:
    """In a process of its own: NumPy calls the dtype there without holding the interpreter."""
    sep = "," if "," in text else " "
    program = (
        "import numpy as np, posit\n"
        f"a = np.fromstring({text!r}, posit.dtype(16, 6, 5), sep={sep!r})\n"
        f"assert a.tolist() == [posit.Posit(x, posit.bposit16) for x in {text.split(sep)!r}]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
