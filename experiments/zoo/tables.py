"""The tables of a zoo's page: means over seeds, and every network by itself."""

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.report import page
from experiments.zoo.evaluate import BICUBIC, FACTS
from jaxfleet.imaging import decibels

VALIDATION = "validation set"  # by the run itself; no name of a benchmark set has a space

_IDENTITY = ["network", *FACTS]
_MEASURES = {  # heading -> measure, digits
    "PSNR-Y (dB)": ("psnr_y_db", 2),
    "exact": ("exact", 0),  # pictures; shown where there are any
    "over bicubic (dB)": ("gain_db", 2),
    "SSIM-Y": ("ssim_y", 4),
    "sharpness (dB)": ("sharpness_db", 1),
    "VGG19 distance": ("vgg_distance", 3),
}


def summary(means: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Return means and scatter over seeds, a row per kind of network, and columns to show.

    Args:
        means: rows of `evaluate.set_means`, at least one.
    """
    keys = ["scale", "architecture", "loss", "training_set"]
    sets = _sets(means)
    rows = []
    for values, own in means.groupby(keys):
        row: dict[str, Any] = dict(zip(keys, values, strict=True))
        row["seeds"] = np.nan if row["architecture"] == BICUBIC else own["network"].nunique()
        row["first_db"] = decibels.mean(own.loc[own["set"] == sets[0], "psnr_y_db"]).db
        for name, of_set in own.groupby("set"):
            for measure, digits in _MEASURES.values():
                row[f"{name} {measure}"] = _with_scatter(of_set[measure], digits)
        rows.append(row)
    frame = pd.DataFrame(rows).sort_values(["scale", "first_db"], ascending=[True, False])
    columns = {
        "architecture": ("architecture", "{}"),
        "loss": ("loss", "{}"),
        "trained on": ("training_set", "{}"),
        "scale": ("scale", "×{}"),
        "seeds": ("seeds", "{:.0f}"),
    }
    for heading, name, measure, _ in _measured(means):
        columns[heading] = (f"{name} {measure}", "{}")
    return frame, columns


def ranking(
    means: pd.DataFrame, done: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Return every network by its means, best first at each scale, with the columns to show.

    Args:
        means: rows of `evaluate.set_means`, at least one.
        done: rows of the run's table.
    """
    facts = done[["network", "parameters", "seconds"]]
    rows = means[_IDENTITY].drop_duplicates().merge(facts, on="network", how="left")
    columns = {
        "network": ("network", "{}"),
        "weights": ("parameters", "{:,.0f}"),
        "trained (s)": ("seconds", "{:,.0f}"),
    }
    for heading, name, measure, digits in _measured(means):
        own = means[means["set"] == name].set_index("network")[measure]
        rows[f"{name} {measure}"] = rows["network"].map(own)
        sign = "+" if measure == "gain_db" else ""
        columns[heading] = (f"{name} {measure}", f"{{:{sign}.{digits}f}}")
    first = f"{_sets(means)[0]} psnr_y_db"
    rows = rows.sort_values(["scale", first], ascending=[True, False])
    return rows, columns


def validation(done: pd.DataFrame) -> pd.DataFrame:
    """Return what the run measured itself, as rows of `evaluate.set_means`.

    Args:
        done: rows of the run's table, with status `done`.
    """
    rows = done[[*_IDENTITY, "psnr_y_db", "ssim_y"]].assign(set=VALIDATION)
    unknown = ("sharpness_db", "psnr_db", "vgg_distance", "gain_db", "pictures", "exact")
    return rows.assign(**dict.fromkeys(unknown, np.nan))


def _sets(means: pd.DataFrame) -> list[str]:
    """Benchmark sets, small ones first, and validation last."""
    pictures = means.groupby("set")["pictures"].max()
    return sorted(pictures.index, key=lambda name: (name == VALIDATION, pictures[name], name))


def _measured(means: pd.DataFrame) -> Iterator[tuple[str, str, str, int]]:
    """Return the heading, set, measure and digits of what there is a value of."""
    for name in _sets(means):
        own = means[means["set"] == name]
        for heading, (measure, digits) in _MEASURES.items():
            if own[measure].gt(0).any() if measure == "exact" else own[measure].notna().any():
                yield f"{html.escape(name)}: {heading}", name, measure, digits


def _with_scatter(values: pd.Series, digits: int) -> str | None:
    """Return `31.92 ± 0.04`, mean and standard deviation of the finite values, or `exact`."""
    if values.isna().all():
        return None
    values = values[np.isfinite(values.astype(float))]
    return "exact" if values.empty else page.with_deviation(values.mean(), values.std(), digits)
