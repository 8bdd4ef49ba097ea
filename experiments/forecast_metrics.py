"""How good forecasts are, and how good any could be: pure functions of arrays in dB.

Each number is over the fits that it is given, all with the same weight. N fits.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from experiments.forecast_data import COLUMNS, FitTable

UNSEEN = "unseen photographs"  # a split
SHARES = (0.5, 0.9)  # of the intervals in a table
BOOTSTRAPS = 1000

# All that a fit is made of but its seed.
SETTINGS = [
    name
    for name in COLUMNS
    if name not in ("split", "seed", "parameters", "hp_bpp", "best_psnr_db")
]


class Estimate(NamedTuple):
    """A number in dB with its 95 % interval, from so many pairs."""

    value_db: float
    low_db: float
    high_db: float
    pairs: int


def rmse_db(predicted_db: np.ndarray, truth_db: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(predicted_db - truth_db))))


def mae_db(predicted_db: np.ndarray, truth_db: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(predicted_db - truth_db)))


def r2(predicted_db: np.ndarray, truth_db: np.ndarray) -> float:
    """Share of the variance explained, 1 - sum of squared errors / sum of squares about the mean.

    Less than 0 for forecasts that are worse than the mean, NaN where the truth does not vary.
    """
    squares = np.sum(np.square(truth_db - np.mean(truth_db)))
    return float(1 - np.sum(np.square(predicted_db - truth_db)) / squares) if squares else np.nan


def spearman(predicted_db: np.ndarray, truth_db: np.ndarray) -> float:
    """Rank correlation, ties sharing their mean rank; NaN where one side does not vary."""
    if np.ptp(predicted_db) == 0 or np.ptp(truth_db) == 0:
        return np.nan
    return float(stats.spearmanr(predicted_db, truth_db).statistic)


def half_width(share: float | np.ndarray) -> np.ndarray:
    """Standard deviations to either side that hold this share of a Gaussian: 1.645 of 0.9."""
    return special.ndtri((1 + np.asarray(share)) / 2)


def coverage(mean_db: np.ndarray, std_db: np.ndarray, truth_db: np.ndarray, share: float) -> float:
    """Share of fits inside the Gaussian interval that should hold `share` of them."""
    return float(np.mean(np.abs(truth_db - mean_db) <= half_width(share) * std_db))


def noise_floor_db(first_db: np.ndarray, second_db: np.ndarray, *, seed: int = 0) -> Estimate:
    """Standard deviation of fits that differ in their seed alone, the best RMSE of any forecast.

    It is the root of half the mean squared difference of pairs. The interval is from pairs drawn
    again with replacement.

    Args:
        first_db: [K] best PSNR of one fit of each pair.
        second_db: [K] of the other.
        seed: of the draws.
    """
    squares = np.square(np.asarray(first_db, np.float64) - second_db) / 2
    drawn = np.random.default_rng(seed).integers(len(squares), size=(BOOTSTRAPS, len(squares)))
    low, high = np.quantile(np.sqrt(squares[drawn].mean(1)), (0.025, 0.975))
    return Estimate(float(np.sqrt(squares.mean())), float(low), float(high), len(squares))


def twins(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `frame`, [K] and [K], that are equal in `SETTINGS` and differ in the seed.

    No row is in two pairs, so that pairs are independent; a fit that is there twice counts once.
    """
    rows = frame[[*SETTINGS, "seed"]].reset_index(drop=True).drop_duplicates()
    groups = rows.groupby(SETTINGS, sort=False)
    place = groups.cumcount().to_numpy()
    pair = groups.ngroup().to_numpy() * len(frame) + place // 2
    order = np.lexsort((place, pair))
    rows, pair = rows.index.to_numpy()[order], pair[order]
    at = np.flatnonzero(pair[1:] == pair[:-1])
    return rows[at], rows[at + 1]


def splits(fits: FitTable) -> dict[str, np.ndarray]:
    """Name -> [N] bool of the fits that a forecaster trained on the rest has never seen."""
    return {
        UNSEEN: fits.split("test"),
        "unseen architectures": fits.split("train", new_size=True),
        "both unseen": fits.split("test", new_size=True),
    }


def table(
    truth_db: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    std_db: Mapping[str, np.ndarray],
    splits: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """All predictors on all splits.

    Args:
        truth_db: [N] best PSNR of the fits.
        predictions: name of the predictor -> [N] dB.
        std_db: the same of their standard deviations, for those that forecast any.
        splits: name -> [N] bool; those without fits are left out.

    Returns:
        A row for each split and predictor: `split, predictor, fits, rmse_db, mae_db, r2, spearman,
        coverage_50, coverage_90`; coverage is NaN without a standard deviation.
    """
    rows = []
    for split, chosen in splits.items():
        truth = np.asarray(truth_db, np.float64)[chosen]
        for predictor, predicted in predictions.items() if len(truth) else ():
            mean, std = predicted[chosen], std_db.get(predictor)
            row = {
                "split": split,
                "predictor": predictor,
                "fits": len(truth),
                "rmse_db": rmse_db(mean, truth),
                "mae_db": mae_db(mean, truth),
                "r2": r2(mean, truth),
                "spearman": spearman(mean, truth),
            }
            for share in SHARES:
                found = np.nan if std is None else coverage(mean, std[chosen], truth, share)
                row[f"coverage_{100 * share:.0f}"] = found
            rows.append(row)
    return pd.DataFrame(rows)
