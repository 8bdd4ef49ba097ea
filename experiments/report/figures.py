"""The figures of a report, and the curves they show: arrays in, a matplotlib Figure out.

Every figure has one size, that of half a page on a screen and of a whole one on a phone. Colours
are those of Okabe and Ito, told apart also by the colour-blind; whatever has an order is coloured
by viridis. Figures are drawn through `to_png`; a dark page inverts them.

Letters: M fits (networks), T logged iterations, B points of a curve of PSNR against bits per pixel,
K records of a run's progress.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxfleet.imaging import codecs

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
MARKERS = "osD^vP"
DASHES = ("-", "--", "-.", ":")  # of lines that would be told apart by colour alone
DPI = 180  # of a PNG
MAX_LEVELS = 10  # boxes beside each other; more values than that are binned

Curve = tuple[np.ndarray, np.ndarray]

_INK, _FAINT, _PAPER = "#22262b", "#d9dde2", "#ffffff"
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _INK,
    "axes.facecolor": _PAPER,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": _PAPER,
    "font.size": 10.0,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "savefig.facecolor": _PAPER,
    "text.color": _INK,
    "text.parse_math": False,  # a dollar in the name of a photograph is a dollar
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def to_png(draw: Callable[[], Figure]) -> bytes:
    """Return the figure that `draw` makes as PNG, in the project's style."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Of a name in a script that no font here has; it stands in the text beside the figure.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def styled(draw: Callable[[], Figure]) -> Figure:
    """Return the figure that `draw` makes in the project's style, to be saved later."""
    with mpl.rc_context(_STYLE):
        return draw()


@contextlib.contextmanager
def pdf(path: Path) -> Iterator[Callable[[Figure], None]]:
    """Write a PDF; what is given adds a figure of `styled` as its next page."""
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(path, metadata={"CreationDate": None}) as pages:

        def add(figure: Figure) -> None:
            with mpl.rc_context(_STYLE):
                pages.savefig(figure)

        yield add


def rate_distortion(
    bits_per_pixel: np.ndarray,
    psnr_db: np.ndarray,
    groups: Sequence[str],
    curves: Mapping[str, Curve],
    yardsticks: Mapping[str, Curve],
    *,
    ordered: bool = False,
) -> Figure:
    """Draw the PSNR of every fit against its size, with curves on top.

    Args:
        bits_per_pixel: [M] float, more than 0.
        psnr_db: [M] float.
        groups: M names, such as the photograph of each fit; each name has its colour.
        curves: name -> (bits per pixel [B], dB [B]), drawn solid; empty ones are left out.
        yardsticks: the same, drawn dashed.
        ordered: whether the groups, in order of appearance, stand for rising values.
    """
    figure, axes = new()
    names, group_of = list(dict.fromkeys(groups)), np.asarray(groups)
    size = float(np.clip(3000 / len(psnr_db), 8, 26))
    for i, name in enumerate(names):
        chosen = group_of == name
        axes.scatter(
            bits_per_pixel[chosen],
            psnr_db[chosen],
            s=size,
            color=_colour(i, len(names), ordered),
            marker=MARKERS[i % len(MARKERS)],
            alpha=0.75,
            linewidths=0,
            label=name,
        )
    ink = mpl.rcParams["text.color"]
    for dashes, named in (("-", curves), ("--", yardsticks)):
        for name, (x, y) in named.items():
            if len(x):
                axes.plot(x, y, dashes, color=ink, linewidth=1.6, label=name)
    log_x(axes, bits_per_pixel)
    axes.set_xlabel("bits per pixel, at 16 bits per weight")
    axes.set_ylabel("PSNR (dB)")
    legend(figure, axes, markerscale=5 / size**0.5)
    return figure


def histories(
    iterations: Sequence[np.ndarray], psnr_db: Sequence[np.ndarray], examples: Mapping[str, int]
) -> Figure:
    """Draw the PSNR during training: median and bands over all fits, and some fits alone.

    Histories may differ in length; at each iteration the median is over the fits that reached it.

    Args:
        iterations: M arrays [T], increasing, more than 0.
        psnr_db: M arrays [T], finite.
        examples: label -> index in 0..M-1 of a fit to draw by itself.
    """
    figure, axes = new()
    last = max(float(steps[-1]) for steps in iterations)
    first = min(float(steps[0]) for steps in iterations)
    grid = np.unique(np.r_[np.geomspace(first, last, 200), [steps[-1] for steps in iterations]])
    values = np.stack(
        [
            np.interp(grid, steps, psnr, left=np.nan, right=np.nan)
            for steps, psnr in zip(iterations, psnr_db, strict=True)
        ]
    )
    reached = np.isfinite(values).any(axis=0)
    grid, values = grid[reached], values[:, reached]
    if len(values) > 4:
        for outer, alpha in ((5, 0.14), (25, 0.24)):
            low, high = np.nanpercentile(values, (outer, 100 - outer), axis=0)
            label = f"middle {100 - 2 * outer} % of fits"
            axes.fill_between(grid, low, high, alpha=alpha, color="#7f8790", lw=0, label=label)
        middle = np.nanmedian(values, axis=0)
        axes.plot(grid, middle, color=mpl.rcParams["text.color"], lw=1.8, label="median")
    for i, (name, fit) in enumerate(examples.items()):
        look: dict[str, Any] = {"color": PALETTE[i], "lw": 1.2, "ls": DASHES[i % len(DASHES)]}
        axes.plot(iterations[fit], psnr_db[fit], label=name, **look)
    if last > 20 * first:
        log_x(axes, np.asarray([first, last]))
    axes.set_xlabel("iteration")
    axes.set_ylabel("PSNR (dB)")
    legend(figure, axes)
    return figure


