"""What units of a format cost in gates and lookup tables, beside posits' and floats', by Yosys."""

from .comparison import CODING, UNITS, Comparison, Module, compare, summary
from .synthesis import Cost, Yosys

__all__ = ["CODING", "UNITS", "Comparison", "Cost", "Module", "Yosys", "compare", "summary"]
