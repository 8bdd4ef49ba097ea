"""How pixels go together at each place of the up-sampling grid. Pure; no disk.

A super-resolution network makes the r x r pixels that stand for one of low resolution by different
weights: which linear combination of its neighbours comes nearest to a pixel depends on where in the
grid it lies, and on the network. All such combinations follow from products of neighbouring pixels,
averaged over the pixels of one place in the grid. That is what `grid_statistics` gives.

Three steps make them tell of the network rather than of the picture: colours are turned into grey
and two differences, since the errors of the three channels go together; a blur is taken away, since
natural pictures are mostly low frequencies; and each pixel is divided by how much its
neighbourhood varies, so that no edge outweighs the plain parts.

Letters: N crops, c side of a crop in pixels, p period of the grid, R reach, L pairs of pixels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.images import filtered
from jaxsr.fingerprints.crop_features import Features

PERIOD = 4  # serves scales of 2 and 4
REACH = 3  # pixels to either side
_WINDOW_PX = 7  # of the neighbourhood that a pixel is compared with
_NOISE = 1.0  # grey levels squared, added to its variance: rounding to 8 bits has 1 / 12
_BLUR = np.array([1, 4, 6, 4, 1]) / 16
_AROUND = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
_COLOURS = np.array(
    [[1 / 3, 1 / 3, 1 / 3], [1 / 2, 0.0, -1 / 2], [-1 / 4, 1 / 2, -1 / 4]], np.float32
)  # grey, red less blue, green less magenta


@functools.partial(jax.jit, static_argnames=("period", "reach"))
def grid_statistics(crops: Array, *, period: int = PERIOD, reach: int = REACH) -> Array:
    """Mean products of neighbouring pixels at each place of the grid.

    Of pixels x as the steps above leave them, for each of the p x p places: the mean over pixels
    [i, j] there of x[i, j] x[i + a, j + b], of one colour for all a and b up to R (the half of them
    that determines the other), of a colour with the next one for a and b up to 1, and the mean of
    x itself. The grid begins at the first pixel of the crop.

    Args:
        crops: [N, c, c, 3] uint8, c at least `least_px`.
        period: p, a multiple of the scales that are to be told apart.
        reach: R, at least 1.

    Returns:
        [N, 3 L p p] float32; reshaped to [N, L, 3, p, p] the last two axes are the place in the
        grid. L = ((2 R + 1)^2 + 1) / 2 + 9 + 1.

    Raises:
        ValueError: if the crops are too small.
    """
    side = crops.shape[1]
    if side < least_px(period, reach):
        raise ValueError(f"`crops` must have {least_px(period, reach)} pixels a side; got {side}.")
    margin = _margin(period, reach)
    count = (side - 2 * margin) // period
    size = count * period

    def of_crop(crop: Array) -> Array:
        levelled = _levelled(crop)

        def moved(rows: int, columns: int) -> Array:
            start = (0, margin + rows, margin + columns)
            return jax.lax.dynamic_slice(levelled, start, (3, size, size))

        def by_place(values: Array) -> Array:
            """[3, size, size] -> [3, p, p]; rows first, which are vectors."""
            rows = values.reshape(3, count, period * size).sum(axis=1)
            return rows.reshape(3, period, count, period).sum(axis=2) / count**2

        here = moved(0, 0)
        return jnp.stack(
            [
                *(by_place(here * moved(*step)) for step in _half_plane(reach)),
                *(by_place(here * jnp.roll(moved(*step), -1, axis=0)) for step in _AROUND),
                by_place(here),
            ]
        ).ravel()

    return jax.lax.map(of_crop, crops)


def least_px(period: int, reach: int) -> int:
    """Return the side of the smallest crops: one place of the grid, and the reach around it."""
    return 2 * _margin(period, reach) + period


def at_shift(
    statistics: np.ndarray, rows: int, columns: int, *, period: int = PERIOD, reach: int = REACH
) -> np.ndarray:
    """Return `grid_statistics` of crops that begin elsewhere, but for what lies at the borders.

    Args:
        statistics: [N, D] float, of `grid_statistics`.
        rows: by how many pixels the other crops begin further down.
        columns: by how many they begin further right.
        period: p.
        reach: R, which makes no difference.

    Returns:
        [N, D].
    """
    del reach
    grids = statistics.reshape(len(statistics), -1, period, period)
    return np.roll(grids, (-rows, -columns), axis=(2, 3)).reshape(statistics.shape)


def check(crop_px: int, *, period: int = PERIOD, reach: int = REACH) -> None:
    """Refuse a grid that cannot be used, or not with crops of this size.

    Args:
        crop_px: c.
        period: p.
        reach: R.

    Raises:
        InputError: naming what is wrong.
    """
    if period < 1 or reach < 1:
        raise InputError(f"period and reach must be at least 1; got {period} and {reach}.")
    if crop_px % period:
        raise InputError(
            f"Crops of {crop_px} pixels are no multiple of the grid of {period}; take one."
        )
    least = least_px(period, reach)
    if crop_px < least:
        raise InputError(
            f"A grid of {period} and a reach of {reach} need crops of {least} pixels or more; "
            f"got {crop_px}."
        )


def _margin(period: int, reach: int) -> int:
    """Return the reach, rounded up to whole periods."""
    return -(-reach // period) * period


def _half_plane(reach: int) -> list[tuple[int, int]]:
    """List steps to neighbours, none the opposite of another; the first is no step at all."""
    steps = range(-reach, reach + 1)
    return [(i, j) for i in steps for j in steps if (i, j) >= (0, 0)]


def _levelled(crop: Array) -> Array:
    """[c, c, 3] uint8 -> [3, c, c] float32: fine detail over how strong it is around."""
    colours = jnp.einsum(
        "dc,hwc->dhw",
        jnp.asarray(_COLOURS),
        crop.astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    detail = colours - filtered(colours, _BLUR, axes=(1, 2), mirrored=True)
    window = np.full(_WINDOW_PX, 1 / _WINDOW_PX)
    variance = filtered(detail**2, window, axes=(1, 2), mirrored=True)
    # Barriers: what many values are made of is kept, and not computed anew for each of them.
    return jax.lax.optimization_barrier(detail * jax.lax.rsqrt(variance + _NOISE))


FEATURES = Features(
    grid_statistics,
    check,
    {"period": PERIOD, "reach": REACH},
    period=lambda *, period, reach: period,  # noqa: ARG005 - the other option of the function
    shifted=at_shift,
)
