"""One accumulator against fractions: any sequence of operations, carries, ends, NaR, copies."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import posit
from posit import PositSpec, bposit16, bposit32, reference, standard
from quire import Layout, Quire

from .. import oracle
from ..formats import corners, every_spec, mixed
from .cases import EXTREME, SPECS, holding, total

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)


def value(p: Any, spec: PositSpec) -> Fraction:
    found = reference.decode(int(p), spec)
    assert found is not None
    return found


@every
def test_any_sequence_of_operations(spec: PositSpec) -> None:
    rng = np.random.default_rng([spec.n, spec.rs, spec.es])
    q, other, model, theirs = Quire(spec), Quire(spec), Fraction(0), Fraction(0)
    for _ in range(200):
        a, b = (p if p != spec.nar else 0 for p in mixed(spec, 2, rng).tolist())
        match rng.integers(8):
            case 0:
                q.add(a)
                model += value(a, spec)
            case 1:
                q.sub(a)
                model -= value(a, spec)
            case 2 | 3:
                q.fma(a, b)
                model += value(a, spec) * value(b, spec)
            case 4 | 5:
                q.fms(a, b)
                model -= value(a, spec) * value(b, spec)
            case 6:
                q.negate()
                model = -model
            case _:
                q.merge(other)
                model += theirs
                other.fma(b, a)
                theirs += value(a, spec) * value(b, spec)
        assert q.value == model
        assert q.round() == reference.encode(model, spec)
        assert not q.inexact
        assert not q.is_nar


@every
def test_the_value_of_one_pattern(spec: PositSpec) -> None:
    for p in corners(spec):
        want = reference.decode(p, spec)
        q = Quire(spec).add(p)
        assert q.value == want
        assert q.round() == p
        assert q.is_nar == (p == spec.nar)
        assert Quire(spec).sub(p).value == (None if want is None else -want)


@every
def test_rounding_beside_every_kind_of_boundary(spec: PositSpec) -> None:
    """On a boundary, and one bit of the lowest weight beside it; both signs."""
    layout = Layout.exact(spec)
    bodies = {min(max(1, abs(p)), spec.maxpos_pattern - 1) for p in corners(spec, 1)}
    for body in sorted(bodies):
        edge = oracle.boundary(body, spec) / Fraction(2) ** layout.lsb
        assert edge.denominator == 1
        for d in (-1, 0, 1):
            whole = edge.numerator + d
            want = body + (d > 0 or (d == 0 and body % 2))
            assert holding(whole, spec).round() == want
            assert holding(-whole, spec).round() == -want


@every
def test_rounding_saturates(spec: PositSpec) -> None:
    assert holding(1, spec).round() == 1
    assert holding(1, spec).negate().round() == -1
    top = spec.maxpos_pattern
    for negate in (False, True):
        q = Quire(spec).fma(top, top).fma(top, top)
        want = -top if negate else top
        assert (q.negate() if negate else q).round() == want


@every
def test_carries_and_borrows_through_every_limb(spec: PositSpec) -> None:
    """All-ones limbs: 2^k - 1 + 1, -2^k - 1 + 1, and the like, at and beside limb edges."""
    layout = Layout.exact(spec)
    limit = 1 << (layout.width - 1)
    unit = holding(1, spec)
    assert unit.value == Fraction(2) ** layout.lsb
    less = unit.copy().negate()
    for k in range(layout.width - 1):
        if k % 64 not in (0, 1, 63) and k < layout.width - 3:
            continue
        for whole in ((1 << k) - 1, -(1 << k), 1 - (1 << k), -1 - (1 << k), (1 << k)):
            for step, addend in ((1, unit), (-1, less)):
                if not -limit < whole + step < limit:  # the ends have a test of their own
                    continue
                q = holding(whole, spec).merge(addend)
                exact = (whole + step) * Fraction(2) ** layout.lsb
                assert q.value == exact
                assert q.round() == reference.encode(exact, spec)
                assert q.negate().value == -exact


@every
def test_overflow_is_judged_at_the_width(spec: PositSpec) -> None:
    layout = Layout.exact(spec)
    limit = 1 << (layout.width - 1)
    unit = holding(1, spec)
    assert holding(limit - 1, spec).value == (limit - 1) * Fraction(2) ** layout.lsb
    assert holding(limit - 1, spec).merge(unit).value is None
    assert holding(-limit, spec).value == -limit * Fraction(2) ** layout.lsb
    assert holding(-limit, spec).merge(unit.copy().negate()).value is None
    assert holding(-limit, spec).negate().value is None  # its opposite does not fit
    assert holding(1 - limit, spec).negate().value == (limit - 1) * Fraction(2) ** layout.lsb


@every
@pytest.mark.parametrize("sign", [1, -1])
def test_doubling_the_largest_product(spec: PositSpec, sign: int) -> None:
    """maxpos² doubled is right until it does not fit, and NaR for ever after."""
    layout = Layout.exact(spec)
    top = spec.maxpos_pattern
    q = Quire(spec).fma(top, sign * top)
    exact = sign * spec.maxpos**2
    low, high = (s * Fraction(2) ** (layout.lsb + layout.width - 1) for s in (-1, 1))
    for _ in range(63):
        q.merge(q.copy())
        exact *= 2
        if low <= exact < high:
            assert q.value == exact
            assert q.round() == sign * top
        else:
            assert q.is_nar
            assert q.round() == spec.nar
    assert q.is_nar
    assert 2**30 * spec.maxpos**2 < high  # so the loop has seen the guard bits at work


@every
def test_merging_with_oneself(spec: PositSpec) -> None:
    q = Quire(spec).fma(1, spec.one).add(spec.maxpos_pattern)
    exact = q.value
    assert exact is not None
    assert q.merge(q).value == 2 * exact


@every
@pytest.mark.parametrize("operation", ["add", "sub", "fma", "fms", "merge"])
def test_nar_is_absorbing(spec: PositSpec, operation: str) -> None:
    nar, one = spec.nar, spec.one
    pairs: list[tuple[Any, ...]] = [(nar, one), (one, nar), (nar, nar), (nar, 0), (0, nar)]
    if operation == "merge":
        pairs = [(Quire(spec).add(nar),)]
    elif operation in ("add", "sub"):
        pairs = [(nar,)]
    for operands in pairs:
        q: Quire = getattr(Quire(spec).add(one), operation)(*operands)
        assert q.is_nar
        assert q.value is None
        for after in (
            q.copy(), q.add(one), q.sub(nar), q.fma(one, one), q.fms(nar, one), q.negate(),
            q.merge(Quire(spec)), q.merge(q),
        ):  # fmt: skip
            q = after
            assert q.is_nar
            assert q.value is None
            assert q.round() == nar
        assert q == Quire(spec).add(nar)
        assert q.clear().value == 0
        assert q.add(one).round() == one


@pytest.mark.parametrize("n", [14, 16, 20, 24, 32, 48, 64])
def test_the_witness(n: int) -> None:
    """v2·v2 - v1·v3 = 2^(-384-2(n-12)): docs/format.md, against the paper's 800 bits."""
    spec = PositSpec(n, 6, 5)
    exact = Quire(spec).fma(2, 2).fms(1, 3)
    assert exact.value == Fraction(2) ** (-384 - 2 * (n - 12))
    assert exact.round() == 1
    assert not exact.inexact
    paper = Quire(spec, "paper800").fma(2, 2).fms(1, 3)
    assert paper.value == 0
    assert paper.round() == 0
    assert paper.inexact
    assert paper.clear().inexact is False


