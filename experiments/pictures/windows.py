"""What becomes a picture: photographs at low resolution, whole or around their middle.

Letters: H rows, W columns of high resolution, h and w of low resolution, r scale, c crop.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.pictures.makers import PictureClass
from experiments.zoo import evaluate as zoo_evaluate
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxsr import evaluation

# Rows and columns that crops begin at are multiples of this, so that networks of scale 2, 3, 4, 6
# and 8 enlarge the same crop of a photograph.
GRID_PX = 24
# Pixels of low resolution that a network sees beyond its crop, where the photograph goes on: an
# edge changes what is 12 pixels away by 0.02/255 at most, see `jaxsr.upscale`.
MARGIN_PX = 16
LEAST = 2  # pictures of a class: one to learn from and one to test


@dataclass(frozen=True, eq=False)
class Window:
    """The source of a picture.

    Attributes:
        image_id: of the photograph.
        checksum: of the whole photograph; of what was made elsewhere, also how it is compared.
        low: [h, w, 3] uint8, what is enlarged, or taken as it is.
        inside: rows and columns of what comes out that are kept.
        truth: [H, W, 3] uint8, what is kept should look like this; None if nobody knows.
    """

    image_id: str
    checksum: str
    low: np.ndarray
    inside: tuple[slice, slice]
    truth: np.ndarray | None

    @property
    def shape(self) -> tuple[object, ...]:
        """Windows of one shape can be stacked, before and after."""
        return self.low.shape, None if self.truth is None else self.truth.shape

    @property
    def pixels(self) -> int:
        """The number of pixels of low resolution."""
        return self.low.shape[0] * self.low.shape[1]

    @property
    def kept_pixels(self) -> int:
        """The number of pixels that are kept of the picture."""
        rows, columns = self.inside
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


class Windows:
    """Windows of photographs for each class; they are reduced once for each scale."""

    def __init__(
        self, loaded: Sequence[photos.Photo], *, crop_px: int, max_images: int = 0
    ) -> None:
        """`crop_px` 0 is for whole photographs, `max_images` is of folders made elsewhere."""
        self._loaded, self._crop_px, self._max_images = loaded, crop_px, max_images
        self._checksums = {
            photo.image_id: zoo_evaluate.checksum_of(photo.pixels) for photo in loaded
        }
        self._reduced = functools.cache(self._make_reduced)

    def of(self, one: PictureClass) -> list[Window]:
        """Return the windows of a class, those of photographs in their order.

        Raises:
            InputError: if a picture is too small, a crop is no multiple of the scale, a folder
                cannot be read, or the class would have a single picture.
        """
        if one.kind == "elsewhere":
            windows = self._elsewhere(one)
        elif one.kind == "original":
            windows = [
                self._as_it_is(one, photo, photo, self._checksums[photo.image_id])
                for photo in self._loaded
            ]
        else:
            windows = self._reduced(one.scale)
        if len(windows) < LEAST:
            raise InputError(
                f"Class {one.name} would have one picture, {windows[0].image_id}; give at least "
                f"{LEAST}, to learn from and to test."
            )
        return windows

    def _make_reduced(self, scale: int) -> list[Window]:
        crop_px = self._crop_px
        least = _least_px(scale)
        if crop_px and (crop_px % scale or crop_px < least):
            raise InputError(
                f"--crop_px={crop_px}: networks of scale {scale} need a multiple of it, at least "
                f"{least}."
            )
        windows = []
        pictures = evaluation.make_set("--photos", self._loaded, scale).pictures
        for photo, picture in zip(self._loaded, pictures, strict=True):
            _check_size(photo, crop_px, "--photos")
            low, inside, truth = zip(
                *(span(size, scale, crop_px) for size in photo.pixels.shape[:2]), strict=True
            )
            windows.append(
                Window(
                    photo.image_id,
                    self._checksums[photo.image_id],
                    np.ascontiguousarray(picture.low[low]),
                    (inside[0], inside[1]),
                    picture.high[truth],
                )
            )
        return windows

    def _elsewhere(self, one: PictureClass) -> list[Window]:
        """Return pictures of a folder; one of a photograph's name and size is compared with it."""
        photo_of = {photo.image_id: photo for photo in self._loaded}
        windows = []
        for made in photos.load(f"folder:{one.source}", max_images=self._max_images):
            checksum = zoo_evaluate.checksum_of(made.pixels)
            photo = photo_of.get(made.image_id)
            if photo is not None:
                checksum += f"-{self._checksums[photo.image_id]}-x{one.scale}"
                height, width = (size - size % max(one.scale, 1) for size in photo.pixels.shape[:2])
                if made.pixels.shape[:2] != (height, width):
                    photo = None
            windows.append(self._as_it_is(one, made, photo, checksum))
        return windows

    def _as_it_is(
        self, one: PictureClass, made: photos.Photo, photo: photos.Photo | None, checksum: str
    ) -> Window:
        """Return the crop of an image that no network enlarges, and what it is compared with."""
        _check_size(made, self._crop_px, one.name)
        height, width = made.pixels.shape[:2]
        if (self._crop_px or min(height, width)) < _least_px(one.scale):
            raise InputError(
                f"{made.image_id} of {one.name} would be too small to measure; give pictures and "
                f"crops of at least {_least_px(one.scale)} pixels."
            )
        # Where a photograph is a few pixels larger, the crop is where it is in the photograph.
        whole = (made if photo is None else photo).pixels.shape[:2]
        if self._crop_px:
            rows, columns = (span(size, 1, self._crop_px)[2] for size in whole)
        else:
            rows, columns = slice(0, height), slice(0, width)
        kept = np.ascontiguousarray(made.pixels[rows, columns])
        truth = None if photo is None else photo.pixels[rows, columns]
        inside = (slice(0, kept.shape[0]), slice(0, kept.shape[1]))
        return Window(made.image_id, checksum, kept, inside, truth)


def span(size: int, scale: int, crop_px: int) -> tuple[slice, slice, slice]:
    """Return one axis of a window around the middle.

    Args:
        size: of the photograph, pixels, at least `crop_px`.
        scale: r.
        crop_px: c, a multiple of the scale; 0 for the whole axis.

    Returns:
        What is enlarged, in pixels of low resolution; what is kept of that, in pixels of what
        comes out; and where this is in the photograph.
    """
    low_size = size // scale
    if not crop_px:
        whole = slice(0, low_size * scale)
        return slice(0, low_size), whole, whole
    start = (size - crop_px) // 2
    start -= start % math.lcm(GRID_PX, scale)
    side = min(crop_px // scale + 2 * MARGIN_PX, low_size)
    first = min(max(start // scale - MARGIN_PX, 0), low_size - side)
    before = start - first * scale
    return (
        slice(first, first + side),
        slice(before, before + crop_px),
        slice(start, start + crop_px),
    )


def _least_px(scale: int) -> int:
    """Return the side of the smallest picture that can be measured."""
    return evaluation.SMALLEST_PX + 2 * scale


def _check_size(photo: photos.Photo, crop_px: int, name: str) -> None:
    height, width = photo.pixels.shape[:2]
    if min(height, width) < crop_px:
        raise InputError(
            f"{photo.image_id} of {name} is {width} x {height} pixels, smaller than "
            f"--crop_px={crop_px}; take smaller crops, or leave it out."
        )
