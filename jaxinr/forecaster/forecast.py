"""The encoding error of SIRENs that nobody has fitted yet, and the best of them for a picture.

    forecast = jaxinr.forecast(image, [jaxinr.Trial(layer_size=16, num_layers=4, ...), ...])
    forecast.mean_db, forecast.std_db

Source: Vonderfecht & Liu, Predicting the Encoding Error of SIRENs (TMLR 2024).
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet.pixels import to_uint8
from jaxfleet.showing import Tabular
from jaxinr.forecaster import descriptors, inputs
from jaxinr.trial import Trial, require_sirens

if TYPE_CHECKING:
    from jaxinr.forecaster.trained import Trained

W0 = 30.0  # of every network that was trained on
LEARNING_RATE = 1e-3  # of most of them
W0_INITIALS = 13  # that are compared, evenly apart in their logarithm
MIN_SIDE = 8  # pixels
DB_PER_OCTAVE = 5.0  # spread of a network whose w0 is another
SLACK = 0.01  # rounding of what training saw


class ForecastWarning(UserWarning):
    """A forecast is asked outside of what the forecaster was trained on."""


@dataclasses.dataclass(frozen=True, repr=False)
class Forecast(Tabular):
    """Best PSNR on raw output in dB, as `Fits.best_psnr_db`: a normal distribution for each trial.

    Attributes:
        mean_db: [N] float32, or [N, T] where iterations were given.
        std_db: as `mean_db`; of the networks that seeds would make, and of what the forecaster
            does not know.
        outside: what lies outside the training range, one line each; empty where nothing does.
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
        return f"Forecast({len(self.mean_db)} networks: {spread}{beyond})"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame of hyperparameters, `mean_db` and `std_db`.

        Of learning curves it has a row for each number of updates, which `num_iters` says.
        """
        import pandas as pd

        times = max(len(self.iterations), 1)
        rows = [dataclasses.asdict(trial) for trial in self.trials for _ in range(times)]
        frame = pd.DataFrame(rows).drop(columns="seed", errors="ignore")
        if self.iterations:
            frame["num_iters"] = list(self.iterations) * len(self.trials)
        return frame.assign(mean_db=np.ravel(self.mean_db), std_db=np.ravel(self.std_db))


@dataclasses.dataclass(frozen=True, repr=False)
class Recommendation(Tabular):
    """A SIREN for a picture and a size.

    Attributes:
        trial: the best hyperparameters.
        mean_db: forecast of its best PSNR.
        std_db: the spread of the forecast.
        bits_per_pixel: of the network.
        considered: [N] trials that were compared, best first, this one in front.
        forecasts: of those, in the same order.
    """

    trial: Trial
    mean_db: float
    std_db: float
    bits_per_pixel: float
    considered: Sequence[Trial]
    forecasts: Forecast

    def __repr__(self) -> str:
        """Return one line."""
        size = f"{self.trial.num_layers} layers of {self.trial.layer_size} units"
        return (
            f"Recommendation({size}, w0_initial {self.trial.w0_initial:g}: {self.mean_db:.1f} ± "
            f"{self.std_db:.1f} dB at {self.bits_per_pixel:.3g} bits per pixel, best of "
            f"{len(self.considered)})"
        )

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame of the networks that were compared, best first."""
        return self.forecasts.to_pandas()


def forecast(
    image: np.ndarray,
    trials: Sequence[Trial],
    *,
    iterations: Sequence[int] | None = None,
    forecaster: "Trained | None" = None,
) -> Forecast:
    """Forecast the PSNR that SIRENs will reach on an image, without fitting them.

    More iterations never give a lower mean; beyond those of training it stays where it is.

    Args:
        image: [H, W, 3] uint8 or float in [0, 1], at the size at which it would be fitted.
        trials: N hyperparameters. Seeds make no difference: the spread is over them.
        iterations: T numbers of updates for a learning curve; None for each trial's own
            `num_iters`.
        forecaster: None for the one that comes with the package.

    Warns:
        ForecastWarning: where the forecaster has seen nothing like the picture or the trials; the
            spread is wider there.

    Raises:
        TypeError, ValueError: if the image is none, or below 8 x 8 pixels; if iterations are below
            1 or there are no trials.
    """
    forecaster = forecaster or _packaged()
    pixels = _to_8bit(image)
    if not len(trials):
        raise ValueError("`trials` is empty; give at least one.")
    require_sirens(trials, "the forecaster")
    if iterations is not None and (not len(iterations) or min(iterations) < 1):
        raise ValueError("`iterations` must be numbers of updates, each at least 1.")
    described = descriptors.describe(pixels)
    rows = inputs.trial_rows(trials, pixels.shape[0] * pixels.shape[1])
    looks = forecaster.look(described[None], descriptors.thumbnail(pixels)[None])
    if iterations is None:
        updates = np.array([trial.num_iters for trial in trials])
        mean_db, std_db = forecaster.best_so_far(looks, described, rows, updates)
    else:
        rows = np.repeat(rows, len(iterations), axis=0)
        updates = np.tile(np.asarray(iterations), len(trials))
        shape = (len(trials), len(iterations))
        mean_db, std_db = (
            x.reshape(shape) for x in forecaster.best_so_far(looks, described, rows, updates)
        )
    octaves = np.abs(np.log2([trial.w0 / W0 for trial in trials])).astype(np.float32)
    std_db = np.hypot(std_db.T, DB_PER_OCTAVE * octaves).T
    outside = _outside(forecaster, trials, updates, pixels, described)
    if outside:
        warnings.warn(
            "Outside the forecaster's training range, so the spread is wider: "
            f"{'; '.join(outside)}.",
            ForecastWarning,
            stacklevel=2,
        )
    return Forecast(
        mean_db, std_db, outside, tuple(trials), () if iterations is None else tuple(iterations)
    )


