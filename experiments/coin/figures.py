"""The figures of COIN on photographs: rate against distortion, and the price of fewer bits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.figures import MARKERS, PALETTE, Curve
from jaxfleet.imaging import decibels

LEAST_LOSS_DB = 1e-3  # less than that is drawn there

_MARGIN = 1.15  # of the rates drawn beyond those of networks
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_STYLES = ("-", "--", ":")


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
        title: what it shows.
        networks: name -> bits per pixel [B] and dB [B]; solid, dashed and dotted, in this order.
        codecs: the same of codecs, thin lines, one colour each.
        points: name -> bits per pixel [S] and dB [S], as marks; each name that has a line of
            `networks` has its marks on it.
    """

    title: str
    networks: Mapping[str, Curve]
    codecs: Mapping[str, Curve]
    points: Mapping[str, Curve]


def rate_distortion(panels: Sequence[Panel]) -> Figure:
    """Return PSNR against bits per pixel, a panel below another; names in one legend below all."""
    figure = Figure(figsize=(5.4, 1.0 + 3.6 * len(panels)), layout="constrained")
    for axes, panel in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True
    ):
        _draw(axes, panel)
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    return figure


def quantisation(
    names: Sequence[str], bits: Sequence[int], psnr_db: np.ndarray, floats_db: np.ndarray
) -> Figure:
    """Draw the PSNR against bits per weight, and below it what is lost to float32.

    Args:
        names: [S] sizes of network, smallest first.
        bits: [K] increasing.
        psnr_db: [S, K] mean at these bits.
        floats_db: [S, 2] mean of float16 and float32.
    """
    figure = Figure(figsize=(5.4, 6.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    places = np.array(bits)
    beside = places[-1] + 1.5 * np.arange(1, 3)
    for i, name in enumerate(names):
        colour = mpl.colormaps["viridis"](0.05 + 0.8 * i / max(len(names) - 1, 1))
        look: dict[str, Any] = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "ms": 4}
        loss_db = np.maximum(decibels.difference(floats_db[i, 1], psnr_db[i]), LEAST_LOSS_DB)
        half_loss_db = np.fmax(decibels.difference(*floats_db[i, ::-1]), LEAST_LOSS_DB)
        above.plot(places, psnr_db[i], label=name, lw=1.4, **look)
        above.plot(beside, floats_db[i], lw=0, **look)
        below.plot(places, loss_db, lw=1.4, **look)
        below.plot(beside[:1], [float(half_loss_db)], lw=0, **look)
    above.set_ylabel("mean PSNR (dB)")
    below.set_ylabel("loss to float32 (dB)")
    below.set_yscale("log")
    below.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    below.yaxis.set_minor_locator(ticker.NullLocator())
    below.set_xticks([*places, *beside], [*map(str, places), "float\n16", "float\n32"])
    below.set_xlabel("bits per weight")
    figure.legend(title="layers × units", loc="outside lower center", ncols=min(len(names), 5))
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    curves = [*panel.networks.values(), *panel.points.values()]
    rates = np.concatenate([x for x, _ in curves])
    low, high = rates.min() / _MARGIN, rates.max() * _MARGIN
    for style, (name, (x, y)) in zip(_STYLES, panel.networks.items(), strict=False):
        axes.plot(x, y, style, color=PALETTE[0], lw=2.0, zorder=3, label=name)
    for colour, (name, (x, y)) in zip(PALETTE[1:], panel.codecs.items(), strict=False):
        inside = (x >= low) & (x <= high)
        axes.plot(x[inside], y[inside], color=colour, lw=1.3, label=name)
    for marker, (name, (x, y)) in zip("os", panel.points.items(), strict=False):
        own = name in panel.networks
        colour = PALETTE[0] if own else mpl.rcParams["text.color"]
        axes.plot(x, y, marker, color=colour, ms=5, zorder=3, label=None if own else name)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(ticker.FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("mean PSNR (dB)")
