"""Compute image descriptors that predict how well a SIREN can fit the image, in NumPy.

All of them are in cycles per picture or in numbers of coefficients, never in pixels, so that one
scene has almost the same descriptors at every size, as far as its pixels hold them. Pictures above
`MAX_SIDE` are halved until they fit; the energy that each halving averages away is known exactly
and becomes the energy of an octave of frequencies.
"""

from typing import Any

import numpy as np

from jaxfleet.imaging.pixels import cosine_matrix, from_uint8

FLOOR_DB = 60.0  # errors below it are 8-bit rounding
FLOOR = 10 ** (-FLOOR_DB / 10)
MAX_SIDE = 256  # of the picture that is transformed
SCALE_SIDE = 16  # of the picture that contrast is measured on

# Upper ends of bands of frequencies, half an octave each, in cycles per root of the area.
RADII = tuple(0.5 * 2 ** (octave / 2) for octave in range(27))  # to 4,096
COUNTS = tuple(8 * 2**octave for octave in range(15))  # coefficients, to 131,072

BANDS = tuple(f"band_{radius:.3g}_db" for radius in RADII)
COSINES = tuple(f"cosines_{count}_db" for count in COUNTS)
WAVELETS = tuple(f"wavelets_{count}_db" for count in COUNTS)
NAMES = (
    *("mean_db", "constant_db", *BANDS, *COSINES, *WAVELETS),
    *("colours_1_db", "colours_2_db", "brightness", "dark_share", "bright_share"),
    *("grey_entropy", "horizontal_db", "unevenness_db"),
)
AT = {name: place for place, name in enumerate(NAMES)}

# Orthonormal: energies add up to those of RGB. Grey first.
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
_OPPONENT /= np.linalg.norm(_OPPONENT, axis=1, keepdims=True)
_STRIP_BYTES = 1 << 19  # of float32 pixels that are halved at a time: they stay in cache


def describe(image: np.ndarray) -> np.ndarray:
    """Compute the descriptors `NAMES` of an image.

    Args:
        image: [H, W, 3] uint8, at least 2 x 2 pixels. What is left over at the right and lower
            edges when sides are halved is not looked at.

    Returns:
        [len(NAMES)] float32, finite: mean squares in decibels below 1, `FLOOR_DB` at most. A band
        is what frequencies below its radius, and not below the one before, hold; `mean_db` is the
        mean colour's; `cosines` and `wavelets` are the errors of a picture made of its so many
        largest coefficients.
    """
    small, octaves = halved(image)
    lost = sum(octaves)
    mean = small.mean((0, 1))
    coloured = small @ _OPPONENT.T
    cosines = np.square(_cosines(coloured)) / small.size
    cosines[:, 0, 0] = 0
    wavelets = np.square(_wavelets(coloured)) / small.size
    values: list[Any] = [
        [_db(np.mean(np.square(mean))), _db(cosines.sum() + lost)],
        _bands(cosines, octaves),
        _largest(cosines.ravel(), lost),
        _largest(wavelets, lost),
        _colours(small - mean),
        _tones(small),
        _local(small),
    ]
    return np.concatenate(values).astype(np.float32)


