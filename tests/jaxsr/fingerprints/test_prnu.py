import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from jaxsr.fingerprints import correlation, prnu, residuals

# As one program each, which compiles faster than its operations one by one.
exposure, maximum_likelihood, zero_mean = map(
    jax.jit, (prnu.exposure, prnu.maximum_likelihood, prnu.zero_mean)
)


def levels(count=3, height=14, width=11, channels=3, low=0, high=256):
    """[N, H, W, C] uint8."""
    rng = np.random.default_rng(1)
    return rng.integers(low, high, (count, height, width, channels)).astype(np.uint8)


def as_images(pixels):
    return pixels.astype(np.float32) / 255


def exposure_of(pixels):
    """Pixel by pixel, in float64."""
    result = np.zeros(pixels.shape)
    height, width = pixels.shape[-3:-1]
    for *lead, y, x, c in np.ndindex(*pixels.shape):
        plane = pixels[(*lead, slice(None), slice(None), c)].astype(int)
        beside = {plane[(y + dy) % height, (x + dx) % width] for dy, dx in STEPS}
        value = plane[y, x]
        if value > 250 and value == plane.max() and value in beside:
            continue
        result[(*lead, y, x, c)] = value / 252 if value < 252 else np.exp(-((value - 252) ** 2) / 6)
    return result


STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def zero_mean_of(plane):
    plane = plane.astype(np.float64).copy()
    for y in (0, 1):
        for x in (0, 1):
            phase = plane[y::2, x::2]
            phase -= phase.mean()
            phase -= phase.mean(1, keepdims=True) + phase.mean(0, keepdims=True)
    return plane


def wiener_dft_of(plane):
    transform = scipy.fft.fft2(plane.astype(np.float64))
    magnitude = np.abs(transform) / np.sqrt(plane.size)
    variance = plane.astype(np.float64).var(ddof=1)
    means = [scipy.ndimage.uniform_filter(magnitude**2, w, mode="constant") for w in (3, 5, 7, 9)]
    signal = np.maximum(np.min(means, axis=0) - variance, 0)
    return scipy.fft.ifft2(transform * variance / (signal + variance)).real


def test_exposure_is_that_of_each_pixel():
    pixels = levels(low=247)  # many at the maximum, side by side and alone
    pixels[..., 1] = np.minimum(pixels[..., 1], 249)
    np.testing.assert_allclose(exposure(as_images(pixels)), exposure_of(pixels), atol=1e-4)


def test_saturated_neighbours_and_they_alone_count_nothing():
    pixels = np.full((6, 6, 1), 100, np.uint8)
    pixels[0, 0] = pixels[5, 0] = pixels[2, 3] = 251  # the first two touch around the edge
    weights = np.asarray(exposure(as_images(pixels)))[..., 0]
    assert weights[0, 0] == weights[5, 0] == 0
    np.testing.assert_allclose(weights[2, 3], 251 / 252, rtol=1e-6)
    assert np.count_nonzero(weights) == 34


