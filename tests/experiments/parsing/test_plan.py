"""The plan of model parsing: which networks are learned from, and which are kept for the test."""

import itertools

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from experiments.parsing import plan as parsing_plan
from experiments.parsing.plan import HYPERPARAMETERS, PROPERTIES, HeldOut
from jaxfleet.errors import InputError

ARCHITECTURES = ("edsr", "rdn", "rcan", "nlsn", "swinir")
LOSSES = ("l1", "vgg_adv", "resnet_adv")


def networks_of(first_set, other_sets):
    """The paper's grid: three seeds on one training set, seed 1 on the others."""
    pairs = [(first_set, 1), (first_set, 2), (first_set, 3), *((name, 1) for name in other_sets)]
    points = itertools.product(ARCHITECTURES, (2, 4), LOSSES, pairs)
    rows = [
        {
            "network": f"{architecture}-{training_set}-x{scale}-{loss}-s{seed}",
            "architecture": architecture,
            "scale": scale,
            "loss": loss,
            "training_set": training_set,
            "seed": seed,
        }
        for architecture, scale, loss, (training_set, seed) in points
    ]
    return parsing_plan.list_networks(pd.DataFrame(rows))


MINI = networks_of("A", ["B"])
PAPER = networks_of("div2k", ["flickr2k", "quarter_div2k", "quarter_flickr2k"])


def plan(networks, predicted=HYPERPARAMETERS, held_out=None, elsewhere=None, **options):
    if held_out is None:
        held_out = parsing_plan.default_held_out(networks)
    return parsing_plan.make(networks, elsewhere, predicted, held_out, (0,), **options)


def test_seed_0_is_known_and_what_nobody_knows_is_not():
    facts = {"architecture": "edsr", "loss": "l1", "training_set": "A"}
    rows = [
        {"network": "a", **facts, "scale": 2, "seed": 0},
        {"network": "b", **facts, "scale": 4, "seed": 10},
        {"network": "c", **facts, "loss": "", "scale": 0, "seed": -1},
    ]
    networks = parsing_plan.list_networks(pd.DataFrame(rows))
    assert networks["seed"].tolist() == ["0", "10", ""]
    assert networks["scale"].tolist() == ["2", "4", ""]
    assert networks["loss"].tolist() == ["l1", "l1", ""]
    assert parsing_plan.shared_seeds(networks.iloc[:1]) == {"0"}


@pytest.mark.parametrize(
    ("networks", "sizes"),
    [
        # In the order of the paper's columns; its 180 networks, and the 120 of the mini zoo.
        (PAPER, {"scale": [30, 30, 36, 36, 60, 60], "training_set": [24, 24, 40, 40]}),
        (MINI, {"scale": [30, 30, 24, 24, 40, 40], "training_set": [12, 12, 20, 20]}),
    ],
    ids=["paper", "mini"],
)
def test_the_eighteen_parsers_of_the_paper_and_the_networks_they_are_tested_on(networks, sizes):
    parsers = plan(networks)
    assert len(parsers) == 18
    counts = {name: [len(p.tested) for p in parsers if p.predicted == name] for name in sizes}
    assert counts == sizes
    told = [(parser.predicted, parsing_plan.column_of(str(parser.held_out))) for parser in parsers]
    assert [column for name, column in told if name == "loss"] == [0, 1, 2, 3]
    assert [column for name, column in told if name == "architecture"] == [0, 1, 4, 5]
    assert [column for name, column in told if name == "training_set"] == [2, 3, 4, 5]


def test_parsers_of_scale_learn_from_every_network_without_the_value():
    (parser,) = plan(MINI, ("scale",), [HeldOut("loss", "l1")])
    assert parser.trained == {
        name: name.split("-")[2][1] for name in MINI.index if "-l1" not in name
    }
    assert parser.tested == {name: name.split("-")[2][1] for name in MINI.index if "-l1" in name}
    assert parser.values == ("2", "4")
    assert parser.name == "scale-without-loss-l1-s0"


