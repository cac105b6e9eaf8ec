"""Random calls of NumPy's API on posit arrays, which may give a result or raise, but not crash.

``python -m tests.posit.numpy_fuzz SEED FIRST STOP LOG`` makes the calls FIRST … STOP-1 of a seed,
and prints how many of each name gave a result, as JSON. Call i depends on SEED and i alone; LOG
says which it is before it is made, so that the log of a process that died names the culprit.
SystemError, by which Python tells that C code broke its rules, ends the process too, and so does a
call of more than a minute.

Left out is what crashes with every dtype in NumPy 2.4: as_strided, which trusts its caller,
``choose`` into a strided ``out``, ``accumulate`` into an ``out`` without axes, ``fromiter`` of the
same StringDType() twice, and ``less(unsigned, -1, where=…)``; what never returns from LAPACK where
a float64 is infinite: ``svd``, ``norm(ord=2)`` and ``polyfit``; and ``roots``, which is slow.
"""

from __future__ import annotations

import copy
import faulthandler
import inspect
import io
import json
import os
import pickle
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec

from ..formats import every_spec, mixed

__all__ = ["call", "run"]

Array = npt.NDArray[Any]
Call = Callable[[], Any]

_FUNCTIONS = """
    all allclose amax amin angle any append apply_along_axis apply_over_axes argmax argmin
    argpartition argsort argwhere around array array2string array_equal array_equiv array_repr
    array_split array_str asanyarray asarray asarray_chkfinite ascontiguousarray asfortranarray
    astype atleast_1d atleast_2d atleast_3d average bincount block broadcast_arrays broadcast_to
    can_cast clip column_stack common_type compress concatenate convolve copy copyto corrcoef
    correlate count_nonzero cov cross cumprod cumsum cumulative_sum cumulative_prod delete diag
    diag_indices_from diagflat diagonal diff digitize dot dsplit dstack ediff1d einsum empty_like
    expand_dims extract eye fft.fft fill_diagonal fix flatnonzero flip fliplr flipud frombuffer
    fromiter full full_like geomspace gradient histogram histogram2d hsplit hstack i0 identity imag
    inner insert interp intersect1d isclose iscomplex iscomplexobj isfortran isin isneginf isposinf
    isreal isrealobj isscalar ix_ kron lexsort lib.stride_tricks.sliding_window_view linalg.cross
    linalg.det linalg.inv linalg.matrix_power linalg.multi_dot linalg.norm linalg.outer linalg.solve
    linalg.trace linspace logspace ma.array ma.masked_invalid matrix_transpose max
    may_share_memory mean median meshgrid min min_scalar_type moveaxis nan_to_num nanargmax
    nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile
    nanstd nansum nanvar ndim nonzero ones ones_like outer packbits pad partition percentile
    piecewise place poly polyder polyval prod promote_types ptp put put_along_axis putmask
    quantile random.permutation ravel real real_if_close rec.array repeat require reshape resize
    result_type roll rollaxis rot90 round searchsorted select setdiff1d setxor1d shape
    shares_memory sinc size sort sort_complex split squeeze stack std sum swapaxes take
    take_along_axis tensordot tile trace transpose trapezoid tri tril trim_zeros triu union1d unique
    unique_all unique_counts unique_inverse unique_values unstack unwrap vander var vdot vectorize
    vsplit vstack where zeros zeros_like testing.assert_allclose testing.assert_array_equal
"""
FUNCTIONS = _FUNCTIONS.split()
UFUNCS = sorted(name for name in dir(np) if isinstance(getattr(np, name), np.ufunc))
_METHODS = """
    __abs__ __add__ __array__ __bool__ __complex__ __contains__ __copy__ __deepcopy__ __divmod__
    __eq__ __float__ __floordiv__ __getitem__ __iadd__ __imatmul__ __imul__ __int__ __invert__
    __ipow__ __isub__ __iter__ __itruediv__ __le__ __len__ __lshift__ __lt__ __matmul__ __mod__
    __mul__ __neg__ __or__ __pos__ __pow__ __radd__ __reduce__ __repr__ __rmatmul__ __rpow__
    __rsub__ __str__ __sub__ __truediv__ all any argmax argmin argpartition argsort astype byteswap
    clip compress conj copy cumprod cumsum diagonal dot fill flatten getfield item max mean
    min nonzero partition prod put ravel repeat reshape resize round searchsorted setfield sort
    squeeze std sum swapaxes take tobytes tolist trace transpose var view
"""
METHODS = _METHODS.split()
POSIT = ["sum", "mean", "var", "std", "median", "dot", "einsum", "bits", "view"]
REDUCTIONS = ["reduce", "accumulate", "reduceat", "outer", "at"]

