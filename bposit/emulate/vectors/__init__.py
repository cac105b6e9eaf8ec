"""Golden vectors: what a correct device answers, written to files, and a device's answers judged.

>>> import io
>>> from posit import bposit8
>>> from bposit.emulate import vectors
>>> file = io.BytesIO()
>>> vectors.write(file, vectors.Task("mul", bposit8), style="ties", count=1, layout="csv")
1
>>> print(file.getvalue().decode().splitlines()[1])
a,b,flags,result
>>> _ = file.seek(0)
>>> vectors.verify(file).wrong
0
"""

from .explain import explain
from .files import Reader, write
from .operands import stimuli
from .operations import OPERATIONS, Task
from .scoreboard import Scoreboard
from .styles import STYLES, possible
from .verify import Mismatch, Report, summary, text, verify

__all__ = [
    "OPERATIONS",
    "STYLES",
    "Mismatch",
    "Reader",
    "Report",
    "Scoreboard",
    "Task",
    "explain",
    "possible",
    "stimuli",
    "summary",
    "text",
    "verify",
    "write",
]
