"""Every product and involution, on floats and bit for bit on posits, against the model."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, from_fraction
from torch_bridge import tensor
from torch_bridge.clifford import CGA3D, PGA3D, STA, Algebra, Cl3, Multivector
from torch_bridge.clifford import _blades as masks
from torch_bridge.clifford import _form as forms
from torch_bridge.clifford._blades import BILINEAR, Signature
from torch_bridge.clifford._results import multiplied

from . import model
from .model import ALGEBRAS, CHANGES, PRODUCTS

every_algebra = pytest.mark.parametrize("algebra", ALGEBRAS.values(), ids=ALGEBRAS)
every_product = pytest.mark.parametrize("product", PRODUCTS)


def supports(algebra: Algebra, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """All blades, the usual kinds, one blade, and any others."""
    every = algebra.blades()
    yield from (every, algebra.even, algebra.blades(grades=(1,)))
    yield from (every[-1:], every[:1])
    for _ in range(2):
        yield tuple(m for m in every if rng.random() < 0.4)


def pairs(
    algebra: Algebra, seed: int, spec: PositSpec | None = None
) -> Iterator[tuple[Multivector, Multivector]]:
    rng = np.random.default_rng(seed)
    for a in supports(algebra, rng):
        for b in supports(algebra, rng):
            if len(a) * len(b) <= 512 or rng.random() < 0.2:
                yield (
                    model.random_like(algebra, a, rng, spec=spec),
                    model.random_like(algebra, b, rng, spec=spec),
                )


def check_posits(algebra: Algebra, product: str, spec: PositSpec) -> int:
    """Assert equal bits; how many coefficients were compared."""
    compared = 0
    for x, y in pairs(algebra, 1, spec):
        found = getattr(x, product)(y)
        exact = PRODUCTS[product](model.element(x), model.element(y), algebra)
        assert model.bits(found) == model.encoded(exact, found.blades, spec)
        compared += len(found.blades)
    return compared


FORMATS = [(a, bposit16) for a in ALGEBRAS] + [
    (a, spec) for a in ("Cl(3)", "PGA3D") for spec in (bposit8, bposit32)
]


@every_product
@pytest.mark.parametrize(("algebra", "spec"), FORMATS, ids=str)
def test_posits_are_rounded_once(algebra: str, product: str, spec: PositSpec) -> None:
    assert check_posits(ALGEBRAS[algebra], product, spec) > 20


@every_product
@every_algebra
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_floats(algebra: Algebra, product: str, dtype: torch.dtype) -> None:
    """Within the roundings of a sum whose terms Cauchy's inequality bounds."""
    for x, y in pairs(algebra, 2):
        u, v = x.floats(dtype), y.floats(dtype)
        found = getattr(u, product)(v)
        exact = PRODUCTS[product](model.element(u), model.element(v), algebra)
        assert found.coefficients.dtype == dtype
        size = float(u.coefficients.norm() * v.coefficients.norm())
        for f, w in zip(
            found.coefficients.tolist(), model.coefficients(exact, found.blades), strict=True
        ):
            assert abs(f - w) <= 66 * torch.finfo(dtype).eps * size


SIGNATURES = [(p, q, n - p - q) for n in range(7) for p in range(n + 1) for q in range(n - p + 1)]


@pytest.mark.parametrize("product", ["geometric", "regressive"])
def test_every_signature(product: str) -> None:
    """Products of integers, exact in float64, on some blades of all 84 algebras."""
    rng = np.random.default_rng(8)
    assert len(SIGNATURES) == 84
    for signature in SIGNATURES:
        algebra = Algebra(*signature)
        chosen = [[m for m in algebra.blades() if rng.random() < 0.5] for _ in range(2)]
        numbers = [torch.from_numpy(rng.integers(-9, 10, len(s)) * 1.0) for s in chosen]
        x, y = (algebra.multivector(n, blades=s) for n, s in zip(numbers, chosen, strict=True))
        found = getattr(x, product)(y)
        exact = PRODUCTS[product](model.element(x), model.element(y), algebra)
        assert found.coefficients.tolist() == model.coefficients(exact, found.blades)


@every_algebra
@pytest.mark.parametrize("change", CHANGES)
def test_involutions_and_duals(algebra: Algebra, change: str) -> None:
    rng = np.random.default_rng(3)
    for blades in supports(algebra, rng):
        x = model.random_like(algebra, blades, rng, spec=bposit32)
        found = getattr(x, change)()
        exact = CHANGES[change](model.element(x), algebra)
        assert found.spec == bposit32
        assert model.bits(found) == model.encoded(exact, found.blades, bposit32)
        assert sorted(found.blades) == sorted(model.mask_of(b) for b in exact)


def test_undual_is_the_inverse_of_dual() -> None:
    x = PGA3D.multivector(torch.arange(1.0, 17))
    assert torch.equal(x.dual().undual().coefficients, x.coefficients)
    assert torch.equal(x.undual().dual().coefficients, x.coefficients)


