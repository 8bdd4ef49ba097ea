"""Spectra of crops, reduced to as many numbers as a discriminant can learn from. Pure; no disk.

Letters: N crops, c side of a crop in pixels, B bins.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxfleet.errors import InputError
from jaxfleet.imaging.pixels import from_uint8
from jaxsr.fingerprints import periodicity, residuals, spectra
from jaxsr.fingerprints.crop_features import Features

BINS = 16
RESIDUALS = tuple(name for name in residuals.METHODS if name != "bm3d")  # what can be compiled
_DCT_FLOOR = 1e-4  # a tenth of what rounding to 8 bits leaves in each coefficient


@functools.partial(jax.jit, static_argnames=("residual", "bins"))
def spectrum_features(crops: Array, *, residual: str = "wavelet", bins: int = BINS) -> Array:
    """Compute the power spectra of the residuals of crops, in three ways.

    For each channel: the logarithm of the power, averaged over B / 2 x B blocks of the half of the
    plane that determines the other; averaged over circles (`jaxsr.azimuthal_average`); and
    `periodicity_features`, which see lines that blocks blur.

    Args:
        crops: [N, c, c, 3] uint8, c at least 17 and 2 B.
        residual: "wavelet", "gaussian" or "wiener".
        bins: B, even.

    Returns:
        [N, 3 (B^2 / 2 + c // 2 + 1 + 28)] float32.
    """
    found = residuals.noise_residual(_images(crops), residual)
    spectrum = spectra.log_power_spectrum(found)
    parts = [
        _pooled(spectrum[:, crops.shape[1] // 2 :], bins // 2, bins),
        spectra.azimuthal_average(spectrum),
        periodicity.periodicity_features(found),
    ]
    return jnp.concatenate([part.reshape(len(crops), -1) for part in parts], axis=1)


@functools.partial(jax.jit, static_argnames="bins")
def dct_features(crops: Array, *, bins: int = BINS) -> Array:
    """Return the logarithms of the cosine transform of crops, averaged over B x B blocks.

    Args:
        crops: [N, c, c, 3] uint8, c at least B.
        bins: B.

    Returns:
        [N, 3 B^2] float32, of log(|coefficient| + 1e-4).
    """
    magnitudes = jnp.log(jnp.abs(spectra.dct2(_images(crops))) + _DCT_FLOOR)
    return _pooled(magnitudes, bins, bins).reshape(len(crops), -1)


def check(crop_px: int, *, bins: int = BINS, residual: str = "wavelet") -> None:
    """Refuse bins or residuals that cannot be used, or not with crops of this size.

    Args:
        crop_px: c.
        bins: B.
        residual: as of `spectrum_features`.

    Raises:
        InputError: naming what is wrong.
    """
    if residual not in RESIDUALS:
        raise InputError(f"No residual '{residual}' here; use one of {', '.join(RESIDUALS)}.")
    least = max(2 * bins, 2 * max(periodicity.PERIODS) + 1)
    if bins < 2 or bins % 2 or crop_px < least:
        raise InputError(
            f"Spectra of {bins} bins need an even number of them, at least 2, and crops of {least} "
            f"pixels or more; got {crop_px}."
        )


def _images(crops: Array) -> Array:
    return from_uint8(crops)


def _pooled(planes: Array, rows: int, columns: int) -> Array:
    """Map [N, H, W, C] -> [N, rows, columns, C]: means over blocks of nearly equal sides."""
    return jnp.einsum(
        "ih,nhwc,jw->nijc",
        jnp.asarray(_means(planes.shape[1], rows)),
        planes,
        jnp.asarray(_means(planes.shape[2], columns)),
        precision=jax.lax.Precision.HIGHEST,
    )


def _means(size: int, bins: int) -> np.ndarray:
    """Return [bins, size] float32: rows that average over neighbours."""
    edges = np.arange(bins + 1) * size // bins
    inside = (np.arange(size) >= edges[:-1, None]) & (np.arange(size) < edges[1:, None])
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


SPECTRUM = Features(spectrum_features, check, {"residual": "wavelet", "bins": BINS})
DCT = Features(dct_features, check, {"bins": BINS})
