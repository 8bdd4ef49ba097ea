"""Which pixels an update takes, where it does not take all of a picture.

The pixels of a picture are shuffled once, in the same way for all pictures of as many pixels. An
update takes the next `pixels_per_update` of them, and so costs no gathering. A round of updates
takes every pixel once, a few at its end twice. A network's seed says where its rounds begin.

The whole picture is measured at points of the history alone, which are so far apart that measuring
takes at most MEASURING of the time; see `log_points`.
"""

import math
from typing import Any

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


def start_of(iteration: Any, first: Any, pixels: Any, pixels_per_update: Any) -> Any:
    """Return where in the order an update begins; whole numbers or arrays, below 2^31 throughout.

    Args:
        iteration: updates made before.
        first: from `first_of`.
        pixels: of the picture.
        pixels_per_update: less than those.
    """
    updates = (pixels + pixels_per_update - 1) // pixels_per_update  # of a round
    return (first + iteration % updates * pixels_per_update) % pixels


def pixels_of_update(trial: Trial, pixels: int) -> int:
    """Return how many pixels an update takes."""
    return trial.pixels_per_update if is_stochastic(trial, pixels) else pixels


def pixel_steps_of(trial: Trial, pixels: int) -> float:
    """Return the pixels that all updates of a training take together."""
    return float(pixels_of_update(trial, int(pixels))) * trial.num_iters


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
