"""ONNX weights: initializers and constants of all graphs, external ones by contained paths only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from math import prod
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import BadInput
from ..source import Source, float_dtype
from .safetensors import mapped

__all__ = ["read"]

_MOST_BYTES = 1 << 31  # of a protobuf message


def read(source: Source, max_bytes: int) -> None:
    """Fill a source; external data are memory-mapped, and counted nowhere.

    A constant is called as its node's output; what a subgraph holds, by the path to there:
    output of the node/attribute/name. Functions of the model are such graphs too.
    """
    path = source.path
    try:
        import onnx  # type: ignore[import-not-found,unused-ignore]
        from google.protobuf.message import (  # type: ignore[import-untyped,unused-ignore]
            DecodeError,
        )
    except ImportError:
        raise BadInput(f"{path}: reading it needs the onnx package: install bposit[onnx]") from None
    if source.bytes > min(max_bytes, _MOST_BYTES):
        raise BadInput(f"{path}: it takes {source.bytes} bytes; --max-bytes allows {max_bytes}")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: no ONNX model can be read: {error}") from None
    seen: set[str] = set()
    for name, given in _all(model):
        shape = tuple(given.dims)
        where = f"{path}: {name[:60]!r}"
        if name in seen or any(n < 0 or n >= 1 << 62 for n in shape):
            raise BadInput(f"{where} occurs twice or has an impossible shape")
        seen.add(name)
        if isinstance(given, onnx.SparseTensorProto):
            source.skipped.append((name, "sparse tensors are not audited"))
            continue
        dtype = _dtype(given.data_type)
        kind = float_dtype(dtype)
        if kind is None or not prod(shape):
            source.add(name, dtype, shape, partial(np.empty, 0))
        elif given.data_location == onnx.TensorProto.EXTERNAL:
            source.add(name, dtype, shape, _external(source, given, dtype, kind, shape, where))
        else:
            if not given.raw_data and prod(shape) > source.bytes:
                raise BadInput(f"{where} has {prod(shape)} elements, more than the file has bytes")
            if given.raw_data and len(given.raw_data) != prod(shape) * kind.itemsize:
                raise BadInput(f"{where}: shape {shape} of {dtype} does not fit its data")
            source.add(name, dtype, shape, partial(_inline, given, kind, shape, where))


def _all(model: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor that a model holds, with its name."""
    yield from _of_graph(model.graph, "")
    for function in model.functions:
        called = (function.domain, function.name, getattr(function, "overload", ""))
        yield from _of_nodes(function.node, ".".join(filter(None, called)) + "/")


def _of_graph(graph: Any, within: str) -> Iterator[tuple[str, Any]]:
    for given in graph.initializer:
        yield within + given.name, given
    for sparse in graph.sparse_initializer:
        yield within + sparse.values.name, sparse
    yield from _of_nodes(graph.node, within)


def _of_nodes(nodes: Iterable[Any], within: str) -> Iterator[tuple[str, Any]]:
    """Constants, and the graphs inside; protobuf bounds how deep they nest."""
    import onnx

    for node in nodes:
        name = within + (node.output[0] if node.output else node.name)
        for item in node.attribute:
            if node.op_type == "Constant":
                if item.name == "value":
                    yield name, item.t
                elif item.name == "sparse_value":
                    yield name, item.sparse_tensor
                elif item.name in {"value_float", "value_floats"}:
                    few = item.name == "value_float"
                    yield name, onnx.helper.make_tensor(
                        name, onnx.TensorProto.FLOAT, [] if few else [len(item.floats)],
                        [item.f] if few else item.floats,
                    )  # fmt: skip
            if item.HasField("g"):
                yield from _of_graph(item.g, f"{name}/{item.name}/")
            for i, graph in enumerate(item.graphs):
                yield from _of_graph(graph, f"{name}/{item.name}[{i}]/")


def _dtype(number: int) -> str:
    import onnx

    try:
        name = str(onnx.TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type {number}"
    renamed = {"float": "float32", "double": "float64"}
    if name.startswith("float8"):  # FLOAT8E4M3FN
        return f"float8_{name.removeprefix('float8')}"
    return renamed.get(name, name)


def _inline(
    given: Any, kind: np.dtype[Any], shape: tuple[int, ...], where: str
) -> npt.NDArray[Any]:
    if given.raw_data:
        little = kind.newbyteorder("<") if kind.isbuiltin == 1 else kind
        return np.frombuffer(given.raw_data, little).reshape(shape)
    import onnx.numpy_helper  # type: ignore[import-not-found,unused-ignore]

    try:
        found = np.asarray(onnx.numpy_helper.to_array(given))
    except Exception as error:
        raise BadInput(f"{where}: {error}") from None
    if found.shape != shape:
        raise BadInput(f"{where}: its data do not fit its shape {shape}")
    return found.view(kind) if found.dtype.itemsize == kind.itemsize else found.astype(kind)


def _external(  # noqa: PLR0917
    source: Source, given: Any, dtype: str, kind: np.dtype[Any], shape: tuple[int, ...], where: str
) -> Any:
    path = source.path
    entries = {e.key: e.value for e in given.external_data}
    location = PurePosixPath(entries.get("location", ""))
    folder = path.resolve().parent
    hostile = location.is_absolute() or ".." in location.parts or {"\\", "\0"} & {*str(location)}
    if hostile or not (file := (folder / location).resolve()).is_relative_to(folder):
        raise BadInput(f"{where}: its external data lie outside the model's folder")
    if not file.is_file():
        raise BadInput(f"{where}: its external data are missing")
    try:
        offset = int(entries.get("offset", "0"))
        size = int(entries.get("length", str(prod(shape) * kind.itemsize)))
    except ValueError:
        raise BadInput(f"{where}: offset and length of its external data are no integers") from None
    if size != prod(shape) * kind.itemsize or offset < 0 or offset + size > file.stat().st_size:
        raise BadInput(f"{where}: its external data do not fit its shape {shape}, or are truncated")
    source.beside[file] = "", 0
    return partial(mapped, file, dtype, shape, offset)
