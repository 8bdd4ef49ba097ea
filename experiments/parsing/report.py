"""The page of model parsing: `report.html` of its run, and `results.json` with the same numbers."""

import functools
import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.parsing import tables
from experiments.parsing.tables import PAPER_ELSEWHERE, shown
from experiments.report import page
from experiments.report.page import Drawing
from jaxfleet import rundir
from jaxfleet.results.showing import counted

TARGET_PERCENT = 95.0  # of scale and loss, with a seed held out
MAX_HARDEST = 20  # networks that are listed
PANELS = 3  # beside each other in a figure
MAX_LETTERS = 4  # of a value that stands upright under an axis

Matrices = Mapping[str, tuple[tuple[str, ...], np.ndarray]]


def write(run_dir: Path, predictions: pd.DataFrame, facts: Mapping[str, Any]) -> Path:
    """Write `report.html`, `figures/*.png` and `results.json`; return the path of the page.

    Args:
        run_dir: where to.
        predictions: rows of `experiments.parsing.run`, of all parsers, at least one.
        facts: what is to be known of the run, JSON-able.
    """
    measured = tables.accuracies(predictions)
    matrices = tables.confusions(predictions)
    by_network = tables.by_network(predictions)
    results = {
        "facts": dict(facts),
        "accuracies": _records(measured),
        "networks": _records(by_network),
        "confusions": [
            {
                "predicted": predicted,
                "held_out": held_out,
                "values": list(values),
                "shares": [[None if math.isnan(one) else one for one in row] for row in shares],
            }
            for predicted, panels in matrices.items()
            for held_out, (values, shares) in panels.items()
        ],
    }
    rundir.write_json(run_dir / "results.json", results)
    others = predictions[predictions["held_out"] == ""]
    sections = {
        "Few photographs": page.few(predictions["image_id"].nunique()),
        "Networks with a value held out": _beside_paper(measured[measured["held_out"] != ""]),
        "What is taken for what": page.plots(
            run_dir, (_drawing(predicted, panels) for predicted, panels in matrices.items())
        ),
        "Networks from elsewhere": _elsewhere(others, measured[measured["held_out"] == ""]),
        "Hardest networks": _hardest(by_network[by_network["held_out"] != ""]),
        "Settings": page.definitions({name: value for name, value in facts.items() if value != ""}),
        "What the numbers mean": READING,
    }
    title = "How was the network built that made this picture?"
    return page.write(run_dir, title, tiles(predictions, measured), sections)


def tiles(predictions: pd.DataFrame, measured: pd.DataFrame) -> dict[str, str]:
    """Return the figures at the top of the page.

    Args:
        predictions: rows of `experiments.parsing.run`.
        measured: of `tables.accuracies`.
    """
    values = {
        "parsers": f"{len(predictions[['predicted', 'held_out', 'seed']].drop_duplicates()):,}",
        "networks tested": f"{predictions['network'].nunique():,}",
        "photographs tested on": f"{predictions['image_id'].nunique():,}",
    }
    for row in measured.itertuples():
        if row.held_out.startswith("seed="):
            heading = f"{shown(row.predicted)}, {html.escape(_spelled(row.held_out))} new"
            text = tables.with_scatter(row.percent, row.std_percent, row.seeds)
            values[heading] = f"{text} %"
    return values


