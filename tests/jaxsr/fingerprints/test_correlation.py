import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.fingerprints import correlation


def pce_of(values, row, column, reach):
    """Shift by shift, in float64."""
    height, width = values.shape
    rest = []
    for y, x in np.ndindex(height, width):
        down = min((y - row) % height, (row - y) % height)
        across = min((x - column) % width, (column - x) % width)
        if max(down, across) > reach:
            rest.append(values[y, x] ** 2)
    peak = values[row, column]
    return np.sign(peak) * peak**2 / np.mean(rest)


def test_ncc_is_that_of_numpy(key):
    first, second = jax.random.split(key)
    residuals = 3 + jax.random.normal(first, (3, 6, 5, 2))
    fingerprints = jax.random.uniform(second, (2, 6, 5, 2))
    rows = np.concatenate([residuals.reshape(3, -1), fingerprints.reshape(2, -1)])
    expected = np.corrcoef(rows.astype(np.float64))[:3, 3:]
    np.testing.assert_allclose(correlation.ncc(residuals, fingerprints), expected, atol=1e-5)


@pytest.mark.parametrize("strength", [0.05, 0.3, 1.0])
def test_a_known_fingerprint_is_found_at_the_predicted_ncc(key, strength):
    of_fingerprint, of_noise = jax.random.split(key)
    fingerprint = jax.random.normal(of_fingerprint, (1, 256, 256, 1))
    residual = strength * fingerprint + jax.random.normal(of_noise, fingerprint.shape)
    predicted = strength / np.sqrt(strength**2 + 1)
    found = correlation.ncc(residual, fingerprint)
    np.testing.assert_allclose(found, [[predicted]], atol=4 / 256)  # four standard errors
    unrelated = correlation.ncc(jnp.roll(residual, 9, 1), fingerprint)
    np.testing.assert_allclose(unrelated, [[0.0]], atol=4 / 256)


def test_a_constant_correlates_with_nothing(key):
    constant, noise = jnp.full((1, 9, 9, 1), 0.1), jax.random.normal(key, (1, 9, 9, 1))
    assert correlation.ncc(constant, noise)[0, 0] == 0.0
    assert not np.any(correlation.cross_correlation(constant[0], noise[0]))


@pytest.mark.parametrize("size", [(6, 7), (4, 3)])
def test_cross_correlation_is_the_sum_at_every_shift(key, size):
    first, second = jax.random.split(key)
    residual = jax.random.normal(first, (*size, 2))
    fingerprint = jax.random.normal(second, (6, 7, 2))
    a = np.asarray(residual, np.float64) - np.mean(residual)
    b = np.asarray(fingerprint, np.float64) - np.mean(fingerprint)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    expected = np.empty((6, 7))
    for i, j in np.ndindex(6, 7):
        shifted = np.roll(b, (-i, -j), (0, 1))[: size[0], : size[1]]
        expected[i, j] = np.sum(a * shifted)
    result = jax.jit(correlation.cross_correlation)(residual, fingerprint)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_cross_correlation_maps_over_leading_axes(key):
    first, second = jax.random.split(key)
    residuals = jax.random.normal(first, (3, 1, 8, 8, 1))
    fingerprints = jax.random.normal(second, (2, 8, 8, 1))
    result = correlation.cross_correlation(residuals, fingerprints)
    assert result.shape == (3, 2, 8, 8)
    alone = correlation.cross_correlation(residuals[2, 0], fingerprints[1])
    np.testing.assert_allclose(result[2, 1], alone, atol=1e-6)
    aligned = correlation.ncc(residuals[:, 0], fingerprints)
    np.testing.assert_allclose(result[:, :, 0, 0], aligned, atol=1e-6)


def test_a_crop_is_found_where_it_was_cut(key):
    fingerprint = jax.random.normal(key, (64, 48, 1))
    peak = correlation.pce(correlation.cross_correlation(fingerprint[20:52, 7:39], fingerprint))
    assert (int(peak.row), int(peak.column)) == (20, 7)
    assert peak.pce > 100


