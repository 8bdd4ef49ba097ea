"""Features of pictures that are computed once, for several classifiers."""

import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.methods import CropFeatures


def test_some_of_the_pictures_in_another_order():
    extracted = CropFeatures(np.arange(6.0)[:, None], np.array([0, 0, 1, 2, 2, 3]))
    found = extracted.of(np.array([2, 0]))
    np.testing.assert_array_equal(found.features[:, 0], [3, 4, 0, 1])
    np.testing.assert_array_equal(found.owners, [0, 0, 1, 1])


def test_some_of_no_pictures_are_none():
    extracted = CropFeatures(np.zeros((0, 2)), np.zeros(0, int))
    assert extracted.of(np.zeros(0, int)).features.shape == (0, 2)


def test_methods_that_learn_from_pixels_have_no_features():
    assert attribution.extract_features("prnu", [], crop_px=32) is None


def test_an_unknown_method_is_named():
    with pytest.raises(InputError, match="No method 'magic' of attribution; use one of prnu"):
        attribution.extract_features("magic", [])
