"""Linear discriminant analysis with a shrunken covariance. Pure, float64 inside; no disk.

All classes have one covariance, S' = (1 - a) S + a m I: S that of the features around the means of
their classes, m the mean of its diagonal, a the shrinkage; and equal chances. Features are
standardised first: less their mean, over their standard deviation.

Letters: N samples, D features, K classes, R = min(K - 1, D).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.special

_LEAST = 1e-6  # shrinkage: below it float64 may not be able to invert
_ROWS = 4096  # samples turned into float64 at a time
_FLAT = 1e-10  # of the largest: between-class variance that is rounding


class Lda(NamedTuple):
    """A fitted discriminant. Rows and columns of all but `mean` and `scale` are standardised.

    Attributes:
        mean: [D] float32, of the features.
        scale: [D] float32, their standard deviations; 1 where nothing varies.
        weights: [D, K] float32, the inverse of S' times the means.
        biases: [K] float32.
        projection: [D, R] float32, of `project`.
        shrinkage: [] float32, a.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    projection: np.ndarray
    shrinkage: np.ndarray


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    shrinkage: float | None = None,
) -> Lda:
    """Fit the discriminant of labelled features.

    Costs N D min(N, D) operations and min(N, D)^3 / 3; memory for D x min(N, D) float64.

    Args:
        features: [N, D] float, finite.
        labels: [N] int, 0 to K - 1.
        num_classes: K, at least 2; each needs a sample.
        shrinkage: a from 0 to 1; None for the one of least expected square error, of
            `ledoit_wolf`. At least 1e-6 is taken.

    Raises:
        ValueError: if shapes or labels are others, or features are not finite.

    Source: Hastie, Tibshirani and Friedman, "The elements of statistical learning", section 4.3.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    _check(features, labels, num_classes)
    mean: np.ndarray = np.asarray(np.mean(features, axis=0, dtype=np.float64))
    scale = np.std(features, axis=0, dtype=np.float64)
    # Rounding of a constant is no variation.
    scale = np.where(scale > 1e-7 * np.abs(mean), scale, 1.0)
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.zeros((num_classes, features.shape[1]))
    for some, rows in _standardised(features, mean, scale):
        np.add.at(sums, labels[rows], some)
    class_means = sums / counts[:, None]

    gram, fourths, wide = _scatter(features, labels, mean, scale, class_means)
    samples, size = features.shape
    if shrinkage is None:
        shrinkage = _ledoit_wolf(gram, fourths, samples, size)
    shrinkage = float(np.clip(shrinkage, _LEAST, 1.0))
    # Where all samples of a class are alike there is no variance to go by.
    level = float(np.trace(gram)) / samples / size or 1.0
    solve = _inverse(gram, wide, (1.0 - shrinkage) / samples, shrinkage * level)
    return _assemble(mean, scale, class_means, solve(class_means.T), shrinkage)


def log_scores(lda: Lda, features: np.ndarray) -> np.ndarray:
    """Return the logarithms of the probabilities of the classes.

    Args:
        lda: what `fit` gave.
        features: [N, D] float.

    Returns:
        [N, K] float32; the exponentials of a row sum to 1.
    """
    scores = _units(lda, features) @ lda.weights.astype(np.float64) + lda.biases
    return scipy.special.log_softmax(scores, axis=1).astype(np.float32)


def project(lda: Lda, features: np.ndarray) -> np.ndarray:
    """Return the coordinates along which classes differ, the covariance of a class the unit matrix.

    The most telling come first. Squared Euclidean distances are Mahalanobis distances in the space
    of the means of the classes: the nearest mean is the likeliest class.

    Args:
        lda: what `fit` gave.
        features: [N, D] float.

    Returns:
        [N, R] float32; columns of 0 at the end where means of classes coincide.
    """
    return (_units(lda, features) @ lda.projection.astype(np.float64)).astype(np.float32)


def class_means(lda: Lda) -> np.ndarray:
    """Return where the classes lie among the coordinates of `project`, their mean at the origin.

    Args:
        lda: what `fit` gave.

    Returns:
        [K, R] float64. Their products summed over classes are 0 for any two of the coordinates.
    """
    # `projection` is A Q V^(-1/2), A the weights around their mean; what is sought is Q V^(1/2).
    weights = lda.weights.astype(np.float64)
    apart = weights - weights.mean(axis=1, keepdims=True)
    means = np.linalg.lstsq(lda.projection.astype(np.float64), apart, rcond=None)[0].T
    return np.asarray(means)


def ledoit_wolf(samples: np.ndarray) -> float:
    """Return the shrinkage with the least expected square error of the covariance.

    Args:
        samples: [N, D] float, of mean 0.

    Returns:
        a in [0, 1].

    Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices", 2004, section 3.2; of the features' covariance without a mean to estimate.
    """
    samples = np.asarray(samples, np.float64)
    count, size = samples.shape
    gram = samples @ samples.T if size > count else samples.T @ samples
    return _ledoit_wolf(gram, np.sum(np.sum(samples**2, axis=1) ** 2), count, size)


def _ledoit_wolf(gram: np.ndarray, fourths: float, count: int, size: int) -> float:
    """Compute the shrinkage from X'X or XX' (equal trace and norm) and the sum of all |x|^4."""
    level = np.trace(gram) / count / size
    squares = np.sum(gram**2) / count**2
    far = squares / size - level**2  # the d^2 of the paper
    error = (fourths / count - squares) / (count * size)  # its b^2
    return 0.0 if far <= 0.0 or error <= 0.0 else float(min(error / far, 1.0))


def _scatter(
    features: np.ndarray,
    labels: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    class_means: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray | None]:
    """Return the scatter of the samples X around the means of their classes.

    Returns:
        X'X [D, D], or XX' [N, N] where that is smaller; the sum of all |x|^4; X itself [N, D] in
        the second case.
    """
    centred = (
        some - class_means[labels[rows]] for some, rows in _standardised(features, mean, scale)
    )
    if features.shape[1] > len(features):
        samples = np.concatenate(list(centred))
        gram = samples @ samples.T
        return gram, float(np.sum(np.diag(gram) ** 2)), samples
    gram, fourths = np.zeros((features.shape[1],) * 2), 0.0
    for some in centred:
        gram += some.T @ some
        fourths += float(np.sum(np.sum(some**2, axis=1) ** 2))
    return gram, fourths, None


def _inverse(
    gram: np.ndarray, samples: np.ndarray | None, gain: float, ridge: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Multiply the inverse of g X'X + r I by columns [D, M]; X'X or XX' is `gram`."""
    factor = scipy.linalg.cho_factor(gain * gram + ridge * np.eye(len(gram)))
    if samples is None:
        return lambda columns: scipy.linalg.cho_solve(factor, columns)

    def solve(columns: np.ndarray) -> np.ndarray:
        # In the space of the samples, by Woodbury: (I - g X' (g XX' + r I)^-1 X) / r.
        inside = scipy.linalg.cho_solve(factor, samples @ columns)
        return (columns - gain * (samples.T @ inside)) / ridge

    return solve


