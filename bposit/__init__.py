"""The ``bposit`` command and its applications; the numbers live in ``posit`` and ``quire``.

Importing this package loads nothing else: each subcommand imports what it needs when it runs.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("bposit")