def boxes(levels: np.ndarray, values: np.ndarray, *, x_label: str, y_label: str) -> Figure:
    """Draw values at each level of a setting: quartiles, 5 to 95 % whiskers, mean, values.

    Args:
        levels: [M] the setting; above `MAX_LEVELS` distinct ones, bins of equal count.
        values: [M] float.
        x_label: what the setting is, with its unit.
        y_label: what the values are, with their unit.
    """
    figure, axes = new()
    names, index = _binned(levels)
    samples = [values[index == i] for i in range(len(names))]
    rng = np.random.default_rng(0)
    for i, sample in enumerate(samples):
        some = rng.permutation(sample)[:150]
        offset = rng.uniform(-0.16, 0.16, len(some))
        axes.scatter(i + offset, some, s=6, color=PALETTE[5], alpha=0.6, linewidths=0, zorder=1)
    ink = mpl.rcParams["text.color"]
    axes.boxplot(
        samples,
        positions=range(len(names)),
        widths=0.5,
        whis=(5, 95),
        showfliers=False,
        medianprops={"color": PALETTE[3], "linewidth": 1.6},
        boxprops={"color": ink},
        whiskerprops={"color": ink},
        capprops={"color": ink},
    )
    means = [float(np.mean(sample)) for sample in samples]
    axes.plot(range(len(names)), means, "o-", color=PALETTE[0], ms=4, lw=1.2, label="mean")
    axes.plot([], [], color=PALETTE[3], label="median")
    crowded = sum(map(len, names)) > 40
    axes.set_xticks(range(len(names)), names, rotation=30 if crowded else 0)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    legend(figure, axes)
    return figure


def heat_map(
    values: np.ndarray,
    rows: Sequence[object],
    columns: Sequence[object],
    *,
    x_label: str,
    y_label: str,
) -> Figure:
    """Return numbers at each pair of two settings, written into cells whose colours show them, too.

    Args:
        values: [R, C] float, finite.
        rows: R values of the setting on the y axis, the first one at the bottom.
        columns: C values of the setting on the x axis.
        x_label: what the columns are, with their unit.
        y_label: what the rows are, with their unit.
    """
    figure, axes = new()
    low, high = float(values.min()), float(values.max())
    axes.imshow(values, cmap="viridis", origin="lower", aspect="auto")
    small = max(values.shape) > 8
    for (row, column), value in np.ndenumerate(values):
        bright = value - low > 0.6 * (high - low)
        axes.text(
            *(column, row),
            f"{value:.1f}",
            ha="center",
            va="center",
            color="black" if bright else "white",
            fontsize=6.5 if small else 9,
        )
    axes.set_xticks(range(len(columns)), [str(value) for value in columns])
    axes.set_yticks(range(len(rows)), [str(value) for value in rows])
    axes.grid(visible=False)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure


def throughput(seconds: np.ndarray, rates: Mapping[str, np.ndarray]) -> Figure:
    """Draw the rates during a run, one panel each.

    Args:
        seconds: [K] wall time at the end of each interval, increasing.
        rates: label with unit -> [K] mean rate over the interval; NaN leaves a gap.
    """
    unit, length = next(
        (unit, length)
        for unit, length in (("h", 3600.0), ("min", 60.0), ("s", 1.0))
        if seconds[-1] > 2 * length or length == 1.0
    )
    figure, first = new(rows=len(rates))
    for axes, (label, rate), colour in zip(figure.axes, rates.items(), PALETTE, strict=False):
        marker = "o" if len(rate) < 40 else ""
        axes.plot(seconds / length, rate, color=colour, marker=marker, ms=3, lw=1.3)
        axes.set_ylim(0.0, 1.1 * float(np.nanmax(rate)) or 1.0)
        if np.nanmax(rate) >= 1000:
            axes.yaxis.set_major_formatter(ticker.EngFormatter(sep="\N{THIN SPACE}"))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.set_ylabel(label)
    figure.align_ylabels()
    figure.axes[-1].set_xlabel(f"wall time ({unit})")
    first.set_xlim(left=0.0)
    return figure


