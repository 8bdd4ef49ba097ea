"""JPEG files of the photographs that were fitted: what SIRENs are compared with, and a baseline."""

import io

import numpy as np
from PIL import Image

from jaxfleet.imaging.pixels import psnr_8bit_db

QUALITIES = (5, 15, 35, 65, 90)
NAMES = (
    *(f"jpeg_{quality}_db" for quality in QUALITIES),
    *(f"jpeg_{quality}_log2_bits" for quality in QUALITIES),
)


def measure(image: np.ndarray) -> np.ndarray:
    """Return `NAMES` of an image [H, W, 3] uint8: PSNR, and log2 of the bits without headers."""
    psnrs, bits = [], []
    for quality in QUALITIES:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        data = buffer.getvalue()
        with Image.open(io.BytesIO(data)) as decoded:
            psnrs.append(min(psnr_8bit_db(np.asarray(decoded), image), 60.0))
        bits.append(8 * (len(data) - data.find(b"\xff\xda")))  # from the start of the scan
    return np.array([*psnrs, *np.log2(bits)], np.float32)


def at_bits(files: np.ndarray, log2_bits: np.ndarray) -> np.ndarray:
    """[N] PSNR of JPEG files of so many bits, without their headers.

    Straight lines over log bits join the files that were measured, and go on beyond the last ones.

    Args:
        files: [N, len(NAMES)] of `measure`.
        log2_bits: [N].
    """
    quality, size = np.split(files, 2, axis=1)
    left = np.clip((size <= log2_bits[:, None]).sum(1) - 1, 0, len(QUALITIES) - 2)
    rows = np.arange(len(size))
    below, above = size[rows, left], size[rows, left + 1]
    share = (log2_bits - below) / np.maximum(above - below, 1e-6)
    return quality[rows, left] * (1 - share) + quality[rows, left + 1] * share
