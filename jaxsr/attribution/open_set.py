"""Whether a picture is of a known network at all: scores of being known, and how good they are.

A score is higher the more a picture looks like one of a class that was learnt. What lies under a
threshold is answered "unknown". The threshold is chosen on validation pictures of known classes
alone, so that a wanted share of them is still answered: unknown networks are not at hand then.

Letters: N pictures of known networks, U of unknown ones, K known classes, D features. NumPy in
float64, no disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import linalg, special

from jaxsr.attribution import lda

# ------------------------------------------------------------------------------ scores of pictures


def probability(log_scores: np.ndarray) -> np.ndarray:
    """Return the probability of the likeliest class.

    Args:
        log_scores: [N, K] log-probabilities, or logits, which are normalised.

    Returns:
        [N] float64 in [1 / K, 1].

    Source: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution
    examples in neural networks", 2017.
    """
    return np.exp(special.log_softmax(log_scores.astype(np.float64), axis=1).max(axis=1))


def certainty(log_scores: np.ndarray) -> np.ndarray:
    """Return one minus the entropy of the probabilities over that of K equal ones.

    Args:
        log_scores: [N, K] log-probabilities, or logits, which are normalised; K at least 2.

    Returns:
        [N] float64 in [0, 1]: 0 where all classes are equally likely, 1 where one is certain.
    """
    normalised = special.log_softmax(log_scores.astype(np.float64), axis=1)
    entropy = special.entr(np.exp(normalised)).sum(axis=1)
    return 1.0 - entropy / np.log(log_scores.shape[1])


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A Gaussian for each class, with one covariance for all, and one for all classes together.

    Coordinates are such that the squared distance from a mean is a sum of squares.

    Attributes:
        scale: [D] that features are divided by; inf of what never varied.
        whitening: [D, D] from scaled features to coordinates of the classes, on the right.
        means: [K, D] of the classes, in these coordinates.
        overall_whitening: [D, D] from scaled features to coordinates of all together.
        overall_mean: [D] in these.
    """

    scale: np.ndarray
    whitening: np.ndarray
    means: np.ndarray
    overall_whitening: np.ndarray
    overall_mean: np.ndarray

    def squared_distances(self, features: np.ndarray) -> np.ndarray:
        """Map [N, D] features to [N, K] float64: squared Mahalanobis distances from the classes."""
        points = features / self.scale @ self.whitening
        squares = (points**2).sum(axis=1)[:, None] + (self.means**2).sum(axis=1)
        return np.maximum(squares - 2.0 * points @ self.means.T, 0.0)

    def mahalanobis(self, features: np.ndarray) -> np.ndarray:
        """Return minus the squared distance from the nearest class: [N, D] to [N] float64.

        Source: Lee et al., "A simple unified framework for detecting out-of-distribution samples
        and adversarial attacks", 2018, equation 2.
        """
        return -self.squared_distances(features).min(axis=1)

    def energy(self, features: np.ndarray) -> np.ndarray:
        """Return the log density of the mixture up to a constant: [N, D] to [N] float64.

        The negative free energy of logits -d^2 / 2, of squared distances d^2. (Log scores are
        normalised: theirs is 0.) Several classes that are near all count; for `mahalanobis` the
        nearest does.

        Source: Liu et al., "Energy-based out-of-distribution detection", 2020, equation 4.
        """
        return special.logsumexp(-0.5 * self.squared_distances(features), axis=1)

    def relative_mahalanobis(self, features: np.ndarray) -> np.ndarray:
        """Correct `mahalanobis` by the distance from all classes: [N, D] to [N] float64.

        Pictures that are odd in a way that tells no class from another are so forgiven.

        Source: Ren et al., "A simple fix to Mahalanobis distance for improving near-OOD
        detection", 2021.
        """
        away = features / self.scale @ self.overall_whitening - self.overall_mean
        return self.mahalanobis(features) + (away**2).sum(axis=1)

    def with_class(self, features: np.ndarray) -> "Gaussians":
        """Return these with one class more, whose mean is that of features [N, D]."""
        mean = np.mean(features / self.scale, axis=0) @ self.whitening
        return replace(self, means=np.concatenate([self.means, mean[None]]))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all attributes as float32, for a file."""
        return {name: value.astype(np.float32) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Gaussians":
        """Return the Gaussians of `to_arrays`, as float64; other arrays may stand beside theirs.

        Raises:
            KeyError: if an array is missing.
        """
        return cls(**{own.name: arrays[own.name].astype(np.float64) for own in fields(cls)})

    def rounded(self) -> "Gaussians":
        """Return these as a file keeps them, so that they answer as they will when read again."""
        return Gaussians.from_arrays(self.to_arrays())


def fit_gaussians(features: np.ndarray, labels: np.ndarray) -> Gaussians:
    """Fit Gaussians of classes, with covariances shrunk so that few pictures suffice.

    Args:
        features: [N, D], of training pictures.
        labels: [N] int from 0 to K - 1, each at least once.

    Raises:
        ValueError: if a class has no picture, or shapes do not belong together.

    Source: of the shrinkage, `jaxsr.attribution.lda.ledoit_wolf`.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"`features` must be [N, D] and `labels` [N]; got {features.shape} and {labels.shape}."
        )
    counts = np.bincount(labels)
    if not counts.size or not counts.all():
        raise ValueError("Every class from 0 on needs a picture; leave out those that have none.")
    spread = features.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, np.inf)
    scaled = features / scale
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, labels, scaled)
    means = sums / counts[:, None]
    overall = scaled.mean(axis=0)
    within = _whitening(shrunk_covariance(scaled - means[labels]))
    together = _whitening(shrunk_covariance(scaled - overall))
    return Gaussians(scale, within, means @ within, together, overall @ together)


