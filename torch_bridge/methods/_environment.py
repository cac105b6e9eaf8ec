"""The machine, packages and commit that a result was made with."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["environment"]


def environment(packages: Iterable[str]) -> dict[str, str]:
    """What a result may depend on, as text."""
    names = dict.fromkeys(["bposit", "numpy", "torch", *packages])
    return {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "processor": f"{_processor()}, {os.cpu_count()} CPUs, one thread",
        "packages": ", ".join(f"{name} {_version(name)}" for name in names),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _commit() -> str:
    if shutil.which("git") is None:
        return "unknown"
    ask: list[Any] = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    done = subprocess.run(
        ask, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
