"""The tables of model parsing against small cases worked by hand."""

import numpy as np
import pandas as pd
import pytest

from experiments.parsing import tables as parsing_tables
from experiments.parsing.tables import PAPER_PERCENT

LOSSES = ["l1", "vgg_adv"]


def rows(answers, *, seed=0, predicted="loss", held_out="seed=3", values=LOSSES):
    """Predictions from (network, photograph, true value, answer)."""
    frame = pd.DataFrame(answers, columns=["network", "image_id", "value", "answer"])
    known = [values] * len(frame)
    return frame.assign(predicted=predicted, held_out=held_out, seed=seed, values=known)


FIRST = rows(
    [
        ("a", "dawn", "l1", "l1"),
        ("a", "dusk", "l1", "vgg_adv"),
        ("b", "dawn", "vgg_adv", "vgg_adv"),
        ("b", "dusk", "vgg_adv", "vgg_adv"),
    ]
)


def test_accuracy_is_of_pictures_and_its_scatter_of_seeds():
    second = FIRST.assign(seed=1, answer=FIRST["value"])
    (row,) = parsing_tables.accuracies(pd.concat([FIRST, second])).to_dict("records")
    assert row == {
        "predicted": "loss",
        "held_out": "seed=3",
        "percent": 87.5,  # the mean of 75 and 100
        "std_percent": 12.5,
        "chance_percent": 50.0,
        "seeds": 2,
        "networks": 2,
        "photographs": 2,
        "pictures": 4,
    }


def test_networks_whose_value_the_parser_does_not_know_are_not_counted():
    others = rows([("c", "dawn", "", "l1"), ("d", "dawn", "ssim", "l1")])
    (row,) = parsing_tables.accuracies(pd.concat([FIRST, others])).to_dict("records")
    assert (row["percent"], row["networks"]) == (75.0, 2)
    assert parsing_tables.accuracies(others).empty


def test_the_rows_of_a_confusion_are_shares_of_the_true_value():
    values, shares = parsing_tables.confusion(FIRST)
    assert values == ("l1", "vgg_adv")
    np.testing.assert_array_equal(shares, [[0.5, 0.5], [0.0, 1.0]])


def test_a_value_that_no_tested_network_has_is_not_a_number():
    _, shares = parsing_tables.confusion(FIRST[FIRST["network"] == "a"])
    np.testing.assert_array_equal(shares, [[0.5, 0.5], [np.nan, np.nan]])


def test_every_number_of_the_paper_stands_in_the_table():
    told = [one for row in PAPER_PERCENT.values() for one in row if one is not None]
    assert len(told) == 18
    measured = parsing_tables.accuracies(FIRST)
    frame, columns = parsing_tables.beside_paper(measured)
    assert len(columns) == 3 + 6
    shown = [name for name, _ in list(columns.values())[3:]]
    here, paper = frame[shown].fillna("").to_numpy().tolist()
    assert here == ["75.0", *[""] * 5]
    assert paper == ["98.6 ± 0.2", "98.4 ± 0.2", "94.3 ± 0.2", "95.5 ± 0.5", "", ""]


def test_the_papers_training_set_stands_in_brackets_beside_what_stands_for_it():
    more = FIRST.assign(held_out="training_set=B")
    other = FIRST.assign(held_out="scale=4")
    measured = parsing_tables.accuracies(pd.concat([other, more, FIRST]))
    headings = list(parsing_tables.beside_paper(measured)[1])[3:]
    assert headings[:2] == ["without seed 3", "without training set B (flickr2k)"]
    assert headings[-1] == "without scale 4"
    assert len(headings) == 7


def test_the_names_of_others_are_escaped():
    measured = parsing_tables.accuracies(FIRST.assign(held_out="training_set=<b>"))
    assert "without training set &lt;b&gt;" in parsing_tables.beside_paper(measured)[1]


def test_networks_from_elsewhere_have_a_share_of_pictures_for_each_value():
    found = FIRST.assign(held_out="", value="")
    frame, columns = parsing_tables.elsewhere(found)
    assert frame["network"].tolist() == ["a", "b"]
    assert frame["loss known"].isna().all()
    assert frame["loss l1"].tolist() == [50.0, 0.0]
    assert frame["loss vgg_adv"].tolist() == [50.0, 100.0]
    assert list(columns) == ["network", "loss", "loss l1 (%)", "loss vgg_adv (%)"]


def test_every_tested_network_has_its_own_accuracy():
    frame = parsing_tables.by_network(FIRST)
    assert frame[["network", "percent"]].to_numpy().tolist() == [["a", 50.0], ["b", 100.0]]


@pytest.mark.parametrize(("seeds", "text"), [(1, "98.6"), (3, "98.6 ± 0.2")])
def test_the_scatter_is_of_several_seeds(seeds, text):
    assert parsing_tables.with_scatter(98.64, 0.22, seeds) == text
