"""Phase-wise autocorrelation: neighbouring pixels at each phase of the upsampling grid.

A super-resolution network makes the r x r pixels that stand for one of low resolution by different
weights: which linear combination of its neighbours best predicts a pixel depends on the network and
on the phase of the pixel, its place in the grid. All such combinations follow from the products of
neighbouring pixels, averaged over the pixels of one phase: the autocorrelation of each phase.

Three steps bring out the network rather than the image: colours become grey and two differences,
since the errors of the three channels are correlated; a blurred copy is subtracted, since natural
images consist mostly of low frequencies; and each pixel is divided by the standard deviation of its
neighbourhood, so that no edge outweighs the flat parts.

Letters: N crops, c side of a crop in pixels, p period of the grid, R largest lag, L pairs.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxfleet import lazy
from jaxfleet.errors import InputError
from jaxfleet.imaging.images import filtered
from jaxsr.fingerprints.crop_features import Features

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
    from jax import Array
else:  # who asks about one picture need not wait for JAX
    jax, jnp = lazy.module("jax"), lazy.module("jax.numpy")

PERIOD = 4  # serves scales of 2 and 4
MAX_LAG = 3  # pixels to either side
_WINDOW_PX = 7  # of the neighbourhood that a pixel is compared with
_NOISE = 1.0  # grey levels squared, added to its variance: rounding to 8 bits has 1 / 12
_BLUR = np.array([1, 4, 6, 4, 1]) / 16
_AROUND = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
_COLOURS = np.array(
    [[1 / 3, 1 / 3, 1 / 3], [1 / 2, 0.0, -1 / 2], [-1 / 4, 1 / 2, -1 / 4]], np.float32
)  # grey, red less blue, green less magenta


def phase_autocorrelation(
    crops: "Array", *, period: int = PERIOD, max_lag: int = MAX_LAG
) -> "Array":
    """Return the mean products of neighbouring pixels at each phase of the grid.

    For pixels x after the steps above and each of the p x p phases: the mean over the pixels [i, j]
    of that phase of x[i, j] x[i + a, j + b], within a colour for all lags a and b up to R (the half
    of them that determines the other), between a colour and the next one for lags up to 1, and the
    mean of x itself. The grid begins at the first pixel of the crop.

    Args:
        crops: [N, c, c, 3] uint8, c at least `least_px`.
        period: p, a multiple of the scales that are to be told apart.
        max_lag: R, at least 1.

    Returns:
        [N, 3 L p p] float32; reshaped to [N, L, 3, p, p] the last two axes are the phase.
        L = ((2 R + 1)^2 + 1) / 2 + 9 + 1.

    Raises:
        ValueError: if the crops are too small.
    """
    _check_side(crops.shape[1], period, max_lag)
    return _compiled()(crops, period, max_lag)


def in_numpy(crops: np.ndarray, *, period: int = PERIOD, max_lag: int = MAX_LAG) -> np.ndarray:
    """Return `phase_autocorrelation` of few crops, [N, c, c, 3] uint8; nothing is compiled."""
    _check_side(crops.shape[1], period, max_lag)
    return np.stack([_of_crop(crop, period, max_lag) for crop in crops])


def _check_side(side: int, period: int, max_lag: int) -> None:
    if side < least_px(period, max_lag):
        raise ValueError(
            f"`crops` must have {least_px(period, max_lag)} pixels a side; got {side}."
        )


@functools.cache
def _compiled() -> Any:
    def of_crops(crops: "Array", period: int, max_lag: int) -> "Array":
        return jax.lax.map(lambda crop: _of_crop(crop, period, max_lag), crops)

    return jax.jit(of_crops, static_argnums=(1, 2))


def _of_crop(crop: Any, period: int, max_lag: int) -> Any:
    """Map [c, c, 3] uint8 of NumPy or JAX -> [3 L p p] of the same."""
    xp = np if isinstance(crop, np.ndarray) else jnp
    margin = _margin(period, max_lag)
    count = (crop.shape[0] - 2 * margin) // period
    size = count * period
    levelled = _levelled(crop)

    def moved(rows: int, columns: int) -> Any:
        top, left = margin + rows, margin + columns
        return levelled[:, top : top + size, left : left + size]

    def by_phase(values: Any) -> Any:
        """Average [3, size, size] to [3, p, p]; rows first, which are vectors."""
        rows = values.reshape(3, count, period * size).sum(axis=1)
        return rows.reshape(3, period, count, period).sum(axis=2) / count**2

    here = moved(0, 0)
    return xp.stack(
        [
            *(by_phase(here * moved(*step)) for step in _half_plane(max_lag)),
            *(by_phase(here * xp.roll(moved(*step), -1, axis=0)) for step in _AROUND),
            by_phase(here),
        ]
    ).ravel()


def least_px(period: int, max_lag: int) -> int:
    """Return the side of the smallest crops: one period, and the largest lag on either side."""
    return 2 * _margin(period, max_lag) + period


def at_shift(
    statistics: np.ndarray, rows: int, columns: int, *, period: int = PERIOD, max_lag: int = MAX_LAG
) -> np.ndarray:
    """Return `phase_autocorrelation` of shifted crops, exact except at their borders.

    Args:
        statistics: [N, D] float, from `phase_autocorrelation`.
        rows: by how many pixels the shifted crops begin further down.
        columns: by how many pixels they begin further right.
        period: p.
        max_lag: R, which makes no difference.

    Returns:
        [N, D].
    """
    del max_lag
    grids = statistics.reshape(len(statistics), -1, period, period)
    return np.roll(grids, (-rows, -columns), axis=(2, 3)).reshape(statistics.shape)


def check(crop_px: int, *, period: int = PERIOD, max_lag: int = MAX_LAG) -> None:
    """Check that a period and lags can be used with crops of this size.

    Args:
        crop_px: c.
        period: p.
        max_lag: R.

    Raises:
        InputError: naming what is wrong.
    """
    if period < 1 or max_lag < 1:
        raise InputError(f"period and max_lag must be at least 1; got {period} and {max_lag}.")
    if crop_px % period:
        raise InputError(
            f"Crops of {crop_px} pixels are no multiple of the grid of {period}; take one."
        )
    least = least_px(period, max_lag)
    if crop_px < least:
        raise InputError(
            f"A grid of {period} and a max_lag of {max_lag} need crops of {least} pixels or more; "
            f"got {crop_px}."
        )


def _margin(period: int, max_lag: int) -> int:
    """Return the largest lag, rounded up to whole periods."""
    return -(-max_lag // period) * period


def _half_plane(max_lag: int) -> list[tuple[int, int]]:
    """List steps to neighbours, none the opposite of another; the first is no step at all."""
    steps = range(-max_lag, max_lag + 1)
    return [(i, j) for i in steps for j in steps if (i, j) >= (0, 0)]


def _levelled(crop: Any) -> Any:
    """Map [c, c, 3] uint8 -> [3, c, c] float32: fine detail over how strong it is around."""
    is_numpy = isinstance(crop, np.ndarray)
    if is_numpy:
        colours = np.moveaxis(crop.astype(np.float32) @ _COLOURS.T, -1, 0)
    else:
        colours = jnp.einsum(
            "dc,hwc->dhw",
            jnp.asarray(_COLOURS),
            crop.astype(jnp.float32),
            precision=jax.lax.Precision.HIGHEST,
        )
    detail = colours - filtered(colours, _BLUR, axes=(1, 2), mirrored=True)
    window = np.full(_WINDOW_PX, 1 / _WINDOW_PX)
    variance = filtered(detail**2, window, axes=(1, 2), mirrored=True)
    if is_numpy:
        return detail / np.sqrt(variance + np.float32(_NOISE))
    # Barriers: what many values are made of is kept, and not computed anew for each of them.
    return jax.lax.optimization_barrier(detail * jax.lax.rsqrt(variance + _NOISE))


FEATURES = Features(
    phase_autocorrelation,
    check,
    {"period": PERIOD, "max_lag": MAX_LAG},
    period=lambda *, period, max_lag: period,  # noqa: ARG005 - the other option of the function
    shifted=at_shift,
    in_numpy=in_numpy,
)
