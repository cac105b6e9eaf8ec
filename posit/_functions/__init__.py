"""How posit.functions computes: one row a function (rows), in float64 (floats) or MPFR (reals)."""