@pytest.mark.parametrize("n", [14, 16, 32, 64])
def test_what_800_bits_drop(n: int) -> None:
    """Each product's magnitude is cut at 2^-384 before it is added; a flag says that a bit fell."""
    spec = PositSpec(n, 6, 5)
    unit = Fraction(2) ** -384
    rng = np.random.default_rng(n)
    reach = 1 << max(4, n - 9)
    for _ in range(40):
        q, cut, lost = Quire(spec, "paper800"), [], False
        for a, b in rng.integers(-reach, reach, (5, 2)).tolist():
            exact = value(a, spec) * value(b, spec)
            kept = abs(exact) // unit * unit
            lost |= kept != abs(exact)
            cut.append(kept if exact > 0 else -kept)
            q.fma(a, b)
        assert q.value == total(cut)
        assert q.inexact == lost
        q.fms(1, 1)
        other = Quire(spec, "paper800").merge(q)
        assert other.inexact == q.inexact


@every
def test_order_and_split_do_not_matter(spec: PositSpec) -> None:
    rng = np.random.default_rng([7, spec.n])
    a, b = mixed(spec, (2, 60), rng)
    a[a == spec.nar] = 1
    b[b == spec.nar] = 1
    want = Quire(spec)
    for x, y in zip(a, b, strict=True):
        want.fma(x, y)
    for _ in range(5):
        parts = [Quire(spec) for _ in range(rng.integers(1, 6))]
        for i in rng.permutation(60):
            parts[rng.integers(len(parts))].fma(a[i], b[i])
        whole = Quire(spec)
        for i in rng.permutation(len(parts)):
            whole.merge(parts[i])
        assert whole == want
        assert whole.to_bytes() == want.to_bytes()


