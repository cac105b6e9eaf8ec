"""The factory: scalar operations of one spec as functions that jitted code may call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba import njit

from posit import PositSpec
from posit.spec import SpecLike

from . import _arith, _codec, _limbs
from ._codec import Spec, nar_of, signed
from ._order import eq, ge, gt, le, lt, ne

__all__ = ["Namespace", "Ops", "QuireOps", "convert", "ops"]

Function = Callable[..., Any]


def _edition() -> int:
    """A digest of this package's text, 63 bits.

    Numba keys cached machine code by the values that a function closes over and the date of its own
    file, not of the files it calls; the digest in every Spec keeps stale code from being loaded.
    """
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return int.from_bytes(blake2b(b"".join(texts), digest_size=8).digest(), "big") >> 1


_EDITION = _edition()

# Only for functions that close over the edition, in a Spec or a Layout.
_scalar = njit(cache=True, forceinline=True, error_model="numpy")
_on_limbs = njit(cache=True, error_model="numpy")


class Namespace(ModuleType):
    """A frozen namespace.

    A module, because Numba resolves the attributes of modules when it compiles, on every target.
    """

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self.__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self.__name__} is frozen: cannot delete {name!r}")


class QuireOps(Namespace):
    """What :meth:`Ops.quire` returns."""

    spec: PositSpec
    limbs: int
    zeros: Function
    clear: Function
    qma: Function
    qadd: Function
    qmerge: Function
    qround: Function

    def __reduce__(self) -> tuple[Any, ...]:
        return _quire, (self.spec,)


class Ops(Namespace):
    """What :func:`ops` returns."""

    spec: PositSpec
    nar: int
    zero: int
    one: int
    minpos: int
    maxpos: int
    encode: Function
    decode: Function
    add: Function
    sub: Function
    mul: Function
    div: Function
    fma: Function
    sqrt: Function
    neg: Function
    abs: Function
    lt: Function
    le: Function
    eq: Function
    ne: Function
    gt: Function
    ge: Function
    next: Function
    prior: Function
    is_nar: Function

    def quire(self) -> QuireOps:
        """The exact accumulator of the same spec, as functions on arrays of uint64 limbs.

        ``zeros()`` makes one; on a GPU use ``cuda.local.array(limbs, uint64)`` and ``clear(q)``.
        ``qma(q, a, b)`` adds a·b, ``qadd(q, a)`` adds a, ``qmerge(q, r)`` adds another quire, and
        ``qround(q)`` gives the pattern nearest to the sum. All are exact, NaR absorbs, and a sum
        beyond the width of ``quire.Layout.exact`` becomes NaR, so that the bits do not depend on
        the order or on how the work was split.
        """
        return _quire(self.spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return ops, (self.spec,)


def _namespace(cls: type[Any], name: str, members: dict[str, Any]) -> Any:
    made = cls(name, cls.__doc__)
    made.__dict__.update(members)
    return made


def ops(spec: SpecLike) -> Ops:
    """The scalar operations of ``spec`` for users' own jitted functions, made once.

    Parameters
    ----------
    spec : PositSpec, posit dtype or name

    Patterns are int64 in compiled code, whatever signed integer type comes in; storing one in an
    array of ``spec.storage`` narrows it, and nothing is lost. Numba does not know posit arrays:
    pass ``posit.bits(a)``, which shares their memory. Each operation is computed as if exactly and
    rounded once, bit for bit as in :mod:`posit`; a pattern outside the n-bit range is not noticed,
    and its result means nothing.

    ``encode(x)`` takes floats and integers, ``decode(p)`` gives float64 (rounded once where
    ``spec.fits_float64`` does not hold). ``next`` and ``prior`` wrap as the Posit Standard says,
    5.3. ``nar``, ``zero``, ``one``, ``minpos`` and ``maxpos`` are patterns.

    Raises TypeError or ValueError as :meth:`posit.PositSpec.parse` does; a wrong argument type in
    compiled code is a numba.TypingError.
    """
    return _made(PositSpec.parse(spec))


@cache
def _made(spec: PositSpec) -> Ops:
    s = _spec(spec)

    @_scalar
    def encode(x: Any) -> int:
        """The pattern nearest to a float or an integer of any width; NaN and ±∞ give NaR."""
        return _codec.encode(x, s)

    @_scalar
    def decode(p: int) -> float:
        """The value of a pattern as float64, rounded once where that cannot hold it; NaR is NaN."""
        return _codec.decode(signed(p), s)

    @_scalar
    def add(a: int, b: int) -> int:
        """a + b, rounded once."""
        return _arith.add(signed(a), signed(b), s)

    @_scalar
    def sub(a: int, b: int) -> int:
        """a - b, rounded once."""
        return _arith.sub(signed(a), signed(b), s)

    @_scalar
    def mul(a: int, b: int) -> int:
        """a · b, rounded once."""
        return _arith.mul(signed(a), signed(b), s)

    @_scalar
    def div(a: int, b: int) -> int:
        """a / b, rounded once; NaR where b is 0."""
        return _arith.div(signed(a), signed(b), s)

    @_scalar
    def fma(a: int, b: int, c: int) -> int:
        """a · b + c, rounded once."""
        return _arith.fma(signed(a), signed(b), signed(c), s)

    @_scalar
    def sqrt(a: int) -> int:
        """√a, rounded once; NaR for negative values."""
        return _arith.sqrt(signed(a), s)

    @_scalar
    def neg(a: int) -> int:
        """-a, exact; NaR stays NaR."""
        p = signed(a)
        return p if p == nar_of(s) else -p

    @_scalar
    def abs(a: int) -> int:
        """|a|, exact; NaR stays NaR."""
        p = signed(a)
        return p if p == nar_of(s) or p >= 0 else -p

    @_scalar
    def next(a: int) -> int:
        """The pattern after a, wrapping from maxpos to NaR."""
        p = signed(a)
        return p + 1 if p != ~nar_of(s) else nar_of(s)

    @_scalar
    def prior(a: int) -> int:
        """The pattern before a, wrapping from NaR to maxpos."""
        p = signed(a)
        return p - 1 if p != nar_of(s) else ~nar_of(s)

    @_scalar
    def is_nar(a: int) -> bool:
        """Whether a is NaR."""
        return signed(a) == nar_of(s)

    made = (encode, decode, add, sub, mul, div, fma, sqrt, neg, abs, next, prior, is_nar)
    members: dict[str, Any] = {f.__name__: f for f in (*made, lt, le, eq, ne, gt, ge)}
    members |= {"spec": spec, "nar": spec.nar, "zero": 0, "one": spec.one}
    members |= {"minpos": 1, "maxpos": spec.maxpos_pattern}
    return _namespace(Ops, f"posit.jit.ops({spec})", members)


def convert(from_spec: SpecLike, to_spec: SpecLike) -> Function:
    """A jitted function from patterns of one spec to the nearest patterns of another, made once.

    Both are a PositSpec, a posit dtype or a name; TypeError or ValueError for anything else.
    """
    return _converter(PositSpec.parse(from_spec), PositSpec.parse(to_spec))


@cache
def _converter(from_spec: PositSpec, to_spec: PositSpec) -> Function:
    given, wanted = _spec(from_spec), _spec(to_spec)

    @_scalar
    def converted(p: int) -> int:
        """The nearest pattern of the other spec, rounded once."""
        return _codec.convert(signed(p), given, wanted)

    return converted


@cache
def _quire(spec: PositSpec) -> QuireOps:
    s, at = _spec(spec), _limbs.layout(spec, _EDITION)

    @_on_limbs
    def zeros() -> Any:
        """A new quire of 0: an array of ``limbs`` uint64."""
        return np.zeros(at.limbs, np.uint64)

    @_on_limbs
    def clear(q: Any) -> None:
        """q = 0."""
        _limbs.clear(_limbs.checked(q, at), False)

    @_on_limbs
    def qma(q: Any, a: int, b: int) -> None:
        """q += a · b, exact."""
        _limbs.multiply_add(_limbs.checked(q, at), signed(a), signed(b), s, at)

    @_on_limbs
    def qadd(q: Any, a: int) -> None:
        """q += a, exact."""
        _limbs.add(_limbs.checked(q, at), signed(a), s, at)

    @_on_limbs
    def qmerge(q: Any, r: Any) -> None:
        """q += r, another quire; exact."""
        _limbs.merge(_limbs.checked(q, at), _limbs.checked(r, at), at)

    @_on_limbs
    def qround(q: Any) -> int:
        """The pattern nearest to q, which is left as it is."""
        return _limbs.rounded(_limbs.checked(q, at), s, at)

    members = {f.__name__: f for f in (zeros, clear, qma, qadd, qmerge, qround)}
    members |= {"spec": spec, "limbs": at.limbs}
    return _namespace(QuireOps, f"posit.jit.ops({spec}).quire()", members)


def _spec(spec: PositSpec) -> Spec:
    return Spec(spec.n, spec.rs, spec.es, _EDITION)
