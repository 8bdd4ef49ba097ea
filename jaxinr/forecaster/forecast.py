"""The encoding error of SIRENs that nobody has fitted yet.

    forecast = jaxinr.forecast(image, [jaxinr.Trial(layer_size=16, num_layers=4, ...), ...])
    forecast.mean_db, forecast.std_db

Source: Vonderfecht & Liu, Predicting the Encoding Error of SIRENs (TMLR 2024).
"""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxfleet.imaging.pixels import as_array, to_uint8
from jaxfleet.results.showing import Tabular, counted
from jaxinr.forecaster import descriptors, inputs
from jaxinr.forecaster.trained import Trained, packaged
from jaxinr.trial import Trial, count_parameters, require_sirens

W0 = 30.0  # of every network that was trained on
MIN_SIDE = 8  # pixels
DB_PER_OCTAVE = 5.0  # spread of a network whose w0 is another
OTHER_DB = 1.5  # spread of one that is trained in another way
DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13)  # that are compared
WIDTHS = 24  # of each depth


class ForecastWarning(UserWarning):
    """Warns that a forecast lies outside the training range of the forecaster."""


@dataclasses.dataclass(frozen=True, repr=False)
class Forecast(Tabular):
    """Best PSNR on raw output in dB, as `Fits.best_psnr_db`: a normal distribution for each trial.

    Attributes:
        mean_db: [N] float32, or [N, T] where iterations were given.
        std_db: as `mean_db`; covers the spread over seeds and the uncertainty of the forecaster.
        outside: one line for each property outside the training range; empty if there is none.
        trials: N hyperparameters.
        iterations: T numbers of updates; empty where each trial has its own.
    """

    mean_db: np.ndarray
    std_db: np.ndarray
    outside: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    iterations: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """Return one line."""
        low, high = np.min(self.mean_db), np.max(self.mean_db)
        spread = f"{low:.1f} dB" if low == high else f"{low:.1f} to {high:.1f} dB"
        beyond = ", partly outside the training range" if self.outside else ""
        return f"Forecast({counted(len(self.mean_db), 'network')}: {spread}{beyond})"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame of hyperparameters, `mean_db` and `std_db`.

        Of learning curves it has a row for each number of updates, which `num_iters` says.
        """
        times = max(len(self.iterations), 1)
        frame = hyperparameters([trial for trial in self.trials for _ in range(times)])
        if self.iterations:
            frame["num_iters"] = list(self.iterations) * len(self.trials)
        return frame.assign(mean_db=np.ravel(self.mean_db), std_db=np.ravel(self.std_db))


def hyperparameters(trials: Sequence[Trial]) -> Any:
    """Return a pandas.DataFrame with a row for each trial, without seeds."""
    import pandas as pd

    rows = [dataclasses.asdict(trial) for trial in trials]
    return pd.DataFrame(rows).drop(columns="seed", errors="ignore")


def forecast(
    image: np.ndarray,
    trials: Sequence[Trial],
    *,
    iterations: Sequence[int] | None = None,
    forecaster: Trained | None = None,
) -> Forecast:
    """Forecast the PSNR that SIRENs will reach on an image, without fitting them.

    More iterations never give a lower mean.

    Args:
        image: [H, W, 3] uint8 or float in [0, 1], at the size at which it would be fitted.
        trials: N hyperparameters. Seeds do not matter: `std_db` covers them.
        iterations: T numbers of updates for a learning curve; None for each trial's own
            `num_iters`.
        forecaster: None for the one that comes with the package.

    Warns:
        ForecastWarning: if the image or a trial lies outside the training range of the
            forecaster; the spread is wider there.

    Raises:
        TypeError, ValueError: if the image is invalid or smaller than 8 x 8 pixels, iterations are
            not integers of at least 1, or trials is not a list or is empty.
    """
    pixels = to_8bit(image)
    return of_described(
        descriptors.describe(pixels),
        pixels.shape[:2],
        trials,
        iterations=iterations,
        forecaster=forecaster,
    )


def of_described(
    described: np.ndarray,
    size: tuple[int, ...],
    trials: Sequence[Trial],
    *,
    iterations: Sequence[int] | None = None,
    forecaster: Trained | None = None,
) -> Forecast:
    """Forecast as `forecast`, of an image that `descriptors.describe` has described already.

    Args:
        described: [D] descriptors of the image.
        size: height and width of the image.
        trials: see `forecast`.
        iterations: see `forecast`.
        forecaster: see `forecast`.
    """
    forecaster = forecaster or packaged()
    if isinstance(trials, Trial):
        raise TypeError("`trials` must be a list; got one Trial. Write [trial].")
    if not len(trials):
        raise ValueError("`trials` is empty; give at least one.")
    require_sirens(trials, "the forecaster")
    if iterations is not None:
        _check_iterations(iterations)
    rows = inputs.trial_rows(trials, *size)
    if iterations is None:
        asked = np.array([[trial.num_iters] for trial in trials])
    else:
        asked = np.tile(np.asarray(iterations), (len(trials), 1))
    mean_db, std_db = forecaster.ask(described, rows, asked)
    w0s = np.array([trial.w0 for trial in trials], np.float32)
    std_db = np.hypot(std_db, DB_PER_OCTAVE * np.abs(np.log2(w0s / np.float32(W0)))[:, None])
    outside = forecaster.reach.outside(described, rows, asked)
    others = np.array([t.learning_rate_decay > 0 or t.pixels_per_update > 0 for t in trials])
    if others.any():
        std_db = np.hypot(std_db, OTHER_DB * others[:, None]).astype(np.float32)
        outside += ("learning rates that fall, or updates on a part of the pixels",)
    if (w0s != W0).any():
        span = dict.fromkeys(f"{w0:g}" for w0 in (w0s.min(), w0s.max()))
        outside += (f"w0 {' to '.join(span)}, trained on {W0:g}",)
    if outside:
        warnings.warn(
            "Outside the forecaster's training range, so the spread is wider: "
            f"{'; '.join(outside)}.",
            ForecastWarning,
            stacklevel=3,
        )
    if iterations is None:
        return Forecast(mean_db[:, 0], std_db[:, 0], outside, tuple(trials))
    return Forecast(mean_db, std_db, outside, tuple(trials), tuple(iterations))


def sizes_within(
    forecaster: Trained,
    height: int,
    width: int,
    *,
    bits_per_pixel: float,
    bits_per_weight: int = 16,
) -> list[Trial]:
    """List the sizes of networks that are worth comparing, of `DEPTHS` and up to `WIDTHS` each.

    They are within the training range, and the widest of each depth is among them.

    Raises:
        ValueError: if none takes at most so many bits per pixel.
    """
    low, high = (2.0**ends for ends in (forecaster.reach.low, forecaster.reach.high))
    most = min(bits_per_pixel * height * width / bits_per_weight, 1.001 * high[4])
    found: list[Trial] = []
    for depth in DEPTHS:
        if low[1] * 0.99 <= depth <= high[1] * 1.01:
            widths = np.arange(round(low[0]), round(high[0]) + 1)
            widths = widths[count_parameters(widths, depth) <= most]
            if len(widths) > WIDTHS:
                widths = np.unique(np.geomspace(widths[0], widths[-1], WIDTHS).round())
            found += [Trial(layer_size=int(one), num_layers=depth) for one in widths]
    if not found:
        least = count_parameters(round(low[0]), round(low[1])) * bits_per_weight
        raise ValueError(
            f"no network of the training range takes at most {bits_per_pixel:g} bits per pixel on "
            f"{height} x {width} pixels; the smallest takes {rounded_up(least / (height * width))}."
        )
    return found


def rounded_up(value: float) -> str:
    """Return a positive number with three digits, none less than it: a limit that can be met."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(value / unit * (1 - 1e-12)) * unit:.3g}"


