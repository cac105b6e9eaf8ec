"""Good files are read whole, hostile ones refused in one line, before anything is allocated."""

import io
import json
import os
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bposit.audit.loaders import load
from bposit.errors import BadInput

from ..running import good
from .files import Array, npy, npz, safetensors, safetensors_bytes

X = np.linspace(-3, 4, 12).reshape(3, 4)
_ANY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def read(path: Path, max_bytes: int = 1 << 30) -> dict[str, Array]:
    return {t.name: np.asarray(t.load()) for t in load(path, max_bytes).tensors}


def refused(path: Path, max_bytes: int = 1 << 30) -> str:
    """The one line; loading all tensors is part of reading a file."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as caught:
        read(path, max_bytes)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert len(str(caught.value)) < 800
    return str(caught.value)


# ---- safetensors
@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
def test_safetensors_of_every_float(dtype: str, tmp_path: Path) -> None:
    x = X.astype(getattr(ml_dtypes, dtype, dtype))
    found = read(safetensors(tmp_path / "a.safetensors", {"w": x, "s": x[0, 0].reshape(())}))
    assert found["w"].dtype == x.dtype
    assert np.array_equal(found["w"].astype(float), x.astype(float))
    assert found["s"].shape == ()


def test_safetensors_as_its_own_library_writes_them(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"b": X, "a": X[:1].astype(np.float32)}, tmp_path / "x.safetensors")
    found = read(tmp_path / "x.safetensors")
    assert np.array_equal(found["b"], X)
    assert found["a"].dtype == np.float32


def test_integers_and_empty_tensors_are_left_out_with_a_reason(tmp_path: Path) -> None:
    arrays = {"i": np.arange(3, dtype=np.int32), "e": np.empty((0, 3)), "x": X}
    source = load(safetensors(tmp_path / "a.safetensors", arrays))
    assert [t.name for t in source.tensors] == ["x"]
    assert dict(source.skipped) == {
        "i": "int32 is no floating type that is audited", "e": "empty: its shape is [0, 3]",
    }  # fmt: skip
    del arrays["x"]
    assert "no tensor of floats to audit (i:" in refused(
        safetensors(tmp_path / "b.safetensors", arrays)
    )


def entry(**changed: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}}


BAD_SAFETENSORS: dict[str, bytes] = {
    "nothing": b"",
    "short": b"\x01\x00",
    "header longer than the file": safetensors_bytes(entry(), bytes(8), 1 << 40),
    "header of -1 bytes": struct.pack("<q", -1) + b"{}",
    "truncated data": safetensors_bytes(entry(), bytes(7)),
    "more data": safetensors_bytes(entry(), bytes(9)),
    "no json": safetensors_bytes(b"{w", bytes(8)),
    "no utf-8": safetensors_bytes(b"\xff\xfe{}", b""),
    "a list": safetensors_bytes([], b""),
    "a twin": safetensors_bytes(b'{"a":1,"a":2}', b""),
    "deep": safetensors_bytes(b"[" * 100_000, b""),
    "no entry": safetensors_bytes({"w": 3}, b""),
    "unknown dtype": safetensors_bytes(entry(dtype="F31"), bytes(8)),
    "dtype is a list": safetensors_bytes(entry(dtype=["F32"]), bytes(8)),
    "shape lies": safetensors_bytes(entry(shape=[3]), bytes(8)),
    "shape of 2^62": safetensors_bytes(entry(shape=[1 << 62]), bytes(8)),
    "shape wraps to 8 bytes": safetensors_bytes(entry(shape=[(1 << 62) + 2]), bytes(8)),
    "negative shape": safetensors_bytes(entry(shape=[-2]), bytes(8)),
    "a million axes": safetensors_bytes(entry(shape=[1] * 100_000 + [2]), bytes(8)),
    "boolean shape": safetensors_bytes(entry(shape=[True, 2]), bytes(8)),
    "float offsets": safetensors_bytes(entry(data_offsets=[0.0, 8.0]), bytes(8)),
    "offsets backwards": safetensors_bytes(entry(data_offsets=[8, 0]), bytes(8)),
    "a hole": safetensors_bytes(entry(data_offsets=[4, 12]), bytes(12)),
    "overlapping": safetensors_bytes(
        {**entry(), "v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)
    ),
    "three offsets": safetensors_bytes(entry(data_offsets=[0, 4, 8]), bytes(8)),
}


@pytest.mark.parametrize("what", BAD_SAFETENSORS)
def test_hostile_safetensors(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(BAD_SAFETENSORS[what])
    assert str(path) in refused(path)


# ---- npy and npz
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2"])
def test_npy(dtype: str, order: Any, tmp_path: Path) -> None:
    x = np.asarray(X, dtype, order=order)
    (tmp_path / "x.npy").write_bytes(npy(x))
    found = read(tmp_path / "x.npy")["x"]
    assert np.array_equal(found, X.astype(dtype))
    np.save(tmp_path / "s.npy", np.float32(3))
    assert read(tmp_path / "s.npy")["s"] == 3
    compressed = npz(tmp_path / "x.npz", {"a/../b.npy": npy(x), "i.npy": npy(np.arange(3))})
    assert np.array_equal(read(compressed)["a/../b"], X.astype(dtype))
    assert sorted(os.listdir(tmp_path)) == ["s.npy", "x.npy", "x.npz"]


def lying(shape: tuple[int, ...], data: bytes) -> bytes:
    """A .npy whose header claims more than follows."""
    stream = io.BytesIO()
    described = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue() + data


class Exploit:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploited",)


OBJECTS = npy(np.array([Exploit()], dtype=object), allow_pickle=True)
BAD_NPY = {
    "nothing": b"", "no magic": b"PICKLE" * 9, "version 9": b"\x93NUMPY\x09\x00" + bytes(20),
    "truncated header": npy(X)[:40], "truncated data": npy(X)[:-1], "objects": OBJECTS,
    "10^18 elements": lying((10**9, 10**9), bytes(8)),
    "a truth": lying((True, 2), bytes(16)), "negative": lying((-3, -4), bytes(96)),
    "header is code": b"\x93NUMPY\x01\x00\x16\x00__import__('os').ab()\n",
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "integers": npy(np.arange(3)),
    "a pickle": pickle.dumps(Exploit()), "text": npy(np.array(["a"])),
    "records": npy(np.zeros(3, "f4,i4")),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_NPY)
@pytest.mark.parametrize("zipped", [False, True])
def test_hostile_npy(what: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / ("x.npz" if zipped else "x.npy")
    if zipped:
        npz(path, {"x.npy": BAD_NPY[what]})
    else:
        path.write_bytes(BAD_NPY[what])
    refused(path)
    assert not Path("exploited").exists()


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(OBJECTS)
    assert "pickled objects" in refused(tmp_path / "a.npy")
    assert "pickled objects" in refused(
        npz(tmp_path / "a.npz", {"a.npy": OBJECTS, "b.npy": npy(X)})
    )


def test_zip_bombs(tmp_path: Path) -> None:
    zeros = npy(np.zeros(1 << 23))  # 64 MiB, which deflates to 64 KiB
    path = npz(tmp_path / "a.npz", {"x.npy": zeros})
    assert path.stat().st_size < 1 << 17
    assert "--max-bytes" in refused(path, 1 << 20)
    both = npz(tmp_path / "b.npz", {"x.npy": zeros[: 1 << 19], "y.npy": zeros[: 1 << 19]})
    assert "--max-bytes" in refused(both, 1 << 20 - 1)
    npz(path, {"x.npy": lying((1 << 40,), bytes(8))})
    assert "takes" in refused(path)


def test_sizes_in_the_zip_directory_that_lie(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", {"x.npy": npy(X)}, zipfile.ZIP_STORED)
    raw, size = path.read_bytes(), len(npy(X))
    entry_at = raw.index(b"PK\x01\x02")
    for claimed in (size - 8, size + 8, 1 << 29, 0):
        lie = bytearray(raw)
        lie[entry_at + 24 : entry_at + 28] = struct.pack("<I", claimed)
        path.write_bytes(lie)
        refused(path)


@pytest.mark.parametrize("members", [{"x.txt": b"a"}, {"x.npy/": b""}, {"x.npy.zip": b""}])
def test_archives_of_other_things(members: dict[str, bytes], tmp_path: Path) -> None:
    refused(npz(tmp_path / "a.npz", members))


def test_damage_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", {"x.npy": npy(X)}, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(npy(X)[-8:])] ^= 1
    path.write_bytes(raw)
    assert "damaged" in refused(path)


# ---- torch
def test_state_dicts(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    x = torch.linspace(-3, 4, 12).reshape(3, 4)
    state = {
        "w": x, "t": x.t(), "half": x.half(), "b": x.bfloat16(), "e": x.to(torch.float8_e4m3fn),
        "i": torch.arange(3), "optimizer": {"state": [{"m": x.double()}]}, "lr": 0.1,
        "p": torch.nn.Parameter(x),
    }  # fmt: skip
    torch.save(state, tmp_path / "a.pt")
    e = state.pop("e").double().numpy()  # which the legacy format cannot hold
    torch.save(state, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    for name, more in (("a.pt", ["e"]), ("b.pt", [])):
        found = read(tmp_path / name)
        assert sorted(found) == sorted([*more, "b", "half", "optimizer.state.0.m", "p", "t", "w"])
        assert np.array_equal(found["t"], x.numpy().T)
        assert found["b"].dtype.name == "bfloat16"
        assert not more or np.array_equal(found["e"].astype(float), e)


def test_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for i, held in enumerate([{"w": Exploit()}, torch.nn.Linear(2, 2)]):
        for legacy in (False, True):
            path = tmp_path / f"{i}{legacy}.pt"
            torch.save(held, path, _use_new_zipfile_serialization=not legacy)
            assert "restricted unpickler refuses it" in refused(path)
    for content in (pickle.dumps(Exploit()), b"", b"PK\x03\x04", b"\x80\x02."):
        (tmp_path / "x.bin").write_bytes(content)
        refused(tmp_path / "x.bin")
    assert not (tmp_path / "exploited").exists()


def test_a_tensor_larger_than_its_storage(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(1).expand(10**12)}, tmp_path / "a.pt")
    assert "its storage holds fewer" in refused(tmp_path / "a.pt")


def test_lists_that_hold_one_another(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    held: Any = 1
    for _ in range(9):
        held = [held] * 30
    torch.save({"a": held, "w": torch.ones(3)}, tmp_path / "a.pt")
    assert "items" in refused(tmp_path / "a.pt")


def test_lazily_negated_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch._neg_view(torch.ones(3))}, tmp_path / "a.pt")
    assert np.array_equal(read(tmp_path / "a.pt")["w"], [-1, -1, -1])


def test_a_compressed_torch_file_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(1 << 20)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old:
        members = {i.filename: old.read(i) for i in old.infolist()}
    assert "compressed" in refused(npz(tmp_path / "b.pt", members))


# ---- onnx
def onnx_model(path: Path, change: Callable[[Any], None] = lambda _: None) -> Path:
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("onnx.numpy_helper")
    tensor = numpy.from_array(X.astype(np.float32), "w")
    change(tensor)
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[tensor])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


def external(tensor: Any, location: str, **more: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, text in {"location": location, **more}.items():
        found = tensor.external_data.add()
        found.key, found.value = key, text


def test_onnx(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    assert np.array_equal(read(onnx_model(tmp_path / "a.onnx"))["w"], X.astype(np.float32))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(bytes(4) + X.astype("<f4").tobytes())
    path = onnx_model(
        tmp_path / "b.onnx", lambda t: external(t, "data/w.bin", offset="4", length="48")
    )
    assert np.array_equal(read(path)["w"], X.astype(np.float32))
    digest = sha256((tmp_path / "data" / "w.bin").read_bytes()).hexdigest()
    assert list(load(path).beside.values()) == [(digest, 52)]
    made = json.loads(good("audit", str(path), "--json"))
    assert [(i["name"], i["bytes"]) for i in made["inputs"]][1:] == [("w.bin", 52)]
    bf16 = onnx.helper.make_tensor("w", onnx.TensorProto.BFLOAT16, [3], [1.0, 2.5, -3.0])
    path = onnx_model(tmp_path / "c.onnx", lambda t: t.CopyFrom(bf16))
    assert np.array_equal(read(path)["w"].astype(float), [1.0, 2.5, -3.0])


def nested_onnx(path: Path, change: Callable[[Any], None] = lambda _: None) -> Path:
    """A constant in the graph, one in a branch of an If in a Loop's body, one in a function."""
    onnx = pytest.importorskip("onnx")
    helper, numpy = onnx.helper, pytest.importorskip("onnx.numpy_helper")

    def constant(name: str, factor: float) -> Any:
        tensor = numpy.from_array((factor * X).astype(np.float32), "")
        change(tensor)
        return helper.make_node("Constant", [], [name], value=tensor)

    kept = numpy.from_array((3 * X).astype(np.float32), "w")
    branch = helper.make_graph([constant("c", 2)], "b", [], [], initializer=[kept])
    chosen = helper.make_node("If", ["p"], ["y"], then_branch=branch, else_branch=branch)
    body = helper.make_graph([chosen], "l", [], [])
    nodes = [
        constant("c", 1), helper.make_node("Loop", ["", ""], ["z"], body=body),
        helper.make_node("Constant", [], ["f"], value_float=0.1),
        helper.make_node("Constant", [], ["fs"], value_floats=[0.5, 0.25]),
        helper.make_node("Constant", [], ["i"], value_ints=[3]),
        helper.make_node("Constant", [], ["s"], sparse_value=helper.make_sparse_tensor(
            numpy.from_array(np.ones(1, np.float32)), numpy.from_array(np.zeros(1, np.int64)), [9]
        )),
    ]  # fmt: skip
    function = helper.make_function("d", "g", [], ["c"], [constant("c", 4)], [])
    model = helper.make_model(helper.make_graph(nodes, "g", [], []), functions=[function])
    path.write_bytes(model.SerializeToString())
    return path


