"""How low resolution is made of high: MATLAB's bicubic reduction, to the bit. NumPy, no device.

Papers and benchmarks reduce their photographs with MATLAB's `imresize`, on 8-bit pixels. A
network that learns from another reduction is not the network that they report.
"""

import numpy as np
from scipy import sparse

from jaxfleet.imaging import images


def crop_to_multiple(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Crop an image at the bottom and the right to a multiple of the scale.

    Args:
        pixels: [H, W, C], any dtype.
        scale: pixels, at least 1.

    Returns:
        [H - H % scale, W - W % scale, C], a view.
    """
    height, width = (size - size % scale for size in pixels.shape[:2])
    return pixels[:height, :width]


def bicubic_reduce(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Reduce an image to 1 / scale of its size, as MATLAB's `imresize(pixels, 1 / scale)` does.

    Antialiased with the weights of `images.bicubic_matrix`. Each axis is reduced and rounded to 8
    bits on its own, halves up: first down the columns, then along the rows. Without the
    rounding in between, a tenth of the pixels would differ.

    Args:
        pixels: [H, W, C] uint8. What `crop_to_multiple` cuts off does not count.
        scale: how many times fewer rows and columns, at least 1.

    Returns:
        [H // scale, W // scale, C] uint8; `pixels` themselves at scale 1.

    Raises:
        TypeError: if the pixels are not uint8.
        ValueError: if they are not [H, W, C], if the scale is below 1, or if nothing is left.
    """
    if pixels.dtype != np.uint8:
        raise TypeError(f"`pixels` must be uint8; got {pixels.dtype}. Round them to 0 to 255.")
    if pixels.ndim != 3:
        raise ValueError(f"`pixels` must be [H, W, C]; got shape {pixels.shape}.")
    if not 1 <= scale <= min(pixels.shape[:2]):
        raise ValueError(
            f"Cannot reduce shape {pixels.shape} by {scale}: the scale must be at least 1 and no "
            "more than the shorter side."
        )
    if scale == 1:
        return pixels
    pixels = crop_to_multiple(pixels, scale)
    low = np.swapaxes(_reduce_rows(pixels, scale), 0, 1)
    return np.ascontiguousarray(np.swapaxes(_reduce_rows(low, scale), 0, 1))


def _reduce_rows(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Map [H, W, C] uint8 to [H / scale, W, C] uint8."""
    size = pixels.shape[0]
    weights = sparse.csr_array(images.bicubic_matrix(size, size // scale))
    reduced = weights @ pixels.reshape(size, -1).astype(np.float64)
    rounded = np.floor(np.clip(reduced, 0.0, 255.0) + 0.5)
    return rounded.astype(np.uint8).reshape(-1, *pixels.shape[1:])
