"""Who may import whom: posit <- quire <- torch_bridge <- bposit, and light imports stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "posit": {"quire", "torch", "torch_bridge", "bposit"},
    "quire": {"torch", "torch_bridge", "bposit"},
    "torch_bridge": {"bposit"},
    "bposit": set[str](),
}
"""Nowhere in a package, not even inside a function."""

LATE = {
    "posit": {"numba"},
    "quire": {"numba"},
    "torch_bridge": {"triton"},
    "bposit": {"torch_bridge", "torch", "numba"},
}
"""Only inside functions, or in a subpackage that nothing else imports."""

ROOMS = {
    "posit/jit": {"numba"},
    "torch_bridge/_triton": {"triton"},
    "bposit/demo": {"torch", "torch_bridge"},
}
"""Subpackages that are about them; importing the package does not import these."""

HEAVY = ["torch", "numba"]


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """(full name, whether inside a function) of every absolute import that runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue  # never runs
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((f"{node.module}.{alias.name}", inside) for alias in node.names)
        else:
            deeper = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imported(node, deeper)


def violations(source: str, package: str, room: Set[str] = frozenset()) -> list[str]:
    """What a file of a package imports and may not; ``room`` is what its subpackage is about."""
    found = []
    for name, inside in imported(ast.parse(source)):
        top = name.split(".")[0]
        if top in FORBIDDEN[package] or (top in LATE[package] - room and not inside):
            found.append(name)
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_point_down(package: str) -> None:
    for path in files(package):
        name = path.relative_to(ROOT)
        rooms = [about for folder, about in ROOMS.items() if Path(folder) in name.parents]
        room = set[str]().union(*rooms)
        assert not violations(path.read_text(), package, room), name


def test_the_packages_that_there_must_be() -> None:
    assert all(files(package) for package in FORBIDDEN)


@pytest.mark.parametrize(
    ("package", "source", "found"),
    [
        ("posit", "import quire", ["quire"]), ("posit", "from quire import dot", ["quire.dot"]),
        ("posit", "def f():\n import torch.nn", ["torch.nn"]), ("posit", "from . import spec", []),
        ("posit", "import numba", ["numba"]), ("posit", "def f():\n import numba", []),
        ("quire", "class A:\n try:\n  import torch\n except ImportError: pass", ["torch"]),
        ("quire", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import torch", []),
        ("bposit", "import torch_bridge", ["torch_bridge"]), ("bposit", "import quirex", []),
        ("bposit", "def f():\n from torch_bridge import x", []),
    ],
)  # fmt: skip
def test_a_wrong_arrow_is_seen(package: str, source: str, found: list[str]) -> None:
    assert violations(source, package) == found


def test_methods_use_public_names() -> None:
    """They are reference consumers: whatever they need, a user can have."""
    for path in files("torch_bridge/methods"):
        for name, _ in imported(ast.parse(path.read_text())):
            top, *rest = name.split(".")
            if top in ("posit", "quire", "torch_bridge"):
                private = [part for part in rest if part.startswith("_")]
                assert not private, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("module", ["posit", "quire", "bposit"])
def test_importing_stays_light(module: str, tmp_path: Path) -> None:
    """Stand-ins for the heavy modules come first on the path and end the process."""
    for heavy in HEAVY:
        (tmp_path / f"{heavy}.py").write_text(
            f"import os\nprint('{heavy}', flush=True)\nos._exit(7)\n"
        )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {module}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, f"import {module} loads {done.stdout}{done.stderr}"


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os\nos._exit(7)\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import torch"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7


def test_the_core_knows_no_python() -> None:
    for path in (ROOT / "ctypes_src").glob("*.[ch]"):
        text = path.read_text()
        assert "Python.h" not in text, path.name
        assert "malloc" not in text, path.name  # it allocates nothing
