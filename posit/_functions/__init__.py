"""How posit.functions computes.

A function is a row of the table (rows.py): how float64 (floats.py, floats_more.py) and MPFR
(reals.py) compute it. engine.py and exact.py turn rows into rounded patterns, make.py into
functions; order.py has what needs no computing.
"""
