"""Show where in an image the evidence for a network lies, by a gallery's answers for tiles."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxfleet.errors import InputError
from jaxsr.datasets.crops import GRID_PX
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.state import State, is_grey

MOST_CELLS = 6  # along one axis


class Cell(NamedTuple):
    """A part of an image.

    top, left, bottom, right: its edges in pixels. The cells of an image cover it.
    share: probability that a network enlarged the tile around the middle of the cell.
    """

    top: int
    left: int
    bottom: int
    right: int
    share: float


def heat_map(gallery: Gallery, image: np.ndarray, state: State | None = None) -> Iterator[Cell]:
    """Yield the cells of an image, row by row; those that show nothing are left out.

    A single tile says less than the image, so that its probability is a hint, not an answer.

    Args:
        gallery: whose answers these are.
        image: as of `Gallery.identify`.
        state: as of `Gallery.identify`.
    """
    side, may_be_grey = gallery.crop_px, is_grey(image)
    rows, columns = (list(_cells(size, side)) for size in image.shape[:2])
    for (y, top, bottom), (x, left, right) in itertools.product(rows, columns):
        tile = image[y : y + side, x : x + side]
        if is_grey(tile) and not may_be_grey:
            continue
        try:
            share = gallery.identify(tile, state).super_resolved_probability
        except InputError:  # a flat place
            continue
        yield Cell(top, left, bottom, right, share)


def _cells(size: int, side: int) -> Iterator[tuple[int, int, int]]:
    """Yield where a tile begins, at a multiple of 24 pixels, and both ends of its cell."""
    count = min(MOST_CELLS, -(-size // side))
    last = max(size - side, 0) // GRID_PX
    starts = [round(one) * GRID_PX for one in np.linspace(0, last, count)]
    ends = [0, *((a + b + side) // 2 for a, b in itertools.pairwise(starts)), size]
    yield from zip(starts, ends[:-1], ends[1:], strict=True)
