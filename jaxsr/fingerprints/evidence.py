"""Statistics of an image that tell how it was enlarged, also after compression. NumPy; no disk.

One vector describes an image of any size, in four parts:

- *lattice*: how neighbouring pixels go together at each place of the up-sampling grid, as in
  `jaxsr.fingerprints.phase_autocorrelation`, written as Fourier coefficients over the place: the
  mean over places, and what repeats every 2, 3 and 4 pixels. Magnitudes of those of luma follow,
  which do not depend on where the grid begins.
- *spectrum*: the logarithm of the power spectrum of fine luma detail, in blocks and along both
  axes, and by radius of luma and both colour differences. Enlargement leaves a cut-off there.
- *runs*: how often each sequence of four quantised residuals occurs (Fridrich and Kodovsky, "Rich
  models for steganalysis of digital images", 2012, section II), of sequences and their mirror
  images and negatives together.
- *levels*: quantiles of the logarithm of the local variance.

A grey picture is three equal planes: what is of colour differences says nothing of it, and the rest
is that of the colour picture it comes from.

Letters: T tiles, c side of a tile in pixels, D values.
"""

import functools
import itertools

import numpy as np
import scipy.fft
from scipy import ndimage

TILE_PX = 224
LEAST_PX = 96
PERIOD = 12  # of the places that are told apart: a multiple of 2, 3 and 4
REACH, COLOUR_REACH = 3, 2  # pixels to either side, of luma and of colour differences
BLOCK_PX = 64  # of a spectrum
_ROWS, _BLOCKS = BLOCK_PX // 2 + 1, BLOCK_PX // 4  # of a spectrum; blocks to a side
_RADII = _ROWS + 1  # the last is all that lies beyond half a cycle per pixel
_MARGIN = 12
_NOISE = 1.0  # grey levels squared, added to a local variance
_BLUR = np.array([1, 4, 6, 4, 1], np.float32) / 16
TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_RUN, _MOST = 4, 2  # length of a sequence; residuals are cut at this many steps
# Standard deviation, in grey levels, of what is added to whole numbers: where luma has no fractions
# half of the second differences lie between two steps, and rounding would send all of them one way.
_DITHER = 0.05
_KB = np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], np.float32) / 4


def evidence(tiles: np.ndarray) -> np.ndarray:
    """Return the statistics of an image by its tiles.

    Args:
        tiles: [T, c, c, 3] uint8, c at least 96; in the image they begin at multiples of 24 pixels.

    Returns:
        [D] float32, finite.

    Raises:
        ValueError: if the tiles have another shape or type.
    """
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[-1] != 3 or not len(tiles):
        raise ValueError(f"`tiles` must be [T, c, c, 3] uint8; got {tiles.shape} {tiles.dtype}.")
    if min(tiles.shape[1:3]) < LEAST_PX:
        raise ValueError(f"`tiles` must have {LEAST_PX} pixels a side; got {tiles.shape[1:3]}.")
    lattice, power, powers, runs, levels = (
        np.mean(each, axis=0) for each in zip(*map(_of_tile, tiles), strict=True)
    )
    return np.concatenate(
        [_lattice(lattice), _spectrum(power, powers), np.sqrt(runs).ravel(), levels.ravel()]
    ).astype(np.float32)


@functools.cache
def is_of_colour() -> np.ndarray:
    """Return [D] bool: which values of `evidence` belong to the colour differences."""
    own, others = len(_half_plane(REACH)), 2 * len(_half_plane(COLOUR_REACH)) + 6
    count = len(_harmonics()[0])
    lattice = np.repeat(np.arange(own + others) >= own, 2 * count - 1).reshape(-1, 2 * count - 1)
    lattice[-3] = False  # luma by itself
    plane = np.arange(3) > 0
    parts = (
        *(lattice.ravel(), np.zeros(own * (count - 1) + _BLOCKS**2 + 2 * (_ROWS - 1), bool)),
        *(np.repeat(plane, _RADII), np.zeros(4 * (int(_groups().max()) + 1), bool)),
        np.tile(plane, len(_QUANTILES)),
    )
    return np.concatenate(parts)


def luma_profile(found: np.ndarray) -> np.ndarray:
    """Return the part of `evidence` [..., D] that is the spectrum of luma by radius.

    Returns:
        [..., 33] natural logarithms of power, from 0 to half a cycle per pixel.
    """
    return _spectrum_of(found)[..., -3 * _RADII : -2 * _RADII - 1]


