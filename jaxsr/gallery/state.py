"""What has happened to a picture's file: compression, by its tables or by its pixels. NumPy.

A JPEG says by its tables of quantisation how strongly it was compressed. A picture that was a JPEG
once and is kept without loss says so too: every coefficient of its 8 x 8 cosine transforms lies
near a multiple of a step, and blocks have seams.

Letters: H rows, W columns.
"""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from PIL import JpegImagePlugin

from jaxfleet.imaging.picture_files.headers import opened_file

LOSSLESS, JPEG, WEBP, OTHER = "lossless", "jpeg", "webp", "other"
STATE_KINDS = (
    LOSSLESS,
    f"{JPEG} 93 and better",
    f"{JPEG} 82 and better",
    f"{JPEG} 50 to 81",
    WEBP,
)
GREY = ", grey"  # behind the kind of state of a grey picture
MOST_PX = 1024  # of a side that is looked at
_SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_LEAST_BLOCKS = 200  # with a coefficient that is not 0, to know its step
_FLAT = 0.62  # share of flat pixels beyond which a picture is drawn; photographs hardly have it
_SHARE = 0.62  # of coefficients near a multiple of their step, in a picture that was a JPEG
_LEAST_COEFFICIENTS = 3  # that must tell the same quality

# Annex K of the JPEG standard, table K.1, row by row: luma at quality 50 of libjpeg.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


@dataclass(frozen=True)
class State:
    """What is known of a picture's way.

    Attributes:
        compression: "lossless", "jpeg", "webp" or "other" (another format with loss).
        quality: of libjpeg's or libwebp's scale, 1 to 100; of a JPEG whose tables are others, the
            nearest. None if nothing is known of it.
        subsampling: of a JPEG's colours: "4:4:4", "4:2:2", "4:2:0"; None if nothing is known.
        source: "file" if the file says so, "pixels" if it follows from them.
        grid: rows and columns from the first pixel to the first seam between blocks of a JPEG;
            others than (0, 0) only where it was cut afterwards.
        is_grey: whether all pixels are grey, so that luma alone can be looked at.
        is_drawn: whether most pixels are as those beside them, as in charts, drawings and
            screenshots: nothing is known of how often answers about those are right.
    """

    compression: str = LOSSLESS
    quality: int | None = None
    subsampling: str | None = None
    source: str = "file"
    grid: tuple[int, int] = (0, 0)
    is_grey: bool = False
    is_drawn: bool = False

    def __str__(self) -> str:
        """Say it in words, such as "JPEG of quality 90, 4:2:0"."""
        if self.is_drawn:
            photo = dataclasses.replace(self, is_drawn=False)
            return f"{photo}; drawn, as much is of exactly one colour, and tested were photographs"
        if self.is_grey:
            return f"{dataclasses.replace(self, is_grey=False)}; grey, so told by luma alone"
        if self.compression == LOSSLESS:
            return "no loss by compression found"
        name = {JPEG: "JPEG", WEBP: "WebP", OTHER: "another format"}[self.compression]
        parts = [name if self.quality is None else f"{name} of quality {self.quality}"]
        parts += [self.subsampling] if self.subsampling else []
        where = f"{', '.join(parts)}"
        if self.source == "pixels":
            where += ", kept without loss since"
        return where if self.grid == (0, 0) else f"{where}, cut afterwards"

    def to_json(self) -> dict[str, Any]:
        """Return the attributes, JSON-able."""
        return {**vars(self), "grid": list(self.grid)}


def is_grey(pixels: np.ndarray) -> bool:
    """Return whether the three channels of an image [H, W, 3] are equal throughout."""
    some = pixels[::64, ::64]  # most pictures are told by few pixels
    return bool((some == some[..., :1]).all() and (pixels == pixels[..., :1]).all())


def is_drawn(pixels: np.ndarray) -> bool:
    """Return whether most of an image [H, W, 3] is flat: pixels as those above and to the left."""
    some = _middle(pixels)
    own = some[1:, 1:]
    flat = (own == some[:-1, 1:]).all(axis=-1) & (own == some[1:, :-1]).all(axis=-1)
    return bool(flat.mean() > _FLAT)


def seen(state: State, pixels: np.ndarray) -> State:
    """Return a state with what all pixels say, whatever the file: `is_grey` and `is_drawn`."""
    return dataclasses.replace(state, is_grey=is_grey(pixels), is_drawn=is_drawn(pixels))


def kind_of(state: State) -> str:
    """Return the kind of state that calibrations belong to; empty if there is none."""
    if state.is_drawn:
        return ""
    if state.is_grey:
        kind = kind_of(dataclasses.replace(state, is_grey=False))
        return kind and kind + GREY
    if state.compression == LOSSLESS:
        return LOSSLESS
    if state.compression == WEBP:
        return WEBP
    if state.compression != JPEG or state.quality is None or state.quality < 50:
        return ""
    fine, fair, coarse = STATE_KINDS[1:4]
    return fine if state.quality >= 93 else fair if state.quality >= 82 else coarse


