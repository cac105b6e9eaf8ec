"""The methods use only public names of posit, quire and torch_bridge: users can do the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HOME = "torch_bridge.methods"
FILES = sorted((ROOT / "torch_bridge" / "methods").rglob("*.py"))


def resolved(node: ast.ImportFrom, package: str) -> str:
    """The full name of what is imported from; ``package`` is where the file lies."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def private_names(source: str, package: str) -> Iterator[str]:
    """Private modules, names and attributes of our packages that a source of a package uses."""
    tree = ast.parse(source)
    ours: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = resolved(node, package)
            names = [(f"{base}.{a.name}", a.asname or a.name) for a in node.names]
        elif isinstance(node, ast.Import):
            names = [(a.name, a.asname or a.name.split(".")[0]) for a in node.names]
        else:
            continue
        for full, local in names:
            if full.split(".")[0] in ("posit", "quire", "torch_bridge") and HOME not in full:
                ours.add(local)
                if any(part.startswith("_") for part in full.split(".")):
                    yield full
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            base, *_ = ast.unparse(node.value).split(".")
            if base in ours and not node.attr.startswith("__"):
                yield f"{ast.unparse(node.value)}.{node.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_public_names(path: Path) -> None:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    assert not list(private_names(path.read_text(encoding="utf-8"), package))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from posit import _arrays", ["posit._arrays"]),
        ("from quire._core import lib", ["quire._core.lib"]),
        ("from ..._patterns import Patterns", ["torch_bridge._patterns.Patterns"]),
        ("import posit._core", ["posit._core"]),
        ("import quire as q\nq._core.lib", ["q._core"]),
        ("import torch_bridge as tb\ndef f():\n    return tb.ops._define", ["tb.ops._define"]),
        ("from .._harness import command", []),
        ("from ._data import x\nx._y", []),
        ("import posit\nposit.encode\nself._posit", []),
    ],
)
def test_a_private_name_is_seen(source: str, found: list[str]) -> None:
    assert list(private_names(source, "torch_bridge.methods.kalman")) == found
