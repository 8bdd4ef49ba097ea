"""What the forecaster is told of a fit: its hyperparameters, and what they mean for the picture.

A fit is the picture's descriptors [D], the trial's row [len(TRIAL)], and how many updates were
made. `encode` makes of them one row of numbers for the network, all in plain NumPy: a thousand
trials take a millisecond.
"""

from collections.abc import Sequence

import numpy as np

from jaxinr.forecaster import descriptors as pictures
from jaxinr.trial import CHANNELS, Trial

# A row of numbers for each trial, before any scaling.
TRIAL = ("layer_size", "num_layers", "w0_initial", "learning_rate", "pixels")

# What the network sees of them, all but the first few of log scale.
ENCODED = (
    "log2_layer_size",
    "log2_num_layers",
    "log2_w0_initial",
    "log2_learning_rate",
    "log2_pixels",
    "log2_iterations",
    "log2_parameters",
    "log2_parameters_per_value",
)
AXES = len(ENCODED)
ITERATIONS = ENCODED.index("log2_iterations")
PIXELS = ENCODED.index("log2_pixels")

# In octaves around the parameters, and around w0_initial / (2 pi) cycles per picture.
_COUNT_OCTAVES = (-4.0, -3.0, -2.0, -1.0, 0.0)
_RADIUS_OCTAVES = (-1.0, 0.0, 1.0, 2.0)
CROSSED = len(_COUNT_OCTAVES) + len(_RADIUS_OCTAVES)

CONSTANT = pictures.NAMES.index("constant_db")
_LOWPASS = [n for n, name in enumerate(pictures.NAMES) if name.startswith("lowpass")]
_LARGEST = [n for n, name in enumerate(pictures.NAMES) if name.startswith("largest")]


def trial_rows(trials: Sequence[Trial], pixels: int) -> np.ndarray:
    """[N, len(TRIAL)] float64 of trials on one picture."""
    return np.array(
        [[t.layer_size, t.num_layers, t.w0_initial, t.learning_rate, pixels] for t in trials],
        np.float64,
    ).reshape(-1, len(TRIAL))


def parameters(rows: np.ndarray) -> np.ndarray:
    """[...] weights and biases of SIRENs, from [..., len(TRIAL)]."""
    width, depth = rows[..., 0], rows[..., 1]
    return 3 * width + (depth - 1) * width * (width + 1) + CHANNELS * (width + 1)


def encode(rows: np.ndarray, iterations: np.ndarray, described: np.ndarray) -> np.ndarray:
    """Encode the hyperparameters of each fit as inputs of the forecaster's network.

    Args:
        rows: [N, len(TRIAL)].
        iterations: [N] Adam updates, at least 1.
        described: [N, D] or [D] descriptors of the pictures.

    Returns:
        [N, AXES + CROSSED] float32: the axes `ENCODED`, then PSNRs in dB above a constant picture,
        of as many coefficients, and of the frequencies, that such a network has about.
    """
    described = np.broadcast_to(described, (len(rows), len(pictures.NAMES)))
    count = np.log2(parameters(rows))
    width, depth, w0_initial, rate, pixels = np.log2(rows).T
    axes = [width, depth, w0_initial, rate, pixels, np.log2(iterations), count]
    axes.append(count - pixels - np.log2(CHANNELS))
    radius = w0_initial - np.log2(2 * np.pi)
    questions = [
        *((count + octave, pictures.COUNTS, _LARGEST) for octave in _COUNT_OCTAVES),
        *((radius + octave, pictures.RADII, _LOWPASS) for octave in _RADIUS_OCTAVES),
    ]
    crossed = [
        _interpolate(x, np.log2(knots), described[:, own]) - described[:, CONSTANT]
        for x, knots, own in questions
    ]
    return np.stack([*axes, *crossed], -1).astype(np.float32)


def _interpolate(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[N]: each row of values [N, K], over equally spaced knots, at x [N]; constant outside."""
    place = np.clip((x - knots[0]) / (knots[1] - knots[0]), 0, len(knots) - 1)
    left = np.minimum(place.astype(int), len(knots) - 2)
    share = place - left
    rows = np.arange(len(values))
    return values[rows, left] * (1 - share) + values[rows, left + 1] * share
