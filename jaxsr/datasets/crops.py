"""What cuts crops out of pictures, and works on them in batches. NumPy; no disk.

Letters: N crops, n tiles of a picture, B crops of a batch, c side of a crop in pixels, H rows,
W columns.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxfleet.errors import InputError

CROP_PX = 224  # of the paper
BATCH = 64  # crops that are worked on at once, for the sake of memory
GRID_PX = 24  # a multiple of the scales and of the blocks of JPEG


def tiles(picture: np.ndarray, crop_px: int, most: int | None = None) -> np.ndarray:
    """Cut a picture into crops that lie about side by side; together they lie about its middle.

    They begin as `tile_starts` says.

    Args:
        picture: [H, W, 3] uint8.
        crop_px: c, at least 1.
        most: how many are cut, spread over the picture, where there are more; None for all.

    Returns:
        [n, c, c, 3] uint8, row by row.

    Raises:
        InputError: if the picture is smaller than a crop, or no [H, W, 3].
        TypeError: if it is not uint8.
    """
    check_picture(picture, crop_px)
    tops, lefts = (tile_starts(size, crop_px) for size in picture.shape[:2])
    places = list(itertools.product(tops, lefts))
    if most is not None and len(places) > most:
        places = [places[i] for i in np.linspace(0, len(places) - 1, most).round().astype(int)]
    return np.stack([picture[y : y + crop_px, x : x + crop_px] for y, x in places])


def tile_starts(size_px: int, crop_px: int) -> range:
    """Return where the crops of `tiles` begin along one axis: at multiples of 24 pixels.

    There each crop sees the grids of up-sampling by 2, 3, 4 and of JPEG where the whole picture has
    them. Crops are as far apart as the multiple of 24 that is nearest to their side, so that those
    of 224 pixels overlap by 8; those that are smaller than 24 pixels lie side by side.

    Args:
        size_px: rows or columns of the picture.
        crop_px: c, at least 1.

    Returns:
        None where the picture is smaller than a crop.
    """
    if size_px < crop_px:
        return range(0)
    pitch = crop_px if crop_px < GRID_PX else round(crop_px / GRID_PX) * GRID_PX
    extent = (size_px - crop_px) // pitch * pitch
    first = (size_px - crop_px - extent) // 2 // GRID_PX * GRID_PX
    return range(first, first + extent + 1, pitch)


def centre(picture: np.ndarray, crop_px: int) -> np.ndarray:
    """Return the central crop of a picture, [H, W, 3] uint8 to [c, c, 3], a view.

    It begins at a multiple of 24 pixels, as `tiles` do.

    Raises:
        InputError: if the picture is smaller than a crop, or no [H, W, 3].
        TypeError: if it is not uint8.
    """
    check_picture(picture, crop_px)
    top, left = ((size - crop_px) // 2 // GRID_PX * GRID_PX for size in picture.shape[:2])
    return picture[top : top + crop_px, left : left + crop_px]


def in_batches(function: Callable[[np.ndarray], Any], crops: np.ndarray) -> np.ndarray:
    """Return the results of a compiled function for any number of crops.

    It sees `BATCH` of them at a time, or, where there are fewer, the next power of four, so that it
    is compiled for few shapes; what is lacking is filled with the first crop.

    Args:
        function: [B, c, c, 3] uint8 to [B, ...] float, each row of its crop alone.
        crops: [N, c, c, 3] uint8, N at least 1.

    Returns:
        [N, ...] float32.

    Raises:
        ValueError: if there is no crop.
    """
    if len(crops) == 0:
        raise ValueError("`crops` must be [N, c, c, 3] with N at least 1; there is none.")
    size = min(BATCH, 4 ** (((len(crops) - 1).bit_length() + 1) // 2))
    parts = []
    for start in range(0, len(crops), size):
        some = crops[start : start + size]
        filled = np.concatenate([some, np.repeat(crops[:1], size - len(some), axis=0)])
        parts.append(np.asarray(function(filled), np.float32)[: len(some)])
    return np.concatenate(parts)


def check_crops(crops: np.ndarray, crop_px: int) -> None:
    """Let [N, c, c, 3] uint8 pass, N at least 1.

    Raises:
        TypeError: if they are not uint8.
        ValueError: if their shape is another.
    """
    if crops.dtype != np.uint8:
        raise TypeError(f"`crops` must be uint8; got {crops.dtype}.")
    if crops.ndim != 4 or len(crops) == 0 or crops.shape[1:] != (crop_px, crop_px, 3):
        raise ValueError(
            f"`crops` must be [N, {crop_px}, {crop_px}, 3], N at least 1; got {crops.shape}."
        )


def check_picture(picture: np.ndarray, crop_px: int) -> None:
    """Let [H, W, 3] uint8 pass, H and W at least c.

    Raises:
        InputError: if the shape is another.
        TypeError: if it is not uint8.
    """
    if picture.dtype != np.uint8:
        raise TypeError(f"A picture must be uint8; got {picture.dtype}.")
    if picture.ndim != 3 or picture.shape[-1] != 3:
        raise InputError(f"A picture must be [H, W, 3]; got shape {picture.shape}.")
    height, width = picture.shape[:2]
    if min(height, width) < crop_px:
        raise InputError(
            f"A picture is {width} x {height} pixels, smaller than a crop of {crop_px}; give a "
            "larger picture, or take smaller crops."
        )
