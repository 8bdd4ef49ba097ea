import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.fingerprints import periodicity

PERIODS = (2, 3, 4, 8)
# One program for each shape and period, which compiles faster than its operations one by one.
cross_difference = jax.jit(periodicity.cross_difference)
phase_variances, phase_ratio, line_strength = (
    jax.jit(statistic, static_argnames="period")
    for statistic in (
        periodicity.phase_variances,
        periodicity.phase_ratio,
        periodicity.line_strength,
    )
)


def noise(key, *shape):
    draw = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return draw.standard_normal(shape, np.float32)


def line_strength_of(plane, period):
    """Down the rows of a plane, in float64, by sums over all frequencies of the full transform."""
    plane = np.asarray(plane, np.float64)
    plane = plane[: len(plane) // period * period, : plane.shape[1] // period * period]
    size = len(plane)
    power = np.mean(np.abs(np.fft.fft(plane, axis=0)) ** 2, axis=1)
    on_line = {k * size // period for k in range(period)}
    lines, around = [], []
    for k in range(1, period):
        line = k * size // period
        lines.append(power[line])
        beside = [(line + step) % size for step in range(-8, 9)]
        around.append(np.mean([power[f] for f in set(beside) if f not in on_line]))
    return np.log(np.mean(lines) / np.mean(around))


def test_cross_difference_is_the_sum_of_four(key):
    images = noise(key, 2, 5, 6, 3)
    x = np.asarray(images, np.float64)
    expected = x[:, :-1, :-1] - x[:, :-1, 1:] - x[:, 1:, :-1] + x[:, 1:, 1:]
    np.testing.assert_allclose(cross_difference(images), expected, atol=1e-5)


def test_cross_difference_does_not_see_rows_and_columns(key):
    rows, columns = noise(key, 9, 1, 1), noise(jax.random.fold_in(key, 1), 1, 7, 1)
    images = rows + columns
    np.testing.assert_allclose(cross_difference(images), 0.0, atol=1e-5)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_phases_are_those_of_strided_slices(key, period):
    images = noise(key, 2, 13, 11, 2)
    whole = np.asarray(images, np.float64)[:, : 13 // period * period, : 11 // period * period]
    variances = np.asarray(phase_variances(images, period))
    phases = {(i, j): whole[:, i::period, j::period] for i, j in np.ndindex(period, period)}
    average = np.mean([phase.var((1, 2)) for phase in phases.values()], axis=0)
    assert variances.shape == (2, period, period, 2)
    for (i, j), phase in phases.items():
        np.testing.assert_allclose(variances[:, i, j], phase.var((1, 2)) / average, rtol=1e-4)


@pytest.mark.parametrize("period", PERIODS)
def test_phase_ratio_is_that_of_an_analysis_of_variance(key, period):
    stats = pytest.importorskip("scipy.stats")
    image = noise(key, 24, 48, 1)
    groups = [
        np.asarray(image[i::period, j::period], np.float64).ravel()
        for i, j in np.ndindex(period, period)
    ]
    expected = np.log(stats.f_oneway(*groups).statistic)
    np.testing.assert_allclose(phase_ratio(image, period), [expected], atol=1e-4)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("size", [(48, 48), (31, 50), (16, 17)])
def test_line_strength_is_that_of_numpy(key, period, size):
    images = noise(key, 2, *size, 1)
    result = np.asarray(line_strength(images, period))
    assert result.shape == (2, 2, 1)
    assert result.dtype == jnp.float32
    for own, image in zip(result, images, strict=True):
        expected = [line_strength_of(plane, period) for plane in (image[..., 0], image[..., 0].T)]
        np.testing.assert_allclose(own[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("period", PERIODS)
def test_white_noise_has_no_lines_within_its_standard_error(key, period):
    result = line_strength(noise(key, 4, 192, 192, 1), period)
    # Half as many values are independent at k / r and 1 - k / r, and the surroundings vary too.
    error = np.sqrt((1 + 1 / 8) * 2 / (192 * (period - 1)))
    np.testing.assert_allclose(result, 0.0, atol=4 * error)


@pytest.mark.parametrize("period", PERIODS)
def test_a_wave_of_the_period_is_one_line_and_a_fixed_pattern(key, period):
    wave = np.float32(np.cos(2 * np.pi / period * np.arange(48)))[:, None, None]
    images = np.float32(0.1) * noise(key, 48, 48, 1) + wave
    rows, columns = np.asarray(line_strength(images, period))[:, 0]
    # Power at the line: (48 a / 2)^2, or (48 a)^2 at the highest frequency; of noise: 48 * 0.01.
    lines = 48**2 if period == 2 else 2 * (48 / 2) ** 2 / (period - 1)
    np.testing.assert_allclose(rows, np.log(lines / 0.48 + 1), atol=0.3)
    assert abs(columns) < 1.0
    assert phase_ratio(images, period)[0] > 5.0


@pytest.mark.parametrize("period", PERIODS)
def test_noise_that_is_stronger_in_one_phase_shows_in_the_variances(key, period):
    images = noise(key, 96, 96, 1)
    images[::period, 1::period] *= 2
    variances = np.asarray(phase_variances(images, period))[..., 0]
    assert np.unravel_index(np.argmax(variances), variances.shape) == (0, 1)
    expected = 4 / (1 + 3 / period**2)
    np.testing.assert_allclose(variances[0, 1], expected, rtol=4 * period * np.sqrt(2) / 96)


def test_repeated_pixels_are_found_at_their_scale_alone(key):
    large = noise(key, 40, 40, 1).repeat(3, axis=0).repeat(3, axis=1)
    magnitude = np.abs(cross_difference(large))
    found = {period: np.asarray(line_strength(magnitude, period)) for period in (2, 3, 4)}
    assert found[3].min() > 3.0
    assert max(found[2].max(), found[4].max()) < 1.0


def test_features_are_the_statistics_in_the_order_of_their_names(key):
    residuals = noise(key, 2, 40, 50, 3)
    features = np.asarray(periodicity.periodicity_features(residuals))
    names = periodicity.feature_names()
    assert features.shape == (2, len(names), 3)
    assert len(set(names)) == len(names)
    magnitude = np.abs(cross_difference(residuals))
    expected = {
        "residual_rows_2": np.asarray(line_strength(residuals, 2))[:, 0],
        "residual_columns_8": np.asarray(line_strength(residuals, 8))[:, 1],
        "residual_phases_3": phase_ratio(residuals, 3),
        "cross_columns_4": np.asarray(line_strength(magnitude, 4))[:, 1],
        "cross_phases_8": phase_ratio(magnitude, 8),
        "variances_2": np.log(phase_variances(residuals, 2)).std(axis=(1, 2)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(features[:, names.index(name)], values, atol=1e-4)


def test_features_of_nothing_are_zero():
    features = periodicity.periodicity_features(np.zeros((20, 20, 1), np.float32))
    assert not np.any(features)


def test_images_that_are_too_small_are_refused():
    images = jnp.zeros((7, 9, 1))
    with pytest.raises(ValueError, match=r"\(7, 9, 1\).*4 pixels"):
        periodicity.line_strength(images, 4)
    with pytest.raises(ValueError, match=r"\(7, 9, 1\).*8 pixels"):
        periodicity.phase_variances(images, 8)
    with pytest.raises(ValueError, match="1 pixels"):
        periodicity.phase_ratio(images, 1)
    with pytest.raises(TypeError, match="uint8.*255"):
        periodicity.cross_difference(jnp.zeros((8, 8, 3), jnp.uint8))
