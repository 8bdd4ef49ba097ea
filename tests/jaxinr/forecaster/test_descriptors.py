"""Descriptors: analytic pictures, the same scene at two sizes, an independent transform."""

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxinr.forecaster import descriptors
from jaxinr.forecaster.descriptors import NAMES, describe


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, describe(image).tolist(), strict=True))


def test_one_colour_has_no_error_left() -> None:
    found = named(np.full((20, 30, 3), (200, 100, 50), np.uint8))
    assert found["constant_db"] == pytest.approx(descriptors.FLOOR_DB)
    assert found["colours_1_1_db"] == pytest.approx(descriptors.FLOOR_DB)
    assert found["grey_entropy"] == pytest.approx(0, abs=1e-6)


def test_a_single_cosine_is_all_below_its_frequency() -> None:
    """Two cycles across the picture: variance 0.02, nothing left from a radius of 2 on."""
    x = (np.arange(64) + 0.5) / 64
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * 2 * x)
    image = np.rint(255 * np.broadcast_to(wave[None, :, None], (64, 64, 3))).astype(np.uint8)
    found = named(image)
    assert found["constant_db"] == pytest.approx(-10 * np.log10(0.02), abs=0.05)
    assert found["lowpass_1.41_db"] == pytest.approx(found["constant_db"], abs=0.05)
    assert found["lowpass_2_db"] > 50
    assert found["largest_8_db"] > 50
    assert found["horizontal_db"] == pytest.approx(0, abs=0.01)
    assert found["colours_1_1_db"] == pytest.approx(descriptors.FLOOR_DB)


def test_largest_coefficients_are_those_of_scipy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    pixels = image / 255.0
    basis = np.linalg.qr(np.array([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]]).T)[0]
    cosines = scipy.fft.dctn(pixels @ basis, axes=(0, 1), norm="ortho")
    cosines[0, 0] = 0
    energies = np.sort(np.square(cosines), axis=None)[::-1] / image.size
    for count in (8, 64, 512):
        expected = -10 * np.log10(energies[count:].sum())
        assert named(image)[f"largest_{count}_db"] == pytest.approx(expected, abs=0.01)


def test_a_scene_keeps_its_numbers_at_another_size() -> None:
    y, x = np.mgrid[:480, :480] / 480
    scene = (
        0.5 + 0.2 * np.sin(9 * x + 4 * y) + 0.2 * np.tanh(40 * (np.hypot(x - 0.5, y - 0.4) - 0.3))
    )
    large = np.rint(255 * np.repeat(scene[..., None], 3, -1)).astype(np.uint8)
    small = large.reshape(96, 5, 96, 5, 3).mean((1, 3)).astype(np.uint8)
    a, b = named(large), named(small)
    for name in ("constant_db", "lowpass_4_db", "lowpass_8_db", "largest_64_db"):
        assert a[name] == pytest.approx(b[name], abs=0.4), name


def test_averaging_large_pictures_loses_no_energy() -> None:
    """A checkerboard of single pixels averages to grey, but is no constant picture."""
    board = np.indices((600, 600)).sum(0) % 2 * 255
    image = np.repeat(board[..., None], 3, -1).astype(np.uint8)
    assert named(image)["constant_db"] == pytest.approx(-10 * np.log10(0.25), abs=0.01)
    assert named(image)["largest_16384_db"] == pytest.approx(-10 * np.log10(0.25), abs=0.1)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3))))
def test_any_picture_has_finite_numbers(image: np.ndarray) -> None:
    found = describe(image)
    assert found.shape == (len(NAMES),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    lowpass = found[[n.startswith("lowpass") for n in NAMES]]
    largest = found[[n.startswith("largest") for n in NAMES]]
    assert (np.diff(lowpass) >= -1e-3).all()
    assert (np.diff(largest) >= -1e-3).all()
    assert largest[0] >= found[0] - 1e-3
    assert lowpass[0] >= found[0] - 1e-3


def test_thumbnails_have_one_size() -> None:
    side = descriptors.THUMBNAIL
    same = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    assert np.array_equal(descriptors.thumbnail(same), same)
    assert descriptors.thumbnail(np.zeros((300, 200, 3), np.uint8)).shape == (side, side, 3)
