"""Measure how the paper's findings change with the size of pictures and the length of training."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.forecaster import findings, metrics
from experiments.forecaster.data import FitTable

LEAST = 30  # photographs, and networks of different sizes, of a row
COLUMNS = {
    "pixels": ("pixels", "{}"),
    "iterations": ("iterations", "{}"),
    "fits": ("fits", "{:,}"),
    "photographs": ("photographs", "{:,}"),
    "explained by JPEG (%)": ("jpeg_percent", "{:.1f}"),
    "from": ("jpeg_low", "{:.1f}"),
    "to": ("jpeg_high", "{:.1f}"),
    "gain per doubling (dB)": ("gain_db", "{:.2f}"),
    "±": ("gain_error_db", "{:.2f}"),
}


def by_regime(table: FitTable) -> pd.DataFrame:
    """Measure two findings for each size of picture, short and long trainings apart.

    The variance of one architecture's PSNR that JPEG explains, in means over seeds, with a 95 %
    interval by Fisher's transformation; and the gain of a doubling of the parameters, over all
    other networks, with twice its standard error. Rows as of `COLUMNS`, values NaN where too few
    fits tell; sizes without any are left out.
    """
    frame = table.frame
    pixels = (frame["image_height"] * frame["image_width"]).to_numpy()
    is_long = table.iterations[:, -1] > metrics.LONG
    rows = []
    for size in np.unique(pixels):
        for long in (False, True):
            own = np.flatnonzero((pixels == size) & (is_long == long))
            row = _measured(table, own) if len(own) else None
            if row is not None:
                rows.append(row)
    return pd.DataFrame(rows, columns=[name for name, _ in COLUMNS.values()])


def _measured(table: FitTable, own: np.ndarray) -> dict[str, Any] | None:
    """Return the row of some fits, None if they tell neither."""
    frame = table.frame.iloc[own]
    truth_db, picture = table.truth_db[own], frame["picture"].to_numpy()
    common = metrics.most_fitted(frame)
    row: dict[str, Any] = {}
    photographs = len(np.unique(picture[common]))
    if photographs >= LEAST:
        line, _ = findings.jpeg_line(truth_db[common], picture[common], table.jpeg)
        z = np.arctanh(line.r2_means**0.5) + np.array([-1.96, 1.96]) / (photographs - 3) ** 0.5
        low, high = 100 * np.tanh(np.maximum(z, 0)) ** 2
        row |= {"jpeg_percent": 100 * line.r2_means, "jpeg_low": low, "jpeg_high": high}
    others = frame[~common]
    repeated = others.duplicated("picture", keep=False).to_numpy()
    if others["parameters"][repeated].nunique() >= LEAST:
        gains, _ = findings.gain_per_doubling(
            others["parameters"].to_numpy(),
            others["num_layers"].to_numpy(),
            others["picture"].to_numpy(),
            truth_db[~common],
        )
        row |= {"gain_db": gains["gain_db"][0], "gain_error_db": 2 * gains["error_db"][0]}
    if not row:
        return None
    first, updates = frame.iloc[0], table.iterations[own, -1]
    ends = dict.fromkeys(f"{end:,}" for end in (updates.min(), updates.max()))
    return row | {
        "pixels": f"{first['image_width']} × {first['image_height']}",
        "iterations": " to ".join(ends),
        "fits": len(own),
        "photographs": frame["image_id"].nunique(),
    }
