"""Options of the suite: how much of the slow sweeps to run, and how hard Hypothesis searches."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

T = TypeVar("T")
SLICES = 64


@dataclass(frozen=True)
class Slice:
    """Which part of a slow sweep to run: elements index, index + of, index + 2·of, …"""

    index: int
    of: int

    def range(self, stop: int) -> range:
        """The chosen part of range(stop)."""
        return range(self.index, stop, self.of)

    def take(self, items: Sequence[T]) -> Sequence[T]:
        """The chosen part of a sequence."""
        return items[self.index :: self.of]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run slow sweeps whole; -m slow does too")
    parser.addoption(
        "--slice",
        type=int,
        default=None,
        metavar="K",
        help=f"which of the {SLICES} slices of every slow sweep to run; also BPOSIT_SLICE;"
        " by default the date chooses",
    )


def _slice(config: pytest.Config) -> Slice:
    given = config.getoption("--slice")
    if given is None and (config.getoption("--full") or config.getoption("markexpr") == "slow"):
        return Slice(0, 1)
    if given is None:
        given = int(os.environ.get("BPOSIT_SLICE") or datetime.date.today().toordinal())
    return Slice(given % SLICES, SLICES)


def pytest_configure(config: pytest.Config) -> None:
    # Without --full a commit gives the same verdict on every machine.
    slow = [HealthCheck.too_slow]  # a busy machine is no failure
    common = settings(deadline=None, database=None, print_blob=True, suppress_health_check=slow)
    settings.register_profile("repeatable", common, max_examples=100, derandomize=True)
    settings.register_profile("search", common, max_examples=3000)
    settings.load_profile("search" if _slice(config).of == 1 else "repeatable")


def pytest_report_header(config: pytest.Config) -> list[str]:
    part = _slice(config)
    compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
    return [
        f"slow sweeps: slice {part.index} of {part.of} (--slice, BPOSIT_SLICE, --full)",
        f"C core under sanitizers: {' and '.join(compilers) or 'NOT RUN, there is no C compiler'}",
    ]


@pytest.fixture(scope="session")
def part(request: pytest.FixtureRequest) -> Slice:
    """The part of a slow sweep that this run does."""
    return _slice(request.config)
