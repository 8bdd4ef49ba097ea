"""Line charts as SVG: drawn in a millisecond, so that they follow a slider, in the page's colours.

Matplotlib takes a tenth of a second for one. Colours are classes of style.css, which has them for a
light and a dark page.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from experiments.app import markup

WIDTH, HEIGHT = 440, 290
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 12, 46


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """Points of one kind.

    Attributes:
        name: in the legend.
        x: [N] float.
        y: [N] float.
        colour: 0 to 5, of the palette.
        kind: "line", "dashes" or "points".
        low: [N] lower end of a band; None without one.
        high: [N] upper end.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    kind: str = "line"
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def chart(series: Sequence[Series], *, title: str, x_label: str, y_label: str) -> str:
    """Return a chart over a logarithmic x axis, with its legend.

    Args:
        series: those without finite points at x > 0 are left out.
        title: what it shows, in a sentence for those who do not see it.
        x_label: with unit.
        y_label: with unit.
    """
    series = [kept for one in series if len((kept := _finite(one)).x)]
    if not series:
        return ""
    x = np.concatenate([one.x for one in series])
    ends = [end for one in series for end in (one.y, one.low, one.high) if end is not None]
    low_x, high_x = float(x.min()), float(x.max())
    if low_x == high_x:
        low_x, high_x = low_x / 1.5, high_x * 1.5
    low_y, high_y = float(min(map(np.min, ends))), float(max(map(np.max, ends)))
    pad = 0.05 * (high_y - low_y) or 1.0
    low_y, high_y = low_y - pad, high_y + pad

    def across(values: np.ndarray) -> np.ndarray:
        share = (np.log(values) - math.log(low_x)) / (math.log(high_x) - math.log(low_x))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(values: np.ndarray) -> np.ndarray:
        return TOP + (high_y - values) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)

    parts = []
    bottom = HEIGHT - BOTTOM
    for tick in log_ticks(low_x, high_x):
        at = across(np.array(tick))
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 17}" class="mid">{tick:,g}</text>')
    for tick in ticks(low_y, high_y):
        at = down(np.array(tick))
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 5:.1f}" class="end">{tick:g}</text>')
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 8}" class="mid">{x_label}</text>')
    middle = (HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(13 {middle})rotate(-90)" class="mid">{y_label}</text>'
    )
    for one in series:
        if one.low is not None and one.high is not None:
            edge_x = across(np.r_[one.x, one.x[::-1]])
            path = _path(edge_x, down(np.r_[one.low, one.high[::-1]]))
            parts.append(f'<path class="band c{one.colour}" d="{path}Z"/>')
    for one in series:
        xs, ys = across(one.x), down(one.y)
        if one.kind == "points":
            parts += [
                f'<circle class="dot c{one.colour}" cx="{a:.1f}" cy="{b:.1f}" r="5"/>'
                for a, b in zip(xs, ys, strict=True)
            ]
        else:
            parts.append(f'<path class="{one.kind} c{one.colour}" d="{_path(xs, ys)}"/>')
    legend = "".join(
        f'<li><span class="key {one.kind} c{one.colour}"></span>{markup.text(one.name)}</li>'
        for one in series
    )
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{markup.text(title)}">{"".join(parts)}</svg>'
        f"<figcaption><ul>{legend}</ul></figcaption></figure>"
    )


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two."""
    step = 10 ** math.floor(math.log10((high - low) / 5))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (k * step) <= 7)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(k * step, 10) for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return numbers of one digit between two, few enough to be written side by side."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [k * 10.0**decade for decade in decades for k in digits]
        found = [float(f"{tick:.1g}") for tick in found if low <= tick <= high]
        if len(found) <= 8:
            return found
    return found[:: math.ceil(len(found) / 8)]


def _finite(one: Series) -> Series:
    kept = np.isfinite(one.y) & np.isfinite(one.x) & (one.x > 0)
    low, high = (None if end is None else end[kept] for end in (one.low, one.high))
    return dataclasses.replace(one, x=one.x[kept], y=one.y[kept], low=low, high=high)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
