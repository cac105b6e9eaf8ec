"""torch state_dicts, by torch's restricted unpickler only: tensors and plain containers."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import BadInput
from ..source import Source, float_dtype

__all__ = ["read"]

_DEPTH = 16
_MOST_ITEMS = 1 << 18  # of containers, each as often as it is met: lists may hold one another


def read(source: Source, max_bytes: int) -> None:
    """Fill a source; nested dicts and lists give dotted names."""
    path = source.path
    try:
        import torch
    except ImportError:
        raise BadInput(f"{path}: reading it needs torch: install bposit[torch]") from None
    zipped = _check_zip(source, max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError:
        raise BadInput(
            f"{path}: it holds more than tensors in plain containers (or is damaged), and torch's"
            " restricted unpickler refuses it; save model.state_dict()"
        ) from None
    except OSError:
        raise
    except Exception as error:
        line = str(error).strip().partition("\n")[0][:200]
        raise BadInput(f"{path}: torch cannot read it: {type(error).__name__}: {line}") from None
    for name, x in _tensors(found, path.stem, 0, count()):
        where = f"{path}: {name[:60]!r}"
        if x.layout != torch.strided or x.is_quantized or x.device.type != "cpu":
            source.skipped.append((name, f"a tensor that is {x.layout}, {x.device.type}"))
            continue
        shape, dtype = tuple(x.shape), str(x.dtype).removeprefix("torch.")
        if x.numel() * x.element_size() > x.untyped_storage().nbytes():
            raise BadInput(f"{where} has {x.numel()} elements, but its storage holds fewer")
        source.add(name, dtype, shape, partial(_array, x, dtype))


def _check_zip(source: Source, max_bytes: int) -> bool:
    """Whether it is a zip archive, whose members are then checked to be stored and within."""
    path = source.path
    if not zipfile.is_zipfile(path):
        if source.bytes > max_bytes:
            raise BadInput(f"{path}: it takes {source.bytes} bytes; --max-bytes allows {max_bytes}")
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput(f"{path}: no torch file: {error}") from None
    total = sum(m.file_size for m in members)
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or total > source.bytes:
        raise BadInput(f"{path}: its members are compressed or overlap, as torch writes none")
    return True


def _tensors(x: Any, name: str, depth: int, met: Iterator[int]) -> Iterator[tuple[str, Any]]:
    import torch

    if depth > _DEPTH:
        raise BadInput(f"{name[:80]!r}: containers nest more than {_DEPTH} deep")
    if next(met) > _MOST_ITEMS:
        raise BadInput(f"{name[:80]!r}: its containers hold more than {_MOST_ITEMS} items")
    if isinstance(x, torch.Tensor):
        yield name, x.detach()
        return
    items: list[tuple[Any, Any]] = []
    if isinstance(x, dict):
        items = list(x.items())
    elif isinstance(x, (list, tuple)):
        items = list(enumerate(x))
    for key, value in items:
        yield from _tensors(value, f"{name}.{key}" if depth else f"{key}", depth + 1, met)


def _array(x: Any, dtype: str) -> npt.NDArray[Any]:
    import torch

    kind = float_dtype(dtype)
    assert kind is not None
    x = x.resolve_neg().contiguous()
    if kind.isbuiltin == 1:
        return np.asarray(x.numpy())
    view = torch.uint8 if kind.itemsize == 1 else torch.int16
    return np.asarray(x.reshape(-1).view(view).numpy()).view(kind).reshape(tuple(x.shape))
