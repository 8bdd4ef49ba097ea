import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import jaxsr
from jaxfleet.errors import InputError
from jaxsr.fingerprints import residuals, wavelets


def pictures(count=2, height=45, width=38, channels=3):
    """Smooth shading, edges, and noise of 4 grey levels: [N, H, W, C] float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    phases = rng.uniform(0, 6, (count, 1, 1, channels))
    shading = 0.5 + 0.25 * np.sin(0.1 * y[..., None] + 0.15 * x[..., None] + phases)
    edges = 0.2 * ((y // 11 + x // 7) % 2)[..., None]
    noise = rng.normal(0, 4 / 255, (count, height, width, channels))
    return np.clip(shading + edges + noise, 0, 1).astype(np.float32)


def split(x, axis):
    """One level along one axis in float64: mirror, convolve whole, keep every second."""
    pads = [(0, 0), (0, 0)]
    pads[axis] = (7, 8)
    padded = np.pad(x, pads, mode="symmetric")
    parts = []
    for taps in (wavelets.LOW_PASS, wavelets.HIGH_PASS):
        convolved = scipy.ndimage.convolve1d(padded, taps, axis, mode="constant", origin=-4)
        kept = np.arange((x.shape[axis] + 7) // 2) * 2 + 8
        parts.append(np.take(convolved, kept, axis))
    return parts


def join(low, high, size, axis):
    """The inverse of `split`: zeros in between, convolve with the filters reversed, add."""
    total = 0.0
    for half, taps in ((low, wavelets.LOW_PASS), (high, wavelets.HIGH_PASS)):
        spread = np.zeros([2 * n if i == axis else n for i, n in enumerate(half.shape)])
        spread[(slice(None), slice(None, None, 2))[:: 1 if axis == 1 else -1]] = half
        total = total + np.apply_along_axis(np.convolve, axis, spread, taps[::-1])
    return np.take(total, np.arange(size) + 6, axis)


def wiener_noise(x, variance):
    """Scipy's box filters in float64, and the textbook's quotient."""
    means = [scipy.ndimage.uniform_filter(x**2, w, mode="constant") for w in (3, 5, 7, 9)]
    signal = np.min([np.maximum(mean - variance, 0) for mean in means], axis=0)
    return x * variance / (signal + variance)


def wavelet_noise(plane, sigma, levels):
    if levels == 0:
        return np.zeros_like(plane)
    (ll, lh), (hl, hh) = (split(part, 1) for part in split(plane, 0))
    ll = wavelet_noise(ll, sigma, levels - 1)
    lh, hl, hh = (wiener_noise(band, sigma**2) for band in (lh, hl, hh))
    height, width = plane.shape
    return join(join(ll, lh, width, 1), join(hl, hh, width, 1), height, 0)


def of_channels(function, images):
    """Maps a function of planes over images [N, H, W, C], in float64."""
    return np.stack(
        [
            np.stack(
                [function(plane) for plane in np.moveaxis(image.astype(np.float64), -1, 0)], -1
            )
            for image in images
        ]
    )


def assert_close(actual, expected):
    """To 1e-4 of the largest value."""
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_wavelet_is_orthonormal_and_has_four_vanishing_moments():
    low, high = wavelets.LOW_PASS, wavelets.HIGH_PASS
    for shift in range(4):
        same = float(shift == 0)
        for a, b, expected in ((low, low, same), (high, high, same), (low, high, 0.0)):
            assert np.dot(a[2 * shift :], b[: 8 - 2 * shift]) == pytest.approx(expected, abs=1e-12)
    for power in range(4):
        assert np.dot(np.arange(8.0) ** power, high) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("shape", [(32, 32), (37, 50), (5, 3), (1, 2)])
def test_synthesis_undoes_analysis(key, shape):
    planes = jax.random.uniform(key, (2, *shape))
    both = jax.jit(lambda planes: wavelets.synthesise(*wavelets.analyse(planes, 3), shape))
    np.testing.assert_allclose(both(planes), planes, atol=2e-6)


def test_wavelet_transform_is_that_of_pywavelets(key):
    pywt = pytest.importorskip("pywt", reason="PyWavelets is not installed")
    plane = np.asarray(jax.random.uniform(key, (45, 38)))
    expected = pywt.wavedec2(plane.astype(np.float64), "db4", level=2)
    approximation, details = jax.jit(lambda plane: wavelets.analyse(plane, 2))(plane)
    np.testing.assert_allclose(approximation, expected[0], atol=1e-5)
    for level, bands in enumerate(reversed(expected[1:])):
        for own, theirs in zip(details[level], bands, strict=True):
            np.testing.assert_allclose(own, theirs, atol=1e-5)


def test_wavelet_residual_is_that_of_scipy():
    images = pictures()
    expected = of_channels(lambda plane: wavelet_noise(plane, 5 / 255, 4), images)
    assert_close(jaxsr.noise_residual(jnp.asarray(images)), expected)


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
def test_wavelet_residual_is_that_of_prnu_python():
    pytest.importorskip("pywt", reason="PyWavelets is not installed")
    prnu = pytest.importorskip("prnu", reason="prnu-python is not installed")
    pixels = np.round(pictures(1, 128, 160)[0] * 255).astype(np.uint8)
    expected = prnu.noise_extract(pixels.copy()) / 255
    assert_close(residuals.wavelet_residual(jnp.asarray(pixels, jnp.float32) / 255), expected)


@pytest.mark.parametrize("blur_px", [0.7, 1.0])
def test_gaussian_residual_is_that_of_scipy(blur_px):
    images = pictures()
    blur = lambda plane: plane - scipy.ndimage.gaussian_filter(plane, blur_px)  # noqa: E731
    assert_close(
        residuals.gaussian_residual(jnp.asarray(images), blur_px=blur_px), of_channels(blur, images)
    )


@pytest.mark.parametrize("window_px", [3, 5])
def test_wiener_residual_is_that_of_scipy(window_px):
    images, sigma = pictures(), 5 / 255

    def noise(plane):
        mean = scipy.ndimage.uniform_filter(plane, window_px, mode="reflect")
        variance = scipy.ndimage.uniform_filter(plane**2, window_px, mode="reflect") - mean**2
        return (plane - mean) * sigma**2 / np.maximum(variance, sigma**2)

    expected = of_channels(noise, images)
    actual = residuals.wiener_residual(jnp.asarray(images), window_px=window_px)
    assert_close(actual, expected)
    inside = slice(window_px, -window_px)
    plane = images[0, ..., 0].astype(np.float64)
    theirs = plane - scipy.signal.wiener(plane, window_px, sigma**2)
    np.testing.assert_allclose(actual[0, inside, inside, 0], theirs[inside, inside], atol=1e-6)


@pytest.mark.parametrize("method", ["wavelet", "gaussian", "wiener"])
def test_residual_of_a_batch_is_that_of_each_image(method):
    images = jnp.asarray(pictures(4)).reshape(2, 2, 45, 38, 3)
    residual = jax.jit(functools.partial(jaxsr.noise_residual, method=method))
    batch, alone = residual(images), residual(images[1, 0])
    assert batch.shape == images.shape
    np.testing.assert_allclose(batch[1, 0], alone, atol=1e-7)


@pytest.mark.parametrize("method", ["wavelet", "gaussian", "wiener"])
def test_a_flat_image_has_no_residual(method):
    residual = jax.jit(functools.partial(jaxsr.noise_residual, method=method))
    for level in (0, 1, 77, 128, 200, 255):
        assert not np.any(residual(jnp.full((16, 20, 1), level / 255)))
        one = jnp.full((16, 20, 1), level / 255).at[8, 9].add(1 / 255 if level < 255 else -1 / 255)
        assert np.any(residual(one))  # the least difference of 8 bits is no rounding


def test_weak_noise_stays_in_the_wavelet_residual_and_strong_edges_do_not(key):
    noise = 2 / 255 * jax.random.normal(key, (128, 128, 1))
    step = jnp.where(jnp.arange(128) < 64, 0.2, 0.8)[:, None, None] * jnp.ones((1, 128, 1))
    wavelet = jax.jit(residuals.wavelet_residual)
    residual, with_step = np.asarray(wavelet(0.5 + noise)), np.asarray(wavelet(step + noise))
    noise = np.asarray(noise)
    # All but the 1/256 of white noise that the approximation of four levels holds.
    explained = np.sum(residual * noise) / np.sum(noise**2)
    np.testing.assert_allclose(explained, 1 - 1 / 256, atol=5e-3)
    assert np.abs(with_step).max() < 0.1 * 0.6


def test_bm3d_takes_noise_and_leaves_the_image(key):
    pytest.importorskip("bm3d", reason="bm3d is not installed: pip install 'jaxfleet[bm3d]'")
    ramp = jnp.linspace(0.2, 0.8, 24)[:, None, None] * jnp.ones((1, 24, 1))
    noise = 5 / 255 * jax.random.normal(key, ramp.shape)
    residual = jaxsr.noise_residual(ramp + noise, "bm3d")
    assert residual.dtype == jnp.float32
    assert jnp.corrcoef(residual.ravel(), noise.ravel())[0, 1] > 0.9


def test_without_bm3d_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(InputError, match=r"pip install 'jaxfleet\[bm3d\]'"):
        jaxsr.noise_residual(jnp.zeros((8, 8, 3)), "bm3d")


def test_an_unknown_method_is_refused_with_the_list():
    with pytest.raises(InputError, match="median.*wavelet, gaussian, wiener, bm3d"):
        jaxsr.noise_residual(jnp.zeros((8, 8, 3)), "median")


@pytest.mark.parametrize("method", residuals.METHODS)
def test_shapes_and_dtypes_are_checked(method):
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W, C\].*\(8, 8\)"):
        jaxsr.noise_residual(jnp.zeros((8, 8)), method)
    with pytest.raises(TypeError, match="uint8.*255"):
        jaxsr.noise_residual(jnp.zeros((8, 8, 3), jnp.uint8), method)


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="odd.*4"):
        residuals.wiener_residual(jnp.zeros((8, 8, 1)), window_px=4)


def test_what_a_network_overshoots_is_allowed_and_levels_of_255_are_not():
    assert jaxsr.noise_residual(jnp.full((8, 8, 3), 1.4), "gaussian").shape == (8, 8, 3)
    with pytest.raises(ValueError, match=r"in \[-0\.5, 1\.5\]; got 2 to 2"):
        jaxsr.noise_residual(jnp.full((8, 8, 3), 2.0), "gaussian")
