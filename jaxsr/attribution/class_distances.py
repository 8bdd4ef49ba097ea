"""How near classes lie to each other in a space of features. Pure numpy; no disk.

Two ratios of distances between the pictures of two classes, A and B, to those within a class: 1
where the classes cannot be told apart, towards 0 where they lie far from each other.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022: `pairwise_ratios` is
the paper's R(A, B), `centroid_ratios` what the code that came with it computes in its stead.

Letters: N pictures, D features, K classes, a and b pictures of A and B. Distances are Euclidean, of
float64: differences of near pictures are small against the features themselves.
"""

import numpy as np

_BLOCK = 1024  # pictures whose distances to all others are held at once


def pairwise_ratios(features: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """R(A, B) = (E|a - a'| + E|b - b'|) / (2 E|a - b|), of each pair of classes.

    The mean within a class is over pairs of two different pictures.

    Args:
        features: [N, D] float.
        labels: [N] int in 0..K-1.
        num_classes: K.

    Returns:
        [K, K] float64, symmetric, 1 on the diagonal; NaN for a class of fewer than two pictures,
        and where both classes are one and the same point.

    Raises:
        ValueError: if the shapes do not fit or a label is out of range.
    """
    _check(features, labels, num_classes)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    squares = np.sum(centred**2, axis=1)
    member = np.eye(num_classes)[labels]
    sums = np.zeros((num_classes, num_classes))
    for start in range(0, len(labels), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(labels)))
        squared = squares[rows, None] + squares - 2.0 * centred[rows] @ centred.T
        squared[np.arange(len(rows)), rows] = 0.0  # of a picture to itself, without rounding
        sums += member[rows].T @ np.sqrt(np.maximum(squared, 0.0)) @ member
    counts = member.sum(axis=0)
    pairs = np.outer(counts, counts) - np.diag(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (sums + sums.T) / 2.0 / pairs  # a matrix product may round the halves differently
        within = np.diag(means)
        ratios = (within[:, None] + within) / (2.0 * means)
    np.fill_diagonal(ratios, np.where(counts > 1, 1.0, np.nan))
    return ratios


def centroid_ratios(features: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return (E|a - m_A|² / E|a - m_B|² + E|b - m_B|² / E|b - m_A|²) / 2, m the mean of a class.

    Args:
        features: [N, D] float.
        labels: [N] int in 0..K-1.
        num_classes: K.

    Returns:
        [K, K] float64, symmetric, 1 on the diagonal; NaN for a class without pictures, and where
        both classes are one and the same point.

    Raises:
        ValueError: if the shapes do not fit or a label is out of range.
    """
    _check(features, labels, num_classes)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    member = np.eye(num_classes)[labels]
    counts = member.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        centroids = (member.T @ centred) / counts[:, None]
        offsets = centred - centroids[labels]
        spread = np.bincount(labels, np.sum(offsets**2, axis=1), num_classes) / counts
        # E|a - m_B|² = E|a - m_A|² + |m_A - m_B|²: the offsets from the own mean add up to zero.
        gaps = np.stack([np.sum((centroids - one) ** 2, axis=1) for one in centroids])
        ratios = spread[:, None] / (spread[:, None] + gaps)
    np.fill_diagonal(ratios, np.where(counts > 0, 1.0, np.nan))
    return (ratios + ratios.T) / 2.0


def _check(features: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        raise ValueError(
            f"`features` must be [N, D] and `labels` [N], N at least 1; got shapes "
            f"{features.shape} and {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"`labels` must be in 0..{num_classes - 1}; got {labels.min()} to {labels.max()}."
        )