NUMBERS: list[Any] = [
    0, 1, -3, 2**63, 10**400, 0.5, -1e300, float("nan"), float("inf"), True, 1j, None, "1/3", "x",
    np.int8(-1), np.uint64(2**64 - 1), np.float16(1.5), np.float32(0.1), np.longdouble(1) / 3,
    np.complex64(1j), np.bool_(True), np.datetime64("2020-01-01"), b"2", (), slice(None), ...,
]  # fmt: skip
DTYPES = [
    "?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "F", "D", "G", "O",
    "U", "S", "U3", "S40", "V", "V2", "V4", "M8[s]", "m8[s]", ">f8", ">i4", ">U5",
    np.dtypes.StringDType, [("a", "i2")], [("a", "i2"), ("b", "f8")],
    str(posit.dtype(posit.bposit16)),
]  # fmt: skip
PLAIN = [d for d in DTYPES if not isinstance(d, list)]


class Maker:
    """Arguments for one call: of one format and shape, for the most part."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.spec = self.a_spec()
        self.shape = self.a_shape()
        self.options: dict[str, Call] = {
            "axis": lambda: self.one([0, 0, -1, -1, 1, None, (0, 1), 7]),
            "out": lambda: np.atleast_1d(
                self.one([self.array(), self.array(self.a_spec()), self.other()])
            ),
            "where": lambda: rng.random(self.shape) < 0.5,
            "dtype": lambda: self.one([*DTYPES, self.dtype, type(self.dtype)]),
            "keepdims": lambda: True,
            "kind": lambda: self.one(["stable", "quicksort", "heapsort", "mergesort"]),
            "casting": lambda: self.one(["no", "equiv", "safe", "same_kind", "unsafe"]),
            "initial": lambda: self.one(NUMBERS),
            "order": lambda: self.one(["C", "F", "A", "K"]),
            "mode": lambda: self.one(["raise", "wrap", "clip", "edge", "reflect", "median"]),
            "ddof": lambda: 1,
            "return_index": lambda: True,
            "return_inverse": lambda: True,
            "side": lambda: self.one(["left", "right"]),
        }
        small = ("repeats", "reps", "shift", "pad_width", "kth", "k", "n", "num", "N", "M", "deg",
                 "indices_or_sections", "axis1", "axis2", "source", "destination", "start", "axes",
                 "obj", "ind", "decimals", "weights", "edge_items")  # fmt: skip
        self.named: dict[str, Call] = self.options | {
            **dict.fromkeys(small, lambda: int(rng.integers(-1, 3))),
            **dict.fromkeys(["shape", "newshape", "new_shape", "window_shape"], self.a_shape),
            **dict.fromkeys(["indices", "index"], lambda: rng.integers(-2, 3, 3)),
            **dict.fromkeys(["condition", "mask", "condlist"], self.named_condition),
            **dict.fromkeys(["arrays", "arys", "choices", "choicelist", "tup"], self.several),
            **dict.fromkeys(["from_", "to", "type", "type1"], self.options["dtype"]),
            **dict.fromkeys(["func1d", "func", "pyfunc"], lambda: np.sum),
            "q": lambda: self.one([0.3, 1, 50, [0.1, 0.9], self.array()]),
            "ord": lambda: self.one([None, "fro", 1, -1, np.inf]),
            "bits": lambda: self.array().view(self.spec.storage),
            "spec": lambda: self.spec,
            "a": self.array,
        }

    def one(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    @property
    def dtype(self) -> np.dtype[Any]:
        return posit.dtype(self.spec)

    def a_spec(self) -> PositSpec:
        usual = [posit.bposit8, posit.bposit16, posit.bposit32, posit.bposit64, posit.standard(16)]
        found: PositSpec = self.one(usual if self.rng.random() < 0.6 else every_spec())
        return found

    def a_shape(self) -> tuple[int, ...]:
        if self.rng.random() < 0.03:
            found: tuple[int, ...] = self.one([(600,), (1025,), (5, 2049)])  # blocks, buffers
            return found
        if self.rng.random() < 0.15:
            side = self.one([1, 2, 3])  # so that products fit
            return tuple(side for _ in range(self.rng.integers(1, 4)))
        return tuple(self.one([0, 1, 2, 3, 4, 5, 17]) for _ in range(self.rng.integers(4)))

    def array(self, spec: PositSpec | None = None) -> Array:
        """A posit array in any kind of memory, of any patterns, and sometimes of no patterns."""
        spec, rng, shape = spec or self.spec, self.rng, self.shape
        dtype, size, count = posit.dtype(spec), spec.storage.itemsize, int(np.prod(shape))
        bits = mixed(spec, shape, rng)
        if rng.random() < 0.15:  # what a file may hold
            bits = np.frombuffer(rng.bytes(count * size), spec.storage).reshape(shape)
        layout = rng.integers(8)
        if layout == 0:
            made = np.empty(shape[::-1], dtype).T
        elif layout == 1 and shape:
            made = np.empty((*shape[:-1], shape[-1] * 2), dtype)[..., ::2]
        elif layout == 2 and shape:
            made = np.empty(shape, dtype)[::-1]
        elif layout == 3:
            made = np.empty(count * size + 1, np.uint8)[1:].view(dtype).reshape(shape)
        elif layout == 4:
            made = np.empty(shape, [("pad", "i1"), ("x", dtype), ("y", "f4")])["x"]
        elif layout == 5 and count:
            return np.broadcast_to(np.array(bits.flat[0]).view(dtype), shape)
        else:
            made = np.empty(shape, dtype)
        made.view(spec.storage)[...] = bits
        made.flags.writeable = layout != 6
        return made if shape else made.reshape(self.one([(), (), (1,)]))

    def other(self) -> Array:
        """Small integers as an array of a type that is not a posit."""
        return np.asarray(self.rng.integers(-4, 5, self.shape)).astype(self.one(PLAIN))

    def several(self) -> list[Any]:
        return [self.array() for _ in range(self.rng.integers(1, 4))]

    def products(self) -> list[Any]:
        """What einsum takes."""
        subscripts = self.one(["ij,jk->ik", "i,i", "ij,ij->j", "ij->", "..."])
        return [subscripts, *(self.array() for _ in subscripts.split(","))]

    def named_condition(self) -> Any:
        return self.rng.random(self.shape) < 0.5

    def value(self) -> Any:
        """Mostly a posit array that fits the others, sometimes anything."""
        kind = self.rng.random()
        if kind < 0.66:
            return self.array()
        if kind < 0.72:
            return Maker(self.rng).array() if self.rng.random() < 0.3 else self.array(self.a_spec())
        if kind < 0.80:
            return self.other()
        if kind < 0.88:
            return int(self.rng.integers(-3, 6))
        if kind < 0.93:
            return self.one(NUMBERS)
        if kind < 0.96:
            return posit.Posit.from_bits(int(mixed(self.spec, 1, self.rng)[0]), self.spec)
        if kind < 0.98:
            return self.one([*DTYPES, self.dtype, posit.Posit, type(self.dtype), self.spec])
        return self.several()

    def arguments(self, function: Any) -> tuple[list[Any], dict[str, Any]]:
        """What its signature asks for, and some of what it allows."""
        try:
            known = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            known = []
        kinds = inspect.Parameter
        positional = [
            p for p in known if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        ]
        needed = [p for p in positional if p.default is kinds.empty]
        if not known or any(p.kind is kinds.VAR_POSITIONAL for p in known):
            made = [self.value() for _ in range(self.rng.integers(4))]
        else:
            extra = self.rng.random() < 0.3 and len(positional) > len(needed)
            used = positional[: len(needed) + extra]
            made = [self.named.get(p.name, self.value)() for p in used]
        if isinstance(function, np.ufunc):
            allowed = ["out", "where", "dtype", "casting", "order"]
        else:
            rest = [p.name for p in known if p.default is not kinds.empty][
                len(made) - len(needed) :
            ]
            allowed = [name for name in rest if name in self.options]
        return made, self.keywords(allowed)

    def keywords(self, allowed: list[str]) -> dict[str, Any]:
        if not allowed or self.rng.random() < 0.5:
            return {}
        names = {self.one(allowed) for _ in range(self.rng.integers(1, 3))}
        return {name: self.options[name]() for name in sorted(names)}


def resolve(name: str) -> Any:
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part)
    return found


def a_function(make: Maker) -> tuple[str, Call]:
    name = make.one(FUNCTIONS)
    function = resolve(name)
    arguments, options = make.arguments(function)
    if name == "einsum":
        arguments = make.products()
    return name, lambda: function(*arguments, **options)


def a_ufunc(make: Maker) -> tuple[str, Call]:
    name = make.one(UFUNCS)
    ufunc = getattr(np, name)
    arguments = [make.value() for _ in range(ufunc.nin)]
    arguments[make.rng.integers(ufunc.nin)] = make.array()  # else NumPy is on its own
    options = make.keywords(["out", "where", "dtype", "casting", "order"])
    return name, lambda: ufunc(*arguments, **options)


def a_reduction(make: Maker) -> tuple[str, Call]:
    name, method = make.one(UFUNCS), make.one(REDUCTIONS)
    if getattr(np, name).nin == 1 and make.rng.random() < 0.9:
        method = "at"  # the others take two operands
    if method == "outer" and int(np.prod(make.shape)) > 100:
        make.shape = (3,)  # else results could be huge
    first = make.array()
    index = make.rng.integers(0, max(1, make.shape[0] if make.shape else 1), 3).tolist()
    last: list[Any] = {
        "reduceat": [index],
        "at": [index, make.one([make.value(), 1])][: getattr(np, name).nin],
        "outer": [make.value()],
    }.get(method, [])
    reducing = ["axis", "out", "dtype"] + ["keepdims", "initial", "where"] * (method == "reduce")
    options = {} if method == "at" else make.keywords(reducing)
    function = getattr(getattr(np, name), method)
    return f"{name}.{method}", lambda: function(first, *last, **options)


def a_method(make: Maker) -> tuple[str, Call]:
    name, array = make.one(METHODS), make.array()
    arguments, options = make.arguments(getattr(array, name))
    return f"ndarray.{name}", lambda: getattr(array, name)(*arguments, **options)


def ours(make: Maker) -> tuple[str, Call]:
    name = make.one(POSIT)
    arguments, options = make.arguments(getattr(posit, name))
    if name == "einsum":
        arguments = make.products()
    return f"posit.{name}", lambda: getattr(posit, name)(*arguments, **options)


def an_index(make: Maker) -> tuple[str, Call]:
    array, item = make.array(), make.value()
    index = make.one([(), 0, ..., slice(None, None, -1), make.named_condition(), [0, -1], None])

    def assign() -> Any:
        array[index] = item
        return array[index]

    return "setitem", assign


def a_trip(make: Maker) -> tuple[str, Call]:
    array, text, target = make.array(), io.StringIO(), make.one(DTYPES)
    protocol = int(make.rng.integers(6))

    def through_text() -> Any:
        np.savetxt(text, array)
        text.seek(0)
        return np.loadtxt(text, array.dtype)

    trips: dict[str, Call] = {
        "cast": lambda: array.astype(target).astype(array.dtype),
        "pickle": lambda: pickle.loads(pickle.dumps(array, protocol)),
        "deepcopy": lambda: copy.deepcopy(array),
        "text": through_text,
        "list": lambda: np.array(array.tolist(), array.dtype),
        "string": lambda: np.fromstring(" ".join(map(str, array.flat)), array.dtype, sep=" "),
        "bytes": lambda: np.frombuffer(array.tobytes(), array.dtype),
        "nditer": lambda: [
            np.add(x, 1) for x in np.nditer(array, ["buffered", "zerosize_ok"], op_dtypes="f8")
        ],
        "object": lambda: array.astype(object) + array.astype(object),
        "record": lambda: array.astype([("a", array.dtype), ("b", "f8")])["a"] + 1,
    }
    name = make.one(list(trips))
    return name, trips[name]


KINDS = [a_function, a_function, a_function, a_ufunc, a_reduction, a_method, ours, an_index, a_trip]


def call(seed: int, index: int) -> tuple[str, str, Call]:
    """Call ``index`` of a seed: its name, where it is and what it is made for, and the call."""
    make = Maker(np.random.default_rng([seed, index]))
    name, function = make.one(KINDS)(make)
    return name, f"{seed} {index}: {name} {make.spec} {make.shape}", function


def run(seed: int, calls: range, log: str) -> Counter[str]:
    """Make the calls; how many of each name gave a result."""
    results: Counter[str] = Counter()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for index in calls:
        os.pwrite(handle, f"{seed} {index}: to be made".ljust(160).encode(), 0)
        name, text, function = call(seed, index)
        os.pwrite(handle, text.ljust(160).encode(), 0)
        faulthandler.dump_traceback_later(60, exit=True)
        try:
            repr(function())
            results[name] += 1
        except SystemError as error:
            if "Posit" not in str(error):  # NumPy's loops over objects go on after an error
                raise
        except Exception:  # refused, which is fine
            pass
    faulthandler.cancel_dump_traceback_later()
    os.close(handle)
    return results


if __name__ == "__main__":
    faulthandler.enable()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    print(json.dumps(run(int(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])), sys.argv[4])))
