"""The figures of a run of SIREN fits: what is measured, and how settings change it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.report import figures
from experiments.report.page import Drawing
from jaxfleet.imaging import codecs
from jaxinr.networks import registry

MAX_PHOTOS = 6
MAX_HISTORIES = 2000
MAX_CELLS = 12  # rows or columns of a heat map
RECORDS = 40  # of progress in the throughput figure

# Settings whose effect is shown where they vary; with the photograph they make a design, of which
# fits that differ only in the seed are repeats.
AXES = {
    "w0_initial": "ω₀ of the first layer",
    "layer_size": "width (units per layer)",
    "num_layers": "depth (sine layers)",
    "w0": "ω₀ of the other layers",
    "learning_rate": "learning rate",
    "num_iters": "iterations",
    "network": "kind of network",
}
AXES |= {name: text for name, text in registry.meanings().items() if name not in AXES}


def make(
    fitted: pd.DataFrame,
    sampled: Sequence[str],
    photos: Mapping[str, np.ndarray],
    progress: Sequence[Mapping[str, float]],
) -> Iterator[Drawing]:
    """Draw every figure that has content; exact fits are in none of them."""
    fitted = fitted[np.isfinite(fitted["best_psnr_db"])]
    if fitted["hp_bpp"].nunique() > 1:
        yield _rate_distortion(fitted, sampled, photos)
    if drawing := _histories(fitted):
        yield drawing
    for axis in _axes(fitted):
        if fitted[axis].nunique() > 1:
            yield _effect(fitted, axis, AXES[axis])
    if drawing := _depth_by_width(fitted):
        yield drawing
    design = fitted.groupby(["image_id", *_axes(fitted)], dropna=False)
    repeats = design["best_psnr_db"].agg(["std", "count"]).reset_index().query("count > 1")
    if len(repeats):
        levels, spread_db = repeats["layer_size"].to_numpy(), repeats["std"].to_numpy()
        yield Drawing(
            "seeds",
            "Spread over seeds",
            "Standard deviation of PSNR over fits that differ only in their seed, by width.",
            lambda: figures.boxes(
                levels, spread_db, x_label=AXES["layer_size"], y_label="sd over seeds (dB)"
            ),
        )
    if progress:
        wall_s, rates = figures.rates(_thinned(progress))
        if np.isfinite(list(rates.values())).any():
            yield Drawing(
                "throughput",
                "Throughput",
                "Mean rates between records of progress; a gap where the run was resumed.",
                lambda: figures.throughput(wall_s[1:], rates),
            )


def _rate_distortion(
    fitted: pd.DataFrame, sampled: Sequence[str], photos: Mapping[str, np.ndarray]
) -> Drawing:
    """Draw every fit, with curves of the sampled photographs and of JPEG if available."""
    present = list(fitted["image_id"].unique())
    sampled = [name for name in sampled if name in present] or present[:MAX_PHOTOS]
    by_photo = fitted["image_id"].nunique() <= MAX_PHOTOS
    rows = fitted.sort_values("image_id" if by_photo else "num_layers")
    bits, psnr_db = (rows[name].to_numpy() for name in ("hp_bpp", "best_psnr_db"))
    groups = list(rows["image_id"] if by_photo else [f"{n} layers" for n in rows["num_layers"]])
    whose = f"mean of {len(sampled)} photographs" if len(sampled) > 1 else sampled[0]
    of_photo = [(rows["image_id"] == name).to_numpy() for name in sampled]
    limits = (float(bits.min()), float(bits.max()))
    curves = [figures.best_curve(bits[mine], psnr_db[mine]) for mine in of_photo]
    best = {f"best SIREN, {whose}": figures.mean_curve(curves, limits)}
    jpeg = {}
    if all(name in photos for name in sampled):
        curves = [codecs.rate_distortion(photos[name], codecs.JPEG) for name in sampled]
        jpeg[f"JPEG, {whose}"] = figures.mean_curve(curves, limits)
    dashed = "Dashed: JPEG of the same photographs, the whole file counted. " if jpeg else ""
    return Drawing(
        "rate_distortion",
        "PSNR against size",
        f"Every point is a fit. Solid: the best network up to that size. {dashed}Weights are "
        "counted at 16 bits each; the PSNR is that of the float32 weights.",
        lambda: figures.rate_distortion(bits, psnr_db, groups, best, jpeg, ordered=not by_photo),
    )


def _histories(fitted: pd.DataFrame) -> Drawing | None:
    known = fitted[fitted["iteration_history"].notna()]
    ranked = spread(known.sort_values("best_psnr_db", ascending=False), MAX_HISTORIES)
    iterations, psnr_db, labels = [], [], []
    for _, row in ranked.iterrows():
        steps = np.asarray(row["iteration_history"], dtype=float)
        values = np.asarray(row["psnr_history"], dtype=float)
        valid = np.isfinite(values) & (steps > 0)
        if valid.sum() > 1:
            iterations.append(steps[valid])
            psnr_db.append(values[valid])
            labels.append(f"{row['image_id']}, {architecture(row)}")
    if not labels:
        return None
    ranks = np.quantile(np.arange(len(labels)), (0.1, 0.35, 0.65, 0.9)).round().astype(int)
    examples = {labels[i]: int(i) for i in np.unique(ranks)}
    return Drawing(
        "iterations",
        "PSNR during training",
        "Single fits from the upper to the lower end, named by photograph and depth × width; "
        "where there are many, median and spread over those that reached the iteration.",
        lambda: figures.histories(iterations, psnr_db, examples),
    )


def _effect(fitted: pd.DataFrame, axis: str, name: str) -> Drawing:
    """Draw the PSNR at each value of one setting, less the share of the other settings."""
    fitted = fitted[fitted[axis].notna()]  # other kinds of networks do not have the setting
    others = [other for other in _axes(fitted) if other != axis]
    matched = fitted.groupby(["image_id", *others], dropna=False)
    has_pair = matched[axis].transform("nunique") > 1
    rows, peers = fitted, fitted.groupby("image_id")
    what = "its photograph's mean"
    if has_pair.mean() > 0.5:  # a grid; in a random sample nothing else is ever equal
        rows, peers = fitted[has_pair], matched
        what = "the mean of the fits that share its photograph and all other settings"
    relative_db = (fitted["best_psnr_db"] - peers["best_psnr_db"].transform("mean"))[rows.index]
    levels = rows[axis].to_numpy()
    return Drawing(
        f"effect_{axis}",
        f"Effect of {name.split(' (')[0]}",
        f"PSNR of each fit minus {what}. Boxes: quartiles; whiskers: 5 to 95 %.",
        lambda: figures.boxes(
            levels, relative_db.to_numpy(), x_label=name, y_label="relative PSNR (dB)"
        ),
    )


def _depth_by_width(fitted: pd.DataFrame) -> Drawing | None:
    """Return the mean PSNR of each depth and width, of a grid that has as many fits of each."""
    cells = fitted.groupby(["num_layers", "layer_size"])["best_psnr_db"].agg(["mean", "count"])
    means = cells["mean"].unstack()
    few = 1 < len(means) <= MAX_CELLS and 1 < len(means.columns) <= MAX_CELLS
    if not few or means.isna().any(axis=None) or cells["count"].nunique() > 1:
        return None
    return Drawing(
        "depth_by_width",
        "Depth and width together",
        f"Mean PSNR (dB) of the {cells['count'].iloc[0]:,} fits of each depth and width, over all "
        "photographs and other settings. Along a diagonal sizes are similar.",
        lambda: figures.heat_map(
            means.to_numpy(),
            list(means.index),
            list(means.columns),
            x_label=AXES["layer_size"],
            y_label=AXES["num_layers"],
        ),
    )


def spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return at most `count` rows, the first, the last and evenly in between."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
    return rows.iloc[chosen[: len(rows)]]


def architecture(row: pd.Series) -> str:
    """Return the depth and width as the reader of a SIREN paper writes them, such as `10 × 28`."""
    return f"{row['num_layers']} × {row['layer_size']}"


def _axes(table: pd.DataFrame) -> list[str]:
    """Return the axes that a run has; older runs have fewer."""
    return [name for name in AXES if name in table]


def _thinned(progress: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return about `RECORDS` of the records: evenly chosen, and both sides of every resumption."""
    seconds = np.asarray([record["seconds"] for record in progress])
    back = np.diff(seconds) < 0
    keep = np.arange(len(seconds)) % -(-len(seconds) // RECORDS) == 0
    keep |= np.r_[back, True] | np.r_[False, back]
    return [record for record, kept in zip(progress, keep, strict=True) if kept]