def _assemble(
    mean: np.ndarray,
    scale: np.ndarray,
    class_means: np.ndarray,
    weights: np.ndarray,
    shrinkage: float,
) -> Lda:
    """Assemble the discriminant of means [K, D] and their weights [D, K]."""
    rank = min(len(class_means) - 1, class_means.shape[1])
    means = class_means.astype(np.float64)
    weights = weights.astype(np.float64)
    # With P the inverse of S', M the means around their mean and M P M' = Q V Q', the columns of
    # P M' Q V^(-1/2) are whitened: their covariance is 1.
    apart = weights - np.mean(weights, axis=1, keepdims=True)
    between = (means - np.mean(means, axis=0)) @ apart
    values, vectors = np.linalg.eigh((between + between.T) / 2)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    kept = values > _FLAT * max(values[0], np.finfo(np.float64).tiny)
    gains = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    arrays = {
        "mean": mean,
        "scale": scale,
        "weights": weights,
        "biases": -0.5 * np.sum(weights * means.T, axis=0),
        "projection": apart @ (vectors * gains),
        "shrinkage": np.float64(shrinkage),
    }
    return Lda(**{name: np.asarray(array, np.float32) for name, array in arrays.items()})


def _units(lda: Lda, features: np.ndarray) -> np.ndarray:
    """Return [N, D] float64, standardised."""
    return (np.asarray(features, np.float64) - lda.mean) / lda.scale


def _standardised(
    features: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> Iterator[tuple[np.ndarray, slice]]:
    """Return the parts of the features, [n, D] float64, and where they are."""
    for start in range(0, len(features), _ROWS):
        rows = slice(start, start + _ROWS)
        yield (features[rows].astype(np.float64) - mean) / scale, rows


def _check(features: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(features) == 0:
        raise ValueError(
            f"`features` must be [N, D] and `labels` [N]; got {features.shape} and {labels.shape}."
        )
    if not np.isfinite(features).all():
        raise ValueError("`features` must be finite.")
    if num_classes < 2 or not np.array_equal(np.unique(labels), np.arange(num_classes)):
        raise ValueError(
            f"`labels` must hold each of 0 to {num_classes - 1}, and there must be two or more."
        )
