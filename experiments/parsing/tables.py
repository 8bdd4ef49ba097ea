"""The tables of model parsing: what share of pictures is parsed rightly, beside the paper's.

Every percentage is of pictures, those of all tested networks together; where there are several
trainings, the mean over their seeds.

Letters: K values of a hyperparameter.
"""

import html
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.parsing import plan
from experiments.parsing.plan import HYPERPARAMETERS, PAPER_HELD_OUT
from experiments.report import page

# Percent, mean and standard deviation over three trainings, for each of PAPER_HELD_OUT.
# Source: Vonderfecht and Liu 2022, table of model parsing.
PAPER_PERCENT: dict[str, tuple[tuple[float, float] | None, ...]] = {
    "scale": ((100.0, 0.0), (100.0, 0.0), (99.6, 0.3), (99.4, 0.0), (98.9, 0.4), (51.5, 0.5)),
    "loss": ((98.6, 0.2), (98.4, 0.2), (94.3, 0.2), (95.5, 0.5), None, None),
    "architecture": ((74.2, 1.3), (74.4, 2.2), None, None, (44.3, 1.5), (20.8, 0.1)),
    "training_set": (None, None, (33.0, 1.4), (36.2, 1.0), (31.9, 0.3), (26.1, 0.4)),
}
PAPER_CHANCE = {"scale": 50.0, "loss": 100 / 3, "architecture": 20.0, "training_set": 25.0}
PAPER_ELSEWHERE = {"architecture": (22.8, 0.4)}  # of 11 published networks whose kind is known

Columns = dict[str, tuple[str, str]]