def luma_plane(found: np.ndarray) -> np.ndarray:
    """Return the part of `evidence` [..., D] that is the spectrum of levelled luma in blocks.

    Returns:
        [..., 16, 16] natural logarithms of power, by frequency down and across, each from 0 to half
        a cycle per pixel.
    """
    return _spectrum_of(found)[..., : _BLOCKS**2].reshape(*found.shape[:-1], _BLOCKS, _BLOCKS)


@functools.cache
def parts() -> dict[str, slice]:
    """Return where the four parts of `evidence` lie in its D values."""
    pairs = len(_half_plane(REACH)) + 2 * len(_half_plane(COLOUR_REACH)) + 6
    count = len(_harmonics()[0])
    sizes = {
        "lattice": pairs * (2 * count - 1) + len(_half_plane(REACH)) * (count - 1),
        "spectrum": _BLOCKS**2 + 2 * (_ROWS - 1) + 3 * _RADII,
        "runs": 4 * (int(_groups().max()) + 1),
        "levels": 3 * len(_QUANTILES),
    }
    ends = itertools.accumulate(sizes.values())
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def _spectrum_of(found: np.ndarray) -> np.ndarray:
    return found[..., parts()["spectrum"]]


def _of_tile(tile: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the means over one tile that are averaged over tiles."""
    planes = np.moveaxis(tile.astype(np.float32) @ TO_YCC.T, -1, 0)
    blurred = ndimage.correlate1d(planes, _BLUR, 1, mode="mirror")
    detail = planes - ndimage.correlate1d(blurred, _BLUR, 2, mode="mirror")
    variance = ndimage.uniform_filter(detail**2, (0, 7, 7), mode="mirror")
    levelled = detail / np.sqrt(variance + _NOISE)
    luma = planes[0]
    if (tile == tile[..., :1]).all():
        noise = np.random.default_rng(0).standard_normal(luma.shape, np.float32)
        luma = luma + np.float32(_DITHER) * noise
    logs = np.log(variance[:, 4:-4:4, 4:-4:4] + 0.05).reshape(3, -1)
    return (
        _places(levelled),
        _power(levelled[:1])[0],
        _power(detail),
        _runs(luma, levelled[0]),
        np.quantile(logs, _QUANTILES, axis=1),
    )


# -------------------------------------------------------------------------------------- lattice


def _half_plane(reach: int) -> list[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return [(i, j) for i in steps for j in steps if (i, j) >= (0, 0)]


def _places(x: np.ndarray) -> np.ndarray:
    """Map [3, c, c] -> [pairs, 12, 12]: mean products of neighbours at each place of the grid."""
    count = (x.shape[1] - 2 * _MARGIN) // PERIOD
    size = count * PERIOD

    def moved(plane: int, step: tuple[int, int]) -> np.ndarray:
        top, left = _MARGIN + step[0], _MARGIN + step[1]
        return x[plane, top : top + size, left : left + size]

    here = [moved(plane, (0, 0)) for plane in range(3)]
    pairs = [(0, step) for step in _half_plane(REACH)]
    pairs += [(plane, step) for plane in (1, 2) for step in _half_plane(COLOUR_REACH)]

    def by_place(product: np.ndarray) -> np.ndarray:
        rows = product.reshape(count, PERIOD * size).sum(0)
        return rows.reshape(PERIOD, count, PERIOD).sum(1) / count**2

    found = [by_place(here[plane] * moved(plane, step)) for plane, step in pairs]
    others = (here[0] * here[1], here[0] * here[2], here[1] * here[2], *here)
    return np.stack(found + [by_place(np.ascontiguousarray(one)) for one in others])


def _lattice(places: np.ndarray) -> np.ndarray:
    """Map [pairs, 12, 12] -> coefficients of what repeats every 4 and every 3 pixels."""
    transform = np.fft.fft2(places) / PERIOD**2
    rows, columns = _harmonics()
    kept = transform[:, rows, columns]
    parts = np.concatenate([kept.real, kept.imag[:, 1:]], axis=1)
    return np.concatenate([parts.ravel(), np.abs(kept[: len(_half_plane(REACH)), 1:]).ravel()])


@functools.cache
def _harmonics() -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of a 12 x 12 transform: no frequency is another's negative."""
    chosen: list[tuple[int, ...]] = []
    for step in (3, 4):
        for place in itertools.product(range(0, PERIOD, step), repeat=2):
            mirrored = (-place[0] % PERIOD, -place[1] % PERIOD)
            if place not in chosen and mirrored not in chosen:
                chosen.append(place)
    rows, columns = np.array(chosen).T
    return rows, columns


# ------------------------------------------------------------------------------------- spectrum


def _power(planes: np.ndarray) -> np.ndarray:
    """Map [C, c, c] -> [C, 33, 33]: Welch's spectrum, both vertical signs together."""
    half = BLOCK_PX // 2
    blocks = np.lib.stride_tricks.sliding_window_view(planes, (BLOCK_PX, BLOCK_PX), (1, 2))
    blocks = blocks[:, ::half, ::half].reshape(len(planes), -1, BLOCK_PX, BLOCK_PX)
    found = scipy.fft.rfft2(blocks * _window(), axes=(2, 3))
    power = (found.real**2 + found.imag**2).mean(axis=1)
    return (power[:, : half + 1] + power[:, -np.arange(half + 1) % BLOCK_PX]) / 2


@functools.cache
def _window() -> np.ndarray:
    hann = np.sin(np.pi * (np.arange(BLOCK_PX, dtype=np.float32) + 0.5) / BLOCK_PX) ** 2
    window = np.outer(hann, hann)
    return window / np.linalg.norm(window)


def _spectrum(power: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Map [33, 33] of levelled luma and [3, 33, 33] of detail -> logarithms of their means."""
    inner = power[1:, 1:].reshape(_BLOCKS, 2, _BLOCKS, 2).mean(axis=(1, 3))
    radius = _radius()
    weights = np.bincount(radius, minlength=_RADII)
    by_radius = [np.bincount(radius, plane.ravel(), _RADII) / weights for plane in powers]
    parts = [inner.ravel(), power[1:].mean(axis=1), power[:, 1:].mean(axis=0), *by_radius]
    return np.log(np.concatenate(parts) + 1e-4)


@functools.cache
def _radius() -> np.ndarray:
    side = np.arange(_ROWS)
    return np.minimum(np.hypot(*np.meshgrid(side, side)).round().astype(int), _ROWS).ravel()


# ----------------------------------------------------------------------------------------- runs


def _runs(luma: np.ndarray, levelled: np.ndarray) -> np.ndarray:
    """Return [4, 169] shares of the sequences of four kinds of quantised residual."""
    across = (luma[:, 1:] - luma[:, :-1], luma[1:] - luma[:-1])
    twice = (across[0][:, 1:] - across[0][:, :-1], across[1][1:] - across[1][:-1])
    corner = ndimage.correlate(luma, _KB, mode="mirror")
    kinds = (
        (across[0], across[1], 1.0),
        (twice[0] / 2, twice[1] / 2, 1.0),
        (corner, corner, 1.0),
        (levelled, levelled, 0.7),
    )
    return np.stack([_shares(flat / step, tall.T / step) for flat, tall, step in kinds])


def _shares(*residuals: np.ndarray) -> np.ndarray:
    base, groups, count = 2 * _MOST + 1, _groups(), 0
    totals = np.zeros(groups.max() + 1)
    for residual in residuals:
        steps = (np.clip(np.rint(residual), -_MOST, _MOST) + _MOST).astype(np.int32)
        width = steps.shape[1] - _RUN + 1
        code = functools.reduce(
            lambda sum_, k: sum_ * base + steps[:, k : k + width],
            range(_RUN),
            np.zeros((1, 1), np.int32),
        )
        counts = np.bincount(code.ravel(), minlength=base**_RUN)
        totals += np.bincount(groups, counts)
        count += code.size
    return totals / count


@functools.cache
def _groups() -> np.ndarray:
    """Return [625] the group of each sequence: it, its mirror image and their negatives."""
    base = 2 * _MOST + 1
    names: dict[tuple[int, ...], int] = {}
    groups = []
    for run in itertools.product(range(-_MOST, _MOST + 1), repeat=_RUN):
        alike = [run, run[::-1], tuple(-x for x in run), tuple(-x for x in run[::-1])]
        groups.append(names.setdefault(min(alike), len(names)))
    assert len(groups) == base**_RUN
    return np.array(groups)
