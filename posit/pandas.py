"""Posits in pandas (extra ``pandas``): the dtype ``"posit[16,6,5]"`` for Series and DataFrames.

>>> import pandas as pd
>>> import posit.pandas
>>> s = pd.Series([1e20, 3, -1e20, None], dtype="posit[16,6,5]")
>>> s.sum()
3
>>> s * 2
0     2e+20
1         6
2    -2e+20
3       NaN
dtype: posit[16,6,5]

The elements are a NumPy array of a posit dtype, and operations are NumPy's on it. Sums, means,
variances and medians are those of :mod:`posit.reductions`, also in groups: exact, rounded once.

NaR is the missing value. ``isna`` finds it and reductions skip it; ``None``, ``pd.NA`` and NaN
become it; as an element it reads ``posit.NaR``, which is a NaN. Comparisons are those of the Posit
Standard: NaR is equal to itself and below everything. Sorting puts it last, as pandas does with
every missing value.

pandas keeps a NumPy array of a posit dtype as it is: ``pd.Series(a)`` has NumPy's dtype, in which
much of pandas fails. ``pd.Series(a, dtype="posit[16,6,5]")``, ``.astype("posit[16,6,5]")`` and
``pd.Series(PositArray(a))`` have this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
from pandas.api.extensions import (  # type: ignore[import-untyped, unused-ignore]
    ExtensionArray,
    take,
)
from pandas.api.indexers import (  # type: ignore[import-untyped, unused-ignore]
    check_array_indexer,
)

from . import _missing
from ._dtype import bits, view
from ._pandas_dtype import PositDtype, dtype_from, widest
from ._pandas_ops import Operators, element, is_missing, is_number
from ._pandas_reduce import Reductions
from .scalar import NaR, Posit

__all__ = ["PositArray", "PositDtype"]

Array = npt.NDArray[Any]


class PositArray(Operators, Reductions, ExtensionArray):  # type: ignore[misc, unused-ignore]
    """A one-dimensional array of posits for pandas.

    Parameters
    ----------
    values : array of a posit dtype, one-dimensional
    copy : bool
    """

    __array_priority__ = 1000
    _readonly = False

    def __init__(self, values: Any, copy: bool = False) -> None:
        data = values._data if isinstance(values, PositArray) else values
        if getattr(getattr(data, "dtype", None), "spec", None) is None or data.ndim != 1:
            raise TypeError(
                "PositArray: expected a one-dimensional NumPy array of a posit dtype;"
                ' pd.array(x, dtype="posit[16,6,5]") rounds other numbers'
            )
        self._data: Array = data.copy() if copy else data

    # ---- made of other things
    @classmethod
    def _from_sequence(cls, scalars: Any, *, dtype: Any = None, copy: bool = False) -> Self:
        wanted = None if dtype is None else dtype_from(dtype)
        if isinstance(scalars, PositArray):
            scalars = scalars._data
        given = scalars if isinstance(scalars, np.ndarray) else None
        if given is None and hasattr(scalars, "dtype"):  # a Series, an Index, another array
            given = np.asarray(scalars)
        if given is None or given.dtype.kind in "OT":
            values = list(scalars)
            missing = pd.isna(np.fromiter(values, object, len(values)))
            values = [NaR if gone else v for v, gone in zip(values, missing, strict=True)]
            if wanted is None:
                wanted = widest(values)
            made = np.empty(len(values), wanted.numpy_dtype)
            for i, value in enumerate(values):
                made[i] = value
            return cls(made)
        if wanted is None:
            return cls(given, copy=copy)
        return cls(given.astype(wanted.numpy_dtype, casting="same_kind", copy=copy))

    @classmethod
    def _from_sequence_of_strings(
        cls, strings: Any, *, dtype: Any = None, copy: bool = False
    ) -> Self:
        return cls._from_sequence(strings, dtype=dtype, copy=copy)

    @classmethod
    def _from_scalars(cls, scalars: Any, *, dtype: Any) -> Self:
        """Of Posits of any format; ValueError where there is something else."""
        if not all(isinstance(v, Posit) or is_missing(v) for v in scalars):
            raise ValueError("not all are posits")
        return cls._from_sequence(list(scalars))

    def _cast_pointwise_result(self, values: Any) -> Any:
        if any(isinstance(v, Posit) for v in values):
            try:
                return self._from_scalars(values, dtype=self.dtype)
            except (TypeError, ValueError):
                pass
        return super()._cast_pointwise_result(values)

    @classmethod
    def _from_factorized(cls, values: Array, original: PositArray) -> Self:
        return cls(view(values, original.dtype.spec))

    @classmethod
    def _concat_same_type(cls, to_concat: Sequence[PositArray]) -> Self:
        return cls(np.concatenate([x._data for x in to_concat]))

    # ---- what it is
    @property
    def dtype(self) -> PositDtype:
        """The dtype."""
        return PositDtype(self._data.dtype)

    @property
    def bits(self) -> npt.NDArray[np.signedinteger[Any]]:
        """The patterns, a view."""
        return bits(self._data)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self._data.nbytes

    def __len__(self) -> int:
        return self._data.size

    def isna(self) -> npt.NDArray[np.bool_]:
        """Where the elements are NaR."""
        return _missing.missing(self._data)

    def copy(self) -> Self:
        """A copy."""
        return type(self)(self._data, copy=True)

    # ---- elements
    def __getitem__(self, item: Any) -> Any:
        found = self._data[check_array_indexer(self, item)]
        if isinstance(found, Posit):
            return element(found)
        made = type(self)(found)
        made._readonly = self._readonly and np.may_share_memory(found, self._data)
        return made

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._readonly:
            raise ValueError("Cannot modify read-only array")
        if pd.api.types.is_list_like(value):
            if pd.api.types.is_scalar(key):
                raise ValueError("cannot set one element to a sequence")
            value = self._from_sequence(value, dtype=self.dtype)._data
        elif is_missing(value):
            value = NaR
        elif not is_number(value) and not isinstance(value, str):
            raise TypeError(f"cannot store {value!r} as {self.dtype}")
        self._data[check_array_indexer(self, key)] = value

    def take(self, indices: Any, *, allow_fill: bool = False, fill_value: Any = None) -> Self:
        """As pandas defines it; missing where it fills, unless it is told with what."""
        spec = self.dtype.spec
        if allow_fill:
            fill_value = spec.nar if is_missing(fill_value) else Posit(fill_value, spec).bits
        found = take(self.bits, indices, fill_value=fill_value, allow_fill=allow_fill)
        return type(self)(view(found, spec))

    def _values_for_argsort(self) -> Array:
        return self.bits

    def _values_for_factorize(self) -> tuple[Array, int]:
        return self.bits, self.dtype.spec.nar

    def isin(self, values: Any) -> npt.NDArray[np.bool_]:
        """Which are among ``values``, compared as ``==`` does, and missing ones with missing ones.

        Numbers are rounded to this format first. A posit of another format is found where it has
        the same value; text and other things are not.
        """
        spec = self.dtype.spec
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            wanted = bits(values[~np.isinf(values)].astype(self._data.dtype))
        else:
            given = [NaR if is_missing(v) else v for v in values]
            made = [(v, Posit(v, spec)) for v in given if is_number(v) and abs(v) != np.inf]
            kept = [p.bits for v, p in made if not isinstance(v, Posit) or p == v]
            wanted = np.array(kept, spec.storage)
        found: npt.NDArray[np.bool_] = np.isin(self.bits, wanted)
        return found

    def duplicated(self, keep: Any = "first") -> npt.NDArray[np.bool_]:
        """Where an element occurs again, as ``Series.duplicated``."""
        found: npt.NDArray[np.bool_] = pd.Series(self.bits).duplicated(keep).to_numpy()
        return found

    def value_counts(self, dropna: bool = True) -> pd.Series:
        """How often each value occurs, as ``Series.value_counts`` with ``sort=False``."""
        kept = self[~self.isna()] if dropna else self
        counts = pd.Series(kept.bits).value_counts(sort=False)
        values = view(counts.index.to_numpy(), self.dtype.spec)
        return pd.Series(counts.to_numpy(), index=type(self)(values), name="count")

    def _values_for_json(self) -> Array:
        return np.array([None if is_missing(x) else str(x) for x in self], dtype=object)

    # ---- as other things
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None and np.dtype(dtype) == object:
            made = self._data.astype(object)
            made[self.isna()] = NaR
            return made
        if copy:
            return np.array(self._data, dtype=dtype)
        made = np.asarray(self._data, dtype=dtype).view()
        made.flags.writeable &= not (self._readonly and np.may_share_memory(made, self._data))
        return made

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """As another posit (rounded; also for a posit dtype of NumPy), a number, text or object.

        Raises ValueError for NumPy's integers or booleans where an element is missing, TypeError
        for pandas' integers (``"Int64"``) where one is no integer.
        """
        wanted = pd.api.types.pandas_dtype(dtype)
        if isinstance(wanted, np.dtype) and hasattr(wanted, "spec"):
            wanted = PositDtype(wanted)
        if isinstance(wanted, PositDtype):
            if wanted == self.dtype and not copy:
                return self
            return type(self)(self._data.astype(wanted.numpy_dtype, copy=copy))
        if isinstance(wanted, np.dtype) and wanted.kind in "iub" and self.isna().any():
            raise ValueError(f"cannot convert NaR to {wanted}")
        if isinstance(wanted, np.dtype) and wanted.kind in "iubfc":
            return self._data.astype(wanted)
        if isinstance(getattr(wanted, "numpy_dtype", None), np.dtype) and wanted.kind in "iubf":
            return self._masked(wanted)
        return super().astype(wanted, copy=copy)

    def _masked(self, wanted: Any) -> Any:
        """As an array of pandas' own numbers, such as Float64, which has pd.NA for NaR."""
        gone = self.isna()
        present = np.where(gone, 0, self._data)
        if wanted.kind in "iu" and (np.trunc(present) != present).any():
            raise TypeError(f"cannot convert to {wanted}: some are no integers; round them first")
        values = present.astype(wanted.numpy_dtype)
        return wanted.construct_array_type()(values, gone)

    def _formatter(self, boxed: bool = False) -> Callable[[Any], str]:
        return lambda x: str(x) if isinstance(x, Posit) else "NaR"

    def round(self, decimals: int = 0) -> Self:
        """Each to ``decimals`` decimals, ties to even, then rounded to the nearest posit."""
        return self._from_sequence([round(x, decimals) for x in self._data], dtype=self.dtype)
