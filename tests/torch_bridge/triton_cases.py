"""What Triton's kernels must compute, on the device that there is.

Run by test_triton.py in processes of its own, because Triton's interpreter must be chosen before
Triton is imported: with TRITON_INTERPRET=1 on the CPU at small sizes, without it on a GPU.
"""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, reference, standard
from tests import checks
from tests.backends import CORE, Backend
from tests.formats import corners, mixed
from torch_bridge import _triton, ops

Array = npt.NDArray[Any]

# NumPy, which the interpreter computes with, warns of signalling NaNs and of float32's infinities.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in cast:RuntimeWarning")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REAL = DEVICE == "cuda"

ODD = PositSpec(24, 5, 3)
LONG = PositSpec(48, 6, 5)  # 64-bit words, products in halves
CODEC = [
    bposit32, standard(32), ODD, LONG, PositSpec(20, 6, 5), PositSpec(32, 2, 0),
    PositSpec(28, 2, 8), PositSpec(33, 32, 0), PositSpec(60, 6, 5), PositSpec(17, 15, 6),
]  # fmt: skip
NARROW = [bposit8, standard(8), PositSpec(8, 7, 0), PositSpec(3, 2, 8), PositSpec(6, 2, 3)]
FORMATS = [bposit8, bposit16, bposit32, standard(16), ODD, LONG]


def on_device(x: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).to(DEVICE)


def of(kernels: Any) -> Backend:
    """encode and decode of a package of kernels, as the suites of NumPy arrays take them."""
    return dataclasses.replace(
        CORE,
        name="triton",
        encode=lambda x, s: kernels.encode(on_device(x), s).cpu().numpy(),
        decode=lambda bits, s: kernels.decode(on_device(bits), s).cpu().numpy(),
    )


TRITON = of(_triton)


# ---- encode and decode
@pytest.mark.parametrize("spec", NARROW, ids=str)
def test_narrow(spec: PositSpec) -> None:
    """Every pattern, and every boundary with its neighbours, against the definition."""
    bits = np.arange(spec.nar, spec.maxpos_pattern + 1).astype(spec.storage)
    checks.decoding(TRITON, spec, bits)
    checks.boundaries(TRITON, spec, np.float64)


@pytest.mark.parametrize("spec", [bposit16, standard(16)], ids=str)
def test_every_16_bit_pattern(spec: PositSpec) -> None:
    bits = np.arange(-(1 << 15), 1 << 15).astype(np.int16)
    values = TRITON.decode(bits, spec)
    want = posit.decode(bits, spec)
    assert np.array_equal(values, want, equal_nan=True)
    assert np.array_equal(np.signbit(values[1:]), np.signbit(want[1:]))
    checks.same(TRITON.encode(values, spec), bits, spec, "encode∘decode", bits)