def test_pce_is_that_of_numpy_and_maps_over_leading_axes(key):
    values = jax.random.normal(key, (2, 2, 15, 17))
    peaks = correlation.pce(values, neighbourhood_px=3)
    for n, m in np.ndindex(2, 2):
        own = np.asarray(values[n, m], np.float64)
        row, column = np.unravel_index(np.argmax(own), own.shape)
        assert (peaks.row[n, m], peaks.column[n, m]) == (row, column)
        np.testing.assert_allclose(peaks.height[n, m], own.max(), rtol=1e-6)
        np.testing.assert_allclose(peaks.pce[n, m], pce_of(own, row, column, 3), rtol=1e-4)


def test_nothing_has_no_peak_and_a_lone_peak_a_finite_energy():
    assert correlation.pce(jnp.zeros((16, 16))).pce == 0.0
    lone = correlation.pce(jnp.zeros((16, 16)).at[3, 4].set(0.5))
    assert np.isfinite(lone.pce)
    assert lone.pce > 1e6


def test_the_neighbourhood_closes_around_the_edge():
    values = np.full((16, 16), 0.1)
    values[0, 0], values[15, 15] = 1.0, 0.9  # the second is next to the first
    peak = correlation.pce(jnp.asarray(values, jnp.float32), neighbourhood_px=1)
    np.testing.assert_allclose(peak.pce, 1 / 0.1**2, rtol=1e-4)


def test_pce_of_aligned_images_has_the_sign_of_the_peak():
    values = np.full((16, 16), 0.1)
    values[0, 0], values[8, 8] = -0.5, 1.0
    peak = correlation.pce(jnp.asarray(values, jnp.float32), search_px=0)
    elsewhere = (1.0 + (256 - 121 - 1) * 0.01) / (256 - 121)
    assert (int(peak.row), int(peak.column)) == (0, 0)
    np.testing.assert_allclose(peak.pce, -0.25 / elsewhere, rtol=1e-4)


def test_search_reaches_around_the_edge():
    values = np.zeros((16, 16))
    values[15, 1], values[8, 8], values[4, 4] = 0.5, 1.0, -0.3
    peak = correlation.pce(jnp.asarray(values, jnp.float32), search_px=2)
    assert (int(peak.row), int(peak.column)) == (15, 1)


def test_pce_of_unrelated_arrays_is_that_of_the_largest_of_so_many_normals(key):
    first, second = jax.random.split(key)
    shape = (16, 64, 64, 1)
    values = correlation.cross_correlation(
        jax.random.normal(first, shape), jax.random.normal(second, shape)
    )
    aligned = correlation.pce(values, search_px=0)
    np.testing.assert_allclose(np.mean(np.abs(aligned.pce)), 1.0, atol=4 * np.sqrt(2 / 16))
    anywhere = correlation.pce(values)
    # The largest of n normals: sqrt(2 ln n) less a little.
    assert 0.6 * 2 * np.log(4096) < np.mean(anywhere.pce) < 1.2 * 2 * np.log(4096)


def test_correlation_is_that_of_prnu_python(key):
    pytest.importorskip("pywt", reason="PyWavelets is not installed")
    prnu = pytest.importorskip("prnu", reason="prnu-python is not installed")
    fingerprint = np.asarray(jax.random.normal(key, (24, 30)))
    crop = fingerprint[5:17, 3:19].copy()
    # Theirs runs the other way round the torus, from the last pixel on, and is not normalised.
    theirs = prnu.crosscorr_2d(fingerprint.copy(), crop.copy())
    own = correlation.cross_correlation(crop[..., None], fingerprint[..., None])
    length = np.linalg.norm(crop - crop.mean()) * np.linalg.norm(fingerprint - fingerprint.mean())
    np.testing.assert_allclose(own, np.roll(theirs, (1, 1), (0, 1)) / length, atol=1e-4)


def test_shapes_are_checked():
    small, large = jnp.zeros((4, 4, 1)), jnp.zeros((8, 8, 1))
    with pytest.raises(ValueError, match=r"larger.*\(8, 8, 1\).*\(4, 4, 1\)"):
        correlation.cross_correlation(large, small)
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 1\).*\(1, 8, 8, 1\)"):
        correlation.ncc(small[None], large[None])
    with pytest.raises(ValueError, match="8 x 8 shifts.*5"):
        correlation.pce(jnp.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W\].*\(8,\)"):
        correlation.pce(jnp.zeros(8))
    with pytest.raises(TypeError, match="uint8"):
        correlation.ncc(jnp.zeros((1, 4, 4, 1), jnp.uint8), small[None])
