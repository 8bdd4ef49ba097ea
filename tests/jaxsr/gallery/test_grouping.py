"""What tells the group of a picture: the perceptron, the classes, their distances, the scale."""

import numpy as np

from jaxsr.gallery.grouping import USUAL, class_scores, group_inputs
from jaxsr.gallery.scales import BINS, of_bins
from tests.jaxsr.gallery.test_judge import KINDS


def test_far_from_all_centres_a_class_is_told_less_surely():
    nearness = np.array([[-50.0, -60.0], [-200.0, -210.0]])
    same = class_scores(nearness, 2.0, 0.0)
    np.testing.assert_allclose(same, [[0, -5], [0, -5]])
    grown = class_scores(nearness, 2.0, 0.5)  # four times as far: twice the temperature
    np.testing.assert_allclose(grown, [[0, -5], [0, -2.5]])


def test_classes_that_nobody_knows_have_no_share_in_their_group():
    scores = np.array([[0.0, -np.inf, 0.0, -np.inf, 0.0]])
    nearness = np.where(np.isfinite(scores), [-USUAL, 0, -2 * USUAL, 0, -USUAL], -np.inf)
    bins = np.zeros((1, len(BINS)))
    told = group_inputs(np.zeros((1, 3)), nearness, scores, bins, KINDS)
    np.testing.assert_allclose(told[0, :3], np.log(1 / 3))
    np.testing.assert_allclose(told[0, 3:6], [np.log(1 / 3), -30, np.log(2 / 3)])
    assert told[0, 6] == 0.0  # the nearest original is as near as usual, and so is a network
    assert told[0, 8] == 0.0
    assert told[0, 7] > 10.0  # no interpolation is known
    np.testing.assert_array_equal(told[:, 9:12], of_bins(bins))
    assert told[0, 12] == 1.0
