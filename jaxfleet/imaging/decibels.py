"""PSNR as a number that people read: one convention for exact and for unknown, and means of it.

The convention holds for console, reports, tables and files:

- inf is exact: the decoded image equals the original. Text says "exact".
- NaN is unknown: the network diverged, or nobody measured it. Text says "unknown".
- A mean is over the finite values and says beside it how many images were exact, because one inf
  would hide all others. It is inf only if every known value is.
- A difference exists only between finite values.

A run's Parquet parts hold inf and NaN as they are. In JSON lines, exact is `Infinity`, which
Python, pandas, Arrow and DuckDB read, and unknown is null.
"""

import json
import math
from typing import Any, NamedTuple

import numpy as np


class Mean(NamedTuple):
    """Mean of PSNRs.

    Attributes:
        db: mean of the finite values, dB; inf if all known values are exact, NaN if none is known.
        finite: number of values that are finite.
        exact: number of values that are inf.
    """

    db: float
    finite: int
    exact: int

    def joined(self, other: "Mean") -> "Mean":
        """Return the mean over the values of both."""
        count, exact = self.finite + other.finite, self.exact + other.exact
        if not count:
            return Mean(math.inf if exact else math.nan, 0, exact)
        own = [(mean.db, mean.finite) for mean in (self, other) if mean.finite]
        return Mean(sum(db * number for db, number in own) / count, count, exact)

    def __str__(self) -> str:
        """Return `25.31 dB`, `25.31 dB and 2 exact`, `exact` or `unknown`."""
        if self.finite and self.exact:
            return f"{text(self.db)} and {self.exact:,} exact"
        return text(self.db)


def of_error(mse: Any) -> np.ndarray:
    """Return the PSNR of mean squared errors on [0, 1], dB: float64 of the same shape.

    An error of 0 gives inf, one that is not finite NaN.
    """
    mse = np.asarray(mse, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(mse), -10.0 * np.log10(mse), np.nan)


def mean(values_db: Any) -> Mean:
    """Return the mean of PSNRs of any shape, None and NaN left out."""
    values = np.asarray(values_db, np.float64).ravel()
    finite, exact = values[np.isfinite(values)], int(np.isposinf(values).sum())
    if len(finite):
        return Mean(float(finite.mean()), len(finite), exact)
    return Mean(math.inf if exact else math.nan, 0, exact)


def difference(first_db: Any, second_db: Any) -> Any:
    """Return first - second where both are finite, else NaN: float64 of their common shape."""
    first_db, second_db = (np.asarray(value, np.float64) for value in (first_db, second_db))
    both = np.isfinite(first_db) & np.isfinite(second_db)
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.where(both, np.subtract(first_db, second_db), np.nan)


def text(value_db: float, digits: int = 2) -> str:
    """Return `25.31 dB`, `exact` or `unknown`."""
    if math.isfinite(value_db):
        return f"{value_db:.{digits}f} dB"
    return "exact" if value_db > 0 else "unknown"


def to_json(value: Any) -> str:
    """Return a number, or None, as JSON lines have it: null for unknown, `Infinity` for exact."""
    return "null" if value is None or math.isnan(value) else json.dumps(value)
