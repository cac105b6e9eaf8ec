"""Every example in the docs runs and prints what is written under it."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import posit
import quire

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.M | re.S)


def only_blocks(text: str) -> str:
    """The Python blocks of a page; other lines are empty, so that line numbers stay right."""
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(2))
        body = block[2].splitlines()
        lines[first : first + len(body)] = body
    return "\n".join(lines) + "\n"


def run(text: str, name: str, file: Path) -> doctest.TestResults:
    """Run the examples of a text one after the other, in one namespace."""
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "docs"}, name, str(file), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not result.failed, "".join(said)
    return result


PAGES = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if ">>>" in only_blocks(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    assert run(only_blocks(path.read_text(encoding="utf-8")), path.name, path).attempted


def test_the_tour_is_among_them() -> None:
    assert "numpy.md" in [path.name for path in PAGES]


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [m[2] for m in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert blocks
    for block in blocks:
        if ">>>" in block:
            run(block, "README.md", ROOT / "README.md")
        else:
            exec(compile(block, "README.md", "exec"), {})


MODULES = sorted(
    name
    for package in (posit, quire)
    for name in [
        package.__name__,
        *(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")),
    ]
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    said: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)


def test_some_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    with_examples = [
        name
        for name in MODULES
        if any(test.examples for test in finder.find(importlib.import_module(name)))
    ]
    assert {"posit", "posit.functions", "posit.limits", "posit.pandas"} <= set(with_examples)


def test_a_wrong_example_is_seen() -> None:
    page = "text\n\n```python\n>>> 1 + 1\n3\n```\n"
    with pytest.raises(AssertionError, match=r"(?s)line 4.*Expected:\s+3\s+Got:\s+2"):
        run(only_blocks(page), "page", Path("page"))
    assert run(only_blocks(page.replace("3", "2")), "page", Path("page")).attempted == 1


def cells(table: str, start: str = "") -> dict[str, dict[str, str]]:
    """Column title -> row -> cell, of the Markdown table after ``start``."""
    lines = [
        re.split(r" (?<!\\)\| ", line[2:-2])
        for line in table[table.index(start) :].splitlines()
        if line.startswith("|")
    ]
    titles = lines[0][1:]
    rows = [row for row in lines[2:] if len(row) == len(titles) + 1]
    return {title: {row[0]: row[i + 1] for row in rows} for i, title in enumerate(titles)}


@pytest.mark.parametrize("library", ["posit", "universal_dtypes", "ml_dtypes"])
def test_comparison_is_what_is_measured(library: str) -> None:
    """Each column of docs/comparison.md, where the versions are those that it names."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "bench.compare_features", library.removesuffix("_dtypes")]
    if library == "ml_dtypes":
        command[-1] = library
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    ((title, measured),) = cells(done.stdout).items()
    written = cells(page, "| NumPy")
    heading = done.stdout.split(" | ")[0]
    if title not in written or heading not in page:
        pytest.skip(f"the page was measured with other versions than {title}, {heading[2:]}")
    assert measured == written[title]
    assert len(measured) > 50
