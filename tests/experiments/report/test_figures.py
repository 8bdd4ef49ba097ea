"""Figures whose names can be told apart."""

import numpy as np
import pytest
from matplotlib.lines import Line2D

from experiments.attribution import figures as attribution
from experiments.report import figures
from experiments.siren.drawings import MAX_PHOTOS

STEPS = np.arange(1.0, 4.0)


def sizes(names, ordered):
    groups, values = [name for name in names for _ in STEPS], np.tile(STEPS, len(names))
    return figures.rate_distortion(values, values, groups, {}, {}, ordered=ordered)


def shown(names):
    return {name: number for number, name in enumerate(names)}


def look(handle):
    """What tells a sign of a legend from others: colour, and marker with dashes or shape."""
    line = handle[0] if isinstance(handle, tuple) else handle  # the line of error bars
    if isinstance(line, Line2D):
        return line.get_color(), line.get_marker(), line.get_linestyle()
    return tuple(handle.get_facecolor()[0]), handle.get_paths()[0].vertices.tobytes()


@pytest.mark.parametrize(
    ("count", "draw"),
    [
        (MAX_PHOTOS, lambda names: sizes(names, ordered=False)),
        (12, lambda names: sizes(names, ordered=True)),
        (6, lambda names: figures.histories([STEPS] * 6, [STEPS] * 6, shown(names))),
        (16, lambda names: attribution.scatter(np.zeros((16, 2)), names)),
        (
            12,
            lambda names: attribution.lines(
                {name: attribution.Line(STEPS, STEPS, STEPS) for name in names}, x_label="x"
            ),
        ),
    ],
    ids=["photographs", "sizes", "histories", "points", "methods"],
)
def test_every_name_of_a_legend_has_a_look_of_its_own(count, draw):
    names = [f"name {number}" for number in range(count)]
    handles, labels = figures.styled(lambda: draw(names)).axes[0].get_legend_handles_labels()
    assert set(names) <= set(labels)
    assert len({look(handle) for handle in handles}) == len(labels)


@pytest.mark.filterwarnings("error")
def test_a_name_that_no_font_has_is_drawn_without_a_warning():
    def draw():
        figure, axes = figures.new()
        axes.set_title("\N{CJK UNIFIED IDEOGRAPH-732B}.png")
        return figure

    assert figures.to_png(draw).startswith(b"\x89PNG")
