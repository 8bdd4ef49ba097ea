"""Traces of an up-sampling grid: what repeats every 2, 3, 4 or 8 pixels. Pure; no disk.

Sub-pixel and transposed convolutions treat the r x r phases of the grid apart; so does resizing.
Each statistic has a value that white noise is expected to have, and that is told below.

Letters: H height, W width, C channels, r period. Images are `[..., H, W, C]` float with any number
of leading axes; channels stay apart. Rows and columns past the last whole period are left out.
Statistics are of residuals (`jaxsr.noise_residual`); of an image itself they see its content.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.imaging.images import check_image

PERIODS = (2, 3, 4, 8)
_REACH = 8  # frequencies on either side of a line that it is compared with


def cross_difference(images: Array) -> Array:
    """Return the mixed second difference x[i, j] - x[i, j+1] - x[i+1, j] + x[i+1, j+1].

    Rows and columns vanish, and with them most edges; jumps in the grid of a block code or of an
    up-sampler stay. White noise of variance s^2 gives variance 4 s^2.

    Args:
        images: [..., H, W, C] float, at least 2 x 2.

    Returns:
        [..., H - 1, W - 1, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.

    Source: Chen and Hsu, "Detecting recompression of JPEG images via periodicity analysis of
    compression artifacts for tampering detection", 2011, equation 1, who take its magnitude.
    """
    check_image(images, "images")
    images = images.astype(jnp.float32)
    across = images[..., :, :-1, :] - images[..., :, 1:, :]
    return across[..., :-1, :, :] - across[..., 1:, :, :]


def phase_variances(images: Array, period: int) -> Array:
    """Return the variance of the pixels of each phase of the r x r grid, over their mean.

    Noise that is the same everywhere has 1 throughout, each with a standard error of about
    r sqrt(2 / (H W)). Interpolation smooths new pixels, and leaves those that it copies.

    Args:
        images: [..., H, W, C] float, at least r x r.
        period: r, at least 1.

    Returns:
        [..., r, r, C] float32 of mean 1; 1 throughout where nothing varies.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes or are smaller than a period.
    """
    variances = jnp.var(_phases(images, period), axis=(-5, -3))
    mean = jnp.mean(variances, axis=(-3, -2), keepdims=True)
    return jnp.where(mean > 0.0, variances / jnp.where(mean > 0.0, mean, 1.0), 1.0)


def phase_ratio(images: Array, period: int) -> Array:
    """Return the log of the F ratio of the r x r phase means, large for a fixed pattern.

    F is the mean square between phases over the mean square within them, as in an analysis of
    variance of r^2 groups. White noise has F of mean 1, standard error sqrt(2 / (r^2 - 1)).

    Args:
        images: [..., H, W, C] float, at least 2r x 2r.
        period: r, at least 2.

    Returns:
        [..., C] float32; 0 where nothing varies.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes, are too small, or the period is 1.
    """
    _check_period(images, period)
    phases = _phases(images, period)
    each = phases.shape[-5] * phases.shape[-3]  # pixels of a phase
    means = jnp.mean(phases, axis=(-5, -3))
    spread = each * period**2 * jnp.var(means, axis=(-3, -2)) / (period**2 - 1)
    within = jnp.mean(jnp.var(phases, axis=(-5, -3)), axis=(-3, -2)) * each / (each - 1)
    return _log_ratio(spread, within)


def line_strength(images: Array, period: int) -> Array:
    """Return natural logarithm of how far lines at multiples of 1 / r stand out of the spectrum.

    Along one axis: the power |F|^2 of each column's (row's) Fourier transform is averaged over the
    columns (rows). A line is the frequency k / r cycles per pixel, k from 1 to r - 1; its
    surroundings are the 8 frequencies on either side, lines and frequency 0 left out. The result is
    the logarithm of the mean power of the lines over that of their surroundings. White noise has 0,
    with a standard error of about sqrt(2 / (n (r - 1))), n the columns (rows).

    Args:
        images: [..., H, W, C] float, at least 2r x 2r.
        period: r, at least 2.

    Returns:
        [..., 2, C] float32: what repeats down the rows, then across the columns; 0 where nothing
        varies.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes, are too small, or the period is 1.

    Source: lines, instead of peaks, since pixels that are interpolated differ in variance, not
    mean: Gallagher, "Detection of interpolation in JPEG compressed images", 2005.
    """
    _check_period(images, period)
    images = _whole_periods(images.astype(jnp.float32), period)
    strengths = []
    for axis, other in ((-3, -2), (-2, -3)):
        size = images.shape[axis]
        transform = jnp.fft.rfft(images, axis=axis)
        power = jnp.mean(jnp.real(transform) ** 2 + jnp.imag(transform) ** 2, axis=other)
        lines, around = (jnp.asarray(weights) for weights in _line_weights(size, period))
        strengths.append(
            _log_ratio(
                jnp.einsum("...fc,f->...c", power, lines, precision=jax.lax.Precision.HIGHEST),
                jnp.einsum("...fc,f->...c", power, around, precision=jax.lax.Precision.HIGHEST),
            )
        )
    return jnp.stack(strengths, axis=-2)


@functools.partial(jax.jit, static_argnames="periods")
def periodicity_features(residuals: Array, periods: Sequence[int] = PERIODS) -> Array:
    """Return all statistics of residuals in one vector; `feature_names` tells what is where.

    For each period: the two of `line_strength`, `phase_ratio`, the same three of the magnitude of
    the `cross_difference`, and the standard deviation of the logarithms of `phase_variances`.

    Args:
        residuals: [..., H, W, C] float, at least 2 r + 1 pixels on each side, r the longest period.
        periods: r, each at least 2; a tuple under `jit`.

    Returns:
        [..., 7 len(periods), C] float32. White noise has about 0 everywhere.

    Raises:
        TypeError: if the residuals are not float.
        ValueError: if they have fewer than three axes, are too small, or a period is 1.
    """
    magnitude = jnp.abs(cross_difference(residuals))
    rows = []
    for period in periods:
        for values in (residuals, magnitude):
            rows.append(line_strength(values, period))
            rows.append(phase_ratio(values, period)[..., None, :])
        variances = jnp.log(jnp.maximum(phase_variances(residuals, period), 1e-12))
        rows.append(jnp.std(variances, axis=(-3, -2))[..., None, :])
    return jnp.concatenate(rows, axis=-2)


def feature_names(periods: Sequence[int] = PERIODS) -> list[str]:
    """Return the names of the values of `periodicity_features`, such as `residual_rows_2`."""
    kinds = [
        *(f"{of}_{what}" for of in ("residual", "cross") for what in ("rows", "columns", "phases")),
        "variances",
    ]
    return [f"{kind}_{period}" for period in periods for kind in kinds]


def _whole_periods(images: Array, period: int) -> Array:
    height, width = images.shape[-3:-1]
    return images[..., : height - height % period, : width - width % period, :]


def _phases(images: Array, period: int) -> Array:
    """Map [..., H, W, C] -> [..., H // r, r, W // r, r, C] float32."""
    check_image(images, "images")
    if period < 1 or min(images.shape[-3:-1]) < period:
        raise ValueError(f"Images of shape {images.shape} hold no period of {period} pixels.")
    whole = _whole_periods(images.astype(jnp.float32), period)
    height, width, channels = whole.shape[-3:]
    grid = (height // period, period, width // period, period, channels)
    return whole.reshape(*whole.shape[:-3], *grid)


def _check_period(images: Array, period: int) -> None:
    check_image(images, "images")
    if period < 2 or min(images.shape[-3:-1]) < 2 * period:
        raise ValueError(
            f"Images of shape {images.shape} show nothing of a period of {period} pixels: that "
            "must be 2 or more, and fit twice into each side."
        )


def _line_weights(size: int, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two [size // 2 + 1] float32 that average power over the lines, and around them."""
    frequencies = np.arange(size)
    on_line = frequencies % (size // period) == 0
    lines, around = np.zeros(size), np.zeros(size)
    for line in np.flatnonzero(on_line)[1:]:
        far = np.abs(frequencies - line)
        beside = (np.minimum(far, size - far) <= _REACH) & ~on_line
        lines[line] += 1.0 / (period - 1)
        around[beside] += 1.0 / ((period - 1) * np.sum(beside))
    # Power and weights are even in frequency: what rfft leaves out counts with its mirror image.
    for weights in (lines, around):
        weights[1 : (size + 1) // 2] *= 2.0
    kept = size // 2 + 1
    return lines[:kept].astype(np.float32), around[:kept].astype(np.float32)


def _log_ratio(upper: Array, lower: Array) -> Array:
    """Return log(upper / lower), 0 where both vanish up to float32's rounding."""
    tiny = jnp.finfo(jnp.float32).tiny
    return jnp.log(jnp.maximum(upper, tiny)) - jnp.log(jnp.maximum(lower, tiny))