def recommend(
    image: np.ndarray,
    bits_per_pixel: float,
    *,
    max_iterations: int | None = None,
    learning_rate: float = LEARNING_RATE,
    bits_per_weight: int = 16,
    forecaster: "Trained | None" = None,
) -> Recommendation:
    """Recommend the SIREN of at most so many bits with the best forecast for an image.

    Layers, width and w0_initial of the training range are compared, a few thousand of them.

    Args:
        image: [H, W, 3] uint8 or float in [0, 1], at the size at which it would be fitted.
        bits_per_pixel: that the weights may take.
        max_iterations: Adam updates; None for the most that the forecaster was trained on with
            pictures of about this size.
        learning_rate: of Adam.
        bits_per_weight: that each weight and bias takes.
        forecaster: None for the one that comes with the package.

    Warns:
        ForecastWarning: as `forecast`; if larger networks would be allowed than those of the
            training range, which alone are compared.

    Raises:
        TypeError, ValueError: as `forecast`; if no network of the training range is so small.
    """
    forecaster = forecaster or _packaged()
    pixels = _to_8bit(image)
    if not bits_per_pixel > 0:
        raise ValueError(f"`bits_per_pixel` must be positive; got {bits_per_pixel}.")
    height, width = pixels.shape[:2]
    low, high = forecaster.range_at(height * width)
    updates = round(high["iterations"]) if max_iterations is None else max_iterations
    span = low["w0_initial"], high["w0_initial"]
    w0s = np.clip(np.geomspace(*span, W0_INITIALS).round(1), *span).tolist()
    fitting = sizes_within(
        forecaster, height, width, bits_per_pixel=bits_per_pixel, bits_per_weight=bits_per_weight
    )
    trials = [
        dataclasses.replace(
            trial, w0_initial=w0, learning_rate=learning_rate, num_iters=updates, w0=W0
        )
        for trial in fitting
        for w0 in w0s
    ]
    found = forecast(image, trials, forecaster=forecaster)
    largest = max(trial.bits_per_pixel(height, width, bits=bits_per_weight) for trial in fitting)
    widest = Trial(layer_size=round(high["layer_size"]), num_layers=round(high["num_layers"]))
    if widest.bits_per_pixel(height, width, bits=bits_per_weight) < bits_per_pixel:
        limit = (
            f"networks of {largest:.3g} to {bits_per_pixel:.3g} bits per pixel on {height} x "
            f"{width} pixels, so none of them was compared"
        )
        warnings.warn(f"Not trained on: {limit}.", ForecastWarning, stacklevel=2)
        found = dataclasses.replace(found, outside=(*found.outside, limit))
    order = np.argsort(-found.mean_db, kind="stable")
    best = trials[order[0]]
    return Recommendation(
        best,
        float(found.mean_db[order[0]]),
        float(found.std_db[order[0]]),
        best.bits_per_pixel(height, width, bits=bits_per_weight),
        (ordered := tuple(trials[i] for i in order)),
        Forecast(found.mean_db[order], found.std_db[order], found.outside, ordered),
    )


def sizes_within(
    forecaster: "Trained",
    height: int,
    width: int,
    *,
    bits_per_pixel: float,
    bits_per_weight: int = 16,
) -> list[Trial]:
    """Every layers x width that takes at most so many bits per pixel.

    Of the training range of pictures of about this size.

    Raises:
        ValueError: if there is none.
    """
    low, high = forecaster.range_at(height * width)
    widths, depths = (
        range(round(low[name]), round(high[name]) + 1) for name in ("layer_size", "num_layers")
    )
    sizes = {
        trial: trial.bits_per_pixel(height, width, bits=bits_per_weight)
        for trial in (Trial(layer_size=w, num_layers=d) for d in depths for w in widths)
    }
    fitting = [trial for trial, size in sizes.items() if size <= bits_per_pixel]
    if not fitting:
        raise ValueError(
            f"No network of the training range takes {bits_per_pixel} bits per pixel on "
            f"{height} x {width} pixels; the smallest takes {min(sizes.values()):.3g}."
        )
    return fitting


def _packaged() -> "Trained":
    from jaxinr.forecaster.trained import packaged  # flax, which who only fits need not load

    return packaged()


def _to_8bit(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8, as a viewer would see it."""
    pixels = np.asarray(image)
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


def _outside(
    forecaster: "Trained",
    trials: Sequence[Trial],
    updates: np.ndarray,
    pixels: np.ndarray,
    described: np.ndarray,
) -> tuple[str, ...]:
    """One line for each thing that was not trained on with pictures of about this size."""
    low, high = forecaster.range_at(pixels.shape[0] * pixels.shape[1])
    asked = {
        "layer_size": [trial.layer_size for trial in trials],
        "num_layers": [trial.num_layers for trial in trials],
        "w0_initial": [trial.w0_initial for trial in trials],
        "learning_rate": [trial.learning_rate for trial in trials],
        "pixels": [pixels.shape[0] * pixels.shape[1]],
        "iterations": updates.tolist(),
    }
    lines = [
        f"{name} {_span(min(values), max(values))}, trained on {_span(low[name], high[name])}"
        for name, values in asked.items()
        if min(values) < low[name] * (1 - SLACK) or max(values) > high[name] * (1 + SLACK)
    ]
    w0s = [trial.w0 for trial in trials if trial.w0 != W0]
    if w0s:
        lines.append(f"w0 {_span(min(w0s), max(w0s))}, trained on {W0:g}")
    if forecaster.strangeness(described) > 0:
        lines.append("a picture unlike those of training")
    return tuple(lines)


def _span(low: float, high: float) -> str:
    return f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"
