"""The page of robustness: accuracy against the strength of each perturbation, and every number."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.report import figures, page
from experiments.report.figures import MARKERS, PALETTE
from experiments.report.page import Drawing
from jaxsr.datasets import perturbations

_LEARNED = {"clean": "", "perturbed": ", trained on perturbed"}
_DASHES = {"clean": "-", "perturbed": "--"}


def write(
    run_dir: Path, table: pd.DataFrame, settings: Mapping[str, object], photographs: int
) -> Path:
    """Write `report.html` and `figures/*.png`; return the path of the page.

    Args:
        run_dir: of the run.
        table: rows of `run.measure`, at least one.
        settings: name -> value, of the run.
        photographs: how many were tested on.
    """
    sections = {
        "Few photographs": page.few(photographs),
        "Accuracy against strength": page.plots(run_dir, drawings(table)),
        "Every perturbation": page.table(*summary(table)),
        "Settings": page.definitions(settings),
        "What the numbers mean": READING,
    }
    return page.write(run_dir, "Fingerprints after perturbations", tiles(table), sections)


def tiles(table: pd.DataFrame) -> dict[str, str]:
    """Return the figures at the top of the page."""
    means = table.groupby(["perturbation", "method", "learned"])["accuracy"].mean()
    clean = means[perturbations.NONE]
    rest = means.drop(perturbations.NONE, level="perturbation")
    shown = {
        "perturbations": f"{table['perturbation'].nunique() - 1:,}",
        "classifiers": f"{len(table[['method', 'seed', 'learned']].drop_duplicates()):,}",
        "best on pictures as they are": f"{clean.max():.1%} ({page.leaders(clean, _said)})",
    }
    if len(rest):
        overall = rest.groupby(level=["method", "learned"]).mean()
        shown["best on the mean of the others"] = (
            f"{overall.max():.1%} ({page.leaders(overall, _said)})"
        )
    return shown


def summary(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Make a row for each perturbation, with the columns to show: accuracies of classifiers.

    Args:
        table: rows of `run.measure`.
    """
    order = list(dict.fromkeys(table["perturbation"]))
    rows = pd.DataFrame({"perturbation": order})
    columns = {"perturbation": ("perturbation", "{}")}
    for (method, learned), own in table.groupby(["method", "learned"]):
        accuracy = own.groupby("perturbation")["accuracy"]
        several = own["seed"].nunique() > 1
        deviation = accuracy.std(ddof=0) if several else accuracy.mean() * math.nan
        both = 100 * pd.DataFrame({"mean": accuracy.mean(), "deviation": deviation})
        text = both.apply(lambda one: page.with_deviation(one["mean"], one["deviation"]), axis=1)
        sure = own.groupby("perturbation")["probability"].mean()
        name = _said(method, learned)
        rows[name], rows[f"{name} sure"] = (rows["perturbation"].map(one) for one in (text, sure))
        columns[f"{name} (%)"] = (name, "{}")
        columns[f"{name}, how sure"] = (f"{name} sure", "{:.1%}")
    filled = table.groupby("perturbation")["filled"].mean()
    rows["filled"] = rows["perturbation"].map(filled)
    if filled.any():
        columns["mirrored"] = ("filled", "{:.0%}")
    return rows, columns


def drawings(table: pd.DataFrame) -> list[Drawing]:
    """Draw a figure for each kind of perturbation that has two strengths or more."""
    made = []
    parsed = {name: perturbations.parse(name) for name in table["perturbation"].unique()}
    for kind, known in perturbations.KINDS.items():
        strengths = {
            name: one.steps[0].strength
            for name, one in parsed.items()
            if len(one.steps) == 1 and one.steps[0].kind == kind
        }
        if len(strengths) > 1:
            draw = functools.partial(curves, table, strengths, known.unit)
            caption = "Dotted: the same classifier on pictures as they are. Means over seeds."
            made.append(Drawing(f"robustness_{kind}", known.said, caption, draw))
    return made


def curves(table: pd.DataFrame, strengths: Mapping[str, float], unit: str) -> Figure:
    """Draw accuracy against strength, a line per method, dashed if trained on perturbed.

    Args:
        table: rows of `run.measure`.
        strengths: perturbation -> x.
        unit: what x counts.
    """
    figure, axes = figures.new()
    colours = {name: number for number, name in enumerate(dict.fromkeys(table["method"]))}
    for (method, learned), own in table.groupby(["method", "learned"], sort=False):
        accuracy = 100 * own.groupby("perturbation")["accuracy"].mean()
        names = sorted(
            (name for name in strengths if name in accuracy.index), key=lambda name: strengths[name]
        )
        number = colours[method]
        colour = PALETTE[number % len(PALETTE)]
        axes.plot(
            [strengths[name] for name in names],
            accuracy[names],
            _DASHES[learned],
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            ms=4,
            lw=1.4,
            label=_said(method, learned),
        )
        axes.axhline(accuracy[perturbations.NONE], color=colour, lw=0.8, ls=":")
    axes.set_ylim(0, 103)
    axes.set_xlabel(unit)
    axes.set_ylabel("accuracy (%)")
    figures.legend(figure, axes)
    return figure


def _said(method: str, learned: str) -> str:
    return method + _LEARNED[learned]


READING = """<p>Accuracy is the share of crops for which the likeliest network is the right one; all
crops that lie side by side in a test picture count. A perturbation is applied to the whole picture
before it is cut. “How sure” is the mean probability of the likeliest network, calibrated on
validation pictures as the classifier learnt from them: where it is far above the accuracy, the
classifier does not notice what was done to the picture. Where a picture became smaller than a crop
it is mirrored at the right and at the bottom; the share of such crops is told. ± is the standard
deviation over the seeds of the classifier.</p>
<pre>import pandas

rows = pandas.read_parquet("crops.parquet")</pre>
<p>run in the folder of this page, reads a row for each test crop and perturbation.</p>"""
