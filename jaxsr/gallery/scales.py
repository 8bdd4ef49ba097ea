"""By how much a picture was enlarged: probabilities of bins, and what they say of one scale.

Letters: N pictures, B bins.
"""

import numpy as np
import scipy.special

STEP = np.log(1.1)  # from one bin to the next
BINS = np.exp(np.arange(0, 17) * STEP)  # enlargements, from 1 to 4.6
_MOST_OFF = 4 * STEP  # a scale that is farther from a class's is no less like it
_LEAST = 1e-4  # probability of which log-odds are taken


def bin_of(log_scales: np.ndarray) -> np.ndarray:
    """Return the bins [N] that hold logarithms of scales, or the nearest."""
    return np.clip(np.rint(log_scales / STEP).astype(int), 0, len(BINS) - 1)


def scale_of(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the enlargement, and the probability that it is right within 10 %.

    Args:
        logits: [N, B] of bins.

    Returns:
        [N] times the size, and [N] probabilities: of the likeliest bin and its neighbours.
    """
    bins = np.pad(scipy.special.softmax(logits, axis=1), ((0, 0), (1, 1)))
    best = bins.argmax(axis=1)
    near = np.stack([bins[np.arange(len(bins)), best + k] for k in (-1, 0, 1)], axis=1)
    chance = near.sum(axis=1)
    place = ((best[:, None] - 1 + np.array([-1, 0, 1])) * near).sum(axis=1) / chance
    return np.exp(place * STEP), chance


def of_bins(logits: np.ndarray) -> np.ndarray:
    """Return what bins say of any scale, [N, 3], from their logits [N, B].

    Returns:
        The logarithm of the enlargement; log-odds that it is right within 10 %; and the logarithm
        of the probability that there is none, at least -15.
    """
    found, chance = scale_of(logits)
    none = scipy.special.log_softmax(logits, axis=1)[:, 0]
    return np.stack([np.log(found), _log_odds(chance), np.maximum(none, -15.0)], axis=1)


def scale_inputs(logits: np.ndarray, log_scales: np.ndarray) -> np.ndarray:
    """Return how well a scale goes with what bins say, [N, 4].

    A picture that was resized after a network had made it has another scale than the network.

    Args:
        logits: [N, B] of bins.
        log_scales: [N] logarithms of the scales.

    Returns:
        The logarithm of how much larger the enlargement is than the scale, and its magnitude, both
        limited; log-odds of the scale's bin and its neighbours; and those of `scale_of`.
    """
    found, chance = scale_of(logits)
    off = np.log(found) - log_scales
    bins = np.pad(scipy.special.softmax(logits, axis=1), ((0, 0), (1, 1)))
    place = bin_of(log_scales) + 1
    own = sum(bins[np.arange(len(bins)), place + k] for k in (-1, 0, 1))
    return np.stack(
        [
            np.clip(off, -_MOST_OFF, _MOST_OFF),
            np.minimum(np.abs(off), _MOST_OFF),
            _log_odds(own),
            _log_odds(chance),
        ],
        axis=1,
    )


def _log_odds(chance: np.ndarray) -> np.ndarray:
    return np.asarray(scipy.special.logit(np.clip(chance, _LEAST, 1 - _LEAST)))
