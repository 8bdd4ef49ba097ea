"""The tab What will a SIREN reach?: forecasts, other codecs, and what a budget allows.

Letters: T numbers of updates of a learning curve.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

import jaxinr
from experiments.app import charts, markup
from experiments.app.charts import Series
from jaxfleet import codecs, decibels, photos
from jaxfleet.errors import InputError
from jaxinr.forecaster.forecast import ForecastWarning

NINETY = 1.645  # standard deviations, to each side
CODECS = (codecs.JPEG, codecs.WEBP, codecs.AVIF)
MOST_BITS = 24.0  # a pixel, of networks that are drawn beside the chosen one
_POINTS = 24  # of a learning curve

Curves = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Outlook:
    """What is forecast of a network on an image.

    Attributes:
        trial: the network.
        iterations: [T] updates.
        mean_db: [T] forecast PSNR.
        std_db: [T] its spread.
        bits_per_pixel: of its weights, at 16 bits.
        warning: what the forecaster was not trained on; empty if all is as in training.
    """

    trial: jaxinr.Trial
    iterations: np.ndarray
    mean_db: np.ndarray
    std_db: np.ndarray
    bits_per_pixel: float
    warning: str


def trial_of(depth: float, width: float, w0: float, updates: float, rate: float) -> jaxinr.Trial:
    """Return the network that the sliders describe; `rate` is in thousandths."""
    return jaxinr.Trial(
        num_layers=int(depth),
        layer_size=int(width),
        w0_initial=float(w0),
        num_iters=int(updates),
        learning_rate=round(rate * 1e-3, 7),
    )


def knobs_of(trial: jaxinr.Trial) -> tuple[int, int, float, int, float]:
    """Invert `trial_of`."""
    w0, rate = round(2 * trial.w0_initial) / 2, round(trial.learning_rate * 1e3, 4)
    return trial.num_layers, trial.layer_size, w0, trial.num_iters, rate


def fitted_image(pixels: np.ndarray, longer_side: int) -> np.ndarray:
    """Shrink an image to the size at which it is fitted; a smaller one stays as it is."""
    height, width = pixels.shape[:2]
    ratio = min(1.0, longer_side / max(height, width))
    if ratio == 1.0:
        return pixels
    return photos.resized(pixels, max(1, round(ratio * height)), max(1, round(ratio * width)))


def outlook(image: np.ndarray, trial: jaxinr.Trial) -> Outlook:
    """Forecast the learning curve of a network on an image.

    Raises:
        InputError: if the image is too small for a forecast.
    """
    steps = np.geomspace(min(10, trial.num_iters), trial.num_iters, _POINTS)
    iterations = np.unique(steps.round().astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)  # the page says it in its own place
        try:
            found = jaxinr.forecast(image, [trial], iterations=iterations.tolist())
        except ValueError as error:
            raise InputError(str(error).replace("`", "")) from None
    bits = trial.bits_per_pixel(*image.shape[:2])
    mean_db, std_db = (np.asarray(x[0], float) for x in (found.mean_db, found.std_db))
    return Outlook(trial, iterations, mean_db, std_db, bits, "; ".join(found.outside))


def codec_curves(image: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, bits per pixel and PSNR in dB of the other codecs' files of an image."""
    for codec in CODECS:
        if codec.available:
            sizes, psnr_db = codecs.rate_distortion(image, codec)
            yield codec.name, sizes, psnr_db


def pareto(image: np.ndarray, trial: jaxinr.Trial) -> tuple[np.ndarray, np.ndarray]:
    """Find the sizes of networks that no smaller one is forecast to match; all else as in `trial`.

    Returns:
        Their bits per pixel [N], ascending, and forecast PSNR [N] in dB.
    """
    sizes = jaxinr.grid(num_layers=range(1, 13), layer_size=range(4, 65, 2))
    options = [
        dataclasses.replace(trial, layer_size=one.layer_size, num_layers=one.num_layers)
        for one in sizes
        if one.bits_per_pixel(*image.shape[:2]) <= MOST_BITS
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)
        mean_db = np.asarray(jaxinr.forecast(image, options).mean_db, float)
    bits = np.array([one.bits_per_pixel(*image.shape[:2]) for one in options])
    return codecs.undominated(bits, mean_db)


def recommend(image: np.ndarray, trial: jaxinr.Trial, bits_per_pixel: float) -> jaxinr.Trial:
    """Return the best network of at most so many bits per pixel, with the updates of `trial`.

    Raises:
        InputError: if no network is so small.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)
        try:
            return jaxinr.recommend(
                image,
                bits_per_pixel,
                max_iterations=trial.num_iters,
                learning_rate=trial.learning_rate,
            ).trial
        except ValueError as error:
            raise InputError(str(error).replace("`", "")) from None


# ------------------------------------------------------------------------------------ as HTML


def describe(found: Outlook, curves: Curves) -> str:
    """Return the forecast in a sentence, JPEG of that size beside it, and what weakens it."""
    trial, mean, spread = found.trial, found.mean_db[-1], NINETY * found.std_db[-1]
    said = (
        f"{trial.num_layers} layers of {trial.layer_size} units, {trial.parameters:,} weights, "
        f"{found.bits_per_pixel:.3g} bits per pixel: after {trial.num_iters:,} updates "
        f"<strong>{mean:.1f} dB</strong>, with 90 % probability {mean - spread:.1f} to "
        f"{mean + spread:.1f} dB."
    )
    for name, (sizes, psnr_db) in curves.items():
        lossy = np.isfinite(psnr_db)
        if sizes[0] <= found.bits_per_pixel <= sizes[lossy][-1]:
            db = float(np.interp(found.bits_per_pixel, sizes[lossy], psnr_db[lossy]))
            said += f" {name} of that size: {decibels.text(db, 1)}."
    warned = (
        f'<p class="note">Less sure: {markup.text(found.warning)}.</p>' if found.warning else ""
    )
    return f'<p class="answer" role="status">{said}</p>{warned}'


def learning_curve(found: Outlook, trained: Sequence[tuple[int, float]] = ()) -> str:
    """Return the chart of the forecast over the updates, with what training reached so far."""
    band = NINETY * found.std_db
    series = [
        Series(
            *("forecast, with its 90 % range", found.iterations, found.mean_db),
            low=found.mean_db - band,
            high=found.mean_db + band,
        )
    ]
    if trained:
        updates, psnr_db = np.array(trained, float).T
        series.append(Series("this training", updates, psnr_db, 3))
    return charts.chart(
        series,
        title=f"PSNR over updates; forecast at the end {found.mean_db[-1]:.1f} dB",
        x_label="updates",
        y_label="PSNR (dB)",
    )


def size_chart(found: Outlook, curves: Curves, best: tuple[np.ndarray, np.ndarray] | None) -> str:
    """Return the chart of PSNR against size: this network, the best ones, other codecs."""
    series = [
        Series(name, *points, colour, "dashes")
        for colour, (name, points) in zip((1, 2, 4), curves.items(), strict=False)
    ]
    if best is not None:
        series.insert(0, Series("best SIRENs, forecast", *best))
    series.append(
        Series("this network", np.array([found.bits_per_pixel]), found.mean_db[-1:], 3, "points")
    )
    return charts.chart(
        series,
        title="PSNR against bits per pixel of SIRENs and of other codecs",
        x_label="bits per pixel",
        y_label="PSNR (dB)",
    )
