"""The page of the study: a table by width, the shares of the variance, and what a good draw is."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.report import figures, page
from experiments.report.page import Drawing
from experiments.seeds.config import SeedsConfig
from jaxfleet import rundir
from jaxfleet.results.showing import counted

SHARES = {
    "first_share": "first layer",
    "others_share": "other layers",
    "together_share": "their combination",
}
COLUMNS = {
    "units": ("layer_size", "{}"),
    "mean PSNR (dB)": ("mean_db", "{:.2f}"),
    "deviation over seeds (dB)": ("deviation_db", "{:.2f}"),
    **{f"of its variance, {said}": (name, "{:.0%}") for name, said in SHARES.items()},
    "a first layer on two photographs": ("agreement", "r {:+.2f}"),
    "its frequency and its effect": ("frequency_rank", "rank r {:+.2f}"),
}
READING = """<p>Each draw of the first layer is fitted with each draw of the other layers, on every
photograph, and the variance of the PSNR is divided by an analysis of variance with two random
factors. A part that the two layers’ draws decide only together includes what training adds by
chance. On two photographs: correlation of the effects of the same first layers. Frequency: the
geometric mean over the units of the first layer; where its rank correlation is below zero, draws of
lower frequencies fit better.</p>"""


def draw_shares(table: pd.DataFrame) -> Figure:
    """Draw the variance of each width as a bar of three parts."""
    figure, axes = figures.new()
    place, below = np.arange(len(table)), np.zeros(len(table))
    for (name, said), colour in zip(SHARES.items(), figures.PALETTE, strict=False):
        part = (table[name] * table["deviation_db"] ** 2).to_numpy()
        axes.bar(place, part, 0.6, below, color=colour, label=said)
        below += part
    axes.set_xticks(place, table["layer_size"].map(str))
    axes.set_xlabel("units of a layer")
    axes.set_ylabel("variance over seeds (dB²)")
    figures.legend(figure, axes)
    return figure


def draw_frequency(frequencies: np.ndarray, effect_db: np.ndarray) -> Figure:
    """Draw what the draws of the first layer [A] gain, [P, A] dB, against their frequency."""
    figure, axes = figures.new()
    for i, own in enumerate(effect_db):
        label = "one photograph" if i == 0 else None
        axes.scatter(frequencies, own, s=9, color=figures.PALETTE[5], alpha=0.6, lw=0, label=label)
    axes.scatter(frequencies, effect_db.mean(axis=0), s=26, color=figures.PALETTE[0], label="mean")
    axes.set_xlabel("mean frequency of the first layer (cycles per side)")
    axes.set_ylabel("PSNR above the mean of all draws (dB)")
    figures.legend(figure, axes)
    return figure


def write(
    run_dir: Path,
    config: SeedsConfig,
    table: pd.DataFrame,
    frequencies: np.ndarray,
    effect_db: np.ndarray,
) -> Path:
    """Write `report.html` and the figures `shares.png` and `frequency.png`.

    Args:
        run_dir: of the study.
        config: of the study.
        table: a row for each width, columns as of `COLUMNS`.
        frequencies: [A] of the first layers of the narrowest networks.
        effect_db: [P, A] what these gain.

    Returns:
        Path of the page.
    """
    photographs = len(effect_db)
    narrow = table.iloc[0]
    drawings = [
        Drawing(
            "shares",
            "Whose draw decides",
            f"Variance of the PSNR over initial weights, {counted(photographs, 'photograph')}.",
            functools.partial(draw_shares, table),
        ),
        Drawing(
            "frequency",
            "A good first layer",
            f"Each of {len(frequencies)} draws of the first layer of networks of "
            f"{narrow['layer_size']:.0f} units: rank correlation of its mean frequency and its "
            f"effect {narrow['frequency_rank']:+.2f}.",
            functools.partial(draw_frequency, frequencies, effect_db),
        ),
    ]
    tiles = {
        f"over seeds at {narrow['layer_size']:.0f} units": f"± {narrow['deviation_db']:.2f} dB",
        "of its variance by the first layer": f"{narrow['first_share']:.0%}",
    }
    sections = {
        "Few photographs": page.few(photographs),
        "By width": page.table(table, COLUMNS),
        "Measurements": page.plots(run_dir, drawings),
        "Settings": page.definitions(page.settings(config, rundir.read(run_dir))),
        "What the numbers mean": READING,
    }
    return page.write(run_dir, "Which initial weights decide", tiles, sections)