def confusion_figure(matrices: Matrices) -> Figure:
    """Draw what each value is parsed as, a panel for each value held out.

    Args:
        matrices: title -> K values and [K, K] shares, true values down, answers across.
    """
    columns = min(PANELS, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    figure = Figure(figsize=(2.7 * columns + 0.4, 2.8 * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, (values, shares)) in zip(all_axes, matrices.items(), strict=False):
        axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0.0, vmax=1.0)
        for (down, across), share in np.ndenumerate(shares):
            if not math.isnan(share):
                colour = "white" if share > 0.55 else "#22262b"
                text = f"{100 * share:.0f}"
                axes.text(across, down, text, ha="center", va="center", color=colour, fontsize=8)
        axes.set_title(title, fontsize=9, loc="left")
        is_long = max(map(len, values)) > MAX_LETTERS
        turned = {"rotation": 45, "ha": "right"} if is_long else {}
        axes.set_xticks(range(len(values)), values, fontsize=8, **turned)
        axes.set_yticks(range(len(values)), values, fontsize=8)
        axes.grid(visible=False)
    for axes in all_axes[len(matrices) :]:
        axes.set_visible(False)
    return figure


# ------------------------------------------------------------------------------------- the parts


def _beside_paper(measured: pd.DataFrame) -> str:
    if measured.empty:
        return ""
    reached = measured[
        measured["predicted"].isin(["scale", "loss"]) & measured["held_out"].str.startswith("seed=")
    ]
    said = ""
    if len(reached):
        share = int((reached["percent"] >= TARGET_PERCENT).sum())
        said = (
            f" Of scale and loss with a new seed, {share} of {len(reached)} reach "
            f"{TARGET_PERCENT:g} %."
        )
    return (
        "<p>Percent of pictures parsed rightly, of networks with a value that no parser has seen. "
        "The paper’s networks and photographs are others: 180 networks, 100 photographs, ConvNeXt."
        f"{said}</p>{page.table(*tables.beside_paper(measured), leading=2)}"
    )


def _drawing(predicted: str, panels: Matrices) -> Drawing:
    titled = {f"without {_spelled(held_out)}": one for held_out, one in panels.items()}
    return Drawing(
        f"confusion_{page.slug(predicted)}",
        f"{shown(predicted)[0].upper()}{shown(predicted)[1:]}",
        "Percent of pictures; down: how the network was built, across: what the parser says. "
        "Empty where no tested network has the value.",
        functools.partial(confusion_figure, titled),
    )


def _elsewhere(predictions: pd.DataFrame, measured: pd.DataFrame) -> str:
    """Return the table of networks that no parser learned from, or nothing."""
    if predictions.empty:
        return ""
    said = []
    for row in measured.itertuples():
        text = tables.with_scatter(row.percent, row.std_percent, row.seeds)
        line = (
            f"{shown(row.predicted)} {text} % of {counted(row.networks, 'network')} whose value is "
            f"known and learned (by chance {row.chance_percent:.1f} %"
        )
        if row.predicted in PAPER_ELSEWHERE:
            paper = tables.with_scatter(*PAPER_ELSEWHERE[row.predicted], seeds=3)
            line += f"; paper, 11 published networks: {paper} %"
        said.append(f"{line})")
    summary = f" Right: {'; '.join(said)}." if said else ""
    return (
        "<p>Parsers that learned from all networks, on networks that were trained elsewhere: "
        f"percent of test photographs parsed as each value.{summary}</p>"
        f"{page.table(*tables.elsewhere(predictions))}"
    )


def _hardest(by_network: pd.DataFrame) -> str:
    """List the networks that are parsed worst."""
    rows = by_network.sort_values(["percent", "network"]).head(MAX_HARDEST)
    rows = rows[rows["percent"] < 100.0]
    rows = rows.assign(
        predicted=rows["predicted"].map(shown), held_out=rows["held_out"].map(_spelled)
    )
    columns = {
        "network": ("network", "{}"),
        "predicted": ("predicted", "{}"),
        "without": ("held_out", "{}"),
        "is": ("value", "{}"),
        "right (%)": ("percent", "{:.0f}"),
    }
    return page.table(rows, columns)


def _spelled(held_out: str) -> str:
    """Return `training set B` of training_set=B."""
    name, _, value = held_out.partition("=")
    return f"{shown(name)} {value}"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=6))
    return records


READING = """<p>A parser tells one hyperparameter of a network from a picture that it made. All
networks with the value that a column names are kept out of its training and validation, and it is
tested on them alone, on photographs that no parser has seen; what it sees of each picture,
the square in its middle or all squares, is among the settings.
“By chance” is one over the number of values. A training set is told among networks whose seed every
training set has, as in the paper. With several trainings, means and standard deviations over
them.</p>
<pre>import pandas

predictions = pandas.read_parquet("predictions.parquet")</pre>
<p>run in the folder of this page, reads a row for each tested picture and parser.</p>"""
