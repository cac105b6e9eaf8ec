"""What units of a format cost in gates and lookup tables, beside posits' and floats', by Yosys."""

from .comparison import UNITS, Comparison, Module, compare, summary
from .synthesis import Cost, Yosys

__all__ = ["UNITS", "Comparison", "Cost", "Module", "Yosys", "compare", "summary"]
