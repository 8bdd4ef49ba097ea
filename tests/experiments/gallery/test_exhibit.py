import types

import numpy as np

from experiments.gallery import exhibit


def test_a_square_marks_what_the_enlargement_left(monkeypatch):
    monkeypatch.setattr(exhibit, "paragraph", lambda *given: "in words")
    judge = types.SimpleNamespace(names=(), arrays={})
    found = types.SimpleNamespace(ranking=[("mine", 1.0)], scale=(2.0, 0.9), verdict="enlarged")
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    figure = exhibit.draw(judge, found, pixels, "it.png", "0" * 64)
    (square,) = figure.axes[1].lines
    x, y = square.get_xydata().T
    assert list(zip(x, y, strict=True)) == [  # up to a quarter of a cycle, at twice the size
        (-0.25, -0.25), (0.25, -0.25), (0.25, 0.25), (-0.25, 0.25), (-0.25, -0.25),
    ]  # fmt: skip