def _check_iterations(iterations: Any) -> None:
    """Refuse what is no list of whole numbers of at least 1."""
    asked = np.asarray(iterations)
    if asked.ndim != 1 or not asked.size or asked.dtype.kind not in "iuf":
        raise TypeError(f"`iterations` must be a list of numbers of updates; got {iterations!r}.")
    if not ((asked >= 1) & (asked % 1 == 0)).all():
        raise ValueError("`iterations` must be whole numbers of updates, each at least 1.")


def to_8bit(image: np.ndarray) -> np.ndarray:
    """Return an image as [H, W, 3] uint8, as a viewer would see it.

    Raises:
        TypeError, ValueError: if it is none, or too small.
    """
    pixels = as_array(image, "`image`")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"`image` must be [H, W, 3]; got shape {pixels.shape}.")
    if min(pixels.shape[:2]) < MIN_SIDE:
        raise ValueError(
            f"`image` has {pixels.shape[0]} x {pixels.shape[1]} pixels; a forecast needs at least "
            f"{MIN_SIDE} x {MIN_SIDE}."
        )
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(f"`image` must be uint8, or float in [0, 1]; got {pixels.dtype}.")
    if not (np.isfinite(pixels).all() and 0 <= pixels.min() and pixels.max() <= 1):
        raise ValueError("`image` is float, so its values must lie in [0, 1].")
    return to_uint8(pixels)
