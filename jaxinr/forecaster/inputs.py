"""Encode hyperparameters, and what they mean for the image, as inputs of the forecaster's model.

Letters: N fits, D descriptors of an image, F features, B bands of frequencies. Plain NumPy: a
thousand trials take a few milliseconds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxinr.forecaster import descriptors
from jaxinr.forecaster.descriptors import AT
from jaxinr.trial import CHANNELS, Trial, count_parameters

# A row of numbers for each fit, before any scaling.
TRIAL = ("layer_size", "num_layers", "w0_initial", "learning_rate", "height", "width")

ENOUGH = 10.0  # values of the image for each weight: more make no difference

# Octaves around the number of weights, and around the radius that holds so many frequencies and
# that of the first layer's, w0_initial / (2 pi) cycles per picture.
_COUNT_OCTAVES = (-4.0, -3.0, -2.0, -1.0)
_CAPACITY_OCTAVES = (-1.5, -0.5, 0.5)
_FIRST_OCTAVES = (-1.0, 0.0, 1.0, 2.0)
_MAX_DB = 40.0  # above a constant image; more is rounding

AXES = (
    "log2_layer_size",
    "log2_num_layers",
    "log2_w0_initial",
    "log2_learning_rate",
    "log2_parameters",
    "log2_values_per_weight",
)
FEATURES = (
    *AXES,
    "log2_first_over_capacity",
    *(f"cosines_{octave:g}_db" for octave in _COUNT_OCTAVES),
    *(f"wavelets_{octave:g}_db" for octave in _COUNT_OCTAVES),
    *(f"lowpass_capacity_{octave:g}_db" for octave in _CAPACITY_OCTAVES),
    *(f"lowpass_first_{octave:g}_db" for octave in _FIRST_OCTAVES),
    "mean_db",
    "constant_db",
    "colours_1_db",
    "colours_2_db",
    "brightness",
    "dark_share",
    "bright_share",
    "grey_entropy",
    "horizontal_db",
    "unevenness_db",
)

OF_TRIAL = FEATURES.index("log2_first_over_capacity") + 1  # the first of them are a trial's

# log2 of the middle of each band, in cycles per root of the area; first the mean colour's.
BAND_OCTAVES = np.array([-2.0, *(np.log2(descriptors.RADII) - 0.25)], np.float32)
_BANDS = [AT["mean_db"], *(AT[name] for name in descriptors.BANDS)]
_COSINES, _WAVELETS = (
    [AT[n] for n in names] for names in (descriptors.COSINES, descriptors.WAVELETS)
)
_RELATIVE = [AT["colours_1_db"], AT["colours_2_db"]]
_PLAIN = [AT["mean_db"], AT["constant_db"]]
_OTHERS = [AT[name] for name in FEATURES[-6:]]


class EncodedFits(NamedTuple):
    """The encoded inputs of N fits.

    Attributes:
        features: [N, F] float32.
        capacity: [N] float32, log2 of the radius that holds as many frequencies as weights.
        limit: [N] float32, log2 of the highest frequency along an axis that the pixels hold.
        energies: [N, B] float32, mean square of each band of the image, the mean colour's first.
        learning_rates: [N] float32.
    """

    features: np.ndarray
    capacity: np.ndarray
    limit: np.ndarray
    energies: np.ndarray
    learning_rates: np.ndarray


def trial_rows(trials: Sequence[Trial], height: int, width: int) -> np.ndarray:
    """[N, len(TRIAL)] float64 of trials on one image."""
    return np.array(
        [
            [t.layer_size, t.num_layers, t.w0_initial, t.learning_rate, height, width]
            for t in trials
        ],
        np.float64,
    ).reshape(-1, len(TRIAL))


def parameters(rows: np.ndarray) -> np.ndarray:
    """[...] weights and biases of SIRENs, from [..., len(TRIAL)]."""
    return count_parameters(rows[..., 0], rows[..., 1])


def encode(rows: np.ndarray, described: np.ndarray) -> EncodedFits:
    """Compute the inputs of the model.

    Args:
        rows: [N, len(TRIAL)].
        described: [N, D] or, all of one image, [D] descriptors.
    """
    described = np.atleast_2d(described)  # one row may stand for all fits
    count = np.log2(parameters(rows))
    width, depth, w0_initial, rate = np.log2(rows[:, :4]).T
    height_px, width_px = rows[:, 4], rows[:, 5]
    values = np.log2(CHANNELS * height_px * width_px) - count
    enough = np.log2(ENOUGH)
    values = enough - np.logaddexp(0.0, 2.0 * (enough - values)) / 2.0  # smooth minimum
    capacity = (count - np.log2(CHANNELS * np.pi)) / 2
    # Columns reach as far as rows: in cycles per root of the area.
    first = w0_initial - np.log2(2 * np.pi) + np.log2(width_px / height_px) / 2
    energies = 10.0 ** (-described[:, _BANDS] / 10)
    energies = np.maximum(energies - descriptors.FLOOR, 0.0)
    constant = described[:, AT["constant_db"], None]
    above = energies[:, :0:-1].cumsum(1)[:, ::-1]
    lowpass = -10 * np.log10(np.maximum(np.roll(above, -1, 1) * _NOT_LAST, descriptors.FLOOR))
    questions = [
        *(
            (count + octave, descriptors.COUNTS, described[:, _COSINES])
            for octave in _COUNT_OCTAVES
        ),
        *(
            (count + octave, descriptors.COUNTS, described[:, _WAVELETS])
            for octave in _COUNT_OCTAVES
        ),
        *((capacity + octave, descriptors.RADII, lowpass) for octave in _CAPACITY_OCTAVES),
        *((first + octave, descriptors.RADII, lowpass) for octave in _FIRST_OCTAVES),
    ]
    crossed = np.stack([_interpolate(x, np.log2(k), y) for x, k, y in questions], 1) - constant
    of_image = [
        described[:, _PLAIN],
        np.minimum(described[:, _RELATIVE] - constant, _MAX_DB),
        described[:, _OTHERS],
    ]
    features = [
        np.stack([width, depth, w0_initial, rate, count, values, first - capacity], 1),
        np.minimum(crossed, _MAX_DB),
        *(np.broadcast_to(part, (len(rows), part.shape[1])) for part in of_image),
    ]
    return EncodedFits(
        np.concatenate(features, 1).astype(np.float32),
        capacity.astype(np.float32),
        (np.log2(height_px * width_px) / 2 - 1).astype(np.float32),
        np.broadcast_to(energies.astype(np.float32), (len(rows), energies.shape[1])),
        rows[:, 3].astype(np.float32),
    )


_NOT_LAST = np.arange(len(descriptors.RADII)) < len(descriptors.RADII) - 1


def _interpolate(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[N]: rows of values [N or 1, K] over equally spaced knots, at x [N]; constant outside."""
    place = np.clip((x - knots[0]) / (knots[1] - knots[0]), 0, len(knots) - 1)
    left = np.minimum(place.astype(int), len(knots) - 2)
    share = place - left
    rows = np.arange(len(values))
    return values[rows, left] * (1 - share) + values[rows, left + 1] * share
