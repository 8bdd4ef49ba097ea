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
    assert found["colours_1_db"] == pytest.approx(descriptors.FLOOR_DB)
    assert found["grey_entropy"] == pytest.approx(0, abs=1e-6)


def test_a_single_cosine_is_all_below_its_frequency() -> None:
    """Two cycles across the picture: variance 0.02, nothing left from a radius of 2 on."""
    x = (np.arange(64) + 0.5) / 64
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * 2 * x)
    image = np.rint(255 * np.broadcast_to(wave[None, :, None], (64, 64, 3))).astype(np.uint8)
    found = named(image)
    assert found["mean_db"] == pytest.approx(-10 * np.log10(0.25), abs=0.05)
    assert found["constant_db"] == pytest.approx(-10 * np.log10(0.02), abs=0.05)
    assert found["band_2_db"] == pytest.approx(found["constant_db"], abs=0.05)
    others = [name for name in descriptors.BANDS if name != "band_2_db"]
    assert min(found[name] for name in others) > 55
    assert found["cosines_8_db"] > 50
    assert found["wavelets_4096_db"] == pytest.approx(descriptors.FLOOR_DB)
    assert found["horizontal_db"] == pytest.approx(0, abs=0.01)
    assert found["colours_1_db"] == pytest.approx(descriptors.FLOOR_DB)


def test_largest_coefficients_are_those_of_scipy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    pixels = image / 255.0
    basis = np.linalg.qr(np.array([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]]).T)[0]
    cosines = scipy.fft.dctn(pixels @ basis, axes=(0, 1), norm="ortho")
    cosines[0, 0] = 0
    energies = np.sort(np.square(cosines), axis=None)[::-1] / image.size
    for count in (8, 64, 512):
        expected = -10 * np.log10(energies[count:].sum())
        assert named(image)[f"cosines_{count}_db"] == pytest.approx(expected, abs=0.01)


def test_a_scene_keeps_its_numbers_at_another_size() -> None:
    y, x = np.mgrid[:480, :480] / 480
    scene = (
        0.5 + 0.2 * np.sin(9 * x + 4 * y) + 0.2 * np.tanh(40 * (np.hypot(x - 0.5, y - 0.4) - 0.3))
    )
    large = np.rint(255 * np.repeat(scene[..., None], 3, -1)).astype(np.uint8)
    small = large.reshape(96, 5, 96, 5, 3).mean((1, 3)).astype(np.uint8)
    a, b = named(large), named(small)
    for name in ("mean_db", "constant_db", "band_1.41_db", "band_4_db", "cosines_64_db"):
        assert a[name] == pytest.approx(b[name], abs=0.4), name


def test_averaging_large_pictures_loses_no_energy() -> None:
    """A checkerboard of single pixels averages to grey, but is no constant picture."""
    board = np.indices((600, 600)).sum(0) % 2 * 255
    image = np.repeat(board[..., None], 3, -1).astype(np.uint8)
    found = named(image)
    assert found["constant_db"] == pytest.approx(-10 * np.log10(0.25), abs=0.01)
    assert found["cosines_16384_db"] == pytest.approx(-10 * np.log10(0.25), abs=0.1)
    # The picture was halved to 150 pixels, twice: all is in the second octave above its 75 cycles.
    octave = sum(10 ** (-found[name] / 10) for name in ("band_256_db", "band_362_db"))
    assert octave == pytest.approx(0.25, rel=0.01)


def test_energies_of_the_bands_add_up() -> None:
    image = np.random.default_rng(1).integers(0, 256, (512, 768, 3), np.uint8)
    found = named(image)
    bands = sum(10 ** (-found[name] / 10) for name in descriptors.BANDS)
    assert bands == pytest.approx(np.var(image / 255.0, axis=(0, 1)).mean(), rel=0.01)
    assert 10 ** (-found["constant_db"] / 10) == pytest.approx(bands, rel=0.01)


def test_wavelets_keep_all_energy_but_the_means() -> None:
    pixels = np.random.default_rng(2).random((32, 32, 3)).astype(np.float32)
    energy = np.square(descriptors._wavelets(pixels)).sum()
    assert energy == pytest.approx(np.square(pixels - pixels.mean((0, 1))).sum(), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 300), st.just(3))))
def test_any_picture_has_finite_numbers(image: np.ndarray) -> None:
    found = describe(image)
    assert found.shape == (len(NAMES),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    for kind in ("cosines", "wavelets"):
        largest = found[[n.startswith(kind) for n in NAMES]]
        assert (np.diff(largest) >= -1e-3).all()
    assert found[descriptors.AT["cosines_8_db"]] >= found[descriptors.AT["constant_db"]] - 1e-3