# ---- supports
def test_supports_follow_from_blades_alone() -> None:
    v, b = Cl3.vector([0.0, 0, 0]), Cl3.bivector([0.0, 0, 0])
    assert (v * v).grades == (0, 2)
    assert (v * b).grades == (1, 3)
    assert (v ^ b).grades == (3,)
    assert (v << b).grades == (1,)
    assert (b << v).blades == ()
    assert (b >> v).grades == (1,)
    assert (v & v).blades == ()
    assert (b & b).grades == (1,)
    e0 = PGA3D.blade("e0")
    assert (e0 * e0).blades == ()
    e12 = STA.blade("e12")
    assert (e12 * e12).blades == (0,)


def test_parts_of_a_product_alone() -> None:
    rng = np.random.default_rng(4)
    x, y = (model.random_like(CGA3D, CGA3D.blades(), rng) for _ in range(2))
    part = x.geometric(y, grades=(2, 5))
    assert torch.equal(part.coefficients, (x * y).grade(2, 5).coefficients)
    assert part.grades == (2, 5)


def test_declared_blades_hold_the_result_or_it_is_an_error() -> None:
    a, b = Cl3.vector([1.0, 2, 3]), Cl3.vector([0.0, 1, 0])
    wide = a.geometric(b, into=Cl3.blades())
    assert wide.blades == tuple(range(8))
    assert torch.equal(wide.grade(0, 2).coefficients, (a * b).coefficients)
    for blades, missing in ((("1",), "e12, e13, e23"), (("1", "e12", "e13"), "e23")):
        with pytest.raises(ValueError, match=rf"geometric product has {missing}, which the decl"):
            a.geometric(b, into=blades)
    with pytest.raises(ValueError, match=r"the multivector has e2, e3, which"):
        a.into(["e1"])
    for name in PRODUCTS:
        if name in ("outer", "inner"):
            with pytest.raises(ValueError, match=name):
                getattr(a, name)(b, into=("e1",))


def test_sums_live_on_both_supports() -> None:
    v, b = Cl3.vector([1.0, 2, 3]), Cl3.bivector([4.0, 5, 6])
    assert (v + b).grades == (1, 2)
    assert (v - b)["e12"] == -4.0
    assert (1 - v)["1"] == 1.0
    assert (v + 2)["e1"] == 1.0
    assert (v + v).blades == v.blades
    assert torch.equal((v + b - b).grade(1).coefficients, v.coefficients)


# ---- batches, numbers, tensors
@pytest.mark.parametrize("shapes", [((5,), (5,)), ((), (7,)), ((4, 1), (3,)), ((2, 0), (1,)),
                                    ((130,), ()), ((3, 67), (3, 1))])  # fmt: skip
@pytest.mark.parametrize("spec", [None, bposit16], ids=str)
def test_batches_broadcast(shapes: tuple[tuple[int, ...], ...], spec: PositSpec | None) -> None:
    generator = torch.Generator().manual_seed(5)
    raw = [torch.randn(*s, 8, generator=generator, dtype=torch.float64) for s in shapes]
    x, y = (Cl3.multivector(v, spec=spec) for v in raw)
    found = x * y
    assert found.shape == torch.broadcast_shapes(*shapes)
    wide = [v.coefficients.expand(*found.shape, 8).reshape(-1, 8) for v in (x, y)]
    rows = [
        Cl3.multivector(a, spec=spec) * Cl3.multivector(b, spec=spec)
        for a, b in zip(*wide, strict=True)
    ]
    if rows:
        each = torch.stack([r.coefficients for r in rows]).reshape(found.coefficients.shape)
        assert torch.equal(found.coefficients, each)


def test_strided_and_many_threads() -> None:
    """The bits do not depend on how a batch lies in memory or is split."""
    x = torch.randn(8, 30000, generator=torch.Generator().manual_seed(6)).T
    y = torch.randn(60000, 8, generator=torch.Generator().manual_seed(7))[::2]
    before = torch.get_num_threads()
    try:
        made = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            made.append((Cl3.multivector(x) * Cl3.multivector(y)).coefficients)
    finally:
        torch.set_num_threads(before)
    part = Cl3.multivector(x[777:779].contiguous()) * Cl3.multivector(y[777:779].contiguous())
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0][777:779], part.coefficients)


def test_tensors_and_numbers_scale() -> None:
    x = Cl3.vector(torch.ones(4, 3))
    t = torch.arange(1.0, 5)
    for made in (x * t, t * x):
        assert torch.equal(made["e2"], t)
    assert torch.equal((x / t)["e3"], 1 / t)
    assert torch.equal((2 * x - t)["1"], -t)
    assert torch.equal((t - x)["1"], t)
    assert torch.equal((t + x)["e1"], torch.ones(4))
    with pytest.raises(TypeError):
        t / x
    with pytest.raises(TypeError):
        x * "a"
    with pytest.raises(TypeError, match="coefficients are real"):
        x * torch.tensor(1j)


