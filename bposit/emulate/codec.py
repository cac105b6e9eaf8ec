"""The fields of posits as a decoder puts them on its wires, and back as an encoder takes them.

Two forms. ``sign-magnitude``: (-1)^sign · 2^scale · (1 + fraction/2^F), F = spec.f_max, the
fraction left-aligned in F bits. ``twos``: the same for positive numbers; for negative ones
2^scale · (-2 + fraction/2^F), with scale = ~(r·2^es + e) and r, e, fraction read from the raw low
bits, so that nothing has to be negated: -1 is -2·2^-1. Zero and NaR are flags; their other fields
are 0. Source: docs/format.md; the second form after the posit decoders of hardposit and PERCIVAL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns, patterns, scalar
from posit.spec import SpecLike
from quire import Layout

from .integers import from_parts, parts

__all__ = ["FORMS", "Fields", "Form", "Widths", "fields", "magnitudes", "pack", "widths"]

Form = Literal["sign-magnitude", "twos"]
FORMS: tuple[Form, ...] = ("sign-magnitude", "twos")
_MOST_SCALE = 1 << 40  # far beyond where every format saturates, and within int64


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """What a decoder says of patterns; arrays of one shape.

    Parameters
    ----------
    sign, zero, nar : bool
        ``sign`` is False for zero and NaR.
    scale : int64
        T in the module's text.
    fraction : uint64
        F = spec.f_max bits, left-aligned: bits that the pattern is too short for are 0.
    spec : PositSpec
    form : {"sign-magnitude", "twos"}
    """

    sign: npt.NDArray[np.bool_]
    zero: npt.NDArray[np.bool_]
    nar: npt.NDArray[np.bool_]
    scale: npt.NDArray[np.int64]
    fraction: npt.NDArray[np.uint64]
    spec: PositSpec
    form: Form = "sign-magnitude"

    @property
    def regime(self) -> npt.NDArray[np.int64]:
        """r of the magnitude or, in twos form, of the raw bits."""
        return self._raw() >> self.spec.es

    @property
    def exponent(self) -> npt.NDArray[np.int64]:
        """e of the same, ``es`` bits."""
        return self._raw() & ((1 << self.spec.es) - 1)

    def _raw(self) -> npt.NDArray[np.int64]:
        return np.where(self.sign, ~self.scale, self.scale) if self.form == "twos" else self.scale


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits that each wire of a datapath needs; ``signed`` ones include their sign."""

    pattern: int
    regime: int  # signed
    exponent: int
    scale: int  # signed
    fraction: int
    significand: int  # with the hidden bit; signed in twos form
    product: int  # of two significands; signed in twos form
    product_scale: int  # signed
    quire: int  # signed, the exact layout


def fields(bits: npt.ArrayLike, spec: SpecLike, form: Form = "sign-magnitude") -> Fields:
    """Decode patterns into the fields of ``form``.

    >>> import posit
    >>> f = fields(posit.encode([3.0, -1.0], "bposit16"), "bposit16", "twos")
    >>> f.sign.tolist(), f.scale.tolist(), f.fraction.tolist()
    ([False, True], [1, -1], [128, 0])

    Raises ValueError for another form or a pattern out of range, TypeError for a wrong dtype.
    """
    spec, form = PositSpec.parse(spec), _form(form)
    array = patterns(bits, spec)
    sig, scale = parts(array, spec)
    zero, nar = np.asarray(array == 0), np.asarray(array == spec.nar)
    some = ~(zero | nar)
    sign = np.asarray(array < 0) & some
    scale[~some] = 0
    fraction = (sig << np.uint64(1)) >> np.uint64(1) >> np.uint64(63 - spec.f_max)
    if form == "twos":
        # -(1 + f)·2^S = (-2 + (1 - f))·2^S, or where f = 0, -2·2^(S-1)
        whole = sign & (fraction == 0)
        turned = np.uint64(1 << spec.f_max) - fraction
        fraction = np.where(sign & ~whole, turned, fraction)
        scale -= whole
    return Fields(sign, zero, nar, scale, fraction, spec, form)