def test_constants_and_subgraphs_of_onnx(tmp_path: Path) -> None:
    path = nested_onnx(tmp_path / "a.onnx")
    found = read(path)
    inner = {"z/body/y/then_branch/": 0, "z/body/y/else_branch/": 0}
    assert found.pop("f") == np.float32(0.1)
    assert found.pop("fs").tolist() == [0.5, 0.25]
    wanted = {"c": 1, "d.g/c": 4, **{f"{p}c": 2 for p in inner}, **{f"{p}w": 3 for p in inner}}
    assert sorted(found) == sorted(wanted)
    for name, factor in wanted.items():
        assert np.array_equal(found[name], (factor * X).astype(np.float32)), name
    assert load(path).skipped == [("s", "sparse tensors are not audited")]


def test_external_data_of_onnx_constants_stay_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(48))
    (tmp_path / "model").mkdir()
    for location, why in (("../w.bin", "outside the model's folder"), ("none.bin", "missing")):
        path = nested_onnx(tmp_path / "model" / "m.onnx", lambda t, to=location: external(t, to))  # type: ignore[misc]
        assert why in refused(path)


def test_external_data_of_onnx_stay_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(X.astype("<f4").tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "short.bin").write_bytes(bytes(47))
    for location in ("../w.bin", str(tmp_path / "w.bin"), "link.bin", "a/../../w.bin", "..\\w.bin",
                     "", ".", "missing.bin", "short.bin", "w\0.bin", "/dev/zero"):  # fmt: skip
        path = onnx_model(folder / "m.onnx", lambda t, to=location: external(t, to))  # type: ignore[misc]
        refused(path)
    (folder / "w.bin").write_bytes(bytes(48))
    for more in ({"offset": "-4"}, {"offset": "4"}, {"length": "4"}, {"offset": "x"}):
        path = onnx_model(folder / "m.onnx", lambda t, m=more: external(t, "w.bin", **m))  # type: ignore[misc]
        refused(path)


