"""Spectra of what is fine in a picture, small enough to be kept and looked at. NumPy; no disk.

The residual of a Gaussian blur, as of `jaxsr.fingerprints.residuals.gaussian_residual`, is cut into
blocks that overlap by half; under a Hann window each has a power spectrum, and their mean is that
of the picture (Welch's method), of the same size for pictures of all sizes.

Letters: H rows, W columns, s side of a block and of the spectrum, in pixels.
"""

import math
from collections.abc import Iterable

import numpy as np

from jaxfleet.imaging.pixels import from_uint8

SIDE_PX = 64
BLUR_PX = 1.0
FLOOR = 1e-12  # power at which decibels level off, far below the rounding of 8 bits


def power(picture: np.ndarray, side: int = SIDE_PX) -> np.ndarray:
    """Return the mean power spectrum over blocks and channels, zero frequency in the centre.

    Scaled so that noise without correlation has its variance everywhere.

    Args:
        picture: [H, W, 3] uint8.
        side: s, at least 2, at most H and W.

    Returns:
        [s, s] float32, of a picture in [0, 1]; zero frequency sits at [s // 2, s // 2].

    Source: Welch, "The use of fast Fourier transform for the estimation of power spectra", 1967.
    """
    from scipy import ndimage  # here, since whoever asks for no spectrum need not wait for it

    pixels = from_uint8(picture)
    blurred = ndimage.gaussian_filter(pixels, BLUR_PX, axes=(0, 1), mode="reflect")
    blocks = np.lib.stride_tricks.sliding_window_view(pixels - blurred, (side, side), (0, 1))
    blocks = blocks[:: max(1, side // 2), :: max(1, side // 2)]
    hann = np.sin(np.pi * (np.arange(side, dtype=np.float32) + 0.5) / side) ** 2
    window = np.outer(hann, hann)
    window /= np.linalg.norm(window)
    total = np.zeros((side, side), np.float32)
    for row in blocks:  # one after the other, for the sake of memory
        total += np.sum(np.abs(np.fft.fft2(row * window)) ** 2, axis=(0, 1), dtype=np.float32)
    return np.fft.fftshift(total / math.prod(blocks.shape[:3]))


def mean(pictures: Iterable[np.ndarray], side: int) -> np.ndarray:
    """Return the mean power spectrum of pictures as [s, s] float16 decibels; see `power`."""
    return decibels(np.mean([power(one, side) for one in pictures], axis=0)).astype(np.float16)


def decibels(spectrum: np.ndarray) -> np.ndarray:
    """Return 10 log10 of powers, of the same shape; never below -120 dB."""
    return 10 * np.log10(spectrum + FLOOR)
