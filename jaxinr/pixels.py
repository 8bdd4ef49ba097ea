"""Which pixels an update takes, where it does not take all of a picture.

The pixels of a picture are shuffled once, in the same way for all pictures of as many pixels; an
update takes the next `pixels_per_update` of them, round and round, and so a minibatch costs no
gathering. A network's seed says where it begins.

The whole picture is measured at points of the history alone, which are so far apart that measuring
takes at most MEASURING of the time; see `log_points`.
"""

import math

import numpy as np

from jaxfleet import histories
from jaxinr.trial import Trial

MEASURING = 0.1  # of the operations of training
_FORWARD = 1 / 3  # of the operations of a step


def is_stochastic(trial: Trial, pixels: int) -> bool:
    """Return whether updates take less than a whole picture of so many pixels."""
    return 0 < trial.pixels_per_update < pixels


def order(pixels: int) -> np.ndarray:
    """Return the order in which a picture's pixels are taken: [P] int64, a permutation."""
    return np.argsort(np.random.PCG64(pixels).random_raw(pixels), kind="stable")


def first_of(trial: Trial, pixels: int) -> int:
    """Return where in the order a network begins."""
    return int(np.random.PCG64(trial.seed).random_raw() % np.uint64(pixels))


def measured_every(trial: Trial, pixels: int, log_every: int) -> int:
    """Return the updates between two measurements: a multiple of `log_every`, or itself."""
    if not is_stochastic(trial, pixels):
        return log_every
    least = pixels * _FORWARD / (MEASURING * trial.pixels_per_update)
    return log_every * max(1, math.ceil(least / log_every))


def log_points(trial: Trial, pixels: int, log_every: int, spacing: str) -> np.ndarray:
    """Return the iterations of a network's history: `histories.log_points`, far enough apart.

    Args:
        trial: hyperparameters.
        pixels: of the picture.
        log_every: updates between neighbouring points where all pixels are taken.
        spacing: one of `histories.SPACINGS`.

    Returns:
        [T] int32, ascending, from 0 to num_iters inclusive.
    """
    every = measured_every(trial, pixels, log_every)
    return histories.log_points(trial.num_iters, every, spacing)