def hard_floats(spec: PositSpec, bits: Array) -> Array:
    """Values, midpoints, their neighbours, and floats of every magnitude; and what is special."""
    wide = PositSpec(spec.n + 1, spec.rs, spec.es)
    found = [posit.decode(bits, spec)]
    if wide.fits_float64 and wide.n <= 62:
        inner = bits[(bits != spec.nar) & (bits != spec.maxpos_pattern)].astype(np.int64)
        found.append(posit.decode((2 * inner + 1).astype(wide.storage), wide))
    rng = np.random.default_rng(spec.n)
    found.append(np.ldexp(rng.random(bits.size) + 1, rng.integers(-1074, 1023, bits.size)))
    x = np.concatenate(found)
    tiny = np.array([0.0, 5e-324, 2.0**-1022, np.finfo(float).max, np.inf, np.nan])
    near = [np.nextafter(x, np.inf), np.nextafter(x, -np.inf)]
    return np.concatenate([x, *near, tiny, -tiny])


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), *CODEC], ids=str)
def test_hard_floats(spec: PositSpec) -> None:
    rng = np.random.default_rng(1)
    some = rng.integers(spec.nar, spec.maxpos_pattern, 1 << (20 if REAL else 10), endpoint=True)
    bits = np.concatenate([some, corners(spec)]).astype(spec.storage)
    assert np.array_equal(TRITON.decode(bits, spec), posit.decode(bits, spec), equal_nan=True)
    x = hard_floats(spec, bits)
    checks.same(TRITON.encode(x, spec), posit.encode(x, spec), spec, "encode", x)
    few = x[:: max(1, x.size // 300)]
    want = [reference.encode(v, spec) for v in few.tolist()]
    checks.same(TRITON.encode(few, spec), np.array(want, spec.storage), spec, "encode", few)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_floats(dtype: torch.dtype) -> None:
    """Every 16-bit float; float32 of every sign and exponent; subnormals count."""
    spec = bposit32
    if dtype == torch.float32:
        words = np.random.default_rng(2).integers(-(1 << 31), 1 << 31, 1 << 14).astype(np.int32)
        x = torch.from_numpy(np.concatenate([words, words >> 9 & 0x007FFFFF, words | 0x7F800000]))
    else:
        x = torch.arange(-(1 << 15), 1 << 15).to(torch.int16)
    x = x.view(dtype)
    if dtype == torch.bfloat16 and not REAL:  # whose subnormals the interpreter misreads
        x = x[(x == 0) | ~(x.abs() < torch.finfo(dtype).tiny)]
    got = _triton.encode(x.to(DEVICE), spec).cpu().numpy()
    want = posit.encode(x.to(torch.float64).numpy(), spec)
    checks.same(got, np.asarray(want), spec, f"encode of {dtype}", x.to(torch.float64).numpy())


def test_decode_to_float32() -> None:
    """Rounded once, with float32's infinities and subnormals."""
    bits = np.arange(-(1 << 15), 1 << 15).astype(np.int16)
    got = _triton.decode(on_device(bits), bposit16, torch.float32).cpu().numpy()
    assert np.array_equal(got, posit.decode(bits, bposit16, np.float32), equal_nan=True)
    wide = np.array(corners(bposit32), np.int32)
    got = _triton.decode(on_device(wide), bposit32, torch.float32).cpu().numpy()
    assert np.array_equal(got, posit.decode(wide, bposit32, np.float32), equal_nan=True)


def test_any_memory() -> None:
    x = torch.randn(6, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    views: list[Callable[[Tensor], Tensor]] = [
        lambda t: t, lambda t: t.mT, lambda t: t[1:, 3:], lambda t: t[::2, ::3], lambda t: t[0, 0],
        lambda t: t[:0], lambda t: t[:1].expand(4, 10), lambda t: t.reshape(-1)[1:],
        lambda t: t.reshape(3, 2, 10).permute(2, 0, 1),
    ]  # fmt: skip
    for view in views:
        want = posit.encode(view(x).numpy(), bposit16)
        bits = _triton.encode(view(x.to(DEVICE)), bposit16)
        assert np.array_equal(bits.cpu().numpy(), want)
        assert np.array_equal(_triton.decode(bits, bposit16).cpu(), posit.decode(want, bposit16))
        whole = _triton.encode(x.to(DEVICE), bposit16)
        assert torch.equal(_triton.decode(view(whole), bposit16), view(whole_values(whole)))


def whole_values(bits: Tensor) -> Tensor:
    return on_device(posit.decode(bits.cpu().numpy(), bposit16))


# ---- products
def numbers(kind: str, spec: PositSpec, shape: tuple[int, int, int]) -> tuple[Array, ...]:
    """a (M, K), b (K, N) and add (M, N) as patterns."""
    rows, inner, cols = shape
    rng = np.random.default_rng([spec.n, rows])
    x, y = rng.standard_normal((rows, inner)), rng.standard_normal((inner, cols))
    add = rng.standard_normal((rows, cols))
    if kind == "cancelling":
        u, v = (posit.decode(posit.encode(z, spec), spec) for z in (x, y))
        add = -(u @ v)
    elif kind == "spread":
        x, y, add = (np.ldexp(v, rng.integers(-40, 41, v.shape)) for v in (x, y, add))
    elif kind == "zeros":
        x, add = np.maximum(x, 0) * (rng.random((rows, 1)) < 0.5), 0 * add
    a, b, c = (posit.encode(v, spec) for v in (x, y, add))
    if kind == "ties":
        return ties(spec, shape)
    if kind == "patterns":
        a, b, c = (mixed(spec, v.shape, rng) for v in (x, y, add))
        a[a == spec.nar] = spec.maxpos_pattern
        b[b == spec.nar] = 1
        a[0, 0] = spec.nar
    return a, b, c


def ties(spec: PositSpec, shape: tuple[int, int, int]) -> tuple[Array, ...]:
    """Sums on a boundary, or beside it where the even pattern is not, among large terms."""
    rows, inner, cols = shape
    rng = np.random.default_rng(spec.n)
    side = np.arange(rows) % 3 - 1
    near = spec.one + 2 * rng.integers(0, 1 << (spec.f_max - 2), rows) + (side < 0)
    low, high = posit.decode(np.array([near, near + 1], spec.storage), spec)
    large = 2.0 ** (spec.reach // 4)
    x, y = np.zeros((rows, inner)), np.ones((inner, cols))
    x[:, 0], x[:, 1], x[:, 2:4] = low, (high - low) / 2, large
    x[:, 4] = side / large**2
    y[2], y[3] = large, -large
    a, b, c = (posit.encode(v, spec) for v in (x, y, np.zeros((rows, cols))))
    return a, b, c


KINDS = ["normal", "cancelling", "spread", "zeros", "patterns", "ties"]
SHAPE = (130, 300, 70) if REAL else (3, 21, 2)


def products(kernels: Any, spec: PositSpec, kinds: list[str] = KINDS) -> dict[str, int]:
    """Exact products by both routes against the quire; counts who decided."""
    decided: dict[str, int] = {}
    for kind in kinds:
        a, b, add = numbers(kind, spec, SHAPE)
        for term in (None, add):
            got = kernels.matmul(
                on_device(a), on_device(b), spec,
                add=None if term is None else on_device(term), stats=decided,
            )  # fmt: skip
            checks.same(
                got.cpu().numpy(), quire.matmul(a, b, spec, add=term), spec, f"matmul {kind}"
            )
    return decided


@pytest.fixture
def by_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every size takes the route of large products."""
    monkeypatch.setattr(importlib.import_module("torch_bridge._triton.matmul"), "FUSED", -1)


@pytest.mark.parametrize("spec", FORMATS, ids=str)
def test_matmul(spec: PositSpec) -> None:
    decided = products(_triton, spec)
    assert decided["bounds"]
    assert decided["digits"]


@pytest.mark.usefixtures("by_blas")
@pytest.mark.parametrize("spec", [bposit16, LONG], ids=str)
def test_matmul_by_blas(spec: PositSpec) -> None:
    decided = products(_triton, spec)
    assert decided["bounds"]
    assert decided["digits"]


def long_sums(kernels: Any) -> dict[str, int]:
    """Of more terms than a chain has; every route decides some."""
    decided: dict[str, int] = {}
    spec = PositSpec(44, 6, 5)
    for kind in ("normal", "cancelling"):
        a, b, add = numbers(kind, spec, (30, 2000, 20) if REAL else (3, 600, 3))
        there = (on_device(x) for x in (a, b))
        got = kernels.matmul(*there, spec, add=on_device(add), stats=decided).cpu().numpy()
        checks.same(got, quire.matmul(a, b, spec, add=add), spec, f"matmul of long sums, {kind}")
    return decided


def test_long_sums() -> None:
    decided = long_sums(_triton)
    assert decided["chains"]
    assert decided["digits"]


@pytest.mark.usefixtures("by_blas")
def test_no_emulated_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _ = numbers("normal", bposit16, (2, 3, 2))
    monkeypatch.setattr(torch, "matmul", lambda x, y: torch.full((1, 2, 2), 7.0, dtype=x.dtype))
    monkeypatch.setenv("CUBLAS_EMULATE_DOUBLE_PRECISION", "1")
    got = _triton.matmul(on_device(a), on_device(b), bposit16)
    assert np.array_equal(got.cpu(), quire.matmul(a, b, bposit16))


def test_matmul_beyond_float64() -> None:
    """Products of 2^±1536 come from digits alone."""
    decided = products(_triton, PositSpec(20, 6, 7), ["normal", "patterns"])
    assert not decided["bounds"]


def test_matmul_is_the_sum_of_fractions() -> None:
    a, b, add = numbers("cancelling", bposit16, (2, 9, 2))
    got = _triton.matmul(on_device(a), on_device(b), bposit16, add=on_device(add)).tolist()

    def value(p: Any) -> Fraction:
        found = reference.decode(int(p), bposit16)
        assert found is not None
        return found

    for i in range(2):
        for j in range(2):
            exact = sum(value(x) * value(y) for x, y in zip(a[i], b[:, j], strict=True))
            assert got[i][j] == reference.encode(exact + value(add[i, j]), bposit16)


SHAPES: list[tuple[tuple[int, ...], ...]] = [
    ((2, 1, 3, 4), (3, 4, 2), (2,)), ((5, 3, 4), (4, 2), (3, 1)), ((3, 4), (2, 4, 5), ()),
    ((2, 3, 4), (1, 4, 2), (2, 3, 2)), ((3, 1), (1, 2), (1,)), ((1, 5), (5, 1), (1, 1)),
    ((3, 0), (0, 2), (2,)), ((0, 3), (3, 2), (2,)), ((2, 3), (3, 0), (2, 0)),
    ((0, 2, 3), (3, 2), (2,)),
]  # fmt: skip
"""Of left and right operand and of what is added."""


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_shapes(shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(5)
    a, b, add = (posit.encode(rng.standard_normal(s), bposit16) for s in shapes)
    x, y, z = on_device(a), on_device(b), on_device(add)
    want = quire.matmul(a, b, bposit16)
    assert np.array_equal(_triton.matmul(x, y, bposit16).cpu(), want)
    turned = _triton.matmul(x.mT.contiguous().mT, y.mT.contiguous().mT, bposit16, add=z)
    assert np.array_equal(turned.cpu(), quire.matmul(a, b, bposit16, add=add))


@pytest.mark.usefixtures("by_blas")
def test_shapes_by_blas() -> None:
    for shapes in SHAPES:
        test_shapes(shapes)


def test_products_in_float64() -> None:
    """Of small integers they are exact; NaR makes its row and column NaN."""
    rng = np.random.default_rng(6)
    x, y = rng.integers(-8, 9, (2, 40, 37)), rng.integers(-8, 9, (37, 50))
    a, b = posit.encode(x, bposit16), posit.encode(y, bposit16)
    got = _triton.product(on_device(a), on_device(b), bposit16)
    assert np.array_equal(got.cpu(), (x @ y).astype(float))
    a[0, 1, 2] = bposit16.nar
    bad = np.isnan(_triton.product(on_device(a), on_device(b), bposit16).cpu().numpy())
    assert np.argwhere(bad.all(axis=-1)).tolist() == [[0, 1]]
    assert bad.sum() == 50


# ---- digits
@pytest.mark.parametrize("spec", [*FORMATS, PositSpec(20, 6, 7)], ids=str)
def test_digits(spec: PositSpec) -> None:
    """Sums of products and of values are those of quire.Accumulators, NaR and all."""
    a, b, _ = numbers("patterns", spec, (3, 40, 2))
    want = quire.Accumulators((3, 2), spec).add_products(a, b)
    assert _triton.accumulated(on_device(a), on_device(b), spec) == want
    x = mixed(spec, (2, 3, 33), np.random.default_rng(7))
    ones = np.full((33, 1), spec.one, spec.storage)
    sums = _triton.accumulated(on_device(x), on_device(ones), spec).reshape((2, 3))
    assert sums == quire.Accumulators((2, 3), spec).add_dots(x, ones[:, 0])
    none = _triton.accumulated(on_device(0 * a), on_device(b), spec)
    assert none == quire.Accumulators((3, 2), spec).add_products(0 * a, b)


# ---- operations
def test_operations() -> None:
    """The kernels of the registry are the operations of their names."""
    generator = torch.Generator().manual_seed(8)
    x, y = (torch.randn(s, generator=generator) for s in ((2, 5, 6), (6, 3)))
    bias = torch.randn(3, generator=generator)
    bits = ops.encode(x, bposit16)
    cases: dict[str, tuple[Any, ...]] = {
        "encode": (x, "16,6,5"),
        "decode": (bits, "16,6,5"),
        "fake_quant": (x.to(torch.bfloat16), "24,5,3"),
        "matmul": (x, y, bias, "32,6,5"),
        "patterns_product": (bits, ops.encode(y, bposit16), None, "16,6,5"),
    }
    assert cases.keys() == _triton.KERNELS.keys()
    for name, args in cases.items():
        want = getattr(torch.ops.bposit, name)(*args)
        there = (a.to(DEVICE) if isinstance(a, Tensor) else a for a in args)
        got = _triton.KERNELS[name](*there)
        assert got is not None
        assert got.dtype == want.dtype, name
        assert torch.equal(got.cpu(), want), name


def test_what_is_left_to_the_cpu() -> None:
    x = torch.ones(1, 1, device=DEVICE)
    fine = "57,6,5"  # 49 fraction bits; two more, and a float64 rounded to odd would not do
    assert _triton.KERNELS["matmul"](x, x, None, fine) is not None
    assert _triton.KERNELS["matmul"](x, x, None, "60,6,5") is None
    bits = _triton.encode(x, bposit16)
    assert _triton.KERNELS["patterns_product"](bits[0], bits, None, "16,6,5") is None


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"8388608 is not a pattern of <24,5,3>: signed patterns"):
        _triton.KERNELS["decode"](torch.tensor([0, 1 << 23], device=DEVICE).int(), "24,5,3")
    with pytest.raises(TypeError, match="float tensor"):
        _triton.encode(torch.ones(2, dtype=torch.int32, device=DEVICE), bposit16)
    bits = torch.ones(2, 3, dtype=torch.int16, device=DEVICE)
    with pytest.raises(ValueError, match="do not agree along K"):
        _triton.matmul(bits, bits, bposit16)
    with pytest.raises(ValueError, match="can_multiply"):
        _triton.matmul(bits.long(), bits.mT.long(), PositSpec(60, 6, 5))


# ---- mutants
@pytest.fixture
def mutant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """The package of kernels with one text replaced by another."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(file: str, old: str, new: str) -> ModuleType:
        name = f"mutant{len(made)}"
        made.append(name)
        shutil.copytree(Path(_triton.__file__).parent, tmp_path / name)
        for source in (tmp_path / name).glob("*.py"):
            text = source.read_text().replace("from ..ops", "from torch_bridge.ops")
            if source.name == file:
                assert text.count(old) >= 1, f"{file} has no {old!r}"
                text = text.replace(old, new)
            source.write_text(text)
        return importlib.import_module(name)

    yield make
    for name in [m for m in sys.modules if m.split(".")[0] in made]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tail > 1 << 31", "tail >= 1 << 31"),  # ties away from zero
        ("tl.minimum(low << (12 - ES), 1)", "0"),  # no sticky bit
        ("| (body & 1).to(tl.uint32)", ""),  # ties towards zero
        ("tl.maximum(size, LEAST >> 32)", "size"),  # below minpos
        ("size >= 0x7FF << 20", "size > 0x7FF << 20"),  # infinity
    ],
)
def test_rounding_mutants_are_caught(mutant: Any, old: str, new: str) -> None:
    kernels = mutant("codec.py", old, new)
    bits = np.array(corners(bposit16), np.int16)
    x = hard_floats(bposit16, bits)
    with pytest.raises(AssertionError, match="wrong at <16,6,5>"):
        checks.same(of(kernels).encode(x, bposit16), posit.encode(x, bposit16), bposit16, "encode")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("products.py", "2.0**-53 * (1 + 2.0**-20)", "0.0"),  # no bound
        ("limbs.py", "| ((tail & 0xFFFFFFFF | rest) != 0)", ""),  # no sticky digit
        ("limbs.py", "(digit ^ sign[:, None]) - sign[:, None]", "digit"),  # no signs
        ("matmul.py", "return lowest // 32 * 32,", "return lowest // 32 * 32 + 64,"),  # cut off
    ],
)
def test_product_mutants_are_caught(mutant: Any, file: str, old: str, new: str) -> None:
    kernels = mutant(file, old, new)
    with pytest.raises(AssertionError, match="wrong at <16,6,5>"):
        products(kernels, bposit16, ["cancelling", "ties"])


def test_a_mutant_of_long_sums_is_caught(mutant: Any) -> None:
    """No bound of the chains."""
    kernels = mutant("products.py", "(inner // BK + BK + 10)", "0")
    with pytest.raises(AssertionError, match="wrong at <44,6,5>"):
        long_sums(kernels)