def accuracies(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return how often the parsers are right, a row for each hyperparameter and value held out.

    Args:
        predictions: rows of `experiments.parsing.run`. Those whose value the parser does not know
            are not counted.

    Returns:
        Columns predicted, held_out, percent, std_percent (over seeds, of the population),
        chance_percent (1 / K), seeds, networks, photographs, pictures (tested, of one seed); in the
        paper's order.
    """
    rows = []
    for (predicted, held_out), own in _groups(predictions):
        counted = own[_is_known(own)]
        if counted.empty:
            continue
        right = 100.0 * (counted["answer"] == counted["value"]).groupby(counted["seed"]).mean()
        rows.append(
            {
                "predicted": predicted,
                "held_out": held_out,
                "percent": right.mean(),
                "std_percent": right.std(ddof=0),
                "chance_percent": 100.0 / len(own["values"].iloc[0]),
                "seeds": len(right),
                "networks": counted["network"].nunique(),
                "photographs": counted["image_id"].nunique(),
                "pictures": len(counted) // len(right),
            }
        )
    return pd.DataFrame(rows)


def confusion(predictions: pd.DataFrame) -> tuple[tuple[str, ...], np.ndarray]:
    """Count what images of each value are parsed as.

    Args:
        predictions: of one hyperparameter and value held out, of all seeds.

    Returns:
        The values, and [K, K] shares, true values down and answers across; a row sums to 1, or is
        NaN where no tested picture has the value.
    """
    values = tuple(predictions["values"].iloc[0])
    counts = pd.crosstab(predictions["value"], predictions["answer"])
    counts = counts.reindex(index=values, columns=values, fill_value=0).to_numpy(float)
    totals = counts.sum(axis=1, keepdims=True)
    return values, np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def confusions(predictions: pd.DataFrame) -> dict[str, dict[str, tuple[tuple[str, ...], Any]]]:
    """Return hyperparameter -> value held out -> what `confusion` gives, of parsers tested here."""
    found: dict[str, dict[str, Any]] = {}
    for (predicted, held_out), own in _groups(predictions):
        if held_out:
            found.setdefault(predicted, {})[held_out] = confusion(own)
    return found


def beside_paper(measured: pd.DataFrame) -> tuple[pd.DataFrame, Columns]:
    """Put the paper's table beside ours, line by line, with the columns to show.

    Args:
        measured: of `accuracies`, of parsers with a value held out.
    """
    titles = _titles(measured)
    rows = []
    for predicted in HYPERPARAMETERS:
        own = measured[measured["predicted"] == predicted].set_index("held_out")
        if own.empty:
            continue
        paper = PAPER_PERCENT[predicted]
        here: dict[str, Any] = {"predicted": shown(predicted), "where": "here"}
        there: dict[str, Any] = {"predicted": "", "where": "paper"}
        here["chance"] = own["chance_percent"].mean()
        there["chance"] = PAPER_CHANCE[predicted]
        for held_out in titles:
            here[held_out] = None
            if held_out in own.index:
                row = own.loc[held_out]
                here[held_out] = with_scatter(row["percent"], row["std_percent"], row["seeds"])
            column = plan.column_of(held_out)
            told = paper[column] if column >= 0 else None
            there[held_out] = None if told is None else with_scatter(*told, seeds=3)
        rows += [here, there]
    columns: Columns = {
        "predicted": ("predicted", "{}"),
        "": ("where", "{}"),
        "by chance": ("chance", "{:.1f}"),
    }
    columns |= {f"without {title}": (held_out, "{}") for held_out, title in titles.items()}
    return pd.DataFrame(rows), columns


def elsewhere(predictions: pd.DataFrame) -> tuple[pd.DataFrame, Columns]:
    """Tabulate the parses of networks that no parser learned from, with the columns to show.

    Args:
        predictions: of parsers of all networks, at least one row.

    Returns:
        A row for each network, percent of its pictures, means over seeds.
    """
    rows = pd.DataFrame({"network": sorted(predictions["network"].unique())})
    columns: Columns = {"network": ("network", "{}")}
    for (predicted, _), own in _groups(predictions):
        by_network = own.groupby("network")
        name = f"{predicted} known"
        rows[name] = rows["network"].map(by_network["value"].first()).replace("", None)
        columns[shown(predicted)] = (name, "{}")
        for value in own["values"].iloc[0]:
            share = 100.0 * (own["answer"] == value).groupby(own["network"]).mean()
            name = f"{predicted} {value}"
            rows[name] = rows["network"].map(share)
            columns[html.escape(f"{shown(predicted)} {value} (%)")] = (name, "{:.0f}")
    return rows, columns


def by_network(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the percent right of every tested network, a row each."""
    own = predictions[_is_known(predictions)]
    right = own.assign(percent=100.0 * (own["answer"] == own["value"]))
    keys = ["predicted", "held_out", "network", "value"]
    return right.groupby(keys, as_index=False)["percent"].mean()


def with_scatter(percent: float, std_percent: float, seeds: int) -> str:
    """Return `98.6 ± 0.2`; without the scatter where there is one seed."""
    return str(page.with_deviation(percent, std_percent if seeds > 1 else math.nan))


def shown(name: str) -> str:
    """Return the name of a hyperparameter in words."""
    return name.replace("_", " ")


def _titles(measured: pd.DataFrame) -> dict[str, str]:
    """Map what is held out to its heading, in the paper's order; the paper's are all there."""
    held_out = set(measured["held_out"])
    columns = {plan.column_of(text) for text in held_out}
    held_out |= {
        f"{name}={values[0]}"
        for column, (name, values) in enumerate(PAPER_HELD_OUT)
        if column not in columns
    }
    return {text: _title(text) for text in plan.in_order(held_out)}


def _title(held_out: str) -> str:
    """Return `seed 3`; the paper's value in brackets where another stands for it."""
    name, _, value = held_out.partition("=")
    column = plan.column_of(held_out)
    paper = PAPER_HELD_OUT[column][1][0] if column >= 0 else value
    return html.escape(f"{shown(name)} {value}" + ("" if paper == value else f" ({paper})"))


def _groups(predictions: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Map each hyperparameter and held-out value to its rows, in the paper's order."""
    order = plan.in_order(predictions["held_out"])
    for predicted in HYPERPARAMETERS:
        for held_out in order:
            own = predictions[
                (predictions["predicted"] == predicted) & (predictions["held_out"] == held_out)
            ]
            if len(own):
                yield (predicted, held_out), own


def _is_known(predictions: pd.DataFrame) -> pd.Series:
    """Return whether a row's value is one that its parser can answer."""
    pairs = zip(predictions["value"], predictions["values"], strict=True)
    return pd.Series([value in values for value, values in pairs], predictions.index, bool)
