"""Tensors in blocks and on threads: the same figures as in one piece, and what is recommended."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import posit
from bposit.audit import measure, recommend, sweep, tensor
from bposit.audit.exponents import Exponents
from bposit.audit.formats import parse, parse_all
from bposit.audit.source import Source
from bposit.errors import BadInput

FORMATS = "bposit16,float8_e4m3fn@amax,mxfp8,bposit8"


@pytest.mark.parametrize(
    "shape", [(), (1,), (200_000,), (3, 70_000), (5000, 45), (70_001, 3), (2, 3, 33)]
)
def test_blocks_make_no_difference(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=shape).astype(np.float32)
    found = tensor(x, FORMATS, threads=1)
    for form, row in zip(parse_all(FORMATS), found.rows, strict=True):
        y = form.round(x)
        noise = float(np.sum((y - x.astype(np.float64)) ** 2))
        assert row["n"] == x.size
        assert row["exact"] == (noise == 0)
        if noise:
            assert row["sqnr"] == pytest.approx(
                10 * np.log10(np.sum(x.astype(np.float64) ** 2) / noise), rel=1e-9
            )
            assert row["inexact"] == np.count_nonzero(y != x)
    assert sum(found.exponents.bins[1]) == np.count_nonzero(x)


def test_threads_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TASK", 1 << 17)
    monkeypatch.setattr(sweep, "TASK", 1 << 17)
    rng = np.random.default_rng(6)
    x = (rng.normal(size=(900, 701)) * 10.0 ** rng.integers(-4, 4, (900, 701))).astype(np.float32)
    y = rng.normal(size=50).astype(np.float32)
    source = Source(Path("x"))
    source.add("x", "float32", x.shape, lambda: x)
    for i in range(9):
        source.add(f"y{i}", "float32", y.shape, lambda: y)
    made = sweep.sweep([source], parse_all(FORMATS), threads=1)[0]
    for form, row in zip(parse_all(FORMATS), made.rows, strict=True):
        assert row["inexact"] == np.count_nonzero(form.round(x) != x)
    runs = [sweep.sweep([source], parse_all(FORMATS), best=9, threads=t) for t in (1, 2, 5)]
    assert [m.rows for m in runs[0]] == [m.rows for m in runs[1]] == [m.rows for m in runs[2]]
    assert [m.best for m in runs[0]] == [m.best for m in runs[2]]
    assert [m.name for m in runs[0]] == ["x", *(f"y{i}" for i in range(9))]


def test_interruption_keeps_what_is_finished() -> None:
    source = Source(Path("x"))

    def stop() -> np.ndarray:
        raise KeyboardInterrupt

    source.add("a", "float32", (3,), lambda: np.ones(3, np.float32))
    source.add("b", "float32", (3,), stop)
    with pytest.raises(sweep.Stop) as caught:
        sweep.sweep([source], parse_all("bposit16"), threads=1)
    assert [m.name for m in caught.value.done] == ["a"]


def test_too_little_memory_is_bad_input() -> None:
    source = Source(Path("x"))

    def load() -> np.ndarray:
        raise MemoryError

    source.add("huge", "float32", (10**9,), load)
    with pytest.raises(BadInput, match="huge: 1000000000 values do not fit in memory"):
        sweep.sweep([source], parse_all("bposit16"))


def test_a_file_that_cannot_be_mapped_or_is_gone_is_bad_input() -> None:
    source = Source(Path("x"))

    def load() -> np.ndarray:  # of mmap, where the address space is bounded
        raise OSError(12, "Cannot allocate memory")

    source.add("huge", "float32", (10**9,), load)
    with pytest.raises(BadInput, match="huge: Cannot allocate memory"):
        sweep.sweep([source], parse_all("bposit16"))


@pytest.mark.parametrize("x", [np.arange(3), np.array([]), np.array(["a"]), np.array([1j])])
def test_what_is_no_tensor_of_floats(x: np.ndarray) -> None:
    with pytest.raises(BadInput):
        tensor(x)


def test_the_narrowest_that_is_good_enough() -> None:
    x = np.random.default_rng(7).normal(size=4000)
    formats = "bposit32,posit16,bposit16,bposit8,float16"
    assert tensor(x, formats, bound=20.0).narrowest == "bposit8"
    assert tensor(x, formats, bound=50.0).narrowest == "posit16"  # the better of three of 16 bits
    assert tensor(x, formats, bound=100.0).narrowest == "bposit32"
    assert tensor(x, formats, bound=400.0).narrowest is None
    assert tensor(x * 1e6, "float16,bposit32", bound=20.0).narrowest == "bposit32"  # 16 overflows


def test_the_best_format_is_among_the_measured_three() -> None:
    rng = np.random.default_rng(8)
    for size in (1.0, 2.0**-9, 2.0**20):
        x = rng.normal(size=3000) * size * np.exp2(rng.integers(-6, 6, 3000))
        found = tensor(x, "bposit16", best=10).best
        assert len(found) == 3
        assert found[0]["sqnr"] >= found[1]["sqnr"] >= found[2]["sqnr"]
        every = ",".join(
            f"n10_rs{rs}_es{es}" for rs in range(2, 10) for es in range(6) if rs << es <= 1022
        )
        most = max(row["sqnr"] or 0.0 for row in tensor(x, every).rows)
        assert found[0]["sqnr"] > most - 0.5
        assert found[0]["saved"] == 1 - 10 / 64


def test_expected_noise_of_one_binade_by_hand() -> None:
    # values in [1, 2): <10,rs,es> has 10 - 3 - es fraction bits there, so es = 0 is the best
    found = recommend.candidates(10, Exponents.of(np.full(9, 1.5)), np.dtype(np.float64))
    assert {f.spec.es for f in found} == {0}


def test_reference_is_exact_not_float32() -> None:
    # 1 + 2^-40 in float64: bposit32 (27 fraction bits) errs by 2^-40 exactly
    row = tensor(np.array([1 + 2.0**-40]), "bposit32").rows[0]
    assert row["relative_max"] == pytest.approx(2.0**-40, rel=1e-9)
    exact = Fraction(1 + 2.0**-40) - (posit.to_fraction(posit.bposit32.one, posit.bposit32) or 0)
    assert row["relative_max"] == pytest.approx(float(exact), rel=1e-9)
    assert parse("bposit32").round(1 + 2.0**-40) == 1.0