def test_parsers_of_training_sets_learn_from_seed_1_unless_told_otherwise():
    held_out = [HeldOut("architecture", "swinir")]
    (parser,) = plan(PAPER, ("training_set",), held_out)
    assert all(name.endswith("-s1") for name in (*parser.trained, *parser.tested))
    assert (len(parser.trained), len(parser.tested), len(parser.values)) == (96, 24, 4)
    (other,) = plan(PAPER, ("training_set",), held_out, all_seeds_train=True)
    assert other.tested == parser.tested
    assert len(other.trained) == 144


def test_a_value_held_out_leaves_no_parser_of_training_sets_if_one_set_alone_has_it():
    for held_out in (HeldOut("seed", "3"), HeldOut("training_set", "B")):
        with pytest.raises(InputError, match="nothing to predict"):
            plan(MINI, ("training_set",), [held_out])


def test_the_papers_values_are_held_out_as_far_as_they_are_there():
    few = MINI[MINI["architecture"].isin(["edsr", "rcan"]) & (MINI["loss"] == "l1")]
    held_out = [str(one) for one in parsing_plan.default_held_out(few)]
    assert held_out == ["seed=3", "training_set=B", "architecture=rcan"]


def test_parsers_of_all_networks_are_tested_elsewhere():
    elsewhere = parsing_plan.list_networks(
        pd.DataFrame(
            [
                {"network": "IMDN", "architecture": "imdn", "scale": 4, "loss": "l1"}
                | {"training_set": "", "seed": 0}
            ]
        )
    )
    parsers = plan(MINI, held_out=[], elsewhere=elsewhere)
    assert [parser.predicted for parser in parsers] == list(HYPERPARAMETERS)
    assert [parser.tested["IMDN"] for parser in parsers] == ["4", "l1", "imdn", ""]
    assert [len(parser.trained) for parser in parsers] == [120, 120, 120, 60]


@given(
    chosen=st.sets(st.sampled_from(list(MINI.index)), min_size=2),
    name=st.sampled_from(PROPERTIES),
    all_seeds_train=st.booleans(),
    data=st.data(),
)
def test_no_network_with_the_value_is_learned_from_and_every_answer_is_known(
    chosen, name, all_seeds_train, data
):
    networks = MINI.loc[sorted(chosen)]
    values = sorted(set(networks[name]))
    assume(len(values) > 1)
    held_out = HeldOut(name, data.draw(st.sampled_from(values)))
    try:
        parsers = plan(networks, held_out=[held_out], all_seeds_train=all_seeds_train)
    except InputError:
        parsers = []
    for parser in parsers:
        assert not set(networks.loc[list(parser.trained), name]) & {held_out.value}
        assert set(networks.loc[list(parser.tested), name]) == {held_out.value}
        assert set(parser.tested.values()) <= set(parser.values)
        assert parser.predicted != name


def test_networks_of_which_nobody_knows_the_value_are_left_out():
    networks = MINI.copy()
    networks.loc["edsr-A-x2-l1-s1", "loss"] = ""
    loss, scale = plan(networks, ("loss", "scale"), [HeldOut("seed", "3")])
    assert "edsr-A-x2-l1-s1" not in loss.trained
    assert "edsr-A-x2-l1-s1" in scale.trained
    assert loss.values == tuple(sorted(LOSSES))


@given(st.sampled_from(PROPERTIES), st.text(min_size=1))
def test_what_is_held_out_is_written_as_it_is_read(name, value):
    one = HeldOut(name, value)
    assert HeldOut.parse(str(one)) == one


@pytest.mark.parametrize("text", ["seed", "seed=", "colour=3", "=3", ""])
def test_what_is_held_out_is_refused_by_name(text):
    with pytest.raises(InputError, match=f"--hold_out={text}: write NAME=VALUE"):
        HeldOut.parse(text)


@pytest.mark.parametrize("held_out", [HeldOut("seed", "7"), HeldOut("architecture", "han")])
def test_a_value_that_no_network_has_is_refused(held_out):
    with pytest.raises(InputError, match=f"--hold_out={held_out}: the networks have"):
        plan(MINI, held_out=[held_out])


def test_the_only_value_is_not_held_out():
    with pytest.raises(InputError, match="hold out one of several values"):
        plan(MINI[MINI["loss"] == "l1"], held_out=[HeldOut("loss", "l1")])
