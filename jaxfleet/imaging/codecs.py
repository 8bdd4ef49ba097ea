"""What JPEG, JPEG 2000, WebP and AVIF make of a photograph: the yardsticks of any other codec.

A file is made in memory by Pillow, and all of it counts: headers too, which on small pictures is no
small part. PSNR is over the pixels and channels of the decoded 8-bit RGB image, peak 255.

Settings differ from Pillow's defaults where those would sell a codec short in PSNR. Measured on
four Kodak photographs, whole and at a quarter of their size:

- JPEG keeps colour at half resolution (4:2:0), better up to a bit per pixel or so, or at full
  (4:4:4), better above; both are tried. Huffman tables are optimised.
- JPEG 2000 transforms colours (`mct`), worth 3 to 6 dB from half a bit per pixel on, and uses the
  9/7 wavelet. Files are asked for by their size.
- WebP has no 4:4:4, and so comes to an end at about 40 dB; it searches longest (`method` 6).
- AVIF is 4:4:4, nowhere worse than its 4:2:0. One thread and one tile, so that the file does not
  depend on the machine's cores.
"""

import bisect
import contextlib
import dataclasses
import functools
import io
import itertools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFile, features

from jaxfleet.imaging import decibels
from jaxfleet.imaging.pixels import psnr_8bit_db

