"""The page of open sets: how well each score tells unknown networks, by what is unseen of them."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.report import figures, page
from experiments.report.figures import DASHES, MARKERS, PALETTE
from experiments.report.page import Drawing
from jaxsr.attribution import open_set

CURVE_SCORE = "probability"  # that the curves are of
_MEASURES = {  # heading -> measure
    "accuracy (%)": "accuracy",
    "AUROC (%)": "auroc",
    "OSCR (%)": "oscr",
    "TNR (%)": "tnr",
    "answered (%)": "answered",
    "refused (%)": "refused",
}
_GRID = np.linspace(0.0, 1.0, 201)


def write(
    run_dir: Path, rows: pd.DataFrame, table: pd.DataFrame, settings: Mapping[str, object]
) -> Path:
    """Write `report.html` and `figures/*.png`; return the path of the page.

    Args:
        run_dir: of the run.
        rows: of `run.score`.
        table: of `run.measure`.
        settings: name -> value, of the run.
    """
    by_kind = table.assign(unseen=table["unseen"].map(kind_of))
    sections = {
        "Few photographs": page.few(rows.loc[rows["split"] == "test", "image_id"].nunique()),
        "What is unseen": page.table(*summary(by_kind), leading=3),
        "Figures": page.plots(run_dir, _drawings(rows, by_kind)),
        "Every open set": page.table(*summary(table), leading=3),
        "Settings": page.definitions(settings),
        "What the numbers mean": READING,
    }
    return page.write(run_dir, "Networks that were never learnt", tiles(by_kind), sections)


def kind_of(unseen: str) -> str:
    """Return the column of COLUMN=VALUE."""
    return unseen.partition("=")[0]


def tiles(by_kind: pd.DataFrame) -> dict[str, str]:
    """Return the figures at the top of the page: the best mean AUROC of each kind of split."""
    shown = {}
    means = by_kind.groupby(["unseen", "method", "score"])["auroc"].mean()
    for unseen, own in means.groupby(level="unseen", sort=False):
        best = page.leaders(own.droplevel("unseen"), lambda *one: ", ".join(map(_said, one)))
        shown[f"AUROC, unseen {_said(unseen)}"] = f"{own.max():.1%} ({best})"
    return shown


def summary(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Return the means over splits and seeds of one name, with the columns to show.

    Args:
        table: rows of `run.measure`.
    """
    keys = ["unseen", "method", "score"]
    rows = []
    for values, own in table.groupby(keys, sort=False):
        row = dict(zip(keys, map(_said, values), strict=True))
        per_seed = 100 * own.groupby("seed")[list(_MEASURES.values())].mean()
        row |= {name: _with_deviation(per_seed[name]) for name in _MEASURES.values()}
        rows.append(row)
    columns = {
        "unseen": ("unseen", "{}"),
        "method": ("method", "{}"),
        "score": ("score", "{}"),
    }
    return pd.DataFrame(rows), columns | {
        heading: (name, "{}") for heading, name in _MEASURES.items()
    }


def curves(rows: pd.DataFrame) -> Figure:
    """Return the share of unknown crops answered, and of known crops answered rightly.

    Args:
        rows: of `run.score`, test crops, of splits of one kind.
    """
    figure, axes = figures.new()
    for number, (method, of_method) in enumerate(rows.groupby("method", sort=False)):
        heights = []
        for _, own in of_method.groupby(["unseen", "seed"]):
            known, unknown = own[own["is_known"]], own[~own["is_known"]]
            x, y = open_set.curve(
                known[CURVE_SCORE].to_numpy(float),
                known["is_correct"].to_numpy(bool),
                unknown[CURVE_SCORE].to_numpy(float),
            )
            heights.append(np.interp(_GRID, x, y))
        colour = PALETTE[number % len(PALETTE)]
        dashes = DASHES[number % len(DASHES)]
        y = 100 * np.mean(heights, axis=0)
        axes.plot(100 * _GRID, y, dashes, color=colour, lw=1.6, label=method)
    axes.set_ylim(0, 103)
    axes.set_xlabel("unknown networks answered (%)")
    axes.set_ylabel("known networks answered rightly (%)")
    figures.legend(figure, axes)
    return figure


def scores(table: pd.DataFrame) -> Figure:
    """Draw the AUROC of every score and method, means over splits and seeds.

    Args:
        table: rows of `run.measure`, of splits of one kind.
    """
    figure, axes = figures.new()
    names = list(dict.fromkeys(table["score"]))
    for number, (method, own) in enumerate(table.groupby("method", sort=False)):
        auroc = 100 * own.groupby("score")["auroc"].mean()[names]
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        axes.plot(auroc, range(len(names)), marker, color=colour, ms=6, label=method)
    axes.axvline(50, lw=0.8, ls="--", color=mpl.rcParams["text.color"])
    axes.set_yticks(range(len(names)), [_said(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("AUROC (%)")
    figures.legend(figure, axes)
    return figure


def _drawings(rows: pd.DataFrame, by_kind: pd.DataFrame) -> list[Drawing]:
    """Draw two figures for each kind of split."""
    tests = rows[rows["split"] == "test"]
    made = []
    for kind, table in by_kind.groupby("unseen", sort=False):
        own = tests[tests["unseen"].map(kind_of) == kind]
        made += [
            Drawing(
                f"curves_{kind}",
                f"Unseen {_said(kind)}: answers as the threshold falls",
                f"By {CURVE_SCORE}. Means over values and seeds; up and left is better.",
                functools.partial(curves, own),
            ),
            Drawing(
                f"scores_{kind}",
                f"Unseen {_said(kind)}: scores of being known",
                "Means over values and seeds; dashed is chance.",
                functools.partial(scores, table),
            ),
        ]
    return made


def _with_deviation(values: pd.Series) -> str:
    """Return the mean over seeds, with its deviation if there are several; – if unknown."""
    deviation = values.std(ddof=0) if len(values) > 1 else math.nan
    return page.with_deviation(values.mean(), deviation) or "–"


def _said(name: str) -> str:
    return name.replace("_", " ")


READING = """<p>Accuracy: of crops of known networks, the share whose likeliest network is the right
one; unknown ones do not count. AUROC: how often a crop of a known network has a higher score than
one of an unknown network; 50 % is chance. OSCR: area under the curve of known crops answered
rightly over unknown crops answered, at most the accuracy. TNR: share of the unknown crops below the
threshold that the wanted share of the known test crops reaches. That threshold is not to be had in
use; with the one of validation crops of known networks, “answered” is the share of known test crops
at or above it and “refused” the share of unknown ones below it.</p>
<p>Scores: probability of the likeliest network, not calibrated; certainty, one minus the normalised
entropy of the probabilities; and of Gaussians of the known networks in the classifier’s features
the log density (energy), the distance from the nearest (mahalanobis), and the same less the
distance from all together (relative mahalanobis). ± is the standard deviation over the seeds of the
classifier.</p>
<pre>import pandas

rows = pandas.read_parquet("crops.parquet")</pre>
<p>run in the folder of this page, reads a row for each crop.</p>"""
