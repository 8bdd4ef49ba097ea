"""The figures of attribution: matrices of classes, t-SNE, and accuracy along something.

Letters: K classes, N crops, B points of a curve.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import colors, ticker
from matplotlib.figure import Figure

from experiments.report import figures
from experiments.zoo.figures import COLOURS

_GAMMA = 0.4  # of the colours of shares, so that a few mistakes of a class are seen


class Line(NamedTuple):
    """A curve of accuracies with their standard errors, in percent.

    Attributes:
        x: [B] float, increasing.
        percent: [B] float.
        error: [B] float, NaN where it is not known.
    """

    x: np.ndarray
    percent: np.ndarray
    error: np.ndarray


def matrix(
    values: np.ndarray, groups: Sequence[str], *, label: str, x_label: str, y_label: str
) -> Figure:
    """Draw a square matrix whose rows and columns are classes, neighbours grouped.

    Args:
        values: [K, K] float in [0, 1]; NaN stays blank.
        groups: K names; where the name changes a line is drawn.
        label: of the colours.
        x_label: what columns are.
        y_label: what rows are.
    """
    figure, axes = figures.new()
    norm = colors.PowerNorm(_GAMMA, 0.0, 1.0)
    image = axes.imshow(values, norm=norm, cmap="magma", interpolation="nearest")
    axes.grid(visible=False)
    edges = [i for i in range(1, len(groups)) if groups[i] != groups[i - 1]]
    for edge in edges:
        axes.axvline(edge - 0.5, color="white", lw=0.6, alpha=0.7)
        axes.axhline(edge - 0.5, color="white", lw=0.6, alpha=0.7)
    bounds = [0, *edges, len(groups)]
    middles = [(low + high - 1) / 2 for low, high in zip(bounds[:-1], bounds[1:], strict=True)]
    names = [groups[low] for low in bounds[:-1]]
    axes.set_xticks(middles, names, rotation=45, ha="right")
    axes.set_yticks(middles, names)
    axes.tick_params(length=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    bar = figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    bar.set_ticks([0.0, 0.02, 0.1, 0.25, 0.5, 1.0], labels=["0", "0.02", "0.1", "0.25", "0.5", "1"])
    return figure


def scatter(points: np.ndarray, groups: Sequence[str]) -> Figure:
    """Draw points of a plane, coloured by what they are.

    Args:
        points: [N, 2] float.
        groups: N names; each has its colour, or beyond so many colours its colour and marker.
    """
    figure, axes = figures.new()
    of = np.asarray(groups)
    size = float(np.clip(6000 / len(points), 3, 24))
    for i, name in enumerate(sorted(set(groups))):
        own = points[of == name]
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linewidths": 0}
        marker = figures.MARKERS[i // len(COLOURS) % len(figures.MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=size, marker=marker, label=name, **look)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    figures.legend(figure, axes, markerscale=5 / size**0.5)
    return figure


def lines(curves: Mapping[str, Line], *, x_label: str, log_x: bool = False) -> Figure:
    """Draw accuracy along something, a curve for each method; bars are standard errors."""
    figure, axes = figures.new()
    for i, (name, (x, percent, error)) in enumerate(curves.items()):
        axes.errorbar(
            *(x, percent, np.nan_to_num(error)),
            marker=figures.MARKERS[i % len(figures.MARKERS)],
            color=COLOURS[i % len(COLOURS)],
            ms=4,
            lw=1.3,
            elinewidth=0.8,
            label=name,
        )
    if log_x:
        figures.log_x(axes, np.concatenate([line.x for line in curves.values()]))
    axes.set_ylim(0.0, 104.0)
    axes.yaxis.set_major_locator(ticker.MultipleLocator(20))
    axes.set_xlabel(x_label)
    axes.set_ylabel("right answers (%)")
    axes.axhline(100.0, color=mpl.rcParams["text.color"], lw=0.6)
    figures.legend(figure, axes)
    return figure