_QUALITIES = (1, 3, 6, 10, 15, 22, 30, 40, 52, 64, 75, 84, 90, 94, 97, 99, 100)
_BITS_PER_PIXEL = (0.06, 0.1, 0.16, 0.25, 0.4, 0.6, 0.9, 1.3, 1.8, 2.5, 3.5, 5.0, 7.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Codec:
    """A codec and the settings that span its range.

    Attributes:
        name: as people write it.
        format: as Pillow calls it.
        feature: what `PIL.features` calls it, to know whether this Pillow has it.
        settings: arguments of `PIL.Image.Image.save`, one file each.
    """

    name: str
    format: str
    feature: str
    settings: tuple[Mapping[str, Any], ...]

    @property
    def available(self) -> bool:
        """Whether Pillow was built with it."""
        return bool(features.check(self.feature))


JPEG = Codec(
    "JPEG",
    "JPEG",
    "jpg",
    tuple(
        {"quality": quality, "subsampling": subsampling, "optimize": True}
        for subsampling in ("4:2:0", "4:4:4")
        for quality in _QUALITIES
    ),
)
JPEG_2000 = Codec(
    "JPEG 2000",
    "JPEG2000",
    "jpg_2000",
    tuple(
        {"quality_mode": "rates", "quality_layers": [24.0 / bits], "mct": 1, "irreversible": True}
        for bits in _BITS_PER_PIXEL
    ),
)
WEBP = Codec(
    "WebP",
    "WEBP",
    "webp",
    tuple(
        {"quality": quality, "method": 6}
        for quality in (0, 4, 10, 20, 34, 50, 65, 75, 83, 89, 93, 97, 100)
    ),
)
AVIF = Codec(
    "AVIF",
    "AVIF",
    "avif",
    tuple(
        {"quality": quality, "subsampling": "4:4:4", "max_threads": 1, "autotiling": False}
        for quality in (0, 12, 24, 36, 48, 60, 72, 82, 90, 95, 100)
    ),
)
CODECS = (JPEG, JPEG_2000, WEBP, AVIF)
_BUFFER = threading.Lock()


def encode(image: np.ndarray, codec: Codec, setting: Mapping[str, Any]) -> bytes:
    """Encode an image as the bytes of a file.

    Args:
        image: [H, W, 3] uint8, RGB.
        codec: one that is available.
        setting: arguments of `PIL.Image.Image.save`, such as one of the codec's own.

    Raises:
        ValueError: if the image is not [H, W, 3] uint8, or Pillow lacks the codec.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"`image` must be [H, W, 3] uint8; got {image.shape} {image.dtype}.")
    if not codec.available:
        raise ValueError(f"This Pillow was built without {codec.name}.")
    buffer = io.BytesIO()
    with _room(2 * image.size) if setting.get("optimize") else contextlib.nullcontext():
        Image.fromarray(image).save(buffer, codec.format, **setting)
    return buffer.getvalue()


@contextlib.contextmanager
def _room(size: int) -> Iterator[None]:
    """Give Pillow a buffer of so many bytes for the block, since it takes no argument for it.

    A JPEG with optimised tables has to fit, and what Pillow itself gives is too small for noise.
    """
    with _BUFFER:
        before = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(before, size)
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = before


def decode(data: bytes) -> np.ndarray:
    """Decode a file to an RGB image, [H, W, 3] uint8."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


def rate_distortion(
    image: np.ndarray, codec: Codec, *, most: float = math.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Return the size and PSNR of the files of one picture that no other of the codec beats.

    A file is beaten where another is not larger and has a PSNR not lower.

    Args:
        image: [H, W, 3] uint8, RGB.
        codec: one that is available.
        most: bits per pixel above which files are left out; few of them are made, since settings
            stand in the order of their sizes.

    Returns:
        [Q] bits per pixel and [Q] dB (inf for an exact file), float64, both increasing. Q is at
        most the number of the codec's settings and differs between pictures.

    Raises:
        ValueError: as `encode`.
    """
    files = [
        data
        for line in _lines(image, codec)
        for data in itertools.takewhile(lambda one: _bits(one, image) <= most, line)
    ]
    return _undominated_files(files, image)


def at_size(image: np.ndarray, codec: Codec, bits_per_pixel: float) -> str:
    """Return one line: what PSNR the codec's files of that size have, for people to compare with.

    Of the codec's settings only those next to that size are decoded: a photograph of 48 megapixels
    takes a second for each file.

    Args:
        image: [H, W, 3] uint8, RGB.
        codec: one that is available.
        bits_per_pixel: size of the file.

    Raises:
        ValueError: as `encode`.
    """
    files = _files_next_to(image, codec, bits_per_pixel)
    sizes, psnr_db = _undominated_files(files, image)
    if bits_per_pixel < sizes[0]:
        reached = decibels.text(psnr_db[0])
        return f"{codec.name} needs at least {sizes[0]:.3f} bits per pixel ({reached})"
    if bits_per_pixel >= sizes[-1]:
        return f"{codec.name} of this size: {decibels.text(psnr_db[-1])}"
    lossy = np.isfinite(psnr_db)  # towards an exact file there is nothing to interpolate
    between = float(np.interp(bits_per_pixel, sizes[lossy], psnr_db[lossy]))
    return f"{codec.name} of this size: {decibels.text(between)}"


def _files_next_to(image: np.ndarray, codec: Codec, bits_per_pixel: float) -> list[bytes]:
    """Return of each line of settings the largest file up to a size, and the smallest above it.

    Files of JPEG grow with quality, for each subsampling.
    """
    found = []
    for line in _lines(image, codec):
        above = bisect.bisect_right(line, bits_per_pixel, key=lambda one: _bits(one, image))
        found += [line[i] for i in (above - 1, above) if 0 <= i < len(line)]
    return found


def _lines(image: np.ndarray, codec: Codec) -> list["_Files"]:
    """Return the files of each way of keeping colour, in the order of their sizes."""
    ways = itertools.groupby(codec.settings, lambda setting: setting.get("subsampling"))
    return [_Files(image, codec, list(settings)) for _, settings in ways]


def _bits(data: bytes, image: np.ndarray) -> float:
    """Return the bits per pixel of a file."""
    return 8.0 * len(data) / image[..., 0].size


def _undominated_files(files: list[bytes], image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return undominated(
        np.array([_bits(data, image) for data in files]),
        np.array([psnr_8bit_db(decode(data), image) for data in files]),
    )


class _Files(Sequence[bytes]):
    """Files of an image for a line of settings, each made once and only if it is asked for."""

    def __init__(self, image: np.ndarray, codec: Codec, settings: list[Mapping[str, Any]]) -> None:
        self._make = functools.cache(lambda i: encode(image, codec, settings[i]))
        self._count = len(settings)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: Any) -> Any:
        return self._make(i)


def undominated(bits_per_pixel: np.ndarray, psnr_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that no other point of equal or smaller size beats, smallest first.

    Args:
        bits_per_pixel: [M] float.
        psnr_db: [M] float, none NaN.

    Returns:
        [Q] bits per pixel and [Q] dB, both increasing.
    """
    order = np.lexsort((-psnr_db, bits_per_pixel))
    x, y = bits_per_pixel[order], psnr_db[order]
    kept = np.r_[True, y[1:] > np.maximum.accumulate(y)[:-1]][: len(y)]
    return x[kept], y[kept]
