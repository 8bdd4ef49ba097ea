"""What tells whether a picture is as it was, interpolated, or enlarged by a network.

Letters: N pictures, K classes, B bins of scale.
"""

from collections.abc import Sequence

import numpy as np
import scipy.special

from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.naming import FARTHEST
from jaxsr.gallery.scales import of_bins

USUAL = 50.0  # half a squared distance from the nearest centre, at which the temperature holds


def class_scores(nearness: np.ndarray, temperature: float, growth: float) -> np.ndarray:
    """Return unnormalised log-probabilities of classes.

    Args:
        nearness: [N, K], minus half the squared distances from the centres.
        temperature: that they are divided by, of pictures as near to a centre as usual.
        growth: as of `judge.Calibration`.
    """
    nearest = nearness.max(axis=1, keepdims=True)
    hot = temperature * np.maximum(-nearest / USUAL, 1e-6) ** growth
    return np.asarray((nearness - nearest) / hot)


def group_inputs(
    logits: np.ndarray,
    nearness: np.ndarray,
    scores: np.ndarray,
    bins: np.ndarray,
    kinds: Sequence[str],
) -> np.ndarray:
    """Return what the group is told from, [N, 13].

    Args:
        logits: [N, 3] of the perceptron.
        nearness: [N, K], minus half the squared distances from the centres.
        scores: [N, K] of `class_scores`.
        bins: [N, B] logits of the scale.
        kinds: of the K classes.

    Returns:
        Log-probabilities of the groups by the perceptron, and by the classes (at least -30);
        logarithms of the distances from the nearest centre of each group; the logarithm of the
        scale, log-odds that it is right, and the log-probability of no enlargement; and 1.
    """
    member = np.array([[kind == group for group in GROUPS] for kind in kinds])
    inside = np.where(member[None], scores[:, :, None], -np.inf)
    of_classes = scipy.special.log_softmax(scipy.special.logsumexp(inside, axis=1), axis=1)
    nearest = np.where(member[None], nearness[:, :, None], FARTHEST).max(axis=1)
    parts = [
        scipy.special.log_softmax(logits, axis=1),
        np.maximum(of_classes, -30.0),
        np.log(np.maximum(-nearest, 1e-6) / USUAL),
        of_bins(bins),
    ]
    return np.concatenate([*parts, np.ones((len(logits), 1))], axis=1)
