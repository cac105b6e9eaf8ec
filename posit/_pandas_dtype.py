"""The pandas dtype of posits; see :mod:`posit.pandas`."""

from __future__ import annotations

import re
from typing import Any, Self

import numpy as np
from pandas.api.extensions import (  # type: ignore[import-untyped, unused-ignore]
    ExtensionDtype,
    register_extension_dtype,
)

from ._dtype import dtype
from .scalar import NaR, Posit
from .spec import PositSpec

__all__ = ["PositDtype", "dtype_from", "widest"]


@register_extension_dtype
class PositDtype(ExtensionDtype):  # type: ignore[misc, unused-ignore]
    """The pandas dtype of a posit format.

    Parameters
    ----------
    spec : PositSpec, str, posit dtype of NumPy
    """

    __module__ = "posit.pandas"
    _metadata = ("spec",)
    type = Posit
    kind = "f"
    na_value = NaR
    _is_numeric = True

    def __init__(self, spec: Any) -> None:
        self.spec: PositSpec = PositSpec.parse(getattr(spec, "spec", spec))

    @property
    def name(self) -> str:
        """As it is written in ``dtype=``."""
        return f"posit[{self.spec.n},{self.spec.rs},{self.spec.es}]"

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return dtype(self.spec)

    @classmethod
    def construct_from_string(cls, string: str) -> Self:
        """Read ``posit[16,6,5]`` or ``posit[bposit16]``; TypeError for any other text."""
        if not isinstance(string, str):
            raise TypeError(f"'construct_from_string' expects a string, got {type(string)}")
        match = re.fullmatch(r"posit\[(.+)\]", string)
        try:
            return cls(match[1] if match else "")
        except ValueError as error:
            raise TypeError(f"Cannot construct a '{cls.__name__}' from '{string}'") from error

    @classmethod
    def construct_array_type(cls) -> Any:
        """The array that goes with this dtype."""
        from .pandas import PositArray

        return PositArray

    def __repr__(self) -> str:
        return self.name

    def _get_common_dtype(self, dtypes: list[Any]) -> Any:
        """What concatenation makes: what NumPy does, where it promotes without a loss."""
        plain = [d.numpy_dtype if isinstance(d, PositDtype) else d for d in dtypes]
        if not all(isinstance(d, np.dtype) for d in plain):
            return None
        try:
            return PositDtype(np.result_type(*plain))
        except (TypeError, ValueError):
            return None


def dtype_from(given: Any) -> PositDtype:
    """A PositDtype, or one from its name; TypeError for anything else."""
    found = given if isinstance(given, PositDtype) else None
    if isinstance(given, str):
        found = PositDtype.construct_from_string(given)
    if found is None:
        raise TypeError(f"expected a posit dtype, got {given!r}")
    return found


def widest(values: list[Any]) -> PositDtype:
    """The widest format of the Posits among the values; TypeError where there is none."""
    formats = {dtype(v.spec) for v in values if isinstance(v, Posit)}
    if not formats:
        raise TypeError('which posit format? Give dtype="posit[16,6,5]"')
    return PositDtype(np.result_type(*formats))
