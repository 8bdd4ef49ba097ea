"""Fingerprints from noise residuals, as for cameras: mean and maximum likelihood. Pure; no disk.

A sensor, or a network, multiplies an image I by 1 + K, a little; its residual W then holds I K. K
is the photo-response non-uniformity (PRNU). The way from pictures to a fingerprint:

    total = prnu.sums(images, residuals)                    # and prnu.add for more batches
    fingerprint = prnu.clean(prnu.maximum_likelihood(total))  # [H, W, 1]
    query = prnu.clean(jaxsr.noise_residual(image))           # [H, W, 1], to correlate with it

Letters: N images, H height, W width, C channels. Images are float in [0, 1]; residuals have the
same unit, and so has everything made of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.imaging.images import check_image
from jaxsr.fingerprints.residuals import ROUNDING, local_wiener_noise

# Of red, green and blue, in the toolbox of Binghamton University and those that follow it.
GREY_WEIGHTS = (0.29893602, 0.58704307, 0.11402090)
_FULL = 252.0  # grey level from which a pixel counts less
_FALL = 6.0  # grey levels squared
_SATURATED = 250.0  # grey level above which neighbours at the maximum are saturated


class Sums(NamedTuple):
    """Running sums over images, from which fingerprints are computed.

    Attributes:
        num_images: [] float32.
        residual: [H, W, C] float32, sum of W.
        weighted: [H, W, C] float32, sum of W I.
        weight: [H, W, C] float32, sum of the squares of `exposure`.
    """

    num_images: Array
    residual: Array
    weighted: Array
    weight: Array


@jax.jit
def sums(images: Array, residuals: Array) -> Sums:
    """Sum over a batch.

    Args:
        images: [N, H, W, C] float in [0, 1], of one size and alignment.
        residuals: [N, H, W, C] float, theirs.

    Raises:
        TypeError: if an array is not float.
        ValueError: if the shapes differ or are not [N, H, W, C].
    """
    check_image(images, "images")
    check_image(residuals, "residuals")
    if images.shape != residuals.shape or images.ndim != 4:
        raise ValueError(
            f"`images` and `residuals` must both be [N, H, W, C]; images are {images.shape}, "
            f"residuals {residuals.shape}."
        )
    images, residuals = images.astype(jnp.float32), residuals.astype(jnp.float32)
    return Sums(
        jnp.float32(len(images)),
        jnp.sum(residuals, axis=0),
        jnp.sum(residuals * images, axis=0),
        jnp.sum(exposure(images) ** 2, axis=0),
    )


def add(a: Sums, b: Sums) -> Sums:
    """Add the sums of two batches.

    Raises:
        ValueError: if the images differ in shape.
    """
    if a.residual.shape != b.residual.shape:
        raise ValueError(f"Images of {a.residual.shape} and {b.residual.shape} cannot be added.")
    return jax.tree.map(jnp.add, a, b)


def mean(total: Sums) -> Array:
    """Return the mean residual, [H, W, C] float32."""
    return total.residual / total.num_images


def maximum_likelihood(total: Sums) -> Array:
    """Return the multiplicative pattern K = sum W I / (1 + sum I^2), with exposure I.

    Where noise is white and the same in all residuals this is the estimate of least variance. The 1
    holds K down where the images are dark, as if one black residual more had been seen.

    Returns:
        [H, W, C] float32, in the unit of the residuals.

    Source: Chen, Fridrich, Goljan and Lukas, "Determining image origin and integrity using sensor
    noise", 2008, equation 6; weights and the 1 as in polimi-ispl/prnu-python.
    """
    return total.weighted / (total.weight + 1.0)


def exposure(images: Array) -> Array:
    """Return how far each pixel can show a multiplicative pattern.

    Brightness over 252 grey levels; from there on exp(-(level - 252)^2 / 6); 0 where a pixel is
    saturated: it has the largest value of its channel, above 250, and so has a direct neighbour
    (the image closes to a torus).

    Args:
        images: [..., H, W, C] float in [0, 1], decoded from 8 bits: levels of equal pixels must
            be equal.

    Returns:
        [..., H, W, C] float32 in [0, 1].

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.

    Source: the toolbox of Goljan, Fridrich and Filler, "Large scale test of sensor fingerprint
    camera identification", 2009. prnu-python differs where one channel reaches 250 and another
    does not: it leaves the other's mask half made.
    """
    check_image(images, "images")
    levels = images.astype(jnp.float32) * 255.0
    response = jnp.where(levels < _FULL, levels / _FULL, jnp.exp(-((levels - _FULL) ** 2) / _FALL))
    largest = jnp.max(levels, axis=(-3, -2), keepdims=True)
    at_largest = (levels == largest) & (largest > _SATURATED)
    beside = jnp.zeros_like(at_largest)
    for axis in (-3, -2):
        for shift in (1, -1):
            beside |= jnp.roll(at_largest, shift, axis)
    return jnp.where(at_largest & beside, 0.0, response)


@jax.jit
def clean(fingerprint: Array) -> Array:
    """Clean a fingerprint, or the residual of a single image, to be correlated.

    Grey, then `zero_mean`, then `wiener_dft`: what all images share through demosaicking and JPEG
    goes, what is this sensor's or network's alone stays.

    Args:
        fingerprint: [..., H, W, C] float, C 1 or 3.

    Returns:
        [..., H, W, 1] float32; 0 throughout where rows and columns explain all but the rounding of
        float32, as in the residual of a flat image.

    Raises:
        TypeError: if the fingerprint is not float.
        ValueError: if its shape is another.
    """
    whole = grey(fingerprint)
    centred = zero_mean(whole)
    largest, left = (jnp.max(jnp.abs(x), axis=(-3, -2), keepdims=True) for x in (whole, centred))
    return wiener_dft(jnp.where(left > ROUNDING * largest, centred, 0.0))


def grey(images: Array) -> Array:
    """Return 0.299 red + 0.587 green + 0.114 blue, to the digits of `GREY_WEIGHTS`.

    Args:
        images: [..., H, W, C] float, C 1 or 3.

    Returns:
        [..., H, W, 1] float32; a single channel as it is.

    Raises:
        TypeError: if the images are not float.
        ValueError: if their shape is another.
    """
    check_image(images, "images")
    images = images.astype(jnp.float32)
    if images.shape[-1] == 1:
        return images
    if images.shape[-1] != 3:
        raise ValueError(f"`images` must have 1 or 3 channels; got shape {images.shape}.")
    red, green, blue = jnp.split(images, 3, axis=-1)
    of_red, of_green, of_blue = GREY_WEIGHTS
    return of_red * red + of_green * green + of_blue * blue


def zero_mean(images: Array) -> Array:
    """Subtract the mean of each row and column in each of the four phases of the 2 x 2 grid.

    Demosaicking repeats every 2 pixels, read-out noise runs along rows and columns: both are common
    to cameras of one make, and would correlate.

    Args:
        images: [..., H, W, C] float.

    Returns:
        [..., H, W, C] float32; in each phase every row and column sums to 0.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.

    Source: Chen et al., 2008, section III; `ZeroMeanTotal` of the toolbox of 2009.
    """
    check_image(images, "images")
    height, width, channels = images.shape[-3:]
    pads = [(0, 0)] * (images.ndim - 3) + [(0, height % 2), (0, width % 2), (0, 0)]
    padded = jnp.pad(images.astype(jnp.float32), pads)
    lead = images.shape[:-3]
    grid = padded.reshape(*lead, padded.shape[-3] // 2, 2, padded.shape[-2] // 2, 2, channels)
    in_row, in_column = _counts(width, -2, grid.ndim), _counts(height, -4, grid.ndim)
    rows = jnp.sum(grid, axis=-3, keepdims=True) / in_row
    columns = jnp.sum(grid, axis=-5, keepdims=True) / in_column
    both = jnp.sum(rows, axis=-5, keepdims=True) / in_column
    centred = grid - rows - columns + both
    return centred.reshape(padded.shape)[..., :height, :width, :]


def wiener_dft(images: Array) -> Array:
    """Level the spectrum: peaks that stand out of it are reduced to the noise around them.

    Magnitudes of the discrete Fourier transform over sqrt(H W) go through
    `residuals.local_wiener_noise`, with the variance of the image itself as that of the noise;
    phases stay. Blocks of JPEG and grids of up-sampling are such peaks.

    Args:
        images: [..., H, W, C] float, of more than one pixel.

    Returns:
        [..., H, W, C] float32.

    Raises:
        TypeError: if the images are not float.
        ValueError: if they have fewer than three axes.

    Source: Chen et al., 2008, section III; `WienerInDFT` of the toolbox of 2009.
    """
    check_image(images, "images")
    planes = jnp.moveaxis(images.astype(jnp.float32), -1, -3)
    height, width = planes.shape[-2:]
    planes_in_a_row = planes.reshape(-1, height, width)
    # In units of their largest value, so that no square of a weak image vanishes in float32.
    scales = jnp.max(jnp.abs(planes_in_a_row), axis=(1, 2), keepdims=True)
    scales = jnp.where(scales == 0.0, 1.0, scales)
    planes_in_a_row = planes_in_a_row / scales
    variances = jnp.var(planes_in_a_row, axis=(1, 2), ddof=1)
    variances = jnp.maximum(variances, jnp.finfo(jnp.float32).eps ** 2)  # of a constant
    transforms = jnp.fft.fft2(planes_in_a_row, norm="ortho")
    magnitudes = jnp.abs(transforms)
    kept = jax.vmap(local_wiener_noise)(magnitudes, variances)
    # Where there is nothing, nothing is kept; 1 only stands in for a divisor.
    gains = kept / jnp.where(magnitudes == 0.0, 1.0, magnitudes)
    levelled = jnp.real(jnp.fft.ifft2(transforms * gains.astype(transforms.dtype), norm="ortho"))
    return jnp.moveaxis((levelled * scales).reshape(planes.shape), -3, -1)


def _counts(size: int, axis: int, rank: int) -> np.ndarray:
    """Count even and odd pixels of `size`, at least 1: float32, of length 2 on one axis."""
    shape = [1] * rank
    shape[axis] = 2
    return np.maximum([(size + 1) // 2, size // 2], 1).astype(np.float32).reshape(shape)
