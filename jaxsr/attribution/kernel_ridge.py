"""Kernel ridge regression on a few landmarks. Pure, float64 where it is solved; no disk.

What is predicted is a mean plus a weighted sum of exp(-|x - y|^2) over landmarks y, which are
samples drawn at random: the regression that Nystroem's approximation of the kernel gives. Distances
are of the main components of the standardised features, in units of the root of the mean squared
distance of samples from their mean.

Letters: N samples, D features, R components, M landmarks, T targets.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

LANDMARKS = 2000
COMPONENTS = 200
RIDGE = 0.1
_JITTER = 1e-4  # added to the kernel of a landmark with itself, which is 1
_ROWS = 4096  # samples that are compared with the landmarks at a time


class KernelRidge(NamedTuple):
    """A fitted regression.

    Attributes:
        mean: [D] float32, of the features.
        components: [D, R] float32, from features less their mean to components.
        landmarks: [M, R] float32.
        weights: [M, T] float32.
        offsets: [T] float32, the means of the targets.
    """

    mean: np.ndarray
    components: np.ndarray
    landmarks: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray


def fit(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    landmarks: int = LANDMARKS,
    components: int = COMPONENTS,
    ridge: float = RIDGE,
) -> KernelRidge:
    """Fit the regression of targets on features.

    Costs some N (M^2 + D^2) + M^3 + D^3 operations, and memory for M x M and D x D float64.

    Args:
        features: [N, D] float, finite.
        targets: [N, T] float, finite.
        seed: of which samples are landmarks.
        landmarks: M at most; N where there are fewer samples.
        components: R at most; fewer where features vary in fewer directions.
        ridge: of the squared weights beside the sum of the squared errors of all samples, above 0.

    Raises:
        ValueError: if shapes or a number are others, or something is not finite.

    Source: Williams and Seeger, "Using the Nystroem method to speed up kernel machines", 2001;
    Rudi, Camoriano and Rosasco, "Less is more: Nystroem computational regularization", 2015.
    """
    features, targets = np.asarray(features), np.asarray(targets, np.float64)
    _check(features, targets, landmarks, components, ridge)
    mean, axes = _main_components(features, components)
    points = (features - mean).astype(np.float32) @ axes
    rng = np.random.default_rng(seed)
    chosen = points[np.sort(rng.permutation(len(points))[:landmarks])]

    kernel = _kernel(chosen, chosen) + _JITTER * np.eye(len(chosen))
    root = scipy.linalg.cholesky(kernel)  # upper: kernel = root' root
    offsets = targets.mean(axis=0)
    gram, sums = np.zeros_like(kernel), np.zeros((len(chosen), targets.shape[1]))
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        whitened = scipy.linalg.solve_triangular(
            root, _kernel(points[rows], chosen).T, trans="T", check_finite=False
        )
        gram += whitened @ whitened.T
        sums += whitened @ (targets[rows] - offsets)
    gram += ridge * np.eye(len(gram))
    solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram), sums)
    weights = scipy.linalg.solve_triangular(root, solved)
    arrays = (mean, axes, chosen, weights, offsets)
    return KernelRidge(*(np.ascontiguousarray(array, np.float32) for array in arrays))


def predict(regression: KernelRidge, features: np.ndarray) -> np.ndarray:
    """Predict the targets.

    Args:
        regression: what `fit` gave.
        features: [N, D] float.

    Returns:
        [N, T] float32.
    """
    centred = np.asarray(features, np.float32) - regression.mean
    kernel = _kernel(centred @ regression.components, regression.landmarks)
    predicted = kernel @ regression.weights.astype(np.float64) + regression.offsets
    return np.asarray(predicted, np.float32)


def _main_components(features: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return [D] and [D, R] float32 that centre features and scale them to RMS 1."""
    mean = np.asarray(np.mean(features, axis=0, dtype=np.float64), np.float32)
    scale = np.std(features, axis=0, dtype=np.float64)
    # Rounding of a constant is no variation.
    gains = np.where(scale > 1e-7 * np.abs(mean), 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
    covariance = np.zeros((len(mean),) * 2)
    for start in range(0, len(features), _ROWS):
        units = (features[start : start + _ROWS] - mean) * gains
        covariance += units.T @ units / len(features)
    values, vectors = scipy.linalg.eigh(covariance)
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    kept = values > 1e-9 * max(float(values[0]), np.finfo(np.float64).tiny)
    axes = gains[:, None] * vectors[:, kept] / np.sqrt(values[kept].sum() or 1.0)
    return mean, axes.astype(np.float32)


def _kernel(points: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Map [N, R] and [M, R] to [N, M] float64, in (0, 1]."""
    points, landmarks = points.astype(np.float64), landmarks.astype(np.float64)
    squares = (points**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1)
    return np.asarray(np.exp(-np.maximum(squares - 2.0 * points @ landmarks.T, 0.0)))


def _check(
    features: np.ndarray, targets: np.ndarray, landmarks: int, components: int, ridge: float
) -> None:
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets) or not len(targets):
        raise ValueError(
            f"`features` must be [N, D] and `targets` [N, T]; got {features.shape} and "
            f"{targets.shape}."
        )
    if not (np.isfinite(features).all() and np.isfinite(targets).all()):
        raise ValueError("`features` and `targets` must be finite.")
    if landmarks < 1 or components < 1 or not ridge > 0:
        raise ValueError(
            "`landmarks` and `components` must be at least 1 and `ridge` above 0; got "
            f"{landmarks}, {components} and {ridge}."
        )
