"""Distances of pictures from classes that scatter more in some directions than in others. NumPy.

In the space of the discriminants the mean scatter within classes is a unit ball. A class is a
Gaussian that scatters more than this along a few directions: its covariance is 1 + U U^T, U [V, R].
Kept of it is `spread`, R orthogonal vectors s with |s|^2 = x / (1 + x), x the variance that is
added along s. With them as columns of S the inverse of the covariance is 1 - S S^T, and the
inverse's determinant is the product of all 1 - |s|^2.

Letters: N pictures, K classes, V discriminants, R directions.
"""

import numpy as np


def spread_of(wider: np.ndarray) -> np.ndarray:
    """Return `spread` [R, V] of a class of covariance 1 + U U^T, U `wider` [V, R]."""
    directions, sizes, _ = np.linalg.svd(wider, full_matrices=False)
    return np.asarray((directions * (sizes / np.sqrt(1 + sizes**2))).T)


def wider_of(spread: np.ndarray) -> np.ndarray:
    """Return `wider` [V, R] of which `spread_of` returns `spread` [R, V]."""
    return np.asarray((spread / np.sqrt(1 - (spread**2).sum(axis=1, keepdims=True))).T)


def squared(points: np.ndarray, centres: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return squared distances of pictures from classes.

    They are -2 times the log-likelihoods, but for a constant.

    Args:
        points: [N, V].
        centres: [K, V].
        spread: [K, R, V].

    Returns:
        [N, K], at least 0.
    """
    apart = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    size, count = spread.shape[:2]
    along = points @ spread.reshape(size * count, points.shape[1]).T
    along = along.reshape(len(points), size, count) - np.einsum("krv,kv->kr", spread, centres)
    wider = -np.log(1 - (spread**2).sum(axis=2)).sum(axis=1)
    return np.asarray(np.maximum(apart - (along**2).sum(axis=2), 0.0) + wider)