def test_fingerprints_are_those_of_numpy(key):
    pixels = levels(4)
    noise = np.asarray(0.02 * jax.random.normal(key, pixels.shape))
    total = prnu.sums(as_images(pixels), jnp.asarray(noise))
    images = pixels / 255
    expected = np.sum(noise * images, axis=0) / (np.sum(exposure_of(pixels) ** 2, axis=0) + 1)
    np.testing.assert_allclose(prnu.mean(total), noise.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(maximum_likelihood(total), expected, atol=1e-6)


def test_sums_of_two_batches_are_those_of_one(key):
    images = as_images(levels(5))
    noise = jax.random.normal(key, images.shape)
    whole = prnu.sums(images, noise)
    parts = prnu.add(prnu.sums(images[:2], noise[:2]), prnu.sums(images[2:], noise[2:]))
    for own, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_maximum_likelihood_finds_a_multiplicative_pattern_at_the_predicted_correlation(key):
    of_pattern, of_brightness, of_noise = jax.random.split(key, 3)
    pattern = 0.01 * jax.random.normal(of_pattern, (128, 128, 1))
    brightness = jax.random.uniform(of_brightness, (20, 1, 1, 1), minval=0.2, maxval=0.8)
    images = jnp.round(255 * jnp.broadcast_to(brightness, (20, 128, 128, 1))) / 255
    noise = 0.02 * jax.random.normal(of_noise, images.shape)
    found = maximum_likelihood(prnu.sums(images, images * pattern[None] + noise))
    # K_hat is proportional to K + (sum I noise) / sum I^2, whose variance is noise^2 / sum I^2.
    variance = 0.02**2 / float(jnp.sum(images[:, 0, 0, 0] ** 2))
    predicted = np.sqrt(0.01**2 / (0.01**2 + variance))
    np.testing.assert_allclose(
        correlation.ncc(found[None], pattern[None]), [[predicted]], atol=4 / 128
    )


@pytest.mark.parametrize("shape", [(12, 16), (13, 10), (7, 9), (1, 5)])
def test_zero_mean_is_that_of_each_phase(key, shape):
    images = np.asarray(jax.random.uniform(key, (2, *shape, 2)))
    result = np.asarray(zero_mean(images))
    for n, c in np.ndindex(2, 2):
        if min(shape) > 1:
            np.testing.assert_allclose(
                result[n, ..., c], zero_mean_of(images[n, ..., c]), atol=1e-5
            )
    for y, x in np.ndindex(2, 2):
        phase = result[:, y::2, x::2]
        if phase.size:
            np.testing.assert_allclose(phase.sum(1), 0.0, atol=1e-5)
            np.testing.assert_allclose(phase.sum(2), 0.0, atol=1e-5)


@pytest.mark.parametrize("shape", [(24, 32), (15, 21)])
def test_wiener_dft_is_that_of_scipy(key, shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    line = jnp.asarray(3 * np.cos(2 * np.pi * 3 * x / shape[1]), jnp.float32)
    images = jax.random.normal(key, (2, *shape, 1)) + line[None, :, :, None]
    result = jax.jit(prnu.wiener_dft)(images)
    assert result.dtype == jnp.float32
    for own, image in zip(result, images, strict=True):
        np.testing.assert_allclose(own[..., 0], wiener_dft_of(np.asarray(image[..., 0])), atol=1e-4)


def test_wiener_dft_takes_a_wave_away_and_leaves_noise(key):
    noise = jax.random.normal(key, (64, 64, 1))
    wave = jnp.asarray(10 * np.cos(np.pi / 2 * np.arange(64)), jnp.float32)[None, :, None]
    cleaned = jax.jit(prnu.wiener_dft)(noise + jnp.broadcast_to(wave, noise.shape))
    amplitude = 2 * jnp.abs(jnp.fft.fft(jnp.mean(cleaned[..., 0], axis=0))[16]) / 64
    assert amplitude < 2.0
    assert jnp.corrcoef(cleaned.ravel(), noise.ravel())[0, 1] > 0.9


def test_wiener_dft_of_nothing_is_nothing():
    assert not np.any(jax.jit(prnu.wiener_dft)(jnp.zeros((16, 16, 1))))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 5e-8])
def test_wiener_dft_scales_with_its_image(key, scale):
    noise = jax.random.normal(key, (16, 16, 1))
    found, expected = (jax.jit(prnu.wiener_dft)(x) for x in (scale * noise, noise))
    np.testing.assert_allclose(found / scale, expected, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1 / 255, 0.5, 1.0])
def test_a_flat_picture_is_cleaned_to_nothing(level):
    flat = jnp.full((64, 64, 3), level)
    clean = jax.jit(prnu.clean)
    assert not np.any(clean(flat))
    for method in ("wavelet", "gaussian", "wiener"):
        assert not np.any(clean(residuals.noise_residual(flat, method)))


def test_clean_is_that_of_numpy(key):
    fingerprint = jax.random.normal(key, (20, 18, 3))
    weighted = np.asarray(fingerprint, np.float64) @ np.array(prnu.GREY_WEIGHTS)
    expected = wiener_dft_of(zero_mean_of(weighted))
    result = jax.jit(prnu.clean)(fingerprint)
    assert result.shape == (20, 18, 1)
    np.testing.assert_allclose(result[..., 0], expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
def test_clean_is_that_of_prnu_python(key):
    pytest.importorskip("pywt", reason="PyWavelets is not installed")
    theirs = pytest.importorskip("prnu", reason="prnu-python is not installed")
    residual = np.asarray(jax.random.normal(key, (32, 48, 3)))
    grey = theirs.zero_mean_total(theirs.rgb2gray(residual))
    expected = theirs.wiener_dft(grey, grey.std(ddof=1))
    np.testing.assert_allclose(jax.jit(prnu.clean)(residual)[..., 0], expected, atol=1e-4)


def test_shapes_are_checked():
    images = jnp.zeros((2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\).*\(2, 4, 4, 1\)"):
        prnu.sums(images, images[..., :1])
    with pytest.raises(ValueError, match=r"\(4, 4, 3\).*\(4, 4, 1\)"):
        prnu.add(prnu.sums(images, images), prnu.sums(images[..., :1], images[..., :1]))
    with pytest.raises(ValueError, match=r"1 or 3 channels.*\(4, 4, 2\)"):
        prnu.grey(jnp.zeros((4, 4, 2)))
    with pytest.raises(TypeError, match="uint8.*255"):
        prnu.exposure(jnp.zeros((4, 4, 3), jnp.uint8))