def test_onnx_sizes_that_lie(tmp_path: Path) -> None:
    pytest.importorskip("onnx")

    def grown(tensor: Any) -> None:
        tensor.dims[0] = 1 << 40

    def empty(tensor: Any) -> None:
        grown(tensor)
        tensor.ClearField("raw_data")

    refused(onnx_model(tmp_path / "a.onnx", grown))
    refused(onnx_model(tmp_path / "b.onnx", empty))
    (tmp_path / "c.onnx").write_bytes(b"\xff" * 100)
    refused(tmp_path / "c.onnx")


# ---- all of them
def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.npy")
    assert "no regular file" in refused(tmp_path)
    (tmp_path / "x.txt").write_text("1 2 3")
    assert "possible are .safetensors, .npy" in refused(tmp_path / "x.txt")
    os.mkfifo(tmp_path / "pipe.npy")
    assert "no regular file" in refused(tmp_path / "pipe.npy")


def _good() -> dict[str, bytes]:
    header = {**entry(), "é": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [8, 12]}}
    stream = io.BytesIO()
    np.savez_compressed(stream, a=X, b=X[0])
    return {
        ".safetensors": safetensors_bytes(header, bytes(12)), ".npy": npy(X),
        ".npz": stream.getvalue(), ".NPZ": stream.getvalue(),
    }  # fmt: skip


