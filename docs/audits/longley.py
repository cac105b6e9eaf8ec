"""Residuals and a sum of squares of Longley's data: ``python docs/audits/longley.py FOLDER``.

J. W. Longley, "An appraisal of least squares programs for the electronic computer from the point of
view of the user", JASA 62, 1967; the data are those of statsmodels. Every number here, tenths times
ten and coefficients of 16 bits, is held exactly by every format: what is lost, arithmetic lost.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import statsmodels.api as sm

import bposit.audit

FORMATS = "float32,posit32,bposit32,bposit64"


def in_one_sum(rows: Any, weights: Any) -> Any:
    """As one product: arrays of a posit dtype sum it in a quire, others as NumPy does."""
    return rows @ weights


def step_by_step(rows: Any, weights: Any) -> Any:
    """Every product and every sum rounded."""
    total = rows[:, 0] * weights[0]
    for k in range(1, rows.shape[1]):
        total = total + rows[:, k] * weights[k]
    return total


def residuals() -> tuple[Any, Any]:
    """1·y - Xβ of the six regressors and a constant: [y, X] times [1, -β]."""
    data = sm.datasets.longley.load_pandas()
    x = sm.add_constant(data.exog).to_numpy()
    x[:, 1] = np.round(10 * x[:, 1])  # a price index in tenths
    y = data.endog.to_numpy()
    m, e = np.frexp(np.linalg.lstsq(x, y, rcond=None)[0])
    beta = np.ldexp(np.round(m * 2.0**16), e - 16)
    return np.column_stack([y, x]), np.concatenate([[1.0], -beta])


def squares() -> tuple[Any, Any]:
    """Σx² - (Σx)²/16 of the sixteen years, from 1947: one sum, whose last term is Σx · -Σx/16."""
    year = sm.datasets.longley.load_pandas().exog["YEAR"].to_numpy()
    return np.append(year, year.sum())[np.newaxis], np.append(year, -year.sum() / 16)


def main(folder: str) -> None:
    """Write the reports, and print a line for each format."""
    for name, operands in (("residuals", residuals()), ("squares", squares())):
        for function in (in_one_sum, step_by_step):
            report = bposit.audit.expression(function, *operands, formats=FORMATS)
            bposit.audit.write(report, Path(folder, f"{name}-{function.__name__}"))
            for row in report["layers"][0]["rows"]:
                digits = "exact" if row["exact"] else f"{row['digits_min']:.1f} digits at least"
                sqnr = "" if row["sqnr"] is None else f", {row['sqnr']:.1f} dB"
                print(f"{name}, {function.__name__}, {row['format']}: {digits}{sqnr}")


if __name__ == "__main__":
    main(sys.argv[1])
