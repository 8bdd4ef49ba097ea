"""A judge whose outputs are set by hand: probabilities, thresholds, and what cannot be told."""

import dataclasses

import numpy as np
import scipy.special

from jaxsr.fingerprints.evidence import is_of_colour
from jaxsr.gallery import judge as judging
from jaxsr.gallery import state as states
from jaxsr.gallery.answer import ErrorRate, Identification
from jaxsr.gallery.judge import Calibration, Judge, Opinion
from jaxsr.gallery.scales import BINS
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
PERCEPTRON_ALONE = np.concatenate([np.eye(3), np.zeros((10, 3))]).tolist()
CALIBRATION = Calibration(
    {"class": 2.0, "scale_bins": 1.0},
    0.0,
    PERCEPTRON_ALONE,
    THRESHOLDS,
    {"network group": ("photographs called enlarged by a network", 1, 50)},
)


def judge(size=12, units=6):
    draw = np.random.default_rng(0)
    shapes = {
        **{"mean": (size,), "scale": (size,), "w1": (size, 8), "b1": (8,), "w2": (8, units)},
        **{"b2": (units,), "group": (units, 3), "scale_bins": (units, len(BINS))},
        **{"profiles": (5, 33), "planes": (5, 16, 16), "log_scales": (5,)},
        **{"project": (5, size, 4), "offset": (5, 4), "centres": (5, 5, 4)},
        **{"spread": (5, 5, 2, 4), "traces": (5, size, 2), "traces_offset": (5, 2)},
    }
    arrays = {name: draw.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    arrays["scale"] = np.ones(size, np.float16)
    arrays["spread"] *= 0
    return Judge(NAMES, FAMILIES, KINDS, arrays, {"lossless": CALIBRATION})


def opinion(groups, classes, scale=(2.0, 0.9), calibration=CALIBRATION, traces=(0.1, 0.1)):
    families = np.array([classes[2], classes[3] + classes[4]]) / max(sum(classes[2:]), 1e-9)
    naming = np.array([max(classes), families.max()])
    return Opinion(
        np.array(groups), np.array(classes), *scale, np.array(traces), calibration, naming
    )


LOGITS = {
    "class": np.arange(-5.0, 0.0)[None],
    "group": np.log([[0.5, 0.25, 0.25]]),
    "scale_bins": np.zeros((1, len(BINS))),
    "traces": np.array([[2.0, -1.0]]),
}


def test_logits_become_probabilities_at_the_temperatures_of_the_state():
    one = judge()
    (found,) = one.opinions(LOGITS, "lossless")
    np.testing.assert_allclose(found.classes, scipy.special.softmax(np.arange(5.0) / 2))
    np.testing.assert_allclose(found.groups, [0.5, 0.25, 0.25])
    assert one.opinions(LOGITS, "jpeg 50 to 81")[0].calibration is None


def test_the_group_follows_from_the_classes_where_the_mixing_says_so():
    of_classes = np.concatenate([np.zeros((3, 3)), np.eye(3), np.zeros((7, 3))]).tolist()
    own = dataclasses.replace(CALIBRATION, mixing=of_classes)
    one = dataclasses.replace(judge(), calibrations={"lossless": own})
    (found,) = one.opinions(LOGITS, "lossless")
    chances = found.classes
    np.testing.assert_allclose(found.groups, [chances[0], chances[1], chances[2:].sum()])


def test_a_class_is_told_by_the_distance_from_its_centre_in_its_state():
    one = judge()
    given = np.random.default_rng(2).normal(size=(3, 12)).astype(np.float32)
    arrays = {name: values.astype(np.float64) for name, values in one.arrays.items()}
    units = np.clip(given - arrays["mean"], -judging.MOST_UNITS, judging.MOST_UNITS)
    for place, kind in enumerate(states.STATE_KINDS):
        points = units @ arrays["project"][place] + arrays["offset"][place]
        apart = np.linalg.norm(points[:, None] - arrays["centres"][place], axis=-1)
        np.testing.assert_allclose(one.logits(given, kind)["class"], -(apart**2) / 2, rtol=1e-4)
    assert not one.logits(given, "")["class"].any()


def test_a_picture_of_a_network_is_called_resized_where_that_is_sure():
    least = dataclasses.replace(
        CALIBRATION,
        thresholds={**THRESHOLDS, "resized": 0.8},
        error_rates={"resized": ("pictures called made smaller", 1, 99)},
    )
    made, interpolated = ([0, 0, 1], [0, 0, 0, 0.9, 0.1]), ([0, 1, 0], [0, 1, 0, 0, 0])
    for where, resized, expected in (
        (made, 0.9, 0.9),
        (made, 0.7, None),
        (interpolated, 0.9, None),
    ):
        given = opinion(*where, calibration=least, traces=(resized, 0.1))
        told = judging.answers(judge(), given)
        assert told.get("resized") == expected
        assert ("is_resized" in told["error_rates"]) == (expected is not None)


def test_any_picture_is_called_sharpened_where_that_is_sure_and_cropped_where_seams_say_so():
    rates = {name: (f"pictures called {name}", 1, 99) for name in ("sharpened", "cropped")}
    least = dataclasses.replace(
        CALIBRATION, thresholds={**THRESHOLDS, "sharpened": 0.8}, error_rates=rates
    )
    nothing = ([0.4, 0.3, 0.3], [0.2, 0.2, 0.2, 0.2, 0.2])
    for sharpened, is_cut in ((0.9, False), (0.7, True), (0.9, True), (0.7, False)):
        given = opinion(*nothing, calibration=least, traces=(0.9, sharpened))
        told = judging.answers(judge(), given, is_cut=is_cut)
        assert told["group"] is None
        assert told.get("resized") is None
        assert told["sharpened"] == (0.9 if sharpened == 0.9 else None)
        assert told["cropped"] == (True if is_cut else None)
        expected = {"is_sharpened"} if sharpened == 0.9 else set()
        assert set(told["error_rates"]) == expected | ({"is_cropped"} if is_cut else set())


def test_discriminants_of_each_kind_of_state_tell_what_was_done():
    one, given = judge(), np.random.default_rng(5).normal(size=(3, 12)).astype(np.float32)
    units = one.standardised(given)
    for place, kind in enumerate(states.STATE_KINDS):
        expected = units @ one.arrays["traces"][place].astype(np.float32)
        expected += one.arrays["traces_offset"][place].astype(np.float32)
        np.testing.assert_allclose(one.logits(given, kind)["traces"], expected, rtol=1e-5)
    steep = dataclasses.replace(CALIBRATION, traces=[[3.0, -5.0], [2.0, 1.0]])
    own = dataclasses.replace(one, calibrations={"lossless": steep})
    (told,) = own.opinions(LOGITS, "lossless")
    np.testing.assert_allclose(told.traces, scipy.special.expit([3.0 * 2.0 - 5.0, 1.0 - 2.0]))


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


def test_what_is_nearest_to_an_interpolation_is_not_called_a_network_s():
    told = judging.answers(judge(), opinion([0.01, 0.01, 0.98], [0, 0.4, 0.3, 0.3, 0]))
    assert (told["group"], told["is_enlarged"], told["is_super_resolved"]) == (None, True, None)


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


def test_inputs_tell_the_state_behind_the_evidence():
    found = judging.inputs(np.zeros(3), State("jpeg", 90, "4:2:0"))
    np.testing.assert_allclose(found[3:], [1, 0, 0.2, 1, 0])


def test_a_judge_is_kept_in_arrays_and_facts():
    one = judge()
    again = Judge.from_arrays(*one.to_arrays())
    given = np.random.default_rng(1).normal(size=(4, 12)).astype(np.float32)
    for name, values in one.logits(given, "webp").items():
        np.testing.assert_array_equal(again.logits(given, "webp")[name], values)
    assert (again.names, again.families, again.kinds) == (NAMES, FAMILIES, KINDS)
    assert again.calibrations == one.calibrations


def test_a_grey_picture_is_judged_by_luma_in_a_kind_of_its_own():
    size = len(is_of_colour()) + judging.NUM_TOLD
    one = judge(size)
    grey = State("jpeg", 95, "4:2:0", is_grey=True)
    draw = np.random.default_rng(3)
    found, other = draw.normal(size=(2, size - judging.NUM_TOLD))
    other = np.where(is_of_colour(), other, found)
    kind = states.kind_of(grey)
    assert kind == states.STATE_KINDS[1] + states.GREY
    assert states.kind_of(State("jpeg", 40, is_grey=True)) == ""
    told = [one.logits(judging.inputs(x, grey)[None], kind) for x in (found, other)]
    for name, values in told[0].items():
        np.testing.assert_array_equal(values, told[1][name])
        assert np.isfinite(values).all()
    usual = one.arrays["mean"].astype(np.float32)  # what is lacking counts as usual
    lacking = np.isnan(judging.inputs(found, grey))
    given = np.where(lacking, usual, judging.inputs(found, State("jpeg", 95)))
    expected = one.logits(given[None], states.STATE_KINDS[1])["class"]
    np.testing.assert_allclose(told[0]["class"], expected, rtol=1e-5)


def test_up_to_439_pixels_all_of_a_square_is_one_tile_and_beyond_there_are_four():
    picture = np.zeros((500, 500, 3), np.uint8)
    found = {side: judging.tiles(picture[:side, :side]).shape for side in (320, 330, 439, 440)}
    assert found == {
        **{side: (1, side, side, 3) for side in (320, 330, 439)},
        440: (4, judging.TILE_PX, judging.TILE_PX, 3),
    }
