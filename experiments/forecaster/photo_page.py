"""The page of one photograph: what SIRENs of all sizes and times will make of it, as forecast."""

import functools
import html
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import jaxinr
from experiments.report import figures, page
from experiments.report.figures import PALETTE
from experiments.report.page import Drawing
from jaxfleet import storage
from jaxfleet.imaging import codecs
from jaxfleet.results.showing import three_digits
from jaxinr.forecaster.reach import NINETY
from jaxinr.forecaster.speed import Speed
from jaxinr.forecaster.trained import Trained

WANTED_DB = 30.0
UPDATES = np.unique(np.geomspace(10, 100_000, 41).astype(int)).tolist()
CURVES = 5  # networks of a few sizes whose learning curves are drawn
COLUMNS = {
    "bits per pixel": ("size", "{}"),
    "layers": ("num_layers", "{}"),
    "units": ("layer_size", "{}"),
    "ω₀ first": ("w0_initial", "{:g}"),
    "learning rate": ("learning_rate", "{:g}"),
    "updates": ("num_iters", "{:,}"),
    "time to fit": ("fit", "{}"),
    "ms to render": ("render", "{}"),
    "PSNR (dB)": ("mean_db", "{:.1f}"),
    "±": ("std_db", "{:.1f}"),
    f"until {WANTED_DB:g} dB": ("until", "{}"),
}


def write(path: Path, name: str, image: np.ndarray, forecaster: Trained, speed: Speed) -> None:
    """Write the page.

    Args:
        path: of the page.
        name: of the photograph.
        image: [H, W, 3] uint8.
        forecaster: to ask.
        speed: of the device whose times are told.
    """
    found = jaxinr.tradeoff(image, speed=speed, forecaster=forecaster)
    frame = found.to_pandas()
    frame["fit"] = [page.duration(seconds) for seconds in found.encode_seconds]
    frame["size"] = [three_digits(bits) for bits in found.bits_per_pixel]
    frame["render"] = [three_digits(milliseconds) for milliseconds in found.decode_milliseconds]
    best = frame.loc[
        frame.groupby(np.round(2 * np.log2(frame["bits_per_pixel"])))["mean_db"].idxmax()
    ]
    trials = [found.trials[i] for i in best.index]
    curves = jaxinr.forecast(image, trials, iterations=UPDATES, forecaster=forecaster)
    share = found.encode_seconds[best.index] / best["num_iters"]
    best = best.assign(until=_until(curves.mean_db, share.to_numpy()))
    drawings = [
        Drawing(
            "rate_distortion",
            "PSNR against size",
            "The best SIREN of each size, whatever its time, with the band that should hold nine "
            "in ten fits; codecs of this photograph with all their headers, where their files are "
            "at most twice as large as the largest of these networks.",
            functools.partial(_draw_sizes, image, best),
        ),
        Drawing(
            "learning_curves",
            "Learning curves",
            "The best PSNR so far of a few of these networks, forecast, with the band that should "
            "hold nine in ten fits.",
            functools.partial(_draw_curves, trials, curves),
        ),
    ]
    folder = path.with_suffix("")
    storage.make_folder(folder, "--report")
    cell = page.cell(page.small(image), html.escape(name), "the photograph")
    sections = {
        "Photograph": f'<div class="grid">{cell}</div>',
        "Forecasts": "".join(page.plot(folder, drawing) for drawing in drawings),
        "The best network of each size": page.table(best, COLUMNS, leading=0),
        "What size and time buy": page.table(
            frame,
            {head: entry for head, entry in COLUMNS.items() if entry[0] != "until"},
            leading=0,
        ),
    }
    tiles = {
        "pixels": f"{image.shape[1]} × {image.shape[0]}",
        "best forecast": f"{frame['mean_db'].max():.1f} dB",
        f"soonest at {WANTED_DB:g} dB": _soonest(frame),
        "times of": speed.device,
    }
    page.write_to(path, f"SIRENs of {Path(name).name}, forecast", tiles, sections)


def _until(mean_db: np.ndarray, seconds_each: np.ndarray) -> list[str]:
    """Say for each network [N, T] how long until it reaches `WANTED_DB`."""
    reached = mean_db >= WANTED_DB
    return [
        page.duration(UPDATES[int(row.argmax())] * each) if row.any() else "never"
        for row, each in zip(reached, seconds_each, strict=True)
    ]


def _soonest(frame: pd.DataFrame) -> str:
    reached = frame[frame["mean_db"] >= WANTED_DB]
    return page.duration(reached["encode_seconds"].min()) if len(reached) else "no network"


def _draw_sizes(image: np.ndarray, best: pd.DataFrame) -> Figure:
    figure, axes = figures.new()
    x, mean, far = best["bits_per_pixel"], best["mean_db"], NINETY * best["std_db"]
    axes.fill_between(x, mean - far, mean + far, color=PALETTE[0], alpha=0.2, lw=0)
    axes.plot(x, mean, "o-", color=PALETTE[0], ms=3.5, label="SIREN, forecast")
    for colour, codec in zip(PALETTE[1:], (codecs.JPEG, codecs.WEBP, codecs.AVIF), strict=False):
        if codec.available:
            bits, psnr_db = codecs.rate_distortion(image, codec, most=2 * x.max())
            shown = np.isfinite(psnr_db)
            if shown.any():
                (line,) = axes.plot(bits[shown], psnr_db[shown], ".--", color=colour, ms=3)
                line.set(linewidth=1.3, label=codec.name)
    figures.log_x(axes, x.to_numpy())
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR (dB)")
    figures.legend(figure, axes)
    return figure


def _draw_curves(trials: list[jaxinr.Trial], curves: jaxinr.Forecast) -> Figure:
    figure, axes = figures.new()
    chosen = np.unique(np.linspace(0, len(trials) - 1, CURVES).astype(int))
    for colour, i in zip(PALETTE, chosen, strict=False):
        mean, far = curves.mean_db[i], NINETY * curves.std_db[i]
        axes.fill_between(UPDATES, mean - far, mean + far, color=colour, alpha=0.15, lw=0)
        label = f"{trials[i].num_layers} × {trials[i].layer_size}"
        axes.plot(UPDATES, mean, color=colour, lw=1.3, label=label)
    figures.log_x(axes, np.array(UPDATES))
    axes.set_xlabel("update")
    axes.set_ylabel("best PSNR so far (dB)")
    figures.legend(figure, axes)
    return figure