def test_posits_are_scaled_and_added_with_one_rounding() -> None:
    x = Cl3.vector([1.0, 1 / 3, -7], spec="bposit16")
    third = Fraction(x["e2"].item())
    for made, exact in ((x * 3.0, third * 3), (x / 3.0, third / 3), (x + x, third * 2)):
        assert model.bits(made)[1] == from_fraction(exact, bposit16)
    tenth = Fraction(tensor(0.1, spec="bposit16").item())  # of the format, as 0.1 is not
    for made, exact in ((x * 0.1, third * tenth), (x / 0.1, third / tenth)):
        assert model.bits(made)[1] == from_fraction(exact, bposit16)


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_numbers_are_rounded_to_a_format_once(spec: PositSpec) -> None:
    given = [0.1, 0.7, 16777217.0]  # float32 has none of them
    want = tensor(torch.tensor(given, dtype=torch.float64), spec=spec)
    for numbers in (given, np.array(given)):
        assert Cl3.vector(numbers, spec).coefficients.tolist() == want.tolist()
    assert Cl3.scalar(0.1, spec)["1"].item() == want[0].item()
    assert Cl3.vector(np.array(given)).coefficients.tolist() == given
    assert Cl3.vector(given).coefficients.dtype == torch.float32


def test_nar_spreads_to_what_it_is_a_factor_of() -> None:
    x = Cl3.vector([torch.nan, 1.0, 2.0], spec=bposit16)
    y = Cl3.multivector([1.0, 1.0], blades=("e1", "e2"), spec=bposit16)
    found = x * y
    nar = {n: bool(found[n].isnan()) for n in ("1", "e12", "e13", "e23")}
    assert nar == {"1": True, "e12": True, "e13": False, "e23": False}
    back = y * x
    assert back["e12"].isnan()
    assert not back["e23"].isnan()


def test_posit_tensors_bring_their_format() -> None:
    x = Cl3.vector(tensor([1.0, 1 / 3, 2.0], spec=bposit16))
    assert x.spec == bposit16
    with pytest.raises(TypeError, match="are posits of"):
        Cl3.vector(tensor([1.0, 2.0, 3.0], spec=bposit16), spec="bposit32")


# ---- the checks can fail
@pytest.mark.parametrize("pair", [(3, 5), (1, 2), (7, 7)])
def test_one_wrong_sign_is_found(pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    right = BILINEAR["geometric"]

    def wrong(signature: Signature, a: int, b: int) -> tuple[int, int]:
        sign, mask = right(signature, a, b)
        return (-sign if (a, b) == pair else sign), mask

    monkeypatch.setitem(BILINEAR, "geometric", wrong)
    forms.form_of.cache_clear()
    try:
        with pytest.raises(AssertionError):
            check_posits(Cl3, "geometric", bposit16)
    finally:
        forms.form_of.cache_clear()
    monkeypatch.undo()
    check_posits(Cl3, "geometric", bposit16)


def test_rounding_each_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products rounded, then added one after the other, as without a quire."""

    def rounding(x: Any, y: Any, spec: PositSpec) -> Any:
        total, *others = np.moveaxis(np.asarray(posit.mul(x, y, spec)), -1, 0)
        for term in others:
            total = posit.add(total, term, spec)
        return total

    monkeypatch.setattr("torch_bridge.clifford._product.quire.dot", rounding)
    for algebra in (Cl3, PGA3D):
        with pytest.raises(AssertionError):
            check_posits(algebra, "geometric", bposit16)


def test_a_wrong_dual_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The complement without its signs."""
    monkeypatch.setattr(masks, "dual", lambda mask, signature: (1, signature.whole ^ mask))
    forms.form_of.cache_clear()
    try:
        with pytest.raises(AssertionError):
            check_posits(PGA3D, "regressive", bposit16)
    finally:
        forms.form_of.cache_clear()


# ---- sparsity
def test_only_terms_that_exist_are_multiplied() -> None:
    """As many multiply-adds as the Cayley table has entries between the blades there are."""

    def terms(x: Multivector, y: Multivector, kind: str = "geometric") -> int:
        form, _ = multiplied(kind, x._space, y._space)
        return len(forms.form_of(form).table(2).terms)

    one = Cl3.multivector(torch.ones(8))
    rotor, vector = one.grade(0, 2), one.grade(1)
    assert terms(one, one) == 64
    assert terms(one, one, "outer") == 27
    assert terms(rotor, rotor) == 16
    assert terms(rotor, vector) == 12
    assert terms(vector, vector, "outer") == 6
    motor = PGA3D.multivector(torch.ones(16))
    assert terms(motor, motor) == 192