def pack(
    sign: npt.ArrayLike,
    scale: npt.ArrayLike,
    fraction: npt.ArrayLike,
    guard: npt.ArrayLike = False,
    sticky: npt.ArrayLike = False,
    *,
    spec: SpecLike,
    form: Form = "sign-magnitude",
    zero: npt.ArrayLike = False,
    nar: npt.ArrayLike = False,
) -> Patterns:
    """Encode fields, rounded once to nearest with ties to the even pattern.

    Parameters
    ----------
    sign, zero, nar : array_like of bool
        ``nar`` wins over ``zero``, both over the rest.
    scale : array_like of integers
        Any: beyond the format's range the result is ±maxpos or ±minpos.
    fraction : array_like of integers, 0 to 2^spec.f_max - 1
    guard, sticky : array_like of bool
        The bit below the fraction, and whether any later bit is set: of the fraction as it stands,
        in twos form of the two's complement.
    spec : PositSpec, posit dtype or name
    form : {"sign-magnitude", "twos"}

    Returns patterns of the broadcast shape. Raises ValueError for a fraction out of range, shapes
    that do not broadcast, or another form.
    """
    spec = PositSpec.parse(spec)
    s, sig, t = magnitudes(sign, scale, fraction, guard, sticky, spec, form)
    z, n = (np.broadcast_to(np.asarray(x, bool), sig.shape) for x in (zero, nar))
    out = from_parts(s, sig, t, spec)
    out[z] = 0
    out[n] = spec.nar
    return scalar(out)


def magnitudes(  # noqa: PLR0917
    sign: npt.ArrayLike,
    scale: npt.ArrayLike,
    fraction: npt.ArrayLike,
    guard: npt.ArrayLike,
    sticky: npt.ArrayLike,
    spec: PositSpec,
    form: Form,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """What fields mean: sign, and sig/2^63 · 2^scale rounded to odd; arrays of one shape."""
    flags = [np.asarray(x, bool) for x in (sign, guard, sticky)]
    f = _integers(fraction, "fraction", (1 << spec.f_max) - 1).astype(np.uint64)
    t = np.asarray(np.clip(_signed(scale), -_MOST_SCALE, _MOST_SCALE), np.int64)
    s, g, k, f, t = np.broadcast_arrays(*flags, f, t)
    tail = f << np.uint64(2) | g.astype(np.uint64) << np.uint64(1) | k.astype(np.uint64)
    top = np.uint64(1 << (spec.f_max + 2))  # at most 2^63
    whole = top | tail
    if _form(form) == "twos":
        # 2 - tail/top, between 1 and 2; without a tail that is the next power of two
        whole = np.where(s & (tail != 0), top + (top - tail), whole)
        t = t + (s & (tail == 0))
    return s, whole << np.uint64(61 - spec.f_max), t


def widths(spec: SpecLike, form: Form = "sign-magnitude") -> Widths:
    """Bits of every field and of what a multiplier makes of them.

    >>> widths("bposit16").scale, widths("bposit16").quire
    (9, 808)
    """
    spec, twos = PositSpec.parse(spec), _form(form) == "twos"
    scale = _signed_width(-spec.reach, spec.reach - 1)
    least, most = -2 * spec.reach, 2 * (spec.reach - 1)
    significand = spec.f_max + (2 if twos else 1)
    return Widths(
        pattern=spec.n,
        regime=_signed_width(-spec.rs, spec.rs - 1),
        exponent=spec.es,
        scale=scale,
        fraction=spec.f_max,
        significand=significand,
        product=2 * significand,
        product_scale=_signed_width(least, most),
        quire=Layout.exact(spec).width,
    )


def _signed_width(low: int, high: int) -> int:
    return 1 + max((-low - 1).bit_length(), high.bit_length())


def _form(form: str) -> Form:
    for known in FORMS:
        if form == known:
            return known
    raise ValueError(f"form {form!r}: possible are {' and '.join(FORMS)}")


def _signed(x: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(x)
    if array.dtype.kind not in "iuO":
        raise TypeError(f"scale: expected integers, got {array.dtype.name}")
    return array


def _integers(x: npt.ArrayLike, name: str, most: int) -> npt.NDArray[Any]:
    array = np.asarray(x)
    if array.dtype.kind not in "iuO":
        raise TypeError(f"{name}: expected integers, got {array.dtype.name}")
    if array.size and (array.min() < 0 or array.max() > most):
        raise ValueError(
            f"{name}: {array.min()} … {array.max()} given, but 0 … {most} are possible"
        )
    return array
