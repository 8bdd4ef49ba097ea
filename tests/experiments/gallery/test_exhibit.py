"""An identification for people: lines, a figure with known spectra, a page."""

import dataclasses
import types

import numpy as np

from experiments.gallery import exhibit
from jaxsr.gallery.answer import ErrorRate, Identification
from jaxsr.gallery.judge import Judge
from jaxsr.gallery.state import State

FOUND = Identification(
    ranking=(("mine", 0.7), ("a-x2", 0.3)),
    hyperparameters={},
    is_known=True,
    margin=0.1,
    is_super_resolved=True,
    super_resolved_probability=0.9,
    num_tiles=1,
    state=State("jpeg", 90, "4:2:0"),
    is_enlarged=True,
    group="network",
    scale=(2.0, 0.97),
    groups={"original": 0.05, "interpolation": 0.05, "network": 0.9},
    families=(("A", 1.0),),
    error_rates={"group": ErrorRate("photographs called enlarged by a network", 1, 50)},
)


def test_beside_an_answer_stand_its_probability_and_its_errors():
    said = exhibit.lines(FOUND, 1)
    assert said[0] == "verdict: enlarged by a network"
    assert "network 90.0%" in said[3]
    assert "1 of 50 photographs called enlarged by a network" in said[3]
    assert said[1:3] == ["cut out of a larger picture: cannot tell", "sharpened: cannot tell"]
    assert "2 times the size (97.0%)" in said[4]
    assert said[5:7] == ["made smaller afterwards: cannot tell", "family: cannot tell (A 100.0%)"]
    rate = {"is_resized": ErrorRate("pictures called made smaller", 2, 90)}
    resized = dataclasses.replace(FOUND, resized=0.96, error_rates=rate)
    assert exhibit.lines(resized, 1)[5] == (
        "made smaller afterwards: yes (96.0%; in tests in this state: 2 of 90 pictures called made "
        "smaller)"
    )
    both = dataclasses.replace(resized, cropped=True, sharpened=0.99)
    assert exhibit.lines(both, 1)[1:3] == [
        "cut out of a larger picture: yes",
        "sharpened: yes (99.0%)",
    ]
    words = exhibit.paragraph("x.png", "0" * 64, both)
    assert "It was cut out of a larger picture, sharpened and made smaller afterwards." in words


def test_the_figure_shows_the_spectrum_of_the_likeliest_class_that_the_judge_knows():
    planes = np.zeros((2, 16, 16), np.float16)
    planes[0] = 5.0
    arrays = {"planes": planes, "profiles": np.zeros((2, 33), np.float16)}
    judge = Judge(("a-x2", "original"), ("A", "original"), ("network", "original"), arrays, {})
    pixels = np.random.default_rng(0).integers(0, 256, (120, 130, 3), dtype=np.uint8)
    figure = exhibit.draw(judge, FOUND, pixels, "x.png", "0" * 64)
    axes = figure.axes
    assert axes[2].get_title() == "spectrum of mean of a-x2"
    np.testing.assert_array_equal(axes[2].images[0].get_array(), np.full((32, 32), 5.0))
    labels = [line.get_label() for line in axes[3].lines]
    assert labels[:3] == ["this picture", "mean of a-x2", "mean of original"]
    np.testing.assert_array_equal(axes[3].lines[3].get_xdata(), [0.25, 0.25])  # half of a half


def test_a_page_shows_names_of_files_as_they_are():
    class Asked:
        settings = {"jaxsr": "1"}

    page = exhibit.page("t", [{"file": "<b>.png", "error": "grey"}], Asked())
    assert "&lt;b&gt;.png" in page
    assert "not used: grey" in page


def test_a_page_says_an_error_rate_once_and_of_what_was_not_enlarged_no_factor():
    class Asked:
        settings = {"jaxsr": "1"}

    rate = ErrorRate("pictures of networks called not enlarged", 3, 50)
    same = {"is_enlarged": rate, "group": rate}
    found = dataclasses.replace(
        FOUND, is_enlarged=False, group="original", scale=None, error_rates=same
    )
    told = {"file": "x.png", "sha256": "0", **found.to_json()}
    page = exhibit.page("t", [told], Asked())
    assert page.count("3 of 50 pictures of networks") == 1
    assert "<td>–</td>" in page
    assert "cannot tell" not in page
    assert exhibit.lines(found, 1)[6:] == ["family: cannot tell", "network: cannot tell"]


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