def of_file(data: bytes, pixels: np.ndarray) -> State:
    """Return the state of a picture file.

    Args:
        data: the whole file.
        pixels: [H, W, 3] uint8, as it was decoded; looked at if the file is without loss.

    Raises:
        InputError: if it is no picture.
    """
    return seen(_of_format(data, pixels), pixels)


def _of_format(data: bytes, pixels: np.ndarray) -> State:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with opened_file(data, "the file") as opened:
            if isinstance(opened, JpegImagePlugin.JpegImageFile):
                return State(JPEG, quality_of(opened.quantization), _subsampling_of(opened))
            if opened.format == "WEBP":
                return State(WEBP) if _is_lossy_webp(data) else _of_blocks(pixels)
            if opened.format in ("PNG", "BMP", "PPM", "TIFF", "GIF"):
                return _of_blocks(pixels)
    return State(OTHER)


def quality_of(tables: Mapping[int, Sequence[int]]) -> int:
    """Return libjpeg's quality whose luma table is nearest to that of a file.

    Args:
        tables: of Pillow, number -> 64 steps, row by row; number 0 is that of luma.
    """
    own = np.log(np.maximum(np.array(tables[min(tables)], float), 1))
    errors = [np.mean((own - np.log(table)) ** 2) for table in _tables().reshape(100, 64)]
    return int(np.argmin(errors)) + 1


def of_pixels(pixels: np.ndarray) -> State:
    """Return the state of a picture by its pixels: whether it was a JPEG, and of which quality.

    Args:
        pixels: [H, W, 3] uint8.
    """
    return seen(_of_blocks(pixels), pixels)


def _of_blocks(pixels: np.ndarray) -> State:
    luma = _middle(pixels).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    if min(luma.shape) < 64:
        return State()
    row, column = (_seam(np.moveaxis(luma, axis, 0)) for axis in (0, 1))
    quality = _quality_of_blocks(luma[row:, column:])
    if quality is None:
        return State()
    return State(JPEG, quality, None, "pixels", (row, column))


def _tables() -> np.ndarray:
    """Return [100, 8, 8] luma tables of libjpeg's qualities 1 to 100."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_LUMA * scale[:, None, None] + 50) // 100, 1, 255)


def _subsampling_of(opened: JpegImagePlugin.JpegImageFile) -> str | None:
    return _SUBSAMPLING.get(JpegImagePlugin.get_sampling(opened))


def _is_lossy_webp(data: bytes) -> bool:
    """Return whether a WebP holds a chunk of VP8, which has loss; VP8L has none."""
    return b"VP8 " in data[:4096]


def _middle(pixels: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, from a multiple of 8 pixels on."""
    starts = [max(0, size - MOST_PX) // 2 // 8 * 8 for size in pixels.shape[:2]]
    return pixels[starts[0] : starts[0] + MOST_PX, starts[1] : starts[1] + MOST_PX]


def _seam(luma: np.ndarray) -> int:
    """Return the rows from the first to the first seam between blocks, the likeliest of 8 places.

    The second difference across a seam is larger than within a block.
    """
    steps = np.abs(luma[:-3] - 3 * luma[1:-2] + 3 * luma[2:-1] - luma[3:])
    sharp = np.minimum(steps, 20.0).mean(axis=1)
    found = [sharp[place::8].mean() for place in range(8)]
    return (int(np.argmax(found)) + 2) % 8


def _quality_of_blocks(luma: np.ndarray) -> int | None:
    """Return quality whose steps the coefficients of 8 x 8 blocks are multiples of; None for none.

    Each of the lower coefficients votes: for a quality speaks the share of values that lie within a
    fifth of a step of a multiple, other than 0, beyond the two fifths that do by chance. Rounding
    to 8 bits spreads a coefficient by about 0.3 grey levels, so steps of 1 tell nothing.
    """
    height, width = (size // 8 * 8 for size in luma.shape)
    blocks = luma[:height, :width].reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    transform = scipy.fft.dctn(blocks - 128, axes=(2, 3), norm="ortho").reshape(-1, 8, 8)
    tables = _tables()
    score, votes = np.zeros(100), np.zeros(100)
    for place in [(i, j) for i in range(5) for j in range(5) if 0 < i + j < 6]:
        values = np.sort(np.abs(transform[:, place[0], place[1]]))
        for step in np.unique(tables[:, place[0], place[1]]):
            own = values[np.searchsorted(values, 0.6 * step, side="right") :]
            if step < 2:
                continue
            if len(own) < _LEAST_BLOCKS:
                break  # and fewer are left beyond larger steps
            ratio = own / step
            near = np.mean(np.abs(ratio - np.rint(ratio)) < 0.2)
            same = tables[:, place[0], place[1]] == step
            score[same] += near
            votes[same] += 1
    mean = np.where(votes >= _LEAST_COEFFICIENTS, score / np.maximum(votes, 1), 0.0)
    if mean.max() <= _SHARE:
        return None
    # Multiples of 2 q are multiples of q: of all that fit, the coarsest steps are the file's.
    coarsest = int(np.flatnonzero(mean >= mean.max() - 0.02)[0])
    return coarsest + int(np.argmax(mean[coarsest : coarsest + 4])) + 1