@given(data=st.data())
def test_any_format(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()))
    pattern = st.integers(spec.nar + 1, spec.maxpos_pattern) | st.sampled_from(corners(spec)[1:])
    pairs = data.draw(st.lists(st.tuples(pattern, pattern, st.booleans()), max_size=12))
    pairs = [(a, b, s) for a, b, s in pairs if spec.nar not in (a, b)]
    q = Quire(spec)
    for a, b, minus in pairs:
        (q.fms if minus else q.fma)(a, b)
    exact = total(value(a, spec) * value(b, spec) * (-1 if s else 1) for a, b, s in pairs)
    assert q.value == exact
    assert q.round() == reference.encode(exact, spec)


@pytest.mark.parametrize("layout", ["exact", "paper800"])
def test_copies_are_independent(layout: str) -> None:
    q = Quire(bposit16, layout).fma(2, 2).add(0x4321)
    for made in (q.copy(), copy.copy(q), copy.deepcopy(q), pickle.loads(pickle.dumps(q))):
        assert made == q
        assert made.layout == q.layout
        assert made.inexact == q.inexact
        assert made.add(1) != q
        assert q == Quire(bposit16, layout).fma(2, 2).add(0x4321)


def test_equality() -> None:
    q = Quire(bposit16).add(5)
    assert q == Quire(bposit16, Layout.exact(bposit16)).add(5)
    assert q != Quire(bposit16).add(6)
    assert q != Quire(bposit16, "paper800").add(5)
    assert q != Quire(bposit32).add(5)
    assert q != 5
    assert Quire(bposit16) == Quire(bposit16).add(7).sub(7)
    # a quire that lost bits is not the one that lost none
    assert Quire(bposit16, "paper800").fma(1, 1).clear() == Quire(bposit16, "paper800")
    with pytest.raises(TypeError):
        hash(q)  # it can change


def test_the_rounded_pattern_is_a_scalar_of_the_storage_type() -> None:
    for spec in SPECS:
        assert type(Quire(spec).add(3).round()) is spec.storage.type


def test_representation() -> None:
    assert "16,6,5" in repr(Quire(bposit16).add(0x4000))
    assert "NaR" in repr(Quire(bposit16).add(bposit16.nar))
    huge = Quire(PositSpec(64, 16, 8)).add(PositSpec(64, 16, 8).maxpos_pattern)
    assert repr(huge)


@pytest.mark.parametrize(
    ("operand", "error"),
    [
        (1.0, TypeError), (True, TypeError), ("1", TypeError), (None, TypeError),
        (np.int32(1), TypeError), (np.zeros(2, np.int16), TypeError), ([1, 2], TypeError),
        (1 << 15, ValueError), (-(1 << 15) - 1, ValueError), (1 << 80, (TypeError, ValueError)),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("operation", ["add", "sub", "fma", "fms"])
def test_bad_operands_change_nothing(operation: str, operand: Any, error: Any) -> None:
    q = Quire(bposit16).add(0x1234)
    before = q.to_bytes()
    rows = [(operand,)] if operation in ("add", "sub") else [(operand, 1), (1, operand)]
    for row in rows:
        with pytest.raises(error):
            getattr(q, operation)(*row)
        assert q.to_bytes() == before


def test_bad_merges_change_nothing() -> None:
    q = Quire(bposit16).add(0x1234)
    before = q.to_bytes()
    for other in (Quire(bposit32), Quire(bposit16, "paper800"), Quire(standard(16))):
        with pytest.raises(ValueError, match="merge"):
            q.merge(other)
    with pytest.raises(TypeError):
        q.merge(posit.encode(1.0, bposit16))  # type: ignore[arg-type]
    assert q.to_bytes() == before


def test_a_quire_needs_a_format() -> None:
    for spec in (None, 16, (16, 6, 5)):
        with pytest.raises(TypeError, match="PositSpec"):
            Quire(spec)  # type: ignore[arg-type]