@settings(max_examples=600, suppress_health_check=_ANY)
@given(
    suffix=st.sampled_from([".safetensors", ".npy", ".npz"]),
    changes=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=9)), max_size=5
    ),
)
def test_damaged_files_are_read_or_refused(
    suffix: str, changes: list[tuple[int, int, bytes]], tmp_path: Path
) -> None:
    raw = bytearray(_good()[suffix])
    for where, removed, inserted in changes:
        at = where % (len(raw) + 1)
        raw[at : at + removed] = inserted
    path = tmp_path / f"x{suffix}"
    path.write_bytes(raw)
    try:
        found = read(path, 1 << 24)
    except BadInput:
        return
    assert all(x.nbytes <= 1 << 24 for x in found.values())


@settings(max_examples=60, suppress_health_check=_ANY)
@given(
    raw=st.binary(max_size=300), suffix=st.sampled_from([".safetensors", ".npy", ".pt", ".onnx"])
)
def test_any_bytes_are_refused(raw: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(raw)
    with pytest.raises(BadInput):
        read(path, 1 << 24)


def test_a_good_file_is_not_refused(tmp_path: Path) -> None:
    for suffix, raw in _good().items():
        (tmp_path / f"x{suffix}").write_bytes(raw)
        assert read(tmp_path / f"x{suffix}")


def test_headers_of_python_2_are_read(tmp_path: Path) -> None:
    raw = npy(X)
    assert raw.count(b"(3, 4), ") == 1
    path = tmp_path / "x.npy"
    path.write_bytes(raw.replace(b"(3, 4), }  ", b"(3L, 4L), }"))
    assert np.array_equal(read(path)["x"], X)
