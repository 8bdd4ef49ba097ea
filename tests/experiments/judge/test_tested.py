"""Which states pictures are looked at in."""

from experiments.judge import tested

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
