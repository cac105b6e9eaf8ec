"""Reductions of pandas arrays of posits: exact, rounded once, skipping what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import _missing
from ._pandas_dtype import PositDtype
from ._pandas_ops import element
from .scalar import Posit

__all__ = ["Reductions"]


class Reductions:
    """What :class:`posit.pandas.PositArray` inherits its reductions from."""

    _data: npt.NDArray[Any]
    _from_sequence: Callable[..., Self]

    def _reduce(
        self, name: str, *, skipna: bool = True, keepdims: bool = False, **kwds: Any
    ) -> Any:
        try:
            result = _missing.reduce(name, self._data, skipna=skipna, **kwds)
        except KeyError:
            raise TypeError(
                f"'{PositDtype(self._data.dtype)}' does not support reduction '{name}'"
            ) from None
        if not keepdims:
            return element(result)
        if isinstance(result, Posit):
            return self._from_sequence([result], dtype=PositDtype(self._data.dtype))
        return np.array([result])

    def _accumulate(self, name: str, *, skipna: bool = True, **kwds: Any) -> Self:
        return self._from_sequence(_missing.accumulate(name, self._data, skipna=skipna))

    def _quantile(self, qs: npt.NDArray[np.float64], interpolation: str) -> Self:
        found = [_missing.quantile(self._data, float(q), interpolation) for q in qs]
        return self._from_sequence(found, dtype=PositDtype(self._data.dtype))

    def _groupby_op(
        self, *, how: str, min_count: int, ngroups: int, ids: npt.NDArray[np.intp], **kwds: Any
    ) -> Any:
        options = {"min_count": min_count} | {k: v for k, v in kwds.items() if k == "ddof"}
        skipna = kwds.get("skipna", True)
        try:
            found = _missing.grouped(how, self._data, ids, ngroups, skipna=skipna, **options)
        except KeyError:
            return super()._groupby_op(  # type: ignore[misc]
                how=how, min_count=min_count, ngroups=ngroups, ids=ids, **kwds
            )
        return self._from_sequence(found) if hasattr(found.dtype, "spec") else found
