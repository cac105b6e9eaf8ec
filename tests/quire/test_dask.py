"""Sums of Dask arrays: the same bits whoever adds what, in which order, and whoever dies."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from quire import Accumulators, chunked

from .cases import finite

Bits = npt.NDArray[np.signedinteger[Any]]
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

SPECS = [bposit8, PositSpec(13, 6, 5), bposit16, bposit32, bposit64, standard(32)]
CHUNKS: list[Any] = [(30, 8), (7, 3), (1, 8), (30, 1), ((1, 0, 28, 1), (5, 3))]
AXES: list[Any] = [None, 0, 1, -1, (0, 1), (1, 0), ()]


def wild(spec: PositSpec, shape: tuple[int, ...] = (30, 8)) -> Bits:
    """Of any size, in pairs that cancel, and -1 with them: any rounding in between would show."""
    rng = np.random.default_rng(spec.n)
    half = finite(spec, (int(np.prod(shape)) // 2,), rng)
    half[0] = spec.one
    x = np.concatenate([half, -half])
    x[0] = 0
    return rng.permutation(x).reshape(shape)


def same(lazy: Any, want: Any, **how: Any) -> None:
    """A lazy array that is honest about itself, with these bits."""
    assert isinstance(lazy, da.Array)
    assert lazy.shape == np.shape(want)
    assert lazy._meta.ndim == lazy.ndim
    got = lazy.compute(**how)
    assert got.dtype == lazy.dtype == lazy._meta.dtype == np.asarray(want).dtype
    assert got.shape == lazy.shape
    assert (got == want).all()


# ---- the same bits


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_any_chunks(chunks: Any, spec: PositSpec) -> None:
    x = wild(spec)
    d = da.from_array(x, chunks=chunks)
    for axis in AXES:
        for keepdims in (False, True):
            how = {"axis": axis, "keepdims": keepdims}
            same(quire.sum(d, spec, **how), quire.sum(x, spec, **how), scheduler="sync")
            same(quire.mean(d, spec, **how), quire.mean(x, spec, **how), scheduler="sync")
    line, other = d.reshape(-1), finite(spec, (x.size,), np.random.default_rng(1))
    want = quire.dot(x.reshape(-1), other, spec)
    for y in (other, da.from_array(other, chunks=11)):
        same(quire.dot(line, y, spec), want, scheduler="sync")
        same(quire.dot(y, line, spec), want, scheduler="sync")


def test_rounding_in_between_would_show() -> None:
    """The test above can fail: this mutant rounds every partition."""
    x = wild(bposit16)
    d = da.from_array(x, chunks=(7, 3))
    parts = [quire.sum(b, bposit16) for b in map(np.asarray, d.blocks.ravel())]
    assert quire.sum(np.array(parts, np.int16), bposit16) != quire.sum(x, bposit16)


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize(
    "how",
    [{"scheduler": "sync"}, *({"scheduler": "threads", "num_workers": n} for n in (1, 2, 7))],
    ids=str,
)
def test_any_scheduler(how: dict[str, Any], axis: int | None) -> None:
    x = wild(bposit16, (600, 8))
    d = da.from_array(x, chunks=(50, 3))
    for split in (2, 16):
        with dask.config.set(split_every=split):
            same(quire.sum(d, bposit16, axis=axis), quire.sum(x, bposit16, axis=axis), **how)
            same(quire.mean(d, bposit16, axis=axis), quire.mean(x, bposit16, axis=axis), **how)
    same(quire.dot(d[:, 0], d[:, 1], bposit16), quire.dot(x[:, 0], x[:, 1], bposit16), **how)


def test_nar_and_carries() -> None:
    x = np.full((1000,), bposit16.maxpos_pattern, np.int16)
    for y in (x, -x):
        same(quire.sum(da.from_array(y, chunks=7), bposit16), quire.sum(y, bposit16))
    lines = wild(bposit16)
    lines[3, 4] = bposit16.nar
    d = da.from_array(lines, chunks=(7, 3))
    same(quire.sum(d, bposit16), np.int16(bposit16.nar))
    for axis in (0, 1):
        got: Any = quire.sum(d, bposit16, axis=axis)
        got = got.compute()
        assert np.count_nonzero(got == bposit16.nar) == 1
        same(quire.mean(d, bposit16, axis=axis), quire.mean(lines, bposit16, axis=axis))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1, 1)])
def test_few_elements(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 5, np.int16)
    d = da.from_array(x)
    for axis in (None, *range(len(shape))):
        same(quire.sum(d, bposit16, axis=axis), quire.sum(x, bposit16, axis=axis))
        same(quire.mean(d, bposit16, axis=axis), quire.mean(x, bposit16, axis=axis))
    if len(shape) == 1:
        same(quire.dot(d, d, bposit16), quire.dot(x, x, bposit16))


def test_results_go_on_lazily() -> None:
    x = posit.encode(np.arange(24.0).reshape(4, 6), bposit16)
    d = da.from_array(x, chunks=(2, 4))
    sums: Any = quire.sum(d, bposit16, axis=0)
    kept: Any = quire.sum(d, bposit16, axis=0, keepdims=True)
    assert sums.chunks == ((4, 2),)
    assert kept.chunks == ((1,), (4, 2))
    same(quire.sum(sums, bposit16), quire.sum(quire.sum(x, bposit16, axis=0), bposit16))
    same(-sums[::2], -quire.sum(x, bposit16, axis=0)[::2])
    picked = d[d > posit.encode(3.0, bposit16)]  # of unknown size
    same(quire.sum(picked, bposit16), quire.sum(x[x > posit.encode(3.0, bposit16)], bposit16))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        quire.mean(picked, bposit16)


# ---- what travels


def planes(sums: Accumulators) -> int:
    """The planes of 32 places, at multiples of 32, that hold these sums and their signs."""
    found: list[Fraction] = [v for v in sums.values().reshape(-1).tolist() if v]
    unit = max(v.denominator for v in found)
    whole = [v.numerator * (unit // v.denominator) for v in found]
    lowest = min((v & -v).bit_length() for v in whole) - unit.bit_length()
    low = lowest // 32 * 32
    shifted = [int(v / Fraction(2) ** low) for v in found]
    return max((v if v >= 0 else ~v).bit_length() for v in shifted) // 32 + 1


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32], ids=str)
def test_bytes_of_a_partition(
    spec: PositSpec, axis: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header of 40, a bit for each kept element, and 4 bytes for each plane of one."""
    sent: list[Accumulators] = []
    merged = chunked._merged

    def note(blocks: Any) -> Accumulators:
        if isinstance(blocks, Accumulators):
            sent.append(blocks)
        return merged(blocks)

    monkeypatch.setattr(chunked, "_merged", note)
    rng = np.random.default_rng(0)
    for x in (posit.encode(rng.standard_normal((90, 50)), spec), finite(spec, (90, 50), rng)):
        sent.clear()
        lazy: Any = quire.sum(da.from_array(x, chunks=(30, 25)), spec, axis=axis)
        lazy.compute(scheduler="sync")
        assert len(sent) >= 6
        for part in sent:
            count = part.is_nar.size
            size = len(part.to_bytes())
            assert size == 40 + -(-count // 8) + 4 * count * planes(part)
            assert size < len(pickle.dumps(part)) < size + 150
            if axis is None and spec == bposit16:
                assert 45 <= size <= 149


# ---- processes


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes."""
    distributed = pytest.importorskip("distributed")
    local = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )
    with local, distributed.Client(local) as client:
        yield client


def slowly(block: Any) -> Any:
    time.sleep(0.02)
    return block


def summed(dask_scheduler: Any) -> int:
    """Partial results that the workers hold."""
    return sum(task.state == "memory" for task in dask_scheduler.tasks.values())


def test_worker_processes(cluster: Any) -> None:
    x = wild(bposit16, (90, 8))
    d = da.from_array(x, chunks=(11, 3))
    for axis in (None, 0, 1):
        same(quire.sum(d, bposit16, axis=axis), quire.sum(x, bposit16, axis=axis))
    same(quire.mean(d, bposit16), quire.mean(x, bposit16))
    same(quire.dot(d[:, 0], d[:, 1], bposit16), quire.dot(x[:, 0], x[:, 1], bposit16))


def test_a_worker_dies(cluster: Any) -> None:
    """SIGKILL, with some of its partitions summed: they are summed again, and counted once."""
    x = wild(bposit16, (4000, 8))
    d = da.from_array(x, chunks=(20, 8)).map_blocks(slowly, dtype=np.int16)
    futures = cluster.compute([quire.sum(d, bposit16), quire.sum(d, bposit16, axis=0)])
    before = cluster.run(os.getpid)
    assert len(before) == 2
    deadline = time.monotonic() + 60
    while cluster.run_on_scheduler(summed) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not any(f.done() for f in futures)
    os.kill(next(iter(before.values())), signal.SIGKILL)
    whole, columns = cluster.gather(futures)
    assert whole == quire.sum(x, bposit16)
    assert (columns == quire.sum(x, bposit16, axis=0)).all()
    assert set(cluster.run(os.getpid).values()) != set(before.values())


# ---- errors


def test_errors() -> None:
    d = da.from_array(wild(bposit16), chunks=(7, 3))
    with pytest.raises(TypeError, match="int32"):
        quire.sum(d, bposit32)
    with pytest.raises(TypeError, match="PositSpec"):
        quire.sum(d, 16)  # type: ignore[arg-type]
    for function in (quire.sum, quire.mean):
        for axis in (2, (0, 0), (0, -2)):
            with pytest.raises(ValueError, match="axis"):
                function(d, bposit16, axis=axis)
    with pytest.raises(ValueError, match="exact layout"):
        quire.sum(d, bposit16, layout="paper800")
    with pytest.raises(ValueError, match="exact layout"):
        quire.dot(d[0], d[0], bposit16, layout="paper800")
    for x, y in ((d, d), (d[0], d[0][1:]), (d[0], d), (d[0], np.int16(1))):
        with pytest.raises(ValueError, match="one axis"):
            quire.dot(x, y, bposit16)
    with pytest.raises(TypeError, match="int16"):
        quire.dot(d[0], np.zeros(8), bposit16)
    floats = da.zeros((3,))
    with pytest.raises(TypeError, match="float64"):
        quire.mean(floats, bposit16)


def test_patterns_out_of_range() -> None:
    d = da.from_array(np.full(4, 1 << 12, np.int16))
    spec = PositSpec(13, 6, 5)
    made: list[Any] = [quire.sum(d, spec), quire.dot(d, d, spec)]
    for lazy in made:
        with pytest.raises(ValueError, match="4096"):
            lazy.compute(scheduler="sync")


def test_importing_quire_leaves_dask_alone() -> None:
    code = "import sys, quire; assert not {'dask', 'distributed'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
