"""Which states pictures are looked at in."""

import pytest

from experiments.judge import tested
from jaxsr.gallery import state as states
from jaxsr.gallery.state import State

NAMES = ("x2-net", "a.png")


def test_states_are_drawn_to_learn_from_and_those_of_the_tables_otherwise():
    small = [(256, state) for state in tested.TESTED]
    assert list(tested.states("test", 256, NAMES, 3)) == small
    large = list(tested.states("test", 448, NAMES, 3))
    assert large == small + [(448, state) for state in tested.TESTED_LARGE]
    drawn = list(tested.states("train", 448, NAMES, 3))
    assert (len(drawn), drawn[0]) == (4, (448, "none"))
    assert list(tested.states("train", 448, NAMES, 5))[:4] == drawn


def test_only_the_states_asked_for_are_tested():
    asked = ("sharpen:1", "none")
    assert list(tested.states("validation", 448, NAMES, 3, asked)) == [
        (side, state) for side in (256, 448) for state in asked
    ]
    assert list(tested.states("train", 256, NAMES, 2, asked)) == list(
        tested.states("train", 256, NAMES, 2)
    )


@pytest.mark.parametrize(
    ("text", "seen_quality", "kind"),
    [
        ("none", None, "lossless"),
        ("sharpen:0.6", float("nan"), "lossless"),
        ("jpeg:80+crop:0.9", 80.0, "jpeg 50 to 81"),
        ("jpeg:80+crop:0.9", None, "lossless"),  # its pixels did not tell
        ("resize:0.5+jpeg444:95", 70.0, "jpeg 93 and better"),  # its tables count
        ("jpeg:95+jpeg:85", None, "jpeg 82 and better"),
        ("jpeg:75", None, "jpeg 50 to 81"),
        ("jpeg:30", None, ""),
        ("webp:80", 90.0, "webp"),
    ],
)
def test_kinds_of_states(text, seen_quality, kind):
    assert states.kind_of(tested.file_state(text, seen_quality)) == kind


def test_the_state_of_a_file_says_how_it_is_known():
    assert tested.file_state("sharpen:0.6+jpeg444:91", None) == State("jpeg", 91, "4:4:4")
    assert tested.file_state("jpeg:90+crop:0.9", 91) == State("jpeg", 91, source="pixels")
