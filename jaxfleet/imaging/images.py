"""Image arithmetic: PSNR, SSIM, luma, 8-bit rounding, bicubic resampling. Pure; no disk.

Letters: H height, W width, C channels. Images are `[..., H, W, C]` float with any number
of leading axes, and every function maps over those axes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet import lazy
from jaxfleet.imaging.pixels import as_array

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
    from jax import Array
else:  # who only reads pictures need not wait for JAX
    jax, jnp = lazy.module("jax"), lazy.module("jax.numpy")

_SSIM_TAPS = 11
_SSIM_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03


def psnr_db(decoded: Array, target: Array, *, peak: float = 1.0) -> Array:
    """Peak signal-to-noise ratio of each image, in decibels: 10 log10(peak^2 / MSE).

    The mean runs over the pixels and channels of one image. Callers average over images
    themselves: the mean PSNR and the PSNR of the mean error differ.

    Args:
        decoded: [..., H, W, C] float in [0, peak]. Not clipped here: pass it through
            `to_8bit` first for the number that a viewer of the decoded file would measure.
        target: [..., H, W, C] float, the same shape.
        peak: largest representable value, never the brightest pixel of the image.

    Returns:
        [...] float, dB; inf where the two images are equal.

    Raises:
        TypeError: if an image is not float.
        ValueError: if the shapes differ or have fewer than three axes.
    """
    _check_pair(decoded, target)
    mse = jnp.mean((decoded - target) ** 2, axis=(-3, -2, -1))
    return 10.0 * jnp.log10(peak**2 / mse)


def psnr_y_db(decoded: Array, target: Array, *, crop_px: int) -> Array:
    """PSNR of the luma of 8-bit images, as papers on super-resolution report it, in decibels.

    Colours are rounded to 8 bits first, luma stays unrounded, a border is left out, and the
    peak is 255 although luma ends at 235. The mean over images is the mean of these values.

    Args:
        decoded: [..., H, W, 3] float in [0, 1], red, green, blue; clipped and rounded here.
        target: [..., H, W, 3] float, the same shape.
        crop_px: pixels left out on each side; papers take the scale.

    Returns:
        [...] float, dB; inf where the two images are equal.

    Raises:
        TypeError: if an image is not float.
        ValueError: if the shapes differ, are not [..., H, W, 3], or vanish in the crop.
    """
    _check_pair(decoded, target)
    height, width = decoded.shape[-3:-1]
    if crop_px < 0 or 2 * crop_px >= min(height, width):
        raise ValueError(f"Cannot crop {crop_px} pixels on each side of {height} x {width}.")
    inside = (..., slice(crop_px, height - crop_px), slice(crop_px, width - crop_px), slice(None))
    return psnr_db(luma(to_8bit(decoded[inside])), luma(to_8bit(target[inside])))


def luma(image: Array) -> Array:
    """Luma in the range of video, 16 (black) to 235 (white) of 255; MATLAB's `rgb2ycbcr`.

    Args:
        image: [..., H, W, 3] float in [0, 1]: red, green, blue.

    Returns:
        [..., H, W, 1] of the same dtype, in [16 / 255, 235 / 255].

    Raises:
        TypeError: if the image is not float.
        ValueError: if its shape is another.

    Source: ITU-R BT.601, rounded as MATLAB has it.
    """
    check_image(image, "image")
    if image.shape[-1] != 3:
        raise ValueError(
            f"`image` must be [..., H, W, 3]; got shape {image.shape}. Repeat the channel of a "
            "grey image."
        )
    red, green, blue = jnp.split(image, 3, axis=-1)
    return (16.0 + 65.481 * red + 128.553 * green + 24.966 * blue) / 255.0


def to_8bit(image: Array) -> Array:
    """Round an image to what an 8-bit file keeps: clipped, in steps of 1/255, still float.

    Args:
        image: [..., H, W, C] float, nominally in [0, 1].

    Returns:
        [..., H, W, C] of the same dtype, in [0, 1]. Halves round to even, as NumPy and
        PyTorch round them.

    Raises:
        TypeError: if the image is not float.
        ValueError: if it has fewer than three axes.
    """
    check_image(image, "image")
    return jnp.round(jnp.clip(image, 0.0, 1.0) * 255.0) / 255.0


def ssim(decoded: Any, target: Any, *, peak: float = 1.0) -> Any:
    """Structural similarity of each image: the mean of the SSIM map over pixels and channels.

    Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance.
    The map covers the valid region only, H-10 by W-10, so no border rule enters.

    Args:
        decoded: [..., H, W, C] float in [0, peak].
        target: [..., H, W, C] float, the same shape.
        peak: largest representable value.

    Returns:
        [...] float in [-1, 1]; 1 where the two images are equal.

    Raises:
        TypeError: if an image is not float.
        ValueError: if the shapes differ, have fewer than three axes, or are smaller than
            the window.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", 2004, equations 13 to 16.
    """
    _check_pair(decoded, target)
    if min(decoded.shape[-3:-1]) < _SSIM_TAPS:
        raise ValueError(
            f"SSIM needs images of at least {_SSIM_TAPS} x {_SSIM_TAPS} pixels; got shape "
            f"{decoded.shape}."
        )
    xp = np if isinstance(decoded, np.ndarray) else jnp
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    # The paper's two quotients, (2 p q + c) / (p^2 + q^2 + c), written as one minus the part
    # that differs: 1 - (p - q)^2 / (p^2 + q^2 + c). Exact, a blur less, and float32 keeps its
    # digits where the images agree. Variances do not see an offset, so mid-grey is taken out
    # before squaring, for the same reason.
    x, y = decoded - 0.5 * peak, target - 0.5 * peak
    mean_x, mean_y, mean_squares, mean_squared_difference = filtered(
        xp.stack([x, y, x**2 + y**2, (x - y) ** 2]),
        gaussian_window(_SSIM_SIGMA, _SSIM_TAPS // 2),
        axes=(-3, -2),
    )
    squared_difference = (mean_x - mean_y) ** 2
    variances = mean_squares - mean_x**2 - mean_y**2
    variance_of_difference = mean_squared_difference - squared_difference
    brightness = (mean_x + 0.5 * peak) ** 2 + (mean_y + 0.5 * peak) ** 2
    luminance = 1.0 - squared_difference / (brightness + c1)
    contrast_structure = 1.0 - variance_of_difference / (variances + c2)
    return xp.mean(luminance * contrast_structure, axis=(-3, -2, -1))


def bicubic_resize(image: Array, height: int, width: int) -> Array:
    """Resize an image: bicubic, a = -0.5, antialiased when it shrinks.

    Two matrix products with the matrices of `bicubic_matrix`, so differentiable and cheap
    under `jit` (sizes static). Values may overshoot [0, 1]; clip or `to_8bit` afterwards.

    Args:
        image: [..., H, W, C] float.
        height: pixels, at least 1.
        width: pixels, at least 1.

    Returns:
        [..., height, width, C] of the same dtype.

    Raises:
        TypeError: if the image is not float.
        ValueError: if it has fewer than three axes, or a size is below 1.
    """
    check_image(image, "image")
    rows = jnp.asarray(bicubic_matrix(image.shape[-3], height), image.dtype)
    columns = jnp.asarray(bicubic_matrix(image.shape[-2], width), image.dtype)
    # HIGHEST: accelerators would otherwise round the factors to TF32 or bfloat16.
    return jnp.einsum(
        "ih,...hwc,jw->...ijc", rows, image, columns, precision=jax.lax.Precision.HIGHEST
    )


def gaussian_window(sigma_px: float, radius_px: int) -> np.ndarray:
    """Return the taps of a Gaussian window, [2 radius + 1] float64, whose sum is 1."""
    window = np.exp(-0.5 * (np.arange(-radius_px, radius_px + 1) / sigma_px) ** 2)
    return np.asarray(window / window.sum())


def filtered(image: Any, window: np.ndarray, *, axes: Sequence[int], mirrored: bool = False) -> Any:
    """Filter an image by one window along each of some axes.

    Of a JAX array by sums of shifted slices, which XLA fuses into one pass, on every device; of a
    NumPy array by SciPy, which compiles nothing for a new shape.

    Args:
        image: float, of any rank.
        window: [T] of odd length.
        axes: along which, one after the other.
        mirrored: whether the image is mirrored at its borders, the pixel at the edge twice, so that
            it keeps its size; otherwise what the window does not fit into is left out.

    Returns:
        The same kind of array, of the same rank and dtype.
    """
    radius = len(window) // 2
    if isinstance(image, np.ndarray):
        import scipy.ndimage

        for axis in axes:
            image = scipy.ndimage.correlate1d(image, window, axis=axis, mode="reflect")
            if not mirrored:
                image = np.take(image, range(radius, image.shape[axis] - radius), axis)
        return image
    for axis in axes:
        if mirrored:
            pads = [(0, 0)] * image.ndim
            pads[axis] = (radius, radius)
            image = jax.lax.optimization_barrier(jnp.pad(image, pads, mode="symmetric"))
        size = image.shape[axis] - len(window) + 1
        image = functools.reduce(
            jnp.add,
            [
                float(weight) * jax.lax.slice_in_dim(image, k, k + size, axis=axis)
                for k, weight in enumerate(window)
            ],
        )
    return image


def check_image(image: Array, name: str) -> None:
    """Refuse what is not [..., H, W, C] float; `name` is what the caller calls it.

    Raises:
        TypeError: if the image is no array, or not float.
        ValueError: if it has fewer than three axes.
    """
    if not hasattr(image, "ndim"):
        as_array(image, f"`{name}`")
        raise TypeError(
            f"`{name}` must be an array; got {type(image).__name__}. Write numpy.asarray({name})."
        )
    if image.ndim < 3:
        raise ValueError(
            f"`{name}` must be [..., H, W, C]; got shape {image.shape}. Add the channel axis "
            f"with {name}[..., None]."
        )
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(f"`{name}` must be float in [0, 1]; got {image.dtype}. Divide it by 255.")


def check_range(image: Array | np.ndarray, name: str, lowest: float, highest: float) -> None:
    """Refuse what does not look like pictures in the range that a function promises to take.

    Values are looked at only where there are any: not under `jit`.

    Args:
        image: [..., H, W, C] float, already through `check_image`.
        name: what the caller calls it.
        lowest: smallest value allowed.
        highest: largest value allowed.

    Raises:
        ValueError: if channels are not last, if there is an alpha channel, or if values are NaN or
            out of range.
    """
    channels = image.shape[-1]
    if channels > 4 and image.shape[-3] in (1, 3, 4):
        raise ValueError(
            f"`{name}` must be [..., H, W, C]; got shape {image.shape}, with channels first. Move "
            f"them with numpy.moveaxis({name}, -3, -1)."
        )
    if channels == 4:
        raise ValueError(
            f"`{name}` must have red, green and blue, or be grey; got shape {image.shape}. Drop "
            f"the alpha channel with {name}[..., :3]."
        )
    if isinstance(image, jax.core.Tracer) or 0 in image.shape:
        return
    low, high = float(image.min()), float(image.max())
    if not (lowest <= low and high <= highest):
        remedy = "Divide it by 255." if high > 2 else "Clip it, and look for NaN."
        raise ValueError(
            f"`{name}` must be in [{lowest:g}, {highest:g}]; got {low:g} to {high:g}. {remedy}"
        )


def bicubic_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Weights that resample one axis: output = matrix @ input. NumPy; starts no device.

    Pixel i of the output is centred at (i + 1/2) size_in / size_out - 1/2 of the input.
    When the axis shrinks, the kernel widens by size_in / size_out (antialiasing); taps past
    a border read the mirrored pixel; each row sums to 1. This is MATLAB's `imresize`, which on
    uint8 images also rounds to 8 bits between rows and columns, halves up, rows first.

    Args:
        size_in: pixels, at least 1.
        size_out: pixels, at least 1.

    Returns:
        [size_out, size_in] float64.

    Raises:
        ValueError: if a size is below 1.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981,
    equation 15 (a = -1/2).
    """
    if min(size_in, size_out) < 1:
        raise ValueError(
            f"Cannot resample {size_in} pixels to {size_out}: both sizes must be 1 or more."
        )
    scale = min(1.0, size_out / size_in)
    reach = 2.0 / scale
    centres = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
    first = np.floor(centres - reach).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(2.0 * reach)) + 2)
    weights = _cubic((centres[:, None] - taps) * scale)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = taps % (2 * size_in)
    mirrored = np.minimum(mirrored, 2 * size_in - 1 - mirrored)
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out)[:, None], mirrored), weights)
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel at x, same shape; zero from |x| = 2 on."""
    x, a = np.abs(x), -0.5
    near = (a + 2.0) * x**3 - (a + 3.0) * x**2 + 1.0
    far = a * x**3 - 5.0 * a * x**2 + 8.0 * a * x - 4.0 * a
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))


def _check_pair(decoded: Array, target: Array) -> None:
    check_image(decoded, "decoded")
    check_image(target, "target")
    if decoded.shape != target.shape:
        raise ValueError(
            f"`decoded` and `target` must have one shape; decoded is {decoded.shape} and "
            f"target is {target.shape}."
        )
