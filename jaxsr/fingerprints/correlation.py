"""Normalised cross-correlation of residuals with fingerprints. Pure; no disk.

Letters: N residuals, M fingerprints, H height, W width, C channels. Means over
all pixels and channels of one array are subtracted.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxfleet.imaging.images import check_image

_ROUNDING = 1e-12  # of energies: the square of what float32 resolves, with room for sums


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


def _normalised(images: Array) -> Array:
    """Return [..., H, W, C] float32 of mean 0 and length 1; zeros where they are constant."""
    images = images.astype(jnp.float32)
    axes = (-3, -2, -1)
    centred = images - jnp.mean(images, axis=axes, keepdims=True)
    energy = jnp.sum(centred**2, axis=axes, keepdims=True)
    # The mean of a constant is off by rounding; what that leaves is no signal.
    constant = energy <= _ROUNDING * jnp.sum(images**2, axis=axes, keepdims=True)
    return jnp.where(constant, 0.0, centred * jax.lax.rsqrt(jnp.where(constant, 1.0, energy)))
