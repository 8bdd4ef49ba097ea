"""What there is to know of a picture before a SIREN is fitted to it: a few dozen numbers in dB.

Most of them answer one question in several ways: how well can so few numbers say this picture? With
its lowest frequencies alone (a SIREN with a small `w0_initial`), with its largest cosine
coefficients (one that puts its weights where they count), with a JPEG file of so many bytes.
Frequencies are in cycles per picture and sizes in coefficients of the whole picture, so that the
same scene gives almost the same numbers at another size, as far as the pixels can hold them.
"""

import io
from typing import Any

import numpy as np
from PIL import Image

from jaxfleet.images import cosine_matrix
from jaxfleet.pixels import from_uint8, to_uint8

FLOOR_DB = 60.0  # errors below it are 8-bit rounding
THUMBNAIL = 48  # pixels a side of what the convolutions see
MAX_SIDE = 256  # larger pictures are averaged over blocks first

RADII = tuple(0.5 * 2 ** (octave / 2) for octave in range(15))  # cycles per picture, to 64
COUNTS = tuple(8 * 2**octave for octave in range(12))  # coefficients, to 16,384
QUALITIES = (5, 15, 35, 65, 90)  # of JPEG
SHRUNK = (1, 4)  # by averaging, before colours are counted
SHARES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)  # quantiles of the gradients

NAMES = (
    "constant_db",
    *(f"lowpass_{radius:.3g}_db" for radius in RADII),
    *(f"largest_{count}_db" for count in COUNTS),
    *(f"jpeg_{quality}_db" for quality in QUALITIES),
    *(f"jpeg_{quality}_log2_bits" for quality in QUALITIES),
    *(f"colours_{rank}_{factor}_db" for factor in SHRUNK for rank in (1, 2)),
    "brightness",
    "dark_share",
    "bright_share",
    "grey_entropy",
    *(f"gradient_{100 * share:.0f}_db" for share in SHARES),
    "horizontal_db",
    "unevenness_db",
)

# Orthonormal: energies add up to those of RGB. Grey first.
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
_OPPONENT /= np.linalg.norm(_OPPONENT, axis=1, keepdims=True)


def describe(image: np.ndarray) -> np.ndarray:
    """Compute the descriptors `NAMES` of an image.

    Args:
        image: [H, W, 3] uint8, at least 2 x 2 pixels.

    Returns:
        [len(NAMES)] float32, finite. PSNRs end at `FLOOR_DB`.
    """
    small, lost = _averaged(image)
    rows, columns = (cosine_matrix(size) for size in small.shape[:2])
    cosines = np.einsum("ih,hwc,jw->ijc", rows, small @ _OPPONENT.T, columns, optimize=True)
    energies = np.square(cosines) / small.size
    energies[0, 0] = 0
    shrunk = [_blocks(small, factor).mean((1, 3)) for factor in SHRUNK]
    numbers: list[Any] = [
        [_db(energies.sum() + lost)],
        _lowpass(energies, lost),
        _largest(energies, lost),
        *_jpeg(small),
        *map(_colours, shrunk),
        _tones(small),
        *_gradients(small),
    ]
    return np.concatenate(numbers).astype(np.float32)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """[THUMBNAIL, THUMBNAIL, 3] uint8 of a picture [H, W, 3] uint8, its proportions not kept."""
    shape = (THUMBNAIL, THUMBNAIL)
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC))


def _averaged(image: np.ndarray) -> tuple[np.ndarray, float]:
    """[h, w, 3] in [0, 1], at most `MAX_SIDE` a side, and the mean square that averaging lost."""
    factor = -(-max(image.shape[:2]) // MAX_SIDE)
    pixels = from_uint8(image)
    factor = min(factor, *image.shape[:2])
    if factor == 1:
        return pixels, 0.0
    blocks = _blocks(pixels, factor)
    small = blocks.mean((1, 3))
    return small, max(float(np.square(blocks).mean() - np.square(small).mean()), 0.0)


def _blocks(pixels: np.ndarray, factor: int) -> np.ndarray:
    """[h, factor, w, factor, 3]: what is over at the ends is left out; too small is left whole."""
    factor = min(factor, *pixels.shape[:2])
    height, width = (size // factor for size in pixels.shape[:2])
    pixels = pixels[: height * factor, : width * factor]
    return pixels.reshape(height, factor, width, factor, 3)


def _lowpass(energies: np.ndarray, lost: float) -> np.ndarray:
    """PSNR of the picture without frequencies above each radius."""
    rows, columns = (np.arange(size, dtype=np.float32) / 2 for size in energies.shape[:2])
    radius = np.hypot(rows[:, None], columns)
    band = np.searchsorted(RADII, radius.ravel())
    sums = np.bincount(band, energies.sum(-1).ravel(), len(RADII) + 1)
    return _db(sums[::-1].cumsum()[::-1][1:] + lost)


def _largest(energies: np.ndarray, lost: float) -> np.ndarray:
    """PSNR of the picture made of its so many largest coefficients, one for three colours."""
    ordered = np.sort(energies, axis=None)
    left = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    return _db(left[[max(ordered.size - count, 0) for count in COUNTS]] + lost)


def _jpeg(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PSNR and log2 of the bits, headers left out, of JPEG files."""
    source = Image.fromarray(to_uint8(small))
    psnrs, bits = [], []
    for quality in QUALITIES:
        buffer = io.BytesIO()
        source.save(buffer, "JPEG", quality=quality)
        data = buffer.getvalue()
        with Image.open(io.BytesIO(data)) as decoded:
            error = from_uint8(np.asarray(decoded)) - small
        psnrs.append(np.mean(np.square(error)))
        bits.append(8 * (len(data) - data.find(b"\xff\xda")))  # from the start of the scan
    return _db(np.array(psnrs)), np.log2(bits)


def _colours(pixels: np.ndarray) -> np.ndarray:
    """PSNR of the picture with each pixel moved to the best line, and plane, of colours."""
    apart = (pixels - pixels.mean((0, 1))).reshape(-1, 3)
    least, middle, _ = np.linalg.eigvalsh(apart.T @ apart / apart.size)
    return _db(np.array([least + middle, least]))


def _tones(pixels: np.ndarray) -> list[float]:
    """Mean, shares of almost black and almost white values, and nats of 32 levels of grey."""
    grey = pixels.mean(-1)
    levels = np.bincount(np.minimum(grey * 32, 31).astype(int).ravel(), minlength=32) / grey.size
    entropy = -np.sum(levels * np.log(np.maximum(levels, 1e-12)))
    shares = (np.mean(pixels < 0.03), np.mean(pixels > 0.97))
    return [float(x) for x in (grey.mean(), *shares, entropy)]


def _gradients(pixels: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Quantiles of their squares; share of horizontal ones, and how unevenly they are spread."""
    down, right = np.diff(pixels, axis=0)[:, :-1], np.diff(pixels, axis=1)[:-1]
    across = np.square(right).sum(-1)
    squares = np.square(down).sum(-1) + across
    share = across.mean() / max(squares.mean(), 1e-12)
    cells = [
        np.mean(cell)
        for band in np.array_split(squares, min(4, len(squares)), axis=0)
        for cell in np.array_split(band, min(4, squares.shape[1]), axis=1)
    ]
    quantiles = np.quantile(squares, SHARES)
    return _db(quantiles), [10 * np.log10(max(share, 1e-3)), np.std(_db(np.array(cells)))]


def _db(mean_square: np.ndarray | float) -> np.ndarray:
    return -10 * np.log10(np.maximum(mean_square, 10 ** (-FLOOR_DB / 10)))
