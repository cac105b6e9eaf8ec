"""The examples in bposit.emulate's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from bposit import emulate

MODULES = ["bposit.emulate"]
MODULES += [m.name for m in pkgutil.walk_packages(emulate.__path__, "bposit.emulate.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert not found.failed


def test_there_are_some() -> None:
    names = ["", ".codec", ".mac", ".required", ".vectors", ".vectors.scoreboard"]
    for name in names:
        assert doctest.testmod(importlib.import_module(f"bposit.emulate{name}")).attempted