def shrunk_covariance(centred: np.ndarray) -> np.ndarray:
    """Return covariance of what has mean zero, mixed with a multiple of the identity as is best.

    Args:
        centred: [N, D] float.

    Returns:
        [D, D] float64, of the same trace as the covariance.
    """
    count, size = centred.shape
    covariance = centred.T @ centred / count
    share = lda.ledoit_wolf(centred)
    return (1.0 - share) * covariance + share * np.trace(covariance) / size * np.eye(size)


def _whitening(covariance: np.ndarray) -> np.ndarray:
    """Return the matrix that whitens this covariance when multiplied on the right."""
    size = len(covariance)
    least = 1e-9 * np.trace(covariance) / size or 1.0  # so that no direction has none
    factor = linalg.cholesky(covariance + least * np.eye(size), lower=True)
    return linalg.solve_triangular(factor, np.eye(size), lower=True).T


# --------------------------------------------------------------------------- how good a score is


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return how often a known picture has the higher score, ties half: area under the ROC curve.

    Args:
        known: [N] scores.
        unknown: [U] scores.

    Returns:
        In [0, 1]; 1/2 is chance; NaN where either is empty.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")
    return float(below.sum() / (2 * len(known) * len(unknown)))


def curve(
    known: np.ndarray, is_right: np.ndarray, unknown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares answered as the threshold falls: of unknown, and correctly of known.

    Args:
        known: [N] scores, N at least 1.
        is_right: [N] bool, whether the likeliest class was the right one.
        unknown: [U] scores, U at least 1.

    Returns:
        [T] share of the unknown at or above the threshold and [T] share of the known that are at
        or above it and right, both rising; the first of each is 0.
    """
    scores = np.concatenate([known, unknown])
    gains = np.concatenate([is_right / len(known), np.zeros(len(unknown))])
    losses = np.concatenate([np.zeros(len(known)), np.full(len(unknown), 1.0 / len(unknown))])
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of those of one score
    rates = (np.cumsum(values[order])[last] for values in (losses, gains))
    false, right = (np.concatenate([[0.0], rate]) for rate in rates)
    return false, right


def oscr(known: np.ndarray, is_right: np.ndarray, unknown: np.ndarray) -> float:
    """Return the area under `curve`: open-set classification rate, accuracy and detection in one.

    It equals the accuracy on the known times the AUROC of those of them that are right.

    Args:
        known: [N] scores.
        is_right: [N] bool, whether the likeliest class was the right one.
        unknown: [U] scores.

    Returns:
        In [0, 1], at most the accuracy; NaN where either is empty.

    Source: Dhamija et al., "Reducing network agnostophobia", 2018, section 3, whose curve it is the
    area of.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    if not is_right.any():
        return 0.0
    return float(is_right.mean()) * auroc(known[is_right], unknown)


def threshold_at_tpr(known: np.ndarray, tpr: float = 0.95) -> float:
    """Return the highest threshold that at least a share `tpr` of the known reach.

    Args:
        known: [N] scores, N at least 1; of validation pictures where it is to be used.
        tpr: in (0, 1].

    Raises:
        ValueError: if there are no scores, or the share is out of range.
    """
    if not len(known) or not 0 < tpr <= 1:
        raise ValueError(f"Give scores and a share in (0, 1]; got {len(known)} and {tpr}.")
    needed = int(np.ceil(tpr * len(known) - 1e-9))
    return float(np.sort(known)[len(known) - needed])


def tnr_at_tpr(known: np.ndarray, unknown: np.ndarray, tpr: float = 0.95) -> float:
    """Share of the unknown below the threshold that a share `tpr` of the known reach.

    Args:
        known: [N] scores.
        unknown: [U] scores.
        tpr: in (0, 1].

    Returns:
        In [0, 1]; NaN where either is empty.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    return float((unknown < threshold_at_tpr(known, tpr)).mean())