# ----------------------------------------------------------------------------------- the curves


def best_curve(bits_per_pixel: np.ndarray, psnr_db: np.ndarray) -> Curve:
    """Return size and PSNR of the fits of one photograph that no other beats: `codecs.undominated`.

    Args:
        bits_per_pixel: [M] float.
        psnr_db: [M] float, none NaN.

    Returns:
        [B] bits per pixel and [B] dB, both increasing; where the largest network is not the best,
        a last point at its size repeats the best.
    """
    x, y = codecs.undominated(bits_per_pixel, psnr_db)
    largest = bits_per_pixel.max()
    return (np.append(x, largest), np.append(y, y[-1])) if largest > x[-1] else (x, y)


def mean_curve(curves: Sequence[Curve], limits: tuple[float, float]) -> Curve:
    """Return the mean of curves over log bits per pixel, where all are known and in `limits`.

    A curve ends before its first exact point (inf); one that is exact throughout is left out.

    Returns:
        [64] bits per pixel and [64] dB; both empty where the curves have no range in common.
    """
    curves = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        return np.empty(0), np.empty(0)
    low = max(limits[0], *(float(x.min()) for x, _ in curves))
    high = min(limits[1], *(float(x.max()) for x, _ in curves))
    grid = np.geomspace(low, high, 64) if low < high else np.empty(0)
    values = [np.interp(np.log(grid), np.log(x), y) for x, y in curves]
    return grid, np.mean(values, axis=0)


def rates(progress: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the wall time and rates between records of a run's progress.

    Where the clock goes back the run was resumed: time is added up over the stretches, and the rate
    of that interval is NaN, since what the new stretch began from is not on record.

    Args:
        progress: K records of `seconds`, `fits` and `pixel_steps` so far.

    Returns:
        [K] s, wall time of each record; and rates per second by their label, each [K - 1].
    """
    columns = ("seconds", "fits", "pixel_steps")
    records = np.asarray([[record[name] for name in columns] for record in progress], dtype=float)
    records = records.reshape(-1, 3)
    step = np.diff(records, axis=0)
    elapsed = np.where(step[:, 0] < 0, records[1:, 0], step[:, 0])
    steady = (step >= 0).all(axis=1) & (elapsed > 0)
    per_second = np.full((len(step), 2), np.nan)
    per_second[steady] = step[steady, 1:] / elapsed[steady, None]
    wall_s = np.cumsum(np.r_[records[:1, 0], elapsed])
    return wall_s, {
        "fits per second": per_second[:, 0],
        "pixel-steps per second": per_second[:, 1],
    }


# ---------------------------------------------------------------------------------- the drawing


def new(rows: int = 1) -> tuple[Figure, Axes]:
    """Return an empty figure and its first axes, of `rows` panels that share x."""
    figure = Figure(figsize=(5.4, 4.1), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)
    return figure, panels[0, 0]


def _colour(i: int, count: int, ordered: bool) -> Any:
    if ordered and count > 1:
        return mpl.colormaps["viridis"](0.1 + 0.8 * i / (count - 1))
    return PALETTE[i % len(PALETTE)]


def log_x(axes: Axes, values: np.ndarray) -> None:
    """Make x logarithmic, a little wider than `values`, with ticks written out: 0.2, 0.5, 1."""
    low, high = float(values.min()), float(values.max())
    margin = 1.5 if high < 2 * low else (high / low) ** 0.04
    axes.set_xscale("log")
    axes.set_xlim(low / margin, high * margin)
    steps = (1, 1.5, 2, 3, 5, 7) if high < 8 * low else (1, 2, 5) if high < 500 * low else (1,)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=steps, numticks=20))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def legend(figure: Figure, axes: Axes, markerscale: float = 1.0) -> None:
    """Add a legend under the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [label if len(label) < 45 else f"{label[:43]}…" for label in labels]
    longest = max(map(len, labels), default=0)
    columns = 4 if longest < 12 else 3 if longest < 18 else 2
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, markerscale=markerscale
    )


def _binned(levels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return names of the distinct levels, or of bins of equal count, and the index [M] of each."""
    distinct, index = np.unique(levels, return_inverse=True)
    if len(distinct) <= MAX_LEVELS:
        return [level if isinstance(level, str) else f"{level:g}" for level in distinct], index
    edges = np.unique(np.quantile(levels, np.linspace(0, 1, 7)))
    names = [f"{low:.3g}–{high:.3g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return names, np.clip(np.searchsorted(edges, levels, side="right") - 1, 0, len(names) - 1)
