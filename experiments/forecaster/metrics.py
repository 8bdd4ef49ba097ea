"""How good forecasts are, and how good any could be: pure functions of arrays in dB.

Each number is over the fits that it is given, all with the same weight. N fits.
"""

import itertools
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from experiments.forecaster.data import FitTable
from jaxinr.forecaster import reach

UNSEEN = "unseen photographs"  # a split
LONG = reach.ITERATIONS[0]
LARGE = 5_000  # weights
SHARES = (0.5, 0.9)  # of the intervals in a table
BOOTSTRAPS = 1000

# All that a fit is made of but its seed.
SETTINGS = (
    "image_id image_height image_width layer_size num_layers w0_initial w0 learning_rate num_iters"
).split()


class Estimate(NamedTuple):
    """A number in dB with its 95 % interval, from so many pairs."""

    value_db: float
    low_db: float
    high_db: float
    pairs: int


def rmse_db(predicted_db: np.ndarray, truth_db: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(predicted_db - truth_db))))


def mae_db(predicted_db: np.ndarray, truth_db: np.ndarray) -> float:
    """Return the mean absolute error."""
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
    """Return the standard deviations to either side that hold a share of a Gaussian."""
    return special.ndtri((1 + np.asarray(share)) / 2)


def coverage(mean_db: np.ndarray, std_db: np.ndarray, truth_db: np.ndarray, share: float) -> float:
    """Share of fits inside the Gaussian interval that should hold `share` of them."""
    return float(np.mean(np.abs(truth_db - mean_db) <= half_width(share) * std_db))


def noise_floor_db(
    first_db: np.ndarray, second_db: np.ndarray, weights: np.ndarray | None = None, *, seed: int = 0
) -> Estimate:
    """Return the standard deviation of fits that differ only in their seed: the least RMSE.

    It is the root of half the mean squared difference of pairs. The interval is from pairs drawn
    again with replacement.

    Args:
        first_db: [K] best PSNR of one fit of each pair, K at least 1.
        second_db: [K] of the other.
        weights: [K] of the pairs in the mean; None for all the same.
        seed: of the draws.
    """
    squares = np.square(np.asarray(first_db, np.float64) - second_db) / 2
    weights = np.ones(len(squares)) if weights is None else weights
    drawn = np.random.default_rng(seed).integers(len(squares), size=(BOOTSTRAPS, len(squares)))
    means = (weights * squares)[drawn].sum(1) / weights[drawn].sum(1)
    low, high = np.quantile(np.sqrt(means), (0.025, 0.975))
    value = np.sqrt(np.average(squares, weights=weights))
    return Estimate(float(value), float(low), float(high), len(squares))


def most_fitted(frame: pd.DataFrame, apart: Collection[str] = ()) -> np.ndarray:
    """[N] bool: the fits at those settings, picture and others `apart`, that most fits have."""
    settings = [name for name in SETTINGS if name not in ("image_id", *apart)]
    number = frame.groupby(settings).ngroup().to_numpy()
    return number == np.bincount(number).argmax()


def twins(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of `frame`, [K] and [K], that are equal in `SETTINGS` and differ in the seed.

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


def noise_of(fits: FitTable, chosen: np.ndarray) -> Estimate | None:
    """Return the noise floor of fits [N] bool, from the twins among them; None without any.

    A collection repeats one architecture more often than others. So pairs of `most_fitted` settings
    and of all others count as much as such fits do among those chosen; a kind without twins is left
    out.
    """
    rows = np.flatnonzero(chosen)
    first, second = (rows[at] for at in twins(fits.frame.iloc[rows]))
    if not len(first):
        return None
    common = most_fitted(fits.frame)
    weights = np.zeros(len(first))
    for kind in (common, ~common):
        weights[kind[first]] = kind[rows].sum() / max(int(kind[first].sum()), 1)
    return noise_floor_db(fits.truth_db[first], fits.truth_db[second], weights)


def splits(fits: FitTable) -> dict[str, np.ndarray]:
    """Name -> [N] bool of the fits that a forecaster trained on the rest has never seen.

    Pictures of the size that most fits have come first, then others of unseen photographs by
    pixels, long trainings, those of large networks, and the regime of the published collection.
    Groups without fits are left out.
    """
    unseen, usual = fits.split("test"), fits.usual
    pixels = (fits.frame["image_width"] * fits.frame["image_height"]).to_numpy()
    updates = fits.iterations[:, -1]
    is_long, is_large = updates > LONG, (fits.frame["parameters"] > LARGE).to_numpy()
    ends = (0, *reach.PIXELS, np.inf)
    groups = {
        UNSEEN: unseen & usual,
        "unseen architectures": fits.split("train", new_size=True) & usual,
        "both unseen": fits.split("test", new_size=True) & usual,
        **{
            f"{UNSEEN}, {_between(low, high)} pixels": unseen
            & ~usual
            & ~is_long
            & (pixels > low)
            & (pixels <= high)
            for low, high in itertools.pairwise(ends)
        },
        f"{UNSEEN}, more than {LONG:,} iterations": unseen & is_long,
        f"{UNSEEN}, more than {LONG:,} iterations and {LARGE:,} weights": unseen
        & is_long
        & is_large,
        f"{UNSEEN}, 120 x 120 pixels, 20,000 iterations": unseen
        & (pixels == 120**2)
        & (updates == 20_000),
    }
    return {name: chosen for name, chosen in groups.items() if chosen.any()}


def _between(low: float, high: float) -> str:
    if not np.isfinite(high):
        return f"more than {low:,.0f}"
    return f"{low + 1:,.0f} to {high:,.0f}" if low else f"up to {high:,.0f}"


def table(
    fits: FitTable, predictions: Mapping[str, np.ndarray], std_db: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Measure all predictors on all `splits` that have fits.

    Args:
        fits: N fits.
        predictions: name of the predictor -> [N] dB.
        std_db: the same of their standard deviations, for those that forecast any.

    Returns:
        A row for each split and predictor: `split, predictor, fits, rmse_db, noise_db, bias_db,
        mae_db, r2, spearman, coverage_50, coverage_90`. The noise is `noise_of` the split, NaN
        without twins; the bias is the mean of forecast minus truth; coverage is NaN without a
        standard deviation.
    """
    rows = []
    for split, chosen in splits(fits).items():
        truth = fits.truth_db[chosen].astype(np.float64)
        noise = noise_of(fits, chosen)
        for predictor, predicted in predictions.items():
            mean, std = predicted[chosen], std_db.get(predictor)
            row = {
                "split": split,
                "predictor": predictor,
                "fits": len(truth),
                "rmse_db": rmse_db(mean, truth),
                "noise_db": noise.value_db if noise else np.nan,
                "bias_db": float(np.mean(mean - truth)),
                "mae_db": mae_db(mean, truth),
                "r2": r2(mean, truth),
                "spearman": spearman(mean, truth),
            }
            for share in SHARES:
                found = np.nan if std is None else coverage(mean, std[chosen], truth, share)
                row[f"coverage_{100 * share:.0f}"] = found
            rows.append(row)
    return pd.DataFrame(rows)
