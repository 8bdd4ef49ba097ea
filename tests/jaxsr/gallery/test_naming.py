"""How sure names are: what tells it, and probabilities of a chosen sharpness."""

import dataclasses

import numpy as np
import pytest
import scipy.special

from jaxsr.gallery import judge as judging
from jaxsr.gallery.naming import expanded, family_chances, naming_inputs, sharpened
from jaxsr.gallery.scales import BINS
from tests.jaxsr.gallery.test_judge import CALIBRATION, FAMILIES, KINDS, LOGITS, judge

NEARNESS = np.array([[-90.0, -80.0, -40.0, -20.0, -25.0], [-90.0, -80.0, -np.inf, -20.0, -25.0]])
CLASSES = np.array([[0.1, 0.1, 0.2, 0.5, 0.1], [0.0, 0.0, 0.0, 1.0, 0.0]])
SCALES = np.array([np.log(BINS[k]) for k in (0, 0, 7, 11, 11)])  # of the classes
BIN_LOGITS = np.where(np.arange(len(BINS)) == [[11], [7]], 50.0, 0.0)  # as it should be, and not


def test_chances_of_families_are_sums_over_networks():
    names, sums = family_chances(CLASSES, FAMILIES, KINDS)
    assert names.tolist() == ["A", "B"]
    np.testing.assert_allclose(sums, [[0.2, 0.6], [0.0, 1.0]])


def test_what_tells_whether_a_name_is_right():
    first, second = naming_inputs(NEARNESS, CLASSES, FAMILIES, KINDS, BIN_LOGITS, SCALES)
    # Half chances of the class, 3 of 4 for the family; 20 from the centre, the next 5 and 20 more.
    np.testing.assert_allclose(first[:5], [0, *np.log([20, 5, 3, 20])])
    sure = scipy.special.logit(0.9999)
    np.testing.assert_allclose(first[5:], [0, 0, sure, sure], atol=1e-6)
    # Smaller than the network makes it, by four bins, so that none near the network's is likely.
    off = 4 * np.log(1.1)
    np.testing.assert_allclose(second[5:], [-off, off, -sure, sure], rtol=1e-6)
    assert np.isfinite(second).all()
    assert second[2] == pytest.approx(np.log(5))


def test_a_judge_that_knows_no_network_tells_finite_numbers():
    nearness = np.where(np.array(KINDS) == judging.GROUPS[2], -np.inf, NEARNESS[:1])
    found = naming_inputs(nearness, CLASSES[:1], FAMILIES, KINDS, BIN_LOGITS[:1], SCALES)
    assert np.isfinite(found).all()


def test_sharpened_chances_give_the_likeliest_its_own_and_keep_the_order():
    scores = np.array([[0.0, -1.0, -3.0], [-2.0, 0.0, -np.inf]])
    found = sharpened(scores, np.array([0.9, 0.6]))
    np.testing.assert_allclose(found.max(axis=1), [0.9, 0.6], rtol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.argsort(-found[0]).tolist() == [0, 1, 2]
    assert found[1].tolist()[2] == 0


def test_a_judge_is_as_sure_of_names_as_its_weights_say():
    weights = np.zeros((1 + 9 + 45, 3))
    weights[0] = scipy.special.logit([0.7, 0.2, 0.4])
    units = [[0.0] * 9, [1.0] * 9]
    own = dataclasses.replace(CALIBRATION, naming=weights.tolist(), naming_units=units)
    one = dataclasses.replace(judge(), calibrations={"lossless": own})
    (found,) = one.opinions(LOGITS, "lossless")
    assert found.classes.max() == pytest.approx(0.7, rel=1e-4)
    np.testing.assert_allclose(found.naming, [0.2, 0.4])
    told = judging.answers(one, dataclasses.replace(found, groups=np.array([0, 0, 1.0])))
    assert (told["is_known"], told.get("family"), told.get("network")) == (None, None, None)


def test_numbers_are_told_with_their_squares_and_products():
    told = np.array([[3.0, 10.0], [1.0, 1e6]])
    found = expanded(told, [[1.0, 10.0], [2.0, 5.0]])
    np.testing.assert_allclose(found, [[1, 1, 0, 1, 0, 0], [1, 0, 5, 0, 0, 25]])
