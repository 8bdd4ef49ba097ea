"""A judge whose outputs are set by hand: probabilities, thresholds, and what cannot be told."""

import dataclasses

import numpy as np
import pytest
import scipy.special

from jaxsr.gallery import judge as judging
from jaxsr.gallery.answer import ErrorRate, Identification
from jaxsr.gallery.judge import BINS, Calibration, Judge, Opinion
from jaxsr.gallery.state import State

NAMES = ("original", "bicubic", "a-x2", "b-x4", "c-x4")
FAMILIES = ("original", "bicubic", "A", "B", "B")
KINDS = ("original", "interpolation", "network", "network", "network")
THRESHOLDS = {
    "original group": 0.9,
    "interpolation group": 0.9,
    "network group": 0.8,
    "network": 0.95,
    "enlarged": 0.7,
    "family": 0.8,
    "known": 0.6,
    "scale": 0.5,
}
CALIBRATION = Calibration(
    {"class": 2.0, "group": 1.0, "scale_bins": 1.0},
    THRESHOLDS,
    {"network group": ("photographs called enlarged by a network", 1, 50)},
)


def judge(size=12, units=6):
    draw = np.random.default_rng(0)
    shapes = {
        **{"mean": (size,), "scale": (size,), "w1": (size, 8), "b1": (8,), "w2": (8, units)},
        **{"b2": (units,), "class": (units, 5), "group": (units, 3)},
        **{"scale_bins": (units, len(BINS)), "profiles": (5, 33)},
    }
    arrays = {name: draw.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    arrays["scale"] = np.ones(size, np.float16)
    return Judge(NAMES, FAMILIES, KINDS, arrays, {"lossless": CALIBRATION})


def opinion(groups, classes, scale=(2.0, 0.9), calibration=CALIBRATION):
    return Opinion(np.array(groups), np.array(classes), *scale, calibration)


def test_logits_become_probabilities_at_the_temperatures_of_the_state():
    one = judge()
    logits = {"class": np.arange(5.0), "group": np.zeros(3), "scale_bins": np.zeros(len(BINS))}
    found = one.opinion(logits, "lossless")
    np.testing.assert_allclose(found.classes, scipy.special.softmax(np.arange(5.0) / 2))
    np.testing.assert_allclose(found.groups, 1 / 3)
    assert one.opinion(logits, "jpeg 50 to 81").calibration is None


@pytest.mark.parametrize(("place", "chance"), [(0, 1.0), (8, 1.0), (len(BINS) - 1, 1.0)])
def test_a_scale_is_that_of_its_bin(place, chance):
    logits = np.full((1, len(BINS)), -50.0)
    logits[0, place] = 0
    scale, sure = judging.scale_of(logits)
    assert scale[0] == pytest.approx(BINS[place], rel=1e-6)
    assert sure[0] == pytest.approx(chance)


def test_a_scale_between_two_bins_lies_between_them():
    logits = np.full((1, len(BINS)), -50.0)
    logits[0, 7:9] = 0
    scale, sure = judging.scale_of(logits)
    assert scale[0] == pytest.approx(np.sqrt(BINS[7] * BINS[8]), rel=1e-6)
    assert sure[0] == pytest.approx(1.0)


def test_a_network_is_named_where_it_is_sure_and_its_family_where_only_that_is():
    told = judging.answers(judge(), opinion([0.05, 0.05, 0.9], [0, 0, 0.04, 0.9, 0.06]))
    assert (told["group"], told["family"], told["is_super_resolved"]) == ("network", "B", True)
    assert told["scale"] == (2.0, 0.9)
    assert told["error_rates"]["group"] == ErrorRate(*CALIBRATION.error_rates["network group"])
    least = dataclasses.replace(CALIBRATION, thresholds={**THRESHOLDS, "network": 0.85})
    named = judging.answers(judge(), opinion([0, 0, 1], [0, 0, 0, 0.9, 0.1], calibration=least))
    assert (named["network"], named["is_known"]) == ("b-x4", True)
    both = judging.answers(judge(), opinion([0, 0, 1], [0, 0, 0, 0.5, 0.5], calibration=least))
    assert (both.get("network"), both["family"], both["is_known"]) == (None, "B", None)


def test_no_is_said_on_evidence_and_between_the_thresholds_nothing_is():
    no = judging.answers(judge(), opinion([0.95, 0.03, 0.02], [1, 0, 0, 0, 0]))
    assert (no["group"], no["is_enlarged"], no["is_super_resolved"]) == ("original", False, False)
    assert no.get("scale") is None
    some = judging.answers(judge(), opinion([0.2, 0.4, 0.4], [0.2, 0.4, 0.4, 0, 0]))
    assert (some["group"], some["is_enlarged"], some["is_super_resolved"]) == (None, True, None)
    none = judging.answers(judge(), opinion([0.6, 0.2, 0.2], [0.6, 0.2, 0.2, 0, 0]))
    assert (none["group"], none.get("is_enlarged")) == (None, None)


def test_without_a_calibration_nothing_is_answered():
    told = judging.answers(judge(), opinion([0, 0, 1], [0, 0, 0, 1, 0], calibration=None))
    assert set(told) == {"ranking", "is_super_resolved", "is_known"}
    found = Identification(
        hyperparameters={}, margin=0.0, num_tiles=1, super_resolved_probability=1.0, **told
    )
    assert found.verdict == "cannot tell"
    assert set(found.to_json()["answers"].values()) == {"no loss by compression found", None}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("none", "lossless"),
        ("jpeg:80+crop:0.9", "lossless"),
        ("resize:0.5+jpeg444:95", "jpeg 93 and better"),
        ("jpeg:95+jpeg:85", "jpeg 82 and better"),
        ("jpeg:75", "jpeg 50 to 81"),
        ("jpeg:30", ""),
        ("webp:80", "webp"),
    ],
)
def test_kinds_of_states(text, kind):
    (state,) = judging.states_of([text])
    assert judging.kind_of(state) == kind


def test_inputs_tell_the_state_behind_the_evidence():
    found = judging.inputs(np.zeros(3), State("jpeg", 90, "4:2:0"))
    np.testing.assert_allclose(found[3:], [1, 0, 0.2, 1, 0])


def test_a_judge_is_kept_in_arrays_and_facts():
    one = judge()
    again = Judge.from_arrays(*one.to_arrays())
    given = np.random.default_rng(1).normal(size=(4, 12)).astype(np.float32)
    for name, values in one.logits(given).items():
        np.testing.assert_array_equal(again.logits(given)[name], values)
    assert (again.names, again.families, again.kinds) == (NAMES, FAMILIES, KINDS)
    assert again.calibrations == one.calibrations
