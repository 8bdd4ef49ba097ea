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
W0_COLUMNS = {
    "network": ("network", "{}"),
    "pixels": ("pixels", "{}"),
    "ω₀ from": ("w0_low", "{:.1f}"),
    "ω₀ to": ("w0_high", "{:.1f}"),
    "fits": ("fits", "{:,}"),
    "PSNR (dB)": ("mean_db", "{:.2f}"),
    **{name: COLUMNS[name] for name in ("explained by JPEG (%)", "from", "to")},
}


def by_regime(table: FitTable) -> pd.DataFrame:
    """Measure two findings for each size of picture, short and long trainings apart.

    The variance of one architecture's PSNR that JPEG explains, in means over seeds, with a 95 %
    interval by Fisher's transformation, and the gain of a doubling of the parameters, over all
    other networks, with twice its standard error. Where hardly two fits share their `w0_initial`
    its effect is taken off before (`without_w0`); where hardly a picture was fitted twice, JPEG
    stands for what sets pictures apart. Rows as of `COLUMNS`, values NaN where too few fits tell;
    sizes without any are left out.
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
    frame = table.frame.iloc[own].reset_index(drop=True)
    truth_db = table.truth_db[own].astype(np.float64)
    row: dict[str, Any] = {}
    common = metrics.most_fitted(frame)
    is_varied = frame["picture"][common].nunique() < LEAST
    if is_varied:
        common = metrics.most_fitted(frame, ["w0_initial"])
    one, one_db = frame[common], truth_db[common]
    photographs = one["picture"].nunique()
    if photographs >= LEAST:
        row |= _explained(table, one, without_w0(table, one, one_db) if is_varied else one_db)
    others, others_db = frame[~common], truth_db[~common]
    size = np.log2(others["parameters"].to_numpy(float))
    repeated = others.duplicated("picture", keep=False)
    if others["parameters"][repeated].nunique() >= LEAST:
        gains, _ = findings.gain_per_doubling(
            others["parameters"].to_numpy(),
            others["num_layers"].to_numpy(),
            others["picture"].to_numpy(),
            others_db,
        )
        row |= {"gain_db": gains["gain_db"][0], "gain_error_db": 2 * gains["error_db"][0]}
    elif others["parameters"].nunique() >= LEAST:
        beside = np.column_stack([size, _w0(others), _jpeg(table, others)])
        effects, errors = _effects(beside, others_db)
        row |= {"gain_db": effects[0], "gain_error_db": 2 * errors[0]}
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


def by_w0(table: FitTable) -> pd.DataFrame:
    """Measure how much JPEG explains where `w0_initial` is low, middling and high.

    Of long trainings, the network that was fitted most often, in thirds of its values of
    `w0_initial`, the effect of which is taken off within each. Rows as of `W0_COLUMNS`; none where
    fewer than `LEAST` photographs or values tell.
    """
    long = np.flatnonzero(table.iterations[:, -1] > metrics.LONG)
    frame = table.frame.iloc[long]
    rows = []
    if len(long):
        common = metrics.most_fitted(frame, ["w0_initial"])
        own, truth_db = frame[common], table.truth_db[long][common].astype(np.float64)
        order = np.argsort(own["w0_initial"].to_numpy(), kind="stable")
        for third in np.array_split(order, 3):
            some = own.iloc[third]
            if some[["picture", "w0_initial"]].nunique().min() < LEAST:
                return pd.DataFrame(columns=[name for name, _ in W0_COLUMNS.values()])
            first = some.iloc[0]
            rows.append(
                {
                    "network": f"{first['num_layers']} × {first['layer_size']}",
                    "pixels": f"{first['image_width']} × {first['image_height']}",
                    "w0_low": some["w0_initial"].min(),
                    "w0_high": some["w0_initial"].max(),
                    "fits": len(some),
                    "mean_db": truth_db[third].mean(),
                    **_explained(table, some, without_w0(table, some, truth_db[third])),
                }
            )
    return pd.DataFrame(rows, columns=[name for name, _ in W0_COLUMNS.values()])


def without_w0(table: FitTable, frame: pd.DataFrame, psnr_db: np.ndarray) -> np.ndarray:
    """Return [N] PSNR less the effect of `w0_initial`, a parabola in its logarithm.

    It is fitted beside the PSNR and sizes of the pictures' JPEG files.
    """
    w0 = _w0(frame)
    slopes, _ = _effects(np.column_stack([w0, _jpeg(table, frame)]), psnr_db)
    effect_db = w0 @ slopes[:2]
    return psnr_db - effect_db + effect_db.mean()


def _explained(table: FitTable, frame: pd.DataFrame, psnr_db: np.ndarray) -> dict[str, Any]:
    """Return the share of the variance that JPEG explains, with its interval, in percent."""
    line, _ = findings.jpeg_line(psnr_db, frame["picture"].to_numpy(), table.jpeg)
    freedom = frame["picture"].nunique() - 3
    z = np.arctanh(line.r2_means**0.5) + np.array([-1.96, 1.96]) / freedom**0.5
    low, high = 100 * np.tanh(np.maximum(z, 0)) ** 2
    return {"jpeg_percent": 100 * line.r2_means, "jpeg_low": low, "jpeg_high": high}


def _w0(frame: pd.DataFrame) -> np.ndarray:
    """Return [N, 2], a parabola in log `w0_initial`."""
    w0 = np.log2(frame["w0_initial"].to_numpy(float))
    return np.column_stack([w0, w0**2])


def _jpeg(table: FitTable, frame: pd.DataFrame) -> np.ndarray:
    """Return [N, len(jpeg.NAMES)] of the fits' pictures."""
    return table.jpeg[frame["picture"]].astype(np.float64)


def _effects(columns: np.ndarray, psnr_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes [K] and standard errors [K] of least squares on columns [N, K]."""
    columns = columns - columns.mean(axis=0)
    slopes, *_ = np.linalg.lstsq(columns, psnr_db - psnr_db.mean(), rcond=None)
    rest = psnr_db - psnr_db.mean() - columns @ slopes
    freedom = max(len(psnr_db) - columns.shape[1] - 1, 1)
    variance = np.sum(rest**2) / freedom * np.diag(np.linalg.pinv(columns.T @ columns))
    return slopes, np.sqrt(variance)
