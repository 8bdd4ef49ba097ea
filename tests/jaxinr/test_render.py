"""The picture of a network at sizes other than its own, in pieces, and what is refused."""

import sys

import numpy as np
import pytest

import jaxinr
from jaxinr import Trial, siren

TRIAL = Trial(layer_size=8, num_layers=2, w0_initial=10.0, seed=2)
PARAMS = siren.init(TRIAL)


def test_twice_the_size_goes_through_the_same_points():
    small = jaxinr.render(PARAMS, TRIAL, (7, 9))
    assert small.shape == (7, 9, 3)
    assert small.dtype == np.float32
    large = jaxinr.render(PARAMS, TRIAL, (13, 17))  # (2 H - 1, 2 W - 1): points in between
    np.testing.assert_allclose(large[::2, ::2], small, rtol=0, atol=1e-5)
    small = jaxinr.render(PARAMS, TRIAL, (7, 9), coordinates="centers")
    large = jaxinr.render(PARAMS, TRIAL, (21, 27), coordinates="centers")
    np.testing.assert_allclose(large[1::3, 1::3], small, rtol=0, atol=1e-5)


def test_coordinates_differ_where_they_say_so():
    size = (7, 9)
    pictures = {
        name: jaxinr.render(PARAMS, TRIAL, size, coordinates=name) for name in siren.COORDINATES
    }
    np.testing.assert_array_equal(pictures["coin"], jaxinr.render(PARAMS, TRIAL, size))
    # The first column is at -1 in both; the last is at 1, or past it where a picture is wide.
    np.testing.assert_allclose(pictures["coin"][:, 0], pictures["symmetric"][:, 0], atol=1e-6)
    np.testing.assert_allclose(pictures["coin"][:, 6], pictures["symmetric"][:, 8], atol=1e-5)
    assert np.abs(pictures["coin"] - pictures["symmetric"]).max() > 1e-3
    square = [jaxinr.render(PARAMS, TRIAL, (9, 9), coordinates=c) for c in siren.COORDINATES]
    np.testing.assert_allclose(square[0], square[1], rtol=0, atol=1e-6)
    assert np.abs(square[0] - square[2]).max() > 1e-3


def test_large_picture_has_no_seams(monkeypatch):
    whole = jaxinr.render(PARAMS, TRIAL, (19, 11))
    monkeypatch.setattr(sys.modules["jaxinr.render"], "BLOCK", 50)
    pieces = jaxinr.render(PARAMS, TRIAL, (19, 11))
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-6)


def test_weights_that_went_through_torch_names_draw_the_same():
    again = jaxinr.from_torch(jaxinr.to_torch(PARAMS))
    expected = jaxinr.render(PARAMS, TRIAL, (7, 9))
    np.testing.assert_array_equal(jaxinr.render(again, TRIAL, (7, 9)), expected)


@pytest.mark.parametrize("shape", [5, (5,), (5, 6, 3), (5.5, 6), "56"])
def test_what_is_no_height_and_width_is_refused(shape):
    with pytest.raises(TypeError, match=r"shape must be \(height, width\), whole numbers; got"):
        jaxinr.render(PARAMS, TRIAL, shape)


@pytest.mark.parametrize(
    ("trial", "size", "coordinates", "message"),
    [
        (TRIAL, (0, 5), "coin", r"shape must be \(height, width\).*got \(0, 5\)"),
        (TRIAL, (4096, 2048), "coin", r"below 2\^23 pixels; got \(4096, 2048\)"),
        (TRIAL, (4, 5), "polar", "coordinates must be one of .* got 'polar'"),
        (Trial(layer_size=5), (4, 5), "coin", r"params must have .*\(5, 2\).* got .*\(8, 2\)"),
    ],
)
def test_bad_input_is_refused(trial, size, coordinates, message):
    with pytest.raises(ValueError, match=message):
        jaxinr.render(PARAMS, trial, size, coordinates=coordinates)