def halved(image: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Halve an image until no side is above `MAX_SIDE`.

    Args:
        image: [H, W, 3] uint8.

    Returns:
        [h, w, 3] float32 in [0, 1], and the mean square that each halving lost, largest first.
    """
    height, width = image.shape[:2]
    levels = max(int(np.ceil(np.log2(max(height, width) / MAX_SIDE))), 0)
    levels = min(levels, int(np.log2(min(height, width))))
    if levels == 0:
        return from_uint8(image), []
    factor = 2**levels
    image = image[: height // factor * factor, : width // factor * factor]
    rows = max(_STRIP_BYTES // (image.shape[1] * 12) // factor, 1) * factor
    squares = np.zeros(levels + 1)
    small = []
    for top in range(0, len(image), rows):
        strip = image[top : top + rows].astype(np.float32)
        sums = [_square(strip)]
        for _ in range(levels):
            strip = _half(strip)
            sums.append(_square(strip))
        squares += sums
        small.append(strip)
    means = squares / image.size * 4.0 ** np.arange(levels + 1) / 255.0**2
    lost = np.maximum(means[:-1] - means[1:], 0.0)
    return np.concatenate(small) / np.float32(255), lost.tolist()


def _square(pixels: np.ndarray) -> float:
    flat = pixels.ravel()
    return float(flat @ flat)


def _half(pixels: np.ndarray) -> np.ndarray:
    """[H / 2, W / 2, 3] means of 2 x 2 pixels."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height // 2, 2, width * 3)
    pairs = rows[:, 0] + rows[:, 1]
    means = np.empty((height // 2, width // 2, 3), np.float32)
    for channel in range(3):
        np.add(pairs[:, channel::6], pairs[:, channel + 3 :: 6], out=means[..., channel])
    means *= np.float32(0.25)
    return means


def _cosines(pixels: np.ndarray) -> np.ndarray:
    """Orthonormal discrete cosine transform (type II) of both axes: [H, W, C] -> [C, H, W]."""
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    return cosine_matrix(pixels.shape[0]) @ planes @ cosine_matrix(pixels.shape[1]).T


def _wavelets(pixels: np.ndarray) -> np.ndarray:
    """Flat detail coefficients of Haar's orthonormal transform; an odd last row counts twice."""
    found = [np.zeros(1, np.float32)]
    while min(pixels.shape[:2]) > 1:
        pixels = np.pad(pixels, [(0, n % 2) for n in pixels.shape[:2]] + [(0, 0)], mode="edge")
        a, b = pixels[0::2] + pixels[1::2], pixels[0::2] - pixels[1::2]
        low, *details = (
            y / 2 for x in (a, b) for y in (x[:, 0::2] + x[:, 1::2], x[:, 0::2] - x[:, 1::2])
        )
        found += [detail.ravel() for detail in details]
        pixels = low
    return np.concatenate(found)


def _bands(energies: np.ndarray, octaves: list[float]) -> np.ndarray:
    """Return the energy of each band of `RADII`; what is above the last counts to it."""
    height, width = energies.shape[1:]
    area = (height * width) ** 0.5
    rows, columns = (np.arange(n, dtype=np.float32) * (area / 2 / n) for n in (height, width))
    band = np.searchsorted(RADII, np.hypot(rows[:, None], columns).ravel())
    sums = np.bincount(band, energies.sum(0).ravel(), len(RADII) + 1)
    # An octave above the small picture's own frequencies, `area` / 2 at most, has two bands.
    first = np.searchsorted(RADII, area / 2)
    for octave, energy in enumerate(reversed(octaves)):
        for half in (1, 2):
            sums[min(first + 2 * octave + half, len(RADII) - 1)] += energy / 2
    sums[len(RADII) - 1] += sums[len(RADII)]
    return _db(sums[: len(RADII)])


def _largest(energies: np.ndarray, lost: float) -> np.ndarray:
    """Mean square error of the picture made of its `COUNTS` largest coefficients."""
    ordered = np.sort(energies)
    left = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    return _db(left[[max(ordered.size - count, 0) for count in COUNTS]] + lost)


def _colours(apart: np.ndarray) -> np.ndarray:
    """Error of the picture with each pixel moved to the best line, and plane, of colours."""
    apart = apart.reshape(-1, 3)
    least, middle, _ = np.linalg.eigvalsh(apart.T @ apart / apart.size)
    return _db(np.array([least + middle, least]))


def _tones(pixels: np.ndarray) -> list[float]:
    """Mean, shares of almost black and almost white values, and nats of 32 levels of grey."""
    grey = pixels.mean(-1)
    levels = np.bincount(np.minimum(grey * 32, 31).astype(int).ravel(), minlength=32) / grey.size
    entropy = -np.sum(levels * np.log(np.maximum(levels, 1e-12)))
    return [
        float(x) for x in (grey.mean(), np.mean(pixels < 0.03), np.mean(pixels > 0.97), entropy)
    ]


def _local(pixels: np.ndarray) -> list[float]:
    """Share of horizontal gradients, and how unevenly gradients are spread over 4 x 4 cells."""
    factor = max(min(pixels.shape[:2]) // SCALE_SIDE, 1)
    height, width = (size // factor for size in pixels.shape[:2])
    blocks = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    pixels = blocks.mean((1, 3))
    down, right = np.diff(pixels, axis=0)[:, :-1], np.diff(pixels, axis=1)[:-1]
    across = np.square(right).sum(-1)
    squares = np.square(down).sum(-1) + across
    cells = [
        np.mean(cell)
        for band in np.array_split(squares, min(4, len(squares)), axis=0)
        for cell in np.array_split(band, min(4, squares.shape[1]), axis=1)
    ]
    share = across.mean() / max(squares.mean(), 1e-12)
    return [10 * np.log10(max(share, 1e-3)), np.std(_db(np.array(cells)))]


def _db(mean_square: np.ndarray | float) -> np.ndarray:
    return -10 * np.log10(np.maximum(mean_square, FLOOR))
