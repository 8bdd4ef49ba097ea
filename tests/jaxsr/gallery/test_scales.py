"""Scales by bins: the likeliest, how sure it is, and whether it is that of a network."""

import numpy as np
import pytest
import scipy.special

from jaxsr.gallery.scales import BINS, STEP, of_bins, scale_inputs, scale_of


@pytest.mark.parametrize(("place", "chance"), [(0, 1.0), (8, 1.0), (len(BINS) - 1, 1.0)])
def test_a_scale_is_that_of_its_bin(place, chance):
    logits = np.full((1, len(BINS)), -50.0)
    logits[0, place] = 0
    scale, sure = scale_of(logits)
    assert scale[0] == pytest.approx(BINS[place], rel=1e-6)
    assert sure[0] == pytest.approx(chance)


def test_a_scale_between_two_bins_lies_between_them():
    logits = np.full((1, len(BINS)), -50.0)
    logits[0, 7:9] = 0
    scale, sure = scale_of(logits)
    assert scale[0] == pytest.approx(np.sqrt(BINS[7] * BINS[8]), rel=1e-6)
    assert sure[0] == pytest.approx(1.0)


def test_what_bins_say_of_no_enlargement():
    logits = np.zeros((2, len(BINS)))
    logits[1, 0] = 40.0
    found = of_bins(logits)
    np.testing.assert_allclose(found[:, 2], [-np.log(len(BINS)), 0.0], atol=1e-12)
    assert found[1, 0] == pytest.approx(0.0, abs=1e-12)
    assert found[0, 1] < 0 < found[1, 1]


def test_a_scale_goes_with_its_own_bin_and_its_neighbours():
    logits = np.where(np.arange(len(BINS)) == [[7], [7], [0]], 50.0, 0.0)
    found = scale_inputs(logits, np.log([BINS[7], BINS[8], BINS[14]]))
    sure = scipy.special.logit(0.9999)
    np.testing.assert_allclose(found[:, 0], [0, -STEP, -4 * STEP], atol=1e-9)
    np.testing.assert_allclose(found[:, 1], -found[:, 0])
    np.testing.assert_allclose(found[:, 2], [sure, sure, -sure], rtol=1e-6)
