"""Benchmarks: each pair is timed side by side in one process, on one thread. See README.md.

Importing this package limits numerical libraries to one thread, which they read when loaded.
"""

import os

for _library in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
