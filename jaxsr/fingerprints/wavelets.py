"""The wavelet transform of Daubechies with four vanishing moments, of planes. Pure; no disk.

Letters: H height, W width of a plane; h, w those of a level. Planes are `[..., H, W]` float32 with
any number of leading axes. Eight taps, half-sample symmetric borders: the transform that MATLAB
and PyWavelets call `db4`, which others call Daubechies 8.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Daubechies, "Ten Lectures on Wavelets", 1992, table 6.1, N = 4; normalised to length 1.
LOW_PASS = np.array(
    [
        *(-0.010597401785069032, 0.0328830116668852, 0.030841381835560764, -0.18703481171909309),
        *(-0.027983769416859854, 0.6308807679298589, 0.7148465705529157, 0.2303778133088965),
    ]
)
HIGH_PASS = LOW_PASS[::-1] * np.array([-1, 1] * 4)
TAPS = len(LOW_PASS)


def analyse(planes: Array, levels: int) -> tuple[Array, list[Array]]:
    """Split planes into a coarse approximation and the details of each level.

    Along each axis, low[i] = sum_k LOW_PASS[k] x[2i + 1 - k], high alike; a level has
    (size + 7) // 2 values from size. Borders are mirrored, each pixel at the edge twice.

    Args:
        planes: [..., H, W] float32; any size, at least 1 x 1.
        levels: how often the approximation is split, at least 1.

    Returns:
        The approximation [..., h, w] of the coarsest level, and for each level, the finest first,
        [..., 3, h, w]: high along the rows' axis, along the columns' axis, along both.
    """
    details = []
    for _ in range(levels):
        (low_low, low_high), (high_low, high_high) = (
            _split(part, axis=-1) for part in _split(planes, axis=-2)
        )
        details.append(jnp.stack([high_low, low_high, high_high], axis=-3))
        planes = low_low
    return planes, details


def synthesise(approximation: Array, details: Sequence[Array], shape: Sequence[int]) -> Array:
    """Synthesise planes from what `analyse` made of them, exact up to rounding.

    Args:
        approximation: [..., h, w] of the coarsest level.
        details: [..., 3, h, w] of each level, the finest first.
        shape: H and W of the planes.

    Returns:
        [..., H, W] float32.
    """
    planes = approximation
    for level in range(len(details) - 1, -1, -1):
        high_low, low_high, high_high = (details[level][..., band, :, :] for band in range(3))
        height, width = shape if level == 0 else details[level - 1].shape[-2:]
        low = _join(planes, low_high, width, axis=-1)
        high = _join(high_low, high_high, width, axis=-1)
        planes = _join(low, high, height, axis=-2)
    return planes


def _split(x: Array, axis: int) -> tuple[Array, Array]:
    """Return the low and high half of one axis."""
    size = x.shape[axis]
    half = (size + TAPS - 1) // 2
    pads = [(0, 0)] * x.ndim
    pads[axis] = (TAPS - 2, 2 * half - size)
    # The barrier keeps XLA from computing the border rule anew for each tap.
    padded = jax.lax.optimization_barrier(jnp.pad(x, pads, mode="symmetric"))
    taps = [
        jax.lax.slice_in_dim(padded, k, k + 2 * half - 1, stride=2, axis=axis)
        for k in range(TAPS - 1, -1, -1)
    ]
    return _weighted_sum(LOW_PASS, taps), _weighted_sum(HIGH_PASS, taps)


def _join(low: Array, high: Array, size: int, axis: int) -> Array:
    """Join two halves to the `size` values of one axis."""
    axis += high.ndim
    count = (size + 1) // 2
    # x[2j + p] = sum over m = 0..3 and both halves of filter[2m + 1 - p] half[j + m].
    phases = [
        functools.reduce(
            jnp.add,
            [
                _weighted_sum(
                    filter_[1 - phase :: 2],
                    [jax.lax.slice_in_dim(half, m, m + count, axis=axis) for m in range(TAPS // 2)],
                )
                for filter_, half in ((LOW_PASS, low), (HIGH_PASS, high))
            ],
        )
        for phase in (0, 1)
    ]
    woven = jnp.stack(phases, axis=axis + 1)
    woven = woven.reshape(*high.shape[:axis], 2 * count, *high.shape[axis + 1 :])
    return jax.lax.slice_in_dim(woven, 0, size, axis=axis)


def _weighted_sum(weights: np.ndarray, parts: Sequence[Array]) -> Array:
    return functools.reduce(
        jnp.add, [float(weight) * part for weight, part in zip(weights, parts, strict=True)]
    )
