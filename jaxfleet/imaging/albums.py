"""Photographs at several sizes, each reduced when it is asked for.

A plan of many sizes would fill memory if all pictures were made at its start: 2,600 photographs at
the 81 sizes of 16 to 96 pixels are two gigabytes. An album keeps the photographs themselves, and
the latest pictures up to CACHE_BYTES. Threads may share one.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from jaxfleet.imaging import photos
from jaxfleet.imaging.photos import Photo

CACHE_BYTES = 1 << 27


class Album(Sequence[Photo]):
    """A list of photographs at some sizes; one photograph may stand in it several times.

    Args:
        originals: the photographs, of any sizes.
        entries: for each picture of the album, (index of the original, side in pixels); a side of
            0 stands for the whole photograph. No photograph may be smaller than a side.
        image_fit: as `photos.load` takes it.
    """

    def __init__(
        self, originals: Sequence[Photo], entries: Sequence[tuple[int, int]], image_fit: str
    ) -> None:
        """Reduce nothing yet."""
        self.originals, self._entries, self._fit = list(originals), list(entries), image_fit
        self._latest: OrderedDict[int, Photo] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> list[Photo]: ...
    def __getitem__(self, index: int | slice) -> Photo | list[Photo]:
        """Return a picture, reduced from its original unless it is among the latest."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        with self._lock:
            if found := self._latest.get(index):
                self._latest.move_to_end(index)
                return found
        original, side = self._entries[index]
        photo = self.originals[original]
        pixels = photos.fitted(photo.pixels, f"'{photo.image_id}'", side, self._fit)
        made = Photo(photo.image_id, pixels)
        with self._lock:  # another thread may have made the same meanwhile
            if index not in self._latest:
                self._latest[index] = made
                self._bytes += pixels.nbytes
            while self._bytes > CACHE_BYTES and len(self._latest) > 1:
                self._bytes -= self._latest.popitem(last=False)[1].pixels.nbytes
        return made

    def __iter__(self) -> Iterator[Photo]:
        """Yield every picture in turn."""
        return (self[index] for index in range(len(self)))

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(height, width) of every picture; nothing is reduced for them."""
        return [
            (side, side) if side else _shape(self.originals[original].pixels)
            for original, side in self._entries
        ]


class Pixels(Sequence[np.ndarray]):
    """The [H, W, 3] arrays of a list of photographs, each made when it is asked for."""

    def __init__(self, pictures: Sequence[Photo]) -> None:
        """Reduce nothing yet."""
        self._pictures = pictures

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        """Return the pixels of a picture."""
        if isinstance(index, slice):
            return [photo.pixels for photo in self._pictures[index]]
        return self._pictures[index].pixels


def shapes_of(pictures: Sequence[Photo]) -> list[tuple[int, int]]:
    """Return (height, width) of each picture, of an album without reducing one."""
    if isinstance(pictures, Album):
        return pictures.shapes
    return [_shape(photo.pixels) for photo in pictures]


def contents_of(pictures: Sequence[Photo]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (image_id, pixels) of each picture; of an album, those of its originals."""
    source = pictures.originals if isinstance(pictures, Album) else pictures
    return ((photo.image_id, photo.pixels) for photo in source)


def _shape(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]
