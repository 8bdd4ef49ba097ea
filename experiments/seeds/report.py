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
    "its coverage and its effect": ("coverage_rank", "rank r {:+.2f}"),
}
READING = """<p>Each draw of the first layer is fitted with each draw of the other layers, on every
photograph, and the variance of the PSNR is divided by an analysis of variance with two random
factors. A part that the two layers’ draws decide only together includes what training adds by
chance. On two photographs: correlation of the effects of the same first layers. Coverage: root mean
square of the first layer’s frequencies along the direction in which they vary least.</p>"""


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


def draw_coverage(coverages: np.ndarray, effect_db: np.ndarray) -> Figure:
    """Draw what the draws of the first layer [A] gain, [P, A] dB, against their coverage."""
    figure, axes = figures.new()
    for i, own in enumerate(effect_db):
        label = "one photograph" if i == 0 else None
        axes.scatter(coverages, own, s=9, color=figures.PALETTE[5], alpha=0.6, lw=0, label=label)
    axes.scatter(coverages, effect_db.mean(axis=0), s=26, color=figures.PALETTE[0], label="mean")
    axes.set_xlabel("coverage of the plane by the first layer (radians per unit)")
    axes.set_ylabel("PSNR above the mean of all draws (dB)")
    figures.legend(figure, axes)
    return figure


def write(
    run_dir: Path,
    config: SeedsConfig,
    table: pd.DataFrame,
    coverages: np.ndarray,
    effect_db: np.ndarray,
) -> Path:
    """Write `report.html` and the figures `shares.png` and `coverage.png`.

    Args:
        run_dir: of the study.
        config: of the study.
        table: a row for each width, columns as of `COLUMNS`.
        coverages: [A] of the first layers of the narrowest networks.
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
            "coverage",
            "A good first layer",
            f"Networks of {narrow['layer_size']:.0f} units: a first layer fits better where its "
            f"frequencies cover both directions (rank correlation {narrow['coverage_rank']:+.2f}).",
            functools.partial(draw_coverage, coverages, effect_db),
        ),
    ]
    facts: dict[str, object] = {name: getattr(config, name) for name in config.__dataclass_fields__}
    facts["git_commit"] = rundir.read(run_dir).get("git_commit", "")
    tiles = {
        f"over seeds at {narrow['layer_size']:.0f} units": f"± {narrow['deviation_db']:.2f} dB",
        "of its variance by the first layer": f"{narrow['first_share']:.0%}",
    }
    sections = {
        "Few photographs": page.few(photographs),
        "By width": page.table(table, COLUMNS),
        "Measurements": page.plots(run_dir, drawings),
        "Settings": page.definitions(facts),
        "What the numbers mean": READING,
    }
    return page.write(run_dir, "Which initial weights decide", tiles, sections)
