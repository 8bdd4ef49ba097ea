"""Pictures to try the page with: photographs of scikit-image, and one that a network enlarged."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from jaxfleet.imaging import photos

ENLARGED_BY = "edsr-A-x4-l1-s1"
ENLARGED = f"astronaut, enlarged by {ENLARGED_BY}"
_WINDOW = (128, 192)  # rows and columns that are enlarged, to 768 x 512 pixels


@functools.cache
def _photographs() -> dict[str, np.ndarray]:
    return {photo.image_id: photo.pixels for photo in photos.load("packaged")}


def names() -> list[str]:
    """Return the names of all samples; the enlarged one is the first."""
    return [ENLARGED, *_photographs()]


def pixels(name: str) -> np.ndarray:
    """Return a sample as [H, W, 3] uint8.

    Raises:
        KeyError: if there is no such sample.
    """
    return _enlarged() if name == ENLARGED else _photographs()[name]


@functools.cache
def _enlarged() -> np.ndarray:
    import jaxsr

    photograph = photos.resized(_photographs()["astronaut"], 256, 256)
    height, width = _WINDOW
    small = photograph[:height, 32 : 32 + width]
    return jaxsr.upscale(jaxsr.load(ENLARGED_BY), small)


def save(name: str, folder: Path) -> Path:
    """Write a sample as a PNG file, once; return where it is.

    Raises:
        KeyError: if there is no such sample.
    """
    path = folder / f"{name}.png"
    if not path.exists():
        Image.fromarray(pixels(name)).save(path)
    return path
