"""Where a measurement was made: machine, compiler, versions, commit."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe", "pin"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "torch", "ml_dtypes", "universal_dtypes", "xsum", "mtl5")


def pin() -> int | None:
    """Keep this process on one CPU, the last one allowed; None where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    return cpu


def describe(seed: int, cpu: int | None, cores: int) -> dict[str, str]:
    """Everything that a ratio may depend on, as text; ``cpu`` is what :func:`pin` returned."""
    return {
        "machine": f"{_cpu_model()}, {os.cpu_count()} CPUs, {_vectors()}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "compiler": f"{_compiler()}, flags {_flags()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seed": str(seed),
        "threads": str(cores) + ("" if cpu is None else f", pinned to CPU {cpu}"),
        "load": _load(),
    }


def _run(*command: str) -> str:
    """Output of a command, or "" where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpuinfo(field: str) -> str:
    try:
        found = re.search(rf"^{field}\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return ""
    return found[1] if found else ""


def _cpu_model() -> str:
    return (
        _cpuinfo("model name")
        or _run("sysctl", "-n", "machdep.cpu.brand_string")
        or platform.processor()
        or "unknown CPU"
    )


def _vectors() -> str:
    """Which of the core's clones runs here (ctypes_src/lanes.h, BP_CLONES)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine()
    flags = set(_cpuinfo("flags").split())
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
        return "x86-64-v4 (AVX-512)"
    return "x86-64-v3 (AVX2)" if {"avx2", "bmi2", "fma"} <= flags else "x86-64"


def _compiler() -> str:
    """What compiled the core, as the compiler wrote it there; else the compiler found now."""
    core = importlib.util.find_spec("posit._core")
    assert core is not None
    assert core.origin is not None
    data = Path(core.origin).read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:12]
    mark = re.search(rb"GCC: \([^)\0]*\) [\d.]+|clang version [\w.\-+~]+", data)
    name = mark[0].decode() if mark else f"unknown, now {_run('cc', '--version').split(chr(10))[0]}"
    return f"{name.replace('GCC: ', 'GCC ')}, core sha256 {digest}"


def _flags() -> str:
    from ctypes_src.build import FLAGS

    return " ".join([*FLAGS, *os.environ.get("BPOSIT_CFLAGS", "").split()])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _commit() -> str:
    """Short hash, with "-dirty" when tracked files have changed."""
    return _run("git", "describe", "--always", "--dirty", "--abbrev=12", "--match=") or "unknown"


def _load() -> str:
    """How many processes wanted a CPU at the start: above 1 the machine was shared."""
    return f"{os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else "unknown"
