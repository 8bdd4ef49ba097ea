"""8-bit pictures and float pictures, between each other and as PNG. NumPy alone; starts no device.

Float pictures are in [0, 1]; 1 is 255.
"""

import io
import math
import os
from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np

PNG_LEVEL = 3  # half the time of Pillow's own 6, and no larger

Pixels = TypeVar("Pixels", bound=Any)  # of NumPy or of JAX


def as_array(image: Any, name: str, modes: Collection[str] = ("RGB",)) -> np.ndarray:
    """Return an image as an array: of NumPy, JAX, PIL, or nested lists. Shape and dtype are kept.

    Args:
        image: the image.
        name: what the caller calls it.
        modes: of PIL images, those that are taken; a palette's numbers, for one, are no colours.

    Raises:
        TypeError: if it is a path, or a PIL image of another mode; the message says what to write.
    """
    if isinstance(image, str | os.PathLike):
        raise TypeError(
            f"{name} must be an array; got the path {os.fspath(image)}. Read it: "
            "jaxfleet.imaging.photos.read(path)."
        )
    if hasattr(image, "getbands") and image.mode not in modes:
        raise TypeError(
            f"{name} must be red, green, blue; got a PIL image of mode {image.mode}. Write "
            "image.convert('RGB')."
        )
    return np.asarray(image)


def from_uint8(pixels: Pixels) -> Pixels:
    """Return 8-bit pixels as float32 in [0, 1]; arrays of JAX stay such."""
    as_float: Pixels = pixels.astype(np.float32) / np.float32(255)
    return as_float


def to_uint8(image: Any) -> np.ndarray:
    """Return a float image as 8-bit pixels: clipped to [0, 1], rounded, NaN as 0.

    Halves round to even, as NumPy and PyTorch round them.

    Args:
        image: [...] float, nominally in [0, 1].

    Returns:
        [...] uint8.
    """
    clipped = np.clip(np.nan_to_num(np.asarray(image)), 0.0, 1.0)
    return np.rint(clipped * clipped.dtype.type(255)).astype(np.uint8)


def reduced_to_uint8(values: np.ndarray, peak: int) -> np.ndarray:
    """Return integers of more bits as 8-bit pixels: rounded, `peak` becoming 255.

    Args:
        values: [...] integers; those below 0 or above `peak` are clipped.
        peak: the value of white, at least 1: 65535 of 16 bits.

    Returns:
        [...] uint8.
    """
    inside = np.clip(values, 0, peak).astype(np.int64 if peak > 65535 else np.int32)
    return ((inside * 255 + peak // 2) // peak).astype(np.uint8)


def psnr_8bit_db(decoded: np.ndarray, target: np.ndarray) -> float:
    """Return the PSNR between two 8-bit pictures, peak 255; inf where they are equal.

    Args:
        decoded: [...] uint8.
        target: the same shape, uint8, or float of the same range.

    Raises:
        ValueError: if the shapes differ.
    """
    if decoded.shape != target.shape:
        raise ValueError(f"pictures must have one shape; got {decoded.shape}, {target.shape}.")
    error = float(np.mean((decoded.astype(np.float64) - target) ** 2))
    return 10.0 * math.log10(255.0**2 / error) if error else math.inf


def png(pixels: np.ndarray, **options: Any) -> bytes:
    """Return [H, W] or [H, W, C] uint8 as the content of a PNG file.

    Args:
        pixels: of the picture.
        **options: of Pillow's PNG writer, such as `pnginfo`.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **{"compress_level": PNG_LEVEL, **options})
    return buffer.getvalue()


def cosine_matrix(size: int) -> np.ndarray:
    """Return [size, size] float32: row k is the k-th orthonormal cosine of the DCT of type II."""
    order, position = np.arange(size)[:, None], np.arange(size)[None, :]
    matrix = np.sqrt(2.0 / size) * np.cos(np.pi * order * (2 * position + 1) / (2 * size))
    matrix[0] = np.sqrt(1.0 / size)
    return matrix.astype(np.float32)
