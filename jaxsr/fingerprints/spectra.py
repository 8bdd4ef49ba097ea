"""Spectra in which super-resolution networks leave traces. Pure; no disk.

Letters: H height, W width, C channels; `y`, `x` are frequencies in cycles per image.
Images are `[..., H, W, C]` float with any number of leading axes; channels stay apart
(average them, or take the luma, before or after, as the study at hand does).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.imaging.images import check_image, check_range
from jaxfleet.imaging.pixels import cosine_matrix

# No value of a picture or a residual with white at 1 comes near it; those of 0 to 255 do.
_LARGEST = 16.0


def log_power_spectrum(images: Array, *, floor: float = 1e-12) -> Array:
    """Return the natural logarithm of the power spectrum, zero frequency in the centre.

    log(|F|^2 + floor), F the discrete Fourier transform over H and W divided by H W, so
    that F at frequency zero is the mean of the image and a picture of twice the size has
    the same spectrum. Zero frequency sits at [H // 2, W // 2] (`fftshift`).

    Args:
        images: [..., H, W, C] float, with white at 1; residuals too.
        floor: power at which the logarithm levels off. The default is about the square of
            float32's rounding: below it there is no signal.

    Returns:
        [..., H, W, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes, channels that are not last, an alpha
            channel, NaN, or values such as 0 to 255.
    """
    _check(images)
    transform = jnp.fft.fft2(images.astype(jnp.float32), axes=(-3, -2), norm="forward")
    power = jnp.real(transform) ** 2 + jnp.imag(transform) ** 2
    return jnp.log(jnp.fft.fftshift(power, axes=(-3, -2)) + floor)


def azimuthal_average(spectrum: Array) -> Array:
    """Return the mean over the circle of each radial frequency.

    Frequencies are scaled to the shorter side, S = min(H, W): a point (y, x) away from the
    centre [H // 2, W // 2] has radius r = S sqrt((y / H)^2 + (x / W)^2), in cycles per S
    pixels. Bin b averages the points with round(r) = b, halves to even; bins run from 0
    (the mean of the image) to S // 2 (Nyquist along the axes). The corners beyond are left
    out. No bin is empty.

    Args:
        spectrum: [..., H, W, C] float, centred as `log_power_spectrum` leaves it. The mean
            of logarithms is taken if logarithms come in.

    Returns:
        [..., min(H, W) // 2 + 1, C] float32.

    Raises:
        TypeError: if the spectrum is not float.
        ValueError: if it has fewer than three axes.
    """
    check_image(spectrum, "spectrum")
    height, width, channels = spectrum.shape[-3:]
    short = min(height, width)
    bins = _radial_bins(height, width).ravel()
    inside = bins <= short // 2
    points = spectrum.astype(jnp.float32).reshape(-1, height * width, channels)
    points = jnp.swapaxes(points[:, inside], 0, 1)
    sums = jax.ops.segment_sum(points, jnp.asarray(bins[inside]), num_segments=short // 2 + 1)
    counts = np.bincount(bins[inside]).astype(np.float32)
    means = jnp.swapaxes(sums / counts[:, None, None], 0, 1)
    return means.reshape(*spectrum.shape[:-3], short // 2 + 1, channels)


def dct2(images: Array) -> Array:
    """Return the orthonormal discrete cosine transform of type II over H and W.

    Two products with cosine matrices. Energy is kept: the squares of the result sum to the
    squares of the image. Low frequencies come first; [0, 0] is the mean times sqrt(H W).

    Args:
        images: [..., H, W, C] float, with white at 1; residuals too.

    Returns:
        [..., H, W, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes, channels that are not last, an alpha
            channel, NaN, or values such as 0 to 255.

    Source: the transform that Frank et al., "Leveraging Frequency Analysis for Deep Fake
    Image Recognition", 2020, section 3, apply to whole images.
    """
    _check(images)
    height, width = images.shape[-3:-1]
    # HIGHEST: accelerators would otherwise round the factors to TF32 or bfloat16.
    return jnp.einsum(
        "ih,...hwc,jw->...ijc",
        jnp.asarray(cosine_matrix(height)),
        images.astype(jnp.float32),
        jnp.asarray(cosine_matrix(width)),
        precision=jax.lax.Precision.HIGHEST,
    )


def _check(images: Array) -> None:
    check_image(images, "images")
    check_range(images, "images", -_LARGEST, _LARGEST)


def _radial_bins(height: int, width: int) -> np.ndarray:
    """Return [H, W] int32: the bin of each point of a centred spectrum."""
    short = min(height, width)
    y = (np.arange(height) - height // 2) * (short / height)
    x = (np.arange(width) - width // 2) * (short / width)
    return np.round(np.hypot(y[:, None], x[None, :])).astype(np.int32)
