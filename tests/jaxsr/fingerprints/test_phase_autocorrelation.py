"""Products of neighbouring pixels at each place of a grid, against numpy and worked by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, signal

from jaxsr.fingerprints import phase_autocorrelation

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def noise(count, side, seed=0):
    """[count, side, side, 3] uint8."""
    draw = np.random.default_rng(seed)
    return np.clip(draw.normal(128, 30, (count, side, side, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def statistics():
    compiled = jax.jit(
        phase_autocorrelation.phase_autocorrelation, static_argnames=("period", "max_lag")
    )
    return lambda crops, **options: np.asarray(compiled(jnp.asarray(crops), **options))


def levelled(crop):
    """[c, c, 3] uint8 to [c, c, 3] float64, by scipy."""
    red, green, blue = np.moveaxis(crop.astype(np.float64), -1, 0)
    colours = [(red + green + blue) / 3, (red - blue) / 2, green / 2 - (red + blue) / 4]
    result = []
    for plane in colours:
        blurred = plane
        for axis in (0, 1):
            blurred = ndimage.correlate1d(blurred, BINOMIAL, axis, mode="reflect")
        variance = ndimage.uniform_filter((plane - blurred) ** 2, 7, mode="reflect")
        result.append((plane - blurred) / np.sqrt(variance + 1))
    return np.stack(result, axis=-1)


def half_plane(max_lag):
    """Steps down, and to the right in the same row."""
    right = [(0, step) for step in range(max_lag + 1)]
    return right + list(itertools.product(range(1, max_lag + 1), range(-max_lag, max_lag + 1)))


def statistics_of(crop, period, max_lag):
    """[L, 3, p, p] float64: pixel by pixel, as the docstring says."""
    pixels = levelled(crop)
    margin = int(np.ceil(max_lag / period)) * period
    count = (len(crop) - 2 * margin) // period
    pairs = [(step, 0) for step in half_plane(max_lag)]
    pairs += [(step, 1) for step in itertools.product((-1, 0, 1), repeat=2)]
    found = np.zeros((len(pairs) + 1, 3, period, period))
    for colour, u, v in itertools.product(range(3), range(period), range(period)):
        at = [
            (margin + u + period * m, margin + v + period * n)
            for m, n in itertools.product(range(count), repeat=2)
        ]
        for place, ((a, b), other) in enumerate(pairs):
            products = [
                pixels[i, j, colour] * pixels[i + a, j + b, (colour + other) % 3] for i, j in at
            ]
            found[place, colour, u, v] = np.mean(products)
        found[-1, colour, u, v] = np.mean([pixels[i, j, colour] for i, j in at])
    return found


@pytest.mark.parametrize(("period", "max_lag", "side"), [(2, 3, 13), (3, 1, 13)])
def test_statistics_are_those_of_numpy_pixel_by_pixel(statistics, period, max_lag, side):
    crops = noise(2, side)
    expected = np.stack([statistics_of(crop, period, max_lag).ravel() for crop in crops])
    ours = statistics(crops, period=period, max_lag=max_lag)
    assert ours.dtype == np.float32
    assert ours.shape == (2, 3 * (((2 * max_lag + 1) ** 2 + 1) // 2 + 9 + 1) * period**2)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_stripes_of_one_pixel_worked_by_hand(statistics):
    # The blur takes nothing of red that goes up and down by 24 from column to column: the colours
    # go by 8, 12 and -6, and their variance is the square of that.
    signs = np.where(np.arange(24) % 2, -1, 1)
    crops = np.full((1, 24, 24, 3), 100, np.uint8)
    crops[..., 0] += (24 * signs).astype(np.uint8)  # modulo 256
    strength = np.array([8.0, 12.0, -6.0])
    strength /= np.sqrt(strength**2 + 1)
    expected = [(-1) ** step * strength**2 for _, step in half_plane(1)]
    across = strength * np.roll(strength, -1)
    expected += [(-1) ** step * across for step in 3 * (-1, 0, 1)]
    # Eight pixels are left out on every side, so that nothing is seen of the mirror at the border.
    found = statistics(crops, period=8, max_lag=1).reshape(-1, 3, 8, 8)
    everywhere = np.broadcast_to(np.array(expected)[:, :, None, None], (len(expected), 3, 8, 8))
    np.testing.assert_allclose(found[:-1], everywhere, atol=1e-5)
    means = strength[:, None, None] * np.broadcast_to(signs[:8], (8, 8))
    np.testing.assert_allclose(found[-1], means, atol=1e-5)


def test_a_flat_picture_has_none(statistics):
    crops = np.full((2, 13, 13, 3), (10, 200, 90), np.uint8)
    np.testing.assert_allclose(statistics(crops, period=3, max_lag=1), 0.0, atol=1e-6)


def test_white_noise_has_the_products_of_the_blur_alone_at_every_place(statistics):
    crops = noise(12, 60)
    found = statistics(crops, period=4, max_lag=1).reshape(12, -1, 3, 4, 4)
    mean = found.mean(axis=0)
    error = found.std(axis=0, ddof=1) / np.sqrt(12)
    of_all = mean.mean(axis=(-1, -2), keepdims=True)
    assert np.abs((mean - of_all) / error).max() < 7  # of Student's t, 11 degrees of freedom
    # What is left of noise by h = 1 - blur has the covariance of h with itself.
    kernel = -np.outer(BINOMIAL, BINOMIAL)
    kernel[2, 2] += 1
    covariance = signal.correlate2d(kernel, kernel)
    expected = [covariance[4 + a, 4 + b] / covariance[4, 4] for a, b in half_plane(1)]
    correlation = of_all[:5, :, 0, 0] / of_all[0, :, 0, 0]
    # The spread of 49 pixels is not known better than to some per cent.
    np.testing.assert_allclose(correlation, np.array(expected)[:, None] * np.ones(3), atol=0.03)
    # The colours are orthogonal, so that of independent channels none tells of the next one.
    np.testing.assert_allclose(of_all[5:], 0.0, atol=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (0, 3), (-1, 4)])
def test_a_picture_that_is_moved_has_the_statistics_of_the_moved_grid(statistics, rows, columns):
    pictures = np.full((12, 60, 60, 3), 128, np.uint8)
    pictures[:, 20:35, 20:35] = noise(12, 15)  # flat around it, so that nothing gets lost
    here = statistics(pictures, period=4, max_lag=1)
    moved = np.roll(pictures, (-rows, -columns), axis=(1, 2))
    there = statistics(moved, period=4, max_lag=1)
    shifted = phase_autocorrelation.at_shift(jnp.asarray(here), rows, columns)
    np.testing.assert_allclose(shifted, there, atol=1e-5)
    assert np.abs(here - there).max() > 0.01


def test_every_crop_is_described_alone(statistics):
    crops = noise(2, 13)
    both = statistics(crops, period=3, max_lag=1)
    for crop, expected in zip(crops, both, strict=True):
        twice = statistics(np.stack([crop, crop]), period=3, max_lag=1)
        np.testing.assert_allclose(twice, [expected, expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("period", "max_lag", "least"), [(4, 3, 12), (2, 1, 6), (2, 3, 10)])
def test_crops_that_are_too_small_are_refused(period, max_lag, least):
    def extracted(side):
        crops = jax.ShapeDtypeStruct((5, side, side, 3), jnp.uint8)
        function = phase_autocorrelation.phase_autocorrelation
        return jax.eval_shape(lambda some: function(some, period=period, max_lag=max_lag), crops)

    assert phase_autocorrelation.least_px(period, max_lag) == least
    assert extracted(least).shape[0] == 5
    with pytest.raises(ValueError, match=f"must have {least} pixels a side; got {least - 1}"):
        extracted(least - 1)


def test_numpy_gives_what_jax_gives(statistics):
    crops = noise(2, 16, seed=4)
    found = phase_autocorrelation.in_numpy(crops, period=2, max_lag=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, statistics(crops, period=2, max_lag=3), rtol=1e-4, atol=1e-5)
