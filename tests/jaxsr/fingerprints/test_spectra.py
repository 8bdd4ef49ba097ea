import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

import jaxsr

# As one program each, which compiles faster than its operations one by one.
log_power_spectrum, azimuthal_average, dct2 = map(
    jax.jit, (jaxsr.log_power_spectrum, jaxsr.azimuthal_average, jaxsr.dct2)
)


def wave(height, width, rows, columns):
    """[H, W, 1]: 0.5 + 0.25 cos, with that many periods down and across."""
    y, x = np.mgrid[:height, :width]
    phase = 2 * np.pi * (rows * y / height + columns * x / width)
    return np.float32(0.5 + 0.25 * np.cos(phase))[..., None]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (31, 25)])
def test_a_wave_has_two_peaks_and_the_mean(height, width):
    spectrum = np.exp(log_power_spectrum(wave(height, width, 5, 3)))[..., 0]
    centre = (height // 2, width // 2)
    np.testing.assert_allclose(spectrum[centre], 0.25, rtol=1e-5)  # mean^2
    for sign in (1, -1):  # (amplitude / 2)^2 on either side
        peak = spectrum[centre[0] + sign * 5, centre[1] + sign * 3]
        np.testing.assert_allclose(peak, 0.125**2, rtol=1e-4)
    assert np.sum(spectrum > 1e-6) == 3


def test_log_power_spectrum_is_that_of_numpy(key):
    images = jax.random.uniform(key, (2, 12, 10, 3))
    power = np.abs(np.fft.fft2(np.asarray(images, np.float64), axes=(1, 2)) / 120) ** 2
    expected = np.log(np.fft.fftshift(power, axes=(1, 2)) + 1e-12)
    spectrum = log_power_spectrum(images)
    assert spectrum.dtype == jnp.float32
    np.testing.assert_allclose(spectrum, expected, atol=2e-3)


def test_a_black_image_is_at_the_floor():
    spectrum = jaxsr.log_power_spectrum(jnp.zeros((8, 8, 1)), floor=1e-6)
    np.testing.assert_allclose(spectrum, np.log(1e-6), rtol=1e-5)


@pytest.mark.parametrize(("rows", "columns", "expected_bin"), [(0, 7, 7), (7, 0, 7), (6, 8, 10)])
def test_azimuthal_average_puts_a_wave_in_the_bin_of_its_radius(rows, columns, expected_bin):
    power = jnp.exp(log_power_spectrum(wave(32, 32, rows, columns)))
    average = azimuthal_average(power)
    assert average.shape == (17, 1)
    assert np.argmax(np.asarray(average)[1:, 0]) + 1 == expected_bin


def test_azimuthal_average_scales_the_longer_side():
    power = jnp.exp(log_power_spectrum(wave(32, 64, 0, 14)))  # 14 / 64 = 7 / 32
    assert np.argmax(np.asarray(azimuthal_average(power))[1:, 0]) + 1 == 7


@pytest.mark.parametrize(("height", "width"), [(9, 9), (16, 24), (30, 11), (1, 5)])
def test_azimuthal_average_is_the_mean_over_each_ring(key, height, width):
    spectrum = jax.random.normal(key, (2, 2, height, width, 3))
    short = min(height, width)
    y = (np.arange(height) - height // 2) * short / height
    x = (np.arange(width) - width // 2) * short / width
    ring = np.round(np.sqrt(y[:, None] ** 2 + x[None, :] ** 2))
    expected = np.stack(
        [np.asarray(spectrum)[:, :, ring == b].mean(axis=2) for b in range(short // 2 + 1)], axis=2
    )
    average = azimuthal_average(spectrum)
    np.testing.assert_allclose(average, expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (128, 96), (7, 30), (1, 3)])
def test_dct2_is_that_of_scipy(key, height, width):
    images = jax.random.uniform(key, (2, height, width, 3))
    expected = scipy.fft.dctn(np.asarray(images, np.float64), axes=(1, 2), norm="ortho")
    transformed = dct2(images)
    assert transformed.dtype == jnp.float32
    np.testing.assert_allclose(transformed, expected, atol=1e-4)


def test_dct2_keeps_energy_and_maps_over_leading_axes(key):
    images = np.asarray(jax.random.normal(key, (2, 3, 8, 10, 1)))
    transformed = np.asarray(dct2(images))
    np.testing.assert_allclose(np.sum(transformed**2), np.sum(images**2), rtol=1e-5)
    np.testing.assert_allclose(transformed[1, 2], dct2(images[1, 2]), atol=1e-5)


@pytest.mark.parametrize("name", ["log_power_spectrum", "azimuthal_average", "dct2"])
def test_shapes_and_dtypes_are_checked(name):
    transform = getattr(jaxsr, name)
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W, C\].*\(8, 8\)"):
        transform(jnp.zeros((8, 8)))
    with pytest.raises(TypeError, match="uint8.*255"):
        transform(jnp.zeros((8, 8, 3), jnp.uint8))


BAD_PICTURES = (
    (np.full((8, 8, 3), 255.0, np.float32), "255. Divide it by 255"),
    (np.full((8, 8, 3), np.nan, np.float32), "nan to nan. Clip it, and look for NaN"),
    (np.zeros((3, 8, 8), np.float32), r"channels first. Move them with numpy.moveaxis\(images, -3"),
    (np.zeros((8, 8, 4), np.float32), r"Drop the alpha channel with images\[\.\.\., :3\]"),
)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("a.png", r"Read it: jaxfleet\.imaging\.photos\.read"),
        ([[[0.5]]], r"numpy\.asarray\(images\)"),
    ],
)
@pytest.mark.parametrize("name", ["log_power_spectrum", "dct2", "noise_residual"])
def test_what_is_no_array_is_refused_with_a_remedy(name, picture, message):
    with pytest.raises(TypeError, match=message):
        getattr(jaxsr, name)(picture)


@pytest.mark.parametrize(("picture", "message"), BAD_PICTURES)
@pytest.mark.parametrize("name", ["log_power_spectrum", "dct2", "noise_residual"])
def test_what_is_no_picture_is_refused_with_a_remedy(name, picture, message):
    with pytest.raises(ValueError, match=message):
        getattr(jaxsr, name)(jnp.asarray(picture))


def test_a_residual_is_no_error(key):
    residual = 0.1 * jax.random.normal(key, (8, 8, 3))
    assert np.isfinite(jaxsr.log_power_spectrum(residual)).all()
