"""How well a residual agrees with a fingerprint: correlation, and the peak it stands out by. Pure.

Letters: N residuals, M fingerprints, H height, W width, C channels. Means are taken away over all
pixels and channels of one array.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxfleet.images import check_image

NEIGHBOURHOOD_PX = 5
_ROUNDING = 1e-12  # of energies: the square of what float32 resolves, with room for sums


class Peak(NamedTuple):
    """Where a correlation is largest.

    Attributes:
        pce: [...] float32, see `pce`.
        row: [...] int32, of the peak.
        column: [...] int32, of the peak.
        height: [...] float32, the correlation there.
    """

    pce: Array
    row: Array
    column: Array
    height: Array


@jax.jit
def ncc(residuals: Array, fingerprints: Array) -> Array:
    """Return normalised cross-correlation of each residual with each fingerprint, pixel on pixel.

    One matrix product. A fingerprint K in a residual W = K + noise is found at
    sqrt(var K / (var K + var noise)); by chance the values spread by 1 / sqrt(H W C).

    Args:
        residuals: [N, H, W, C] float.
        fingerprints: [M, H, W, C] float.

    Returns:
        [N, M] float32 in [-1, 1]; 0 where an array is constant.

    Raises:
        TypeError: if an array is not float.
        ValueError: if the arrays are not [..., H, W, C] of one size.
    """
    check_image(residuals, "residuals")
    check_image(fingerprints, "fingerprints")
    if (
        residuals.ndim != 4
        or fingerprints.ndim != 4
        or residuals.shape[1:] != fingerprints.shape[1:]
    ):
        raise ValueError(
            f"`residuals` [N, H, W, C] and `fingerprints` [M, H, W, C] must agree but for the "
            f"first axis; residuals are {residuals.shape}, fingerprints {fingerprints.shape}."
        )
    # HIGHEST: accelerators would otherwise round the factors to TF32 or bfloat16.
    return jnp.einsum(
        "nhwc,mhwc->nm",
        _normalised(residuals),
        _normalised(fingerprints),
        precision=jax.lax.Precision.HIGHEST,
    )


@jax.jit
def cross_correlation(residual: Array, fingerprint: Array) -> Array:
    """Normalised cross-correlation at every shift of the fingerprint, which closes to a torus.

    c[i, j] = sum over y, x and channels of residual[y, x] fingerprint[y + i, x + j], both of mean 0
    and length 1. A residual that is smaller is laid on the upper left corner, zeros around it: a
    crop of the fingerprint from row i and column j on has its peak at [i, j].

    Args:
        residual: [..., h, w, C] float, no larger than the fingerprint.
        fingerprint: [..., H, W, C] float; the leading axes broadcast with the residual's.

    Returns:
        [..., H, W] float32 in [-1, 1]; [0, 0] is `ncc` where the sizes are equal.

    Raises:
        TypeError: if an array is not float.
        ValueError: if the residual is larger, the channels differ, or an axis is missing.
    """
    check_image(residual, "residual")
    check_image(fingerprint, "fingerprint")
    (h, w, c), (height, width, channels) = residual.shape[-3:], fingerprint.shape[-3:]
    if c != channels or h > height or w > width:
        raise ValueError(
            f"`residual` may not be larger than `fingerprint`, and needs as many channels; it is "
            f"{residual.shape} and the fingerprint {fingerprint.shape}. Crop it first."
        )
    size = (height, width)
    first = jnp.fft.rfft2(_normalised(residual), size, axes=(-3, -2))
    second = jnp.fft.rfft2(_normalised(fingerprint), axes=(-3, -2))
    lead = jnp.broadcast_shapes(first.shape[:-3], second.shape[:-3])
    first = jnp.broadcast_to(first, (*lead, *first.shape[-3:]))
    second = jnp.broadcast_to(second, first.shape)
    product = jnp.sum(jnp.conj(first) * second, axis=-1)
    return jnp.fft.irfft2(product, size, axes=(-2, -1))


def pce(
    correlation: Array, *, neighbourhood_px: int = NEIGHBOURHOOD_PX, search_px: int | None = None
) -> Peak:
    """Return the peak-to-correlation energy: the square of the peak over the mean square elsewhere.

    The peak is the largest value. Elsewhere is the torus without the square of side
    2 `neighbourhood_px` + 1 around the peak. The result has the sign of the peak: with a narrow
    search it may be negative. For two unrelated arrays and one shift, about a squared normal
    variable, mean 1; over all shifts about 2 ln(H W).

    Args:
        correlation: [..., H, W] float, of `cross_correlation`.
        neighbourhood_px: how far around the peak is not elsewhere; 5 leaves out 11 x 11.
        search_px: how far from [0, 0] along each axis, either way around the torus, the peak is
            sought; 0 asks of aligned images, None searches everywhere.

    Returns:
        A `Peak` of arrays [...].

    Raises:
        ValueError: if there are fewer than two axes, or nothing is left elsewhere.

    Source: Goljan, Fridrich and Filler, "Large scale test of sensor fingerprint camera
    identification", 2009, equation 11. prnu-python leaves out 4 x 4 and divides by H W.
    """
    if correlation.ndim < 2:
        raise ValueError(f"`correlation` must be [..., H, W]; got shape {correlation.shape}.")
    height, width = correlation.shape[-2:]
    side = 2 * neighbourhood_px + 1
    hole = min(side, height) * min(side, width)
    if neighbourhood_px < 0 or hole == height * width:
        raise ValueError(
            f"{height} x {width} shifts leave nothing outside a neighbourhood of "
            f"{neighbourhood_px} pixels; use a smaller one, and 0 or more."
        )
    return _pce(
        correlation, neighbourhood_px, max(height, width) if search_px is None else search_px
    )


@functools.partial(jax.jit, static_argnames=("neighbourhood_px", "search_px"))
def _pce(correlation: Array, neighbourhood_px: int, search_px: int) -> Peak:
    lead, (height, width) = correlation.shape[:-2], correlation.shape[-2:]
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]

    def near(row: Array | int, column: Array | int, reach: int) -> Array:
        """Return [H, W] bool: at most that far from a point, on the torus."""
        down = jnp.minimum((rows - row) % height, (row - rows) % height)
        across = jnp.minimum((columns - column) % width, (column - columns) % width)
        return (down <= reach) & (across <= reach)

    def of_one(values: Array) -> Peak:
        sought = jnp.where(near(0, 0, search_px), values, -jnp.inf)
        row, column = jnp.divmod(jnp.argmax(sought), width)
        peak = values[row, column]
        elsewhere = ~near(row, column, neighbourhood_px)
        # Nothing elsewhere is less than what float32 resolves of a correlation.
        energy = jnp.maximum(jnp.mean(values**2, where=elsewhere), _ROUNDING)
        return Peak(
            jnp.sign(peak) * peak**2 / energy, row.astype(jnp.int32), column.astype(jnp.int32), peak
        )

    peaks = jax.vmap(of_one)(correlation.astype(jnp.float32).reshape(-1, height, width))
    return jax.tree.map(lambda values: values.reshape(lead), peaks)


def _normalised(images: Array) -> Array:
    """Return [..., H, W, C] float32 of mean 0 and length 1; zeros where they are constant."""
    images = images.astype(jnp.float32)
    axes = (-3, -2, -1)
    centred = images - jnp.mean(images, axis=axes, keepdims=True)
    energy = jnp.sum(centred**2, axis=axes, keepdims=True)
    # The mean of a constant is off by rounding; what that leaves is no signal.
    constant = energy <= _ROUNDING * jnp.sum(images**2, axis=axes, keepdims=True)
    return jnp.where(constant, 0.0, centred * jax.lax.rsqrt(jnp.where(constant, 1.0, energy)))
