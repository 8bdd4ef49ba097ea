"""The tiles of a picture that a gallery looks at, and their features. Pure; no disk.

Letters: N pictures, T tiles, c side of a tile in pixels, D features.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from jaxfleet.errors import InputError
from jaxfleet.imaging.pixels import as_array
from jaxsr.attribution.classifier import Classifier
from jaxsr.datasets.crops import BATCH
from jaxsr.datasets.crops import tiles as tiles_of
from jaxsr.gallery.state import is_grey

MOST_TILES = 16  # of a picture that are looked at


NOTHING = "there is nothing in it to go by; give a picture that shows something."


def checked(image: np.ndarray, crop_px: int, *, may_be_grey: bool = False) -> np.ndarray:
    """Return the same image if a gallery can use it.

    Raises:
        InputError: if it is not [H, W, 3] uint8, is smaller than a tile, or has no colour; if it
            may be grey, where all of it has one colour.
    """
    image = as_array(image, "image")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"expected 8-bit colour, [H, W, 3] uint8; got {image.dtype} of shape {image.shape}. "
            "Give the picture as the network wrote it."
        )
    height, width = image.shape[:2]
    if min(height, width) < crop_px:
        raise InputError(
            f"{width} x {height} pixels are less than a tile of {crop_px} x {crop_px}; give a "
            "larger picture, not enlarged for this."
        )
    if may_be_grey:
        if (image[0] == image[0, 0]).all() and (image == image[:1, :1]).all():
            raise InputError(NOTHING)
    elif is_grey(image):
        raise InputError(
            "grey in all pixels: what networks leave between colours, by which they are told apart "
            "here, is gone; give the colour picture."
        )
    return image


def embeddings_of(classifier: Classifier, pictures: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Compute the features of tiles of images: N arrays [T, D] float32, T as of `tiles`.

    Raises:
        InputError: if features are not finite.
    """
    found: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    for picture in pictures:
        waiting.append(tiles(picture, classifier.crop_px))
        if sum(map(len, waiting)) >= BATCH:
            found += _features(classifier, waiting)
            waiting = []
    return found + (_features(classifier, waiting) if waiting else [])


def tiles(picture: np.ndarray, crop_px: int) -> np.ndarray:
    """Return at most 16 tiles of a picture, spread over it: [H, W, 3] uint8 to [T, c, c, 3]."""
    return tiles_of(picture, crop_px, MOST_TILES)


def _features(classifier: Classifier, cut: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Embed arrays [T, c, c, 3] as arrays [T, D], all at once."""
    features = finite(classifier.embedding(np.concatenate(cut)))
    return np.split(features, np.cumsum([len(one) for one in cut])[:-1])


def finite(features: np.ndarray) -> np.ndarray:
    """Let finite features pass.

    Raises:
        InputError: if one is not a number.
    """
    if not np.isfinite(features).all():
        raise InputError(NOTHING)
    return features
