import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from jaxsr.fingerprints import residuals, welch


def noise(height, width, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("side", [16, 24])
def test_it_is_welchs_mean_of_the_residual_by_scipy(side):
    pixels = noise(57, 70)
    residual = np.asarray(residuals.gaussian_residual(jnp.asarray(pixels / np.float32(255))))
    window = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(window, window)
    powers = []
    for top in range(0, 57 - side + 1, side // 2):
        for left in range(0, 70 - side + 1, side // 2):
            for channel in range(3):
                block = residual[top : top + side, left : left + side, channel]
                transform = np.fft.fft2(block.astype(np.float64) * window)
                powers.append(np.abs(transform) ** 2 / np.sum(window**2))
    expected = np.fft.fftshift(np.mean(powers, axis=0))
    assert welch.power(pixels, side).dtype == np.float32
    np.testing.assert_allclose(welch.power(pixels, side), expected, rtol=1e-3)


def test_a_row_of_blocks_agrees_with_scipys_welch():
    # One block: scipy's periodogram along both axes is the same product of windows.
    side = 16
    pixels = noise(side, side, seed=1)
    residual = np.asarray(residuals.gaussian_residual(jnp.asarray(pixels / np.float32(255))))
    hann = signal.windows.cosine(side) ** 2
    transform = np.fft.fft2(residual * np.outer(hann, hann)[..., None], axes=(0, 1))
    expected = (np.abs(transform) ** 2).mean(axis=-1) / np.sum(np.outer(hann, hann) ** 2)
    measured = welch.power(pixels, side)
    np.testing.assert_allclose(measured, np.fft.fftshift(expected), rtol=1e-3)


def test_what_repeats_every_second_pixel_peaks_at_half_a_cycle():
    pixels = np.full((64, 64, 3), 100, np.uint8)
    pixels[:, ::2] += 20
    power = welch.power(pixels, 32)
    assert np.unravel_index(power.argmax(), power.shape) == (16, 0)
    assert welch.decibels(power)[16, 0] > welch.decibels(power)[16, 8] + 30


def test_decibels_of_nothing_level_off():
    assert welch.decibels(np.zeros((2, 2), np.float32)).max() == pytest.approx(-120)
