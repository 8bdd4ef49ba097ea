"""How sure it is that the likeliest network, and the likeliest family, made a picture.

The probabilities of classes take for granted that one of the classes made it. Whether that is so is
told by how near the picture lies to the nearest centre, how far the next one is, and whether its
enlargement is that of the likeliest network: a logistic regression by these numbers, their squares
and their products, as one of them speaks only where another does not rule it out.

Letters: N pictures, K classes, B bins of scale, F numbers that tell.
"""

from collections.abc import Sequence

import numpy as np
import scipy.special

from jaxsr.gallery.answer import GROUPS
from jaxsr.gallery.scales import scale_inputs

FARTHEST = -1e9  # nearness that classes which are not known count as
_MOST = 5.0  # standard deviations, of a number that tells


def naming_inputs(
    nearness: np.ndarray,
    classes: np.ndarray,
    families: Sequence[str],
    kinds: Sequence[str],
    bins: np.ndarray,
    log_scales: np.ndarray,
) -> np.ndarray:
    """Return what tells whether the likeliest class and the likeliest family are right, [N, 9].

    Args:
        nearness: [N, K], minus half the squared distances from the centres; minus infinity for
            classes that are not known.
        classes: [N, K] probabilities.
        families: of the K classes.
        kinds: of the K classes.
        bins: [N, B] logits of the scale.
        log_scales: [K] of the classes.

    Returns:
        Log-odds of the class; logarithms of the distance from the nearest centre, and of how much
        farther the next one is; log-odds of the family among families of networks; the logarithm
        of how much farther the next family is; and the four of `scales.scale_inputs`.
    """
    names, sums = family_chances(classes, families, kinds)
    of_family = (np.array(families) == names[:, None]) & (np.array(kinds) == GROUPS[2])
    by_family = np.stack([nearness[:, own].max(axis=1) for own in of_family], axis=1)
    found = [scipy.special.logit(np.clip(classes.max(axis=1), 1e-6, 1 - 1e-6))]
    for values in (nearness, by_family):
        ordered = np.sort(np.maximum(values, FARTHEST), axis=1)
        next_one = ordered[:, -2] if values.shape[1] > 1 else ordered[:, -1] - 1.0
        found += [np.log(np.maximum(x, 1e-6)) for x in (-ordered[:, -1], ordered[:, -1] - next_one)]
    share = sums.max(axis=1) / np.maximum(sums.sum(axis=1), 1e-9)
    found[3] = scipy.special.logit(np.clip(share, 1e-6, 1 - 1e-6))
    of_scale = scale_inputs(bins, log_scales[classes.argmax(axis=1)])
    return np.concatenate([np.stack(found, axis=1), of_scale], axis=1)


def expanded(told: np.ndarray, units: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Return 1, the numbers [N, F] in units of their deviation, and all products of two of them.

    Args:
        told: [N, F].
        units: [2, F] mean and standard deviation.
    """
    mean, scale = np.asarray(units)
    x = np.clip((told - mean) / scale, -_MOST, _MOST)
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1)), x, x[:, first] * x[:, second]], axis=1)


def family_chances(
    classes: np.ndarray, families: Sequence[str], kinds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of families of networks, and sums of their probabilities, [N, families]."""
    own = np.where(np.array(kinds) == GROUPS[2], families, "")
    names = np.unique(own[own != ""])
    return names, np.stack([classes[:, own == name].sum(axis=1) for name in names], axis=1)


def sharpened(scores: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Return probabilities [N, K] by scores at temperatures that give the likeliest its chance.

    Args:
        scores: [N, K] of `class_scores`, 0 for the likeliest.
        chances: [N], of the likeliest.
    """
    low, high = np.full(len(scores), -9.0), np.full(len(scores), 9.0)
    for _ in range(30):
        middle = (low + high) / 2
        likeliest = 1 / np.exp(scores * np.exp(-middle)[:, None]).sum(axis=1)
        low, high = (
            np.where(likeliest > chances, middle, low),
            np.where(likeliest > chances, high, middle),
        )
    return np.asarray(scipy.special.softmax(scores * np.exp(-low)[:, None], axis=1))
