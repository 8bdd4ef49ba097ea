"""The tab What will a SIREN reach?: forecasts, other codecs, and what a budget allows.

Letters: T numbers of updates of a learning curve, N networks.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

import jaxinr
from experiments.app import charts, markup
from experiments.app.charts import Series
from experiments.report import page
from jaxfleet.errors import InputError
from jaxfleet.imaging import codecs, decibels, photos
from jaxinr.forecaster import descriptors, inputs, speed
from jaxinr.forecaster.forecast import ForecastWarning, of_described, to_8bit
from jaxinr.forecaster.reach import NINETY

CODECS = (codecs.JPEG, codecs.WEBP, codecs.AVIF)
LIMITS = {  # of `jaxinr.recommend` -> as the page calls them
    "bits_per_pixel": "Bits per pixel, at most",
    "encode_seconds": "Seconds to fit, at most",
    "decode_milliseconds": "Milliseconds to draw, at most",
    "target_psnr_db": "PSNR in dB, at least",
}
_POINTS = 24  # of a learning curve

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]
Limits = Mapping[str, Any]  # any of `LIMITS`, a number or None


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A picture that networks are forecast for.

    Attributes:
        image: [H, W, 3] uint8, at the size at which it is fitted.
        described: [D] its descriptors.
        curves: bits per pixel and PSNR in dB of other codecs' files of it, by name.
        best: networks that are worth fitting; None while that is not known.
    """

    image: np.ndarray
    described: np.ndarray
    curves: Curves = dataclasses.field(default_factory=dict)
    best: jaxinr.Tradeoff | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Outlook:
    """What is forecast of a network on an image.

    Attributes:
        trial: the network.
        iterations: [T] updates.
        mean_db: [T] forecast PSNR.
        std_db: [T] its spread.
        bits_per_pixel: of its weights, at 16 bits.
        encode_seconds: of its training, by `device`'s speed.
        decode_milliseconds: of drawing it.
        device: whose speed it is.
        warning: what the forecaster was not trained on; empty if all is as in training.
    """

    trial: jaxinr.Trial
    iterations: np.ndarray
    mean_db: np.ndarray
    std_db: np.ndarray
    bits_per_pixel: float
    encode_seconds: float
    decode_milliseconds: float
    device: str
    warning: str


def trial_of(depth: float, width: float, w0: float, updates: float, rate: float) -> jaxinr.Trial:
    """Return the network that the sliders describe."""
    return jaxinr.Trial(
        num_layers=int(depth),
        layer_size=int(width),
        w0_initial=float(w0),
        num_iters=int(updates),
        learning_rate=round(rate, 7),
    )


def limits_of(asked: Sequence[Any]) -> dict[str, Any]:
    """Return the limits of what is asked, limits and sliders; those at 0 limit nothing."""
    return {name: one or None for name, one in zip(LIMITS, asked, strict=False)}


def asked_trial(asked: Sequence[Any]) -> jaxinr.Trial:
    """Return the network of what is asked, limits and sliders."""
    return trial_of(*asked[len(LIMITS) :])


def knobs_of(trial: jaxinr.Trial) -> tuple[int, int, float, int, float]:
    """Invert `trial_of`."""
    w0, rate = round(2 * trial.w0_initial) / 2, round(trial.learning_rate, 7)
    return trial.num_layers, trial.layer_size, w0, trial.num_iters, rate


def fitted_image(pixels: np.ndarray, longer_side: int) -> np.ndarray:
    """Shrink an image to the size at which it is fitted; a smaller one stays as it is."""
    height, width = pixels.shape[:2]
    ratio = min(1.0, longer_side / max(height, width))
    if ratio == 1.0:
        return pixels
    return photos.resized(pixels, max(1, round(ratio * height)), max(1, round(ratio * width)))


def subject(pixels: np.ndarray, longer_side: int) -> Subject:
    """Describe a picture at the size at which it is fitted.

    Raises:
        InputError: if it is too small for a forecast.
    """
    image = fitted_image(pixels, longer_side)
    try:
        return Subject(image, descriptors.describe(to_8bit(image)))
    except ValueError as error:
        raise InputError(str(error).replace("`", "")) from None


def with_more(known: Subject) -> Iterator[Subject]:
    """Yield a subject with its best networks, then with one codec after the other."""
    known = dataclasses.replace(known, best=jaxinr.tradeoff(known.image))
    yield known
    for codec in CODECS:
        if codec.available:
            points = codecs.rate_distortion(known.image, codec)
            known = dataclasses.replace(known, curves={**known.curves, codec.name: points})
            yield known


