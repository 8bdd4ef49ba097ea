"""The figures of a zoo of super-resolution networks: training, perception and spectra.

A panel for each scale. Colours stand for architectures, and dashes or marks for losses, save where
a figure is of losses alone.

Letters: T points of a curve, F radial frequencies, S side of a spectrum.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.report.figures import MARKERS, PALETTE, Curve

# Architectures may be more than the house's colours.
COLOURS = (*PALETTE, "#882255", "#7f8790", "#999933", "#44aa99", "#661100", "#aa4499")
SPECTRUM_REACH_DB = 24.0  # of the colours of a spectrum, up and down

_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")

Kind = tuple[str, str]  # architecture, loss


class Point(NamedTuple):
    """A network in the plane of fidelity and sharpness, means over pictures."""

    kind: Kind
    sharpness_db: float
    psnr_y_db: float


def curves(
    panels: Mapping[str, Mapping[Kind, Curve]],
    *,
    x_label: str,
    y_label: str,
    log_y: bool = False,
) -> Figure:
    """Draw curves over iterations: title of a panel -> kind of network -> x [T] and y [T]."""
    figure, all_axes = _panels(panels)
    kinds = [kind for lines in panels.values() for kind in lines]
    colours, dashes = _looks(kinds, COLOURS, 0), _looks(kinds, _DASHES, 1)
    for axes, lines in zip(all_axes, panels.values(), strict=True):
        for (architecture, loss), (x, y) in lines.items():
            look = {"color": colours[architecture], "linestyle": dashes[loss]}
            axes.plot(x, y, lw=1.3, marker="o" if len(x) == 1 else "", ms=3, **look)
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.set_ylabel(y_label)
    all_axes[-1].set_xlabel(x_label)
    ink = mpl.rcParams["text.color"]
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    if len(dashes) > 1:
        handles += [Line2D([], [], color=ink, ls=dash, label=name) for name, dash in dashes.items()]
    _legend(figure, handles)
    return figure


def sharpness(panels: Mapping[str, tuple[Sequence[Point], Point | None]]) -> Figure:
    """Draw fidelity against sharpness: title of a panel -> networks, and bicubic if known."""
    figure, all_axes = _panels(panels, share_x=False)
    kinds = [point.kind for points, _ in panels.values() for point in points]
    colours, marks = _looks(kinds, COLOURS, 0), _looks(kinds, tuple(MARKERS), 1)
    ink = mpl.rcParams["text.color"]
    for axes, (points, bicubic) in zip(all_axes, panels.values(), strict=True):
        for (architecture, loss), x, y in points:
            look = {"color": colours[architecture], "marker": marks[loss]}
            axes.scatter(x, y, s=26, alpha=0.75, linewidths=0, **look)
        if bicubic is not None:
            axes.scatter(bicubic.sharpness_db, bicubic.psnr_y_db, s=36, color=ink, marker="x")
        axes.axvline(0.0, color=ink, lw=1.0, ls="--")
        axes.set_ylabel("mean PSNR-Y (dB)")
    all_axes[-1].set_xlabel("sharpness against the truth (dB)")
    dot: dict[str, Any] = {"ls": "", "ms": 5}
    handles = [Line2D([], [], color=c, marker="o", label=n, **dot) for n, c in colours.items()]
    handles += [Line2D([], [], color=ink, marker=m, label=n, **dot) for n, m in marks.items()]
    handles.append(Line2D([], [], color=ink, marker="x", label="bicubic", **dot))
    _legend(figure, handles)
    return figure


def spectra(panels: Mapping[str, Mapping[Kind, np.ndarray]], bicubic: str) -> Figure:
    """Draw power over frequency against the truth's: a thin line per network, a thick mean.

    Args:
        panels: title -> kind -> [F] dB, from frequency 0 to Nyquist.
        bicubic: the architecture that stands for enlargement without a network; dashed.
    """
    figure, all_axes = _panels(panels)
    kinds = [kind for lines in panels.values() for kind in lines if kind[0] != bicubic]
    colours = _looks(kinds, COLOURS, 1)
    ink = mpl.rcParams["text.color"]
    lowest = [0.0]
    for axes, lines in zip(all_axes, panels.values(), strict=True):
        for loss, colour in colours.items():
            own = np.array(
                [y for (name, one), y in lines.items() if one == loss and name != bicubic]
            )
            if len(own):
                x = np.linspace(0.0, 0.5, own.shape[1])
                axes.plot(x, own.T, color=colour, lw=0.7, alpha=0.6)
                axes.plot(x, own.mean(axis=0), color=colour, lw=2.0)
                lowest.append(own.min())
        for (name, _), y in lines.items():
            if name == bicubic:
                axes.plot(np.linspace(0.0, 0.5, len(y)), y, color=ink, lw=1.2, ls="--")
        axes.axhline(0.0, color=ink, lw=0.8)
        axes.set_ylabel("power against the truth (dB)")
    for axes in all_axes:
        axes.set_ylim(bottom=1.15 * min(lowest) - 3.0)
    all_axes[-1].set_xlabel("cycles per pixel")
    handles = [Line2D([], [], color=colour, lw=2.0, label=n) for n, colour in colours.items()]
    handles.append(Line2D([], [], color=ink, ls="--", label="bicubic"))
    _legend(figure, handles)
    return figure


def spectrum_maps(maps: Mapping[str, np.ndarray]) -> Figure:
    """Draw centred spectra against the truth's: title -> [S, S], dB; red is more, blue less."""
    columns = min(4, len(maps))
    rows = -(-len(maps) // columns)
    figure = Figure(figsize=(2.0 * columns + 1.0, 2.2 * rows + 0.5), layout="constrained")
    all_axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in all_axes.flat[len(maps) :]:
        axes.set_axis_off()
    for axes, (title, map_db) in zip(all_axes.flat, maps.items(), strict=False):
        reach: dict[str, Any] = {"vmin": -SPECTRUM_REACH_DB, "vmax": SPECTRUM_REACH_DB}
        drawn = axes.imshow(map_db, extent=(-0.5, 0.5, 0.5, -0.5), cmap="RdBu_r", **reach)
        axes.set_title(title, fontsize=8)
        axes.set_xticks([-0.5, 0, 0.5])
        axes.set_yticks([-0.5, 0, 0.5])
        axes.grid(visible=False)
    figure.colorbar(drawn, ax=list(all_axes.flat), label="power against the truth (dB)", shrink=0.8)
    figure.supxlabel("cycles per pixel, across", fontsize=9)
    figure.supylabel("cycles per pixel, down", fontsize=9)
    return figure


def _panels(panels: Mapping[str, Any], *, share_x: bool = True) -> tuple[Figure, list[Axes]]:
    """Draw a figure with one panel per title, below each other."""
    figure = Figure(figsize=(5.4, 1.2 + 2.9 * len(panels)), layout="constrained")
    all_axes = list(figure.subplots(len(panels), 1, sharex=share_x, squeeze=False)[:, 0])
    for axes, title in zip(all_axes, panels, strict=True):
        axes.set_title(title, fontsize=10, loc="left")
    return figure, all_axes


def _looks(kinds: Sequence[Kind], looks: Sequence[Any], part: int) -> dict[str, Any]:
    """Name -> look, for the architectures (part 0) or the losses (part 1) of these kinds."""
    names = sorted({kind[part] for kind in kinds})
    return {name: looks[i % len(looks)] for i, name in enumerate(names)}


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Write names under the panels."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = 4 if longest < 12 else 3 if longest < 18 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
