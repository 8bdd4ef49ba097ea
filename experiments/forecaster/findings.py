"""What the paper found out about SIRENs, looked for in a collection of our own.

Each function takes arrays and returns the numbers, and a figure with a sentence that puts them
beside the paper's. M fits, P pictures, G settings of a grid, T iterations.

Source: Vonderfecht & Liu (TMLR 2024); a number called the paper's is theirs.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure
from scipy import optimize, stats

from experiments.forecaster import jpeg
from experiments.forecaster.metrics import SETTINGS
from experiments.report import figures
from experiments.report.figures import PALETTE
from experiments.report.page import Drawing
from jaxinr.forecaster import inputs

Forecast = Callable[[np.ndarray, np.ndarray], np.ndarray]


class JpegLine(NamedTuple):
    """SIREN PSNR = slope * JPEG PSNR + offset_db, in files of `bits` bits without headers."""

    bits: float
    slope: float
    offset_db: float
    r2_means: float
    r2_fits: float
    pictures: int


class BestSettings(NamedTuple):
    """The agreement of pictures on the best row of a grid.

    `common` is the row that is best in the mean, `share_*` the share of pictures the own best row
    of which has its value, and `loss_db` what it costs to use it for all: mean and 95 % quantile.
    """

    common: np.ndarray
    share_layers: float
    share_w0_initial: float
    share_both: float
    loss_db: float
    loss_95_db: float


# -------------------------------------------------------------------------------- spread over seeds


def seed_spread(frame: pd.DataFrame) -> tuple[pd.DataFrame, Drawing]:
    """Compute the standard deviation over the seeds, by width.

    Args:
        frame: fits, those of one width with the same depths as the others.

    Returns:
        A row for each width: `layer_size, std_db` (root of the mean variance, by degrees of
        freedom), `mean_db, groups, fits`; groups are of fits that differ in their seeds alone.
    """
    fits = frame.drop_duplicates([*SETTINGS, "seed"])
    groups = fits.groupby(SETTINGS)["best_psnr_db"].agg(["var", "mean", "size"]).reset_index()
    groups = groups[groups["size"] > 1]
    freedom = groups["size"] - 1
    sums = groups.assign(squares=groups["var"] * freedom, freedom=freedom, groups=1)
    sums["total"] = sums["mean"] * sums["size"]
    by_width = sums.groupby("layer_size")[["squares", "freedom", "total", "size", "groups"]].sum()
    spread = pd.DataFrame(
        {
            "std_db": np.sqrt(by_width["squares"] / by_width["freedom"]),
            "mean_db": by_width["total"] / by_width["size"],
            "groups": by_width["groups"],
            "fits": by_width["size"],
        }
    ).reset_index()
    ends = spread.iloc[[0, -1]].drop_duplicates()
    said = " and ".join(f"{e.std_db:.2f} dB at {e.layer_size} units" for e in ends.itertuples())
    drawing = Drawing(
        "seed_spread",
        "Spread over seeds against width",
        f"Fits that differ in nothing but the seed scatter by {said}. The paper: very high for "
        "narrow networks, less for wide ones. A dot is one photograph, the line the root mean "
        "square.",
        functools.partial(_draw_spread, groups, spread),
    )
    return spread, drawing


def _draw_spread(groups: pd.DataFrame, spread: pd.DataFrame) -> Figure:
    figure, axes = figures.new()
    width = groups["layer_size"].to_numpy(float)
    jitter = np.random.default_rng(0).uniform(-0.03, 0.03, len(width))
    several = groups["size"] > 3  # of two fits it says little
    axes.scatter(
        (width * 2**jitter)[several],
        np.sqrt(groups["var"])[several],
        s=9,
        color=PALETTE[5],
        alpha=0.6,
        linewidths=0,
        label="one photograph",
    )
    axes.plot(spread["layer_size"], spread["std_db"], "o-", color=PALETTE[0], ms=5, label="all")
    figures.log_x(axes, width)
    if len(spread) <= figures.MAX_LEVELS:
        axes.set_xticks(spread["layer_size"], spread["layer_size"].map(str))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("units of a layer")
    axes.set_ylabel("standard deviation of PSNR (dB)")
    figures.legend(figure, axes)
    return figure


# ------------------------------------------------------------------------------- SIREN against JPEG


def jpeg_line(
    psnr_db: np.ndarray, picture: np.ndarray, files: np.ndarray
) -> tuple[JpegLine, Drawing]:
    """Fit the line from the PSNR of JPEG to that of SIRENs of one architecture.

    The bits of the JPEG file are those at which the two agree best over the pictures' means.

    Args:
        psnr_db: [M] best PSNR of fits that differ in picture and seed.
        picture: [M] which row of `files`.
        files: [P, len(jpeg.NAMES)] of the pictures.
    """
    pictures, index, count = np.unique(picture, return_inverse=True, return_counts=True)
    means_db = np.bincount(index, psnr_db) / count

    def jpeg_at(log2_bits: float) -> np.ndarray:
        return jpeg.at_bits(files[pictures], np.full(len(pictures), log2_bits))

    size = files[pictures][:, [name.endswith("log2_bits") for name in jpeg.NAMES]]
    found = optimize.minimize_scalar(
        lambda log2_bits: -_r2(jpeg_at(log2_bits), means_db),
        bounds=(float(size.min()), float(size.max())),
        method="bounded",
    )
    x = jpeg_at(found.x)
    slope, offset = np.polyfit(x, means_db, 1)
    result = JpegLine(
        float(2**found.x),
        float(slope),
        float(offset),
        _r2(x, means_db),
        _r2(x[index], psnr_db),
        len(pictures),
    )
    drawing = Drawing(
        "jpeg",
        "SIREN against JPEG at one size",
        f"The PSNR of a JPEG file of {result.bits / 8:,.0f} bytes explains "
        f"{100 * result.r2_means:.1f} % of the variance of the mean over seeds, and "
        f"{100 * result.r2_fits:.1f} % of that of single fits. The paper: 98 %. Headers are left "
        "out of the size.",
        functools.partial(_draw_jpeg, x, means_db, psnr_db, index, result),
    )
    return result, drawing


def _r2(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _draw_jpeg(
    x: np.ndarray, means_db: np.ndarray, psnr_db: np.ndarray, index: np.ndarray, line: JpegLine
) -> Figure:
    figure, axes = figures.new()
    axes.scatter(x[index], psnr_db, s=4, color=PALETTE[5], alpha=0.3, lw=0, label="one fit")
    axes.scatter(x, means_db, s=9, color=PALETTE[0], lw=0, label="mean over seeds")
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, line.slope * ends + line.offset_db, color=PALETTE[3], label="line")
    axes.set_xlabel("PSNR of JPEG (dB)")
    axes.set_ylabel("PSNR of the SIREN (dB)")
    figures.legend(figure, axes)
    return figure


# -------------------------------------------------------------------------------- gain per doubling


def varies_by_picture(values: np.ndarray, picture: np.ndarray) -> bool:
    """Return whether some picture, [M] of them, has values, [M], that differ."""
    return bool((pd.Series(values).groupby(picture).nunique() > 1).any())


def gain_per_doubling(
    parameters: np.ndarray, num_layers: np.ndarray, picture: np.ndarray, psnr_db: np.ndarray
) -> tuple[pd.DataFrame, Drawing]:
    """Compute the gain in dB of doubling the parameters, by depth and overall.

    One least-squares line over log2(parameters) for all fits, with an offset for each picture;
    then, with these offsets taken off, one line for each depth.

    Args:
        parameters: [M] of the network; `varies_by_picture`.
        num_layers: [M].
        picture: [M] which picture.
        psnr_db: [M].

    Returns:
        `num_layers` (0 for all), `gain_db`, `error_db` (standard error), `at_db` (height of the
        line at the geometric mean of the parameters), `fits`.
    """
    x = np.log2(parameters)
    middle = x.mean()
    _, index = np.unique(picture, return_inverse=True)

    def of_picture(values: np.ndarray) -> np.ndarray:
        return (np.bincount(index, values) / np.bincount(index))[index]

    overall = stats.linregress(x - of_picture(x), psnr_db - of_picture(psnr_db))
    offset = of_picture(psnr_db - overall.slope * (x - middle))
    adjusted = psnr_db - offset + offset.mean()
    rows = [(0, overall.slope, overall.stderr, float(offset.mean()), len(x))]
    for layers in np.unique(num_layers):
        own = num_layers == layers
        if np.ptp(x[own]) > 0.5:
            fitted = stats.linregress(x[own] - middle, adjusted[own])
            rows.append((layers, fitted.slope, fitted.stderr, fitted.intercept, int(own.sum())))
    gains = pd.DataFrame(rows, columns=["num_layers", "gain_db", "error_db", "at_db", "fits"])
    by_depth = gains["gain_db"].iloc[1:]
    said = f" ({by_depth.min():.1f} to {by_depth.max():.1f} by depth)" if len(by_depth) else ""
    drawing = Drawing(
        "gain_per_doubling",
        "PSNR against parameters",
        f"Each doubling of the parameters gains {overall.slope:.2f} dB{said}. The paper: about 2. "
        "Dots are fits, with what sets their photograph apart taken off.",
        functools.partial(_draw_gain, parameters, num_layers, adjusted, gains, 2.0**middle),
    )
    return gains, drawing


def _draw_gain(
    parameters: np.ndarray,
    num_layers: np.ndarray,
    adjusted_db: np.ndarray,
    gains: pd.DataFrame,
    middle: float,
) -> Figure:
    figure, axes = figures.new()
    some = np.random.default_rng(0).permutation(len(parameters))[:3000]
    low, high = int(num_layers.min()), int(num_layers.max())
    colours = mpl.colormaps["viridis"].resampled(high - low + 1)
    norm = mpl.colors.Normalize(low - 0.5, high + 0.5)
    look = mpl.cm.ScalarMappable(norm, colours)
    x, y = parameters[some], adjusted_db[some]
    axes.scatter(x, y, s=5, color=look.to_rgba(num_layers[some]), alpha=0.5, linewidths=0)
    for gain in gains.itertuples():
        own = parameters if gain.num_layers == 0 else parameters[num_layers == gain.num_layers]
        ends = np.array([own.min(), own.max()])
        y = gain.at_db + gain.gain_db * np.log2(ends / middle)
        if gain.num_layers == 0:
            ink = mpl.rcParams["text.color"]
            axes.plot(ends, y, color=ink, lw=1.8, label=f"all: {gain.gain_db:.2f} dB per doubling")
        else:
            axes.plot(ends, y, color=look.to_rgba(gain.num_layers), lw=1.2)
    whole = ticker.MaxNLocator(integer=True)
    figure.colorbar(look, ax=axes, label="layers", ticks=whole, pad=0.02)
    figures.log_x(axes, parameters)
    axes.set_xlabel("parameters")
    axes.set_ylabel("PSNR (dB)")
    figures.legend(figure, axes)
    return figure


# ------------------------------------------------------------------------------- the best settings


def grid(
    parameters: int,
    num_layers: Sequence[int],
    w0_initial: Sequence[float],
    *,
    learning_rate: float,
    side: int,
) -> np.ndarray:
    """[L, W, len(inputs.TRIAL)] rows: the widest network within `parameters` of each depth."""
    depth = np.array(num_layers, float)
    square, linear = depth - 1, depth + 5  # parameters = square w^2 + linear w + 3
    rest = parameters - 3
    width = 2 * rest / (linear + np.sqrt(linear**2 + 4 * square * rest))
    width = np.maximum(np.floor(width + 1e-9), 1)
    rows = np.empty((len(depth), len(w0_initial), len(inputs.TRIAL)))
    rows[..., 0], rows[..., 1] = width[:, None], depth[:, None]
    rows[..., 2], rows[..., 3], rows[..., 4:] = w0_initial, learning_rate, side
    return rows


def best_settings(
    forecast: Forecast, pictures: np.ndarray, rows: np.ndarray
) -> tuple[BestSettings, Drawing]:
    """Measure how little the best layers, width and w0_initial depend on the picture, as forecast.

    Args:
        forecast: (pictures [M], rows [M, len(inputs.TRIAL)]) -> mean [M] in dB.
        pictures: [P] their numbers.
        rows: [L, W, len(inputs.TRIAL)] of `grid`.
    """
    flat = rows.reshape(-1, rows.shape[-1])
    asked = np.repeat(pictures, len(flat)), np.tile(flat, (len(pictures), 1))
    psnr_db = forecast(*asked).reshape(len(pictures), len(flat))
    loss_db = psnr_db.max(1, keepdims=True) - psnr_db
    best = int(loss_db.mean(0).argmin())
    own = psnr_db.argmax(1)
    layers, w0_initial = flat[own, 1] == flat[best, 1], flat[own, 2] == flat[best, 2]
    result = BestSettings(
        flat[best],
        float(layers.mean()),
        float(w0_initial.mean()),
        float((own == best).mean()),
        float(loss_db[:, best].mean()),
        float(np.quantile(loss_db[:, best], 0.95)),
    )
    counts = np.bincount(own, minlength=len(flat)).reshape(rows.shape[:2])
    width, depth, w0 = flat[best, :3]
    drawing = Drawing(
        "best_settings",
        "Does the best network depend on the picture?",
        f"Of networks with about {inputs.parameters(flat).max():,.0f} parameters, as forecast, "
        f"{depth:.0f} × {width:.0f} with ω₀ {w0:.3g} is best in the mean. "
        f"{100 * result.share_layers:.0f} % of the photographs agree on layers and units, "
        f"{100 * result.share_w0_initial:.0f} % on ω₀; to use it for all costs "
        f"{result.loss_db:.2f} dB in the mean and {result.loss_95_db:.2f} dB at 95 %. The paper: "
        "the picture has little effect. Circles: how many photographs are best there.",
        functools.partial(_draw_best, rows, loss_db.mean(0).reshape(rows.shape[:2]), counts),
    )
    return result, drawing


def _draw_best(rows: np.ndarray, loss_db: np.ndarray, counts: np.ndarray) -> Figure:
    figure, axes = figures.new()
    mesh = axes.imshow(loss_db, cmap="viridis_r", aspect="auto", origin="lower")
    layer, column = np.nonzero(counts)
    area = 250 * counts[layer, column] / counts.max()
    axes.scatter(column, layer, s=area, facecolors="none", edgecolors=PALETTE[3], linewidths=1.5)
    axes.grid(visible=False)
    widths, depths = rows[:, 0, 0], rows[:, 0, 1]
    names = [f"{depth:.0f} × {width:.0f}" for depth, width in zip(depths, widths, strict=True)]
    axes.set_yticks(range(len(names)), names)
    step = -(-rows.shape[1] // 8)
    axes.set_xticks(range(0, rows.shape[1], step), [f"{w:.3g}" for w in rows[0, ::step, 2]])
    axes.set_xlabel("ω₀ of the first layer")
    axes.set_ylabel("layers × units")
    figure.colorbar(mesh, label="mean loss to each photograph’s best (dB)", pad=0.02)
    return figure