def outlook(known: Subject, trial: jaxinr.Trial) -> Outlook:
    """Forecast the learning curve of a network, and what the network costs."""
    size = known.image.shape[:2]
    steps = np.geomspace(min(10, trial.num_iters), trial.num_iters, _POINTS)
    iterations = np.unique(steps.round().astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)  # the page says it in its own place
        found = of_described(known.described, size, [trial], iterations=iterations.tolist())
    mean_db, std_db = (np.asarray(x[0], float) for x in (found.mean_db, found.std_db))
    device, row = speed.known(), inputs.trial_rows([trial], *size)
    return Outlook(
        trial,
        iterations,
        mean_db,
        std_db,
        trial.bits_per_pixel(*size),
        float(device.encode_seconds(row, iterations[-1:])[0]),
        float(1e3 * device.decode_seconds(row)[0]),
        device.device,
        "; ".join(found.outside),
    )


def within(best: jaxinr.Tradeoff, limits: Limits) -> np.ndarray:
    """Return which networks of a Pareto set keep within limits, by PSNR: [N], the best first."""
    kept = best.mean_db >= (limits.get("target_psnr_db") or 0.0)
    for name in ("bits_per_pixel", "encode_seconds", "decode_milliseconds"):
        kept &= getattr(best, name) <= (limits.get(name) or np.inf)
    order = np.argsort(-best.mean_db, kind="stable")
    return np.asarray(order[kept[order]])


def best_networks(best: jaxinr.Tradeoff, limits: Limits) -> pd.DataFrame:
    """Return the networks of a Pareto set within limits, as they are read.

    The first five columns are what `knobs_of` returns.
    """
    kept = within(best, limits)
    return pd.DataFrame(
        [knobs_of(best.trials[i]) for i in kept],
        columns=["layers", "units", "w0_initial", "updates", "learning rate"],
    ).assign(
        **{
            name: [float(f"{value:.3g}") for value in values[kept]]
            for name, values in (
                ("bits per pixel", best.bits_per_pixel),
                ("s to fit", best.encode_seconds),
                ("ms to draw", best.decode_milliseconds),
                ("PSNR (dB)", best.mean_db),
                ("90 % within ± (dB)", NINETY * best.std_db),
            )
        },
        **{"trained on": np.where(best.is_outside[kept], "no", "yes")},
    )


def recommend(known: Subject, trial: jaxinr.Trial, limits: Limits) -> tuple[jaxinr.Trial, str]:
    """Return the best network within limits, and in a sentence how it was found.

    Without a limit of seconds it has the updates of `trial`.

    Raises:
        InputError: if no network keeps within the limits, or there are none.
    """
    updates = None if limits.get("encode_seconds") else trial.num_iters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)
        try:
            found = jaxinr.recommend(known.image, max_iterations=updates, **limits)
        except ValueError as error:
            said = str(error).replace("`", "")
            for name, label in (*LIMITS.items(), ("max_iterations", "Iterations")):
                label = label.partition(",")[0]
                lower = label if label[:2].isupper() else label[0].lower() + label[1:]
                said = said.replace(name, lower)
            raise InputError(said[0].upper() + said[1:]) from None
    return found.trial, f"The best of {len(found.considered):,} networks within the limits."


# ------------------------------------------------------------------------------------ as HTML


def describe(found: Outlook, curves: Curves) -> str:
    """Return the forecast in a sentence, other codecs of that size beside it, what weakens it."""
    trial, mean, spread = found.trial, found.mean_db[-1], NINETY * found.std_db[-1]
    said = (
        f"{trial.num_layers} layers of {trial.layer_size} units, {trial.parameters:,} weights, "
        f"{found.bits_per_pixel:.3g} bits per pixel: after {trial.num_iters:,} updates "
        f"<strong>{mean:.1f} dB</strong>, with 90 % probability {mean - spread:.1f} to "
        f"{mean + spread:.1f} dB. About {page.duration(found.encode_seconds)} to fit and "
        f"{found.decode_milliseconds:.2g} ms to draw, by the speed of {found.device}."
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


def size_chart(found: Outlook, known: Subject, limits: Limits) -> str:
    """Return the chart of PSNR against size: this network, the best within limits, other codecs."""
    series = [
        Series(name, *points, colour, "dashes")
        for colour, (name, points) in zip((1, 2, 4), known.curves.items(), strict=False)
    ]
    if known.best is not None and len(kept := within(known.best, limits)):
        sizes, mean_db = known.best.bits_per_pixel[kept], known.best.mean_db[kept]
        name = "best SIRENs within the limits" if any(limits.values()) else "best SIRENs"
        series.insert(0, Series(name, *codecs.undominated(sizes, mean_db)))
    series.append(
        Series("this network", np.array([found.bits_per_pixel]), found.mean_db[-1:], 3, "points")
    )
    return charts.chart(
        series,
        title="PSNR against bits per pixel of SIRENs and of other codecs",
        x_label="bits per pixel",
        y_label="PSNR (dB)",
    )
