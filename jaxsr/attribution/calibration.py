"""How far probabilities can be trusted, and a temperature that mends them. Pure; no disk.

Letters: N samples, K classes, T temperature.
"""

import numpy as np
import scipy.special

BOUNDS = (0.1, 1e3)  # of the temperature; a few samples that are all right ask for none at all


def fit_temperature(log_scores: np.ndarray, labels: np.ndarray) -> float:
    """Fit the temperature T at which softmax(scores / T) makes the labels likeliest.

    Above 1 the scores were too sure, below 1 not sure enough. One number for all classes: which
    class is the likeliest stays. Samples must be others than those that the scores were learnt
    from. Where every sample is right T is the least that is allowed; where the scores say
    nothing it is large.

    Args:
        log_scores: [N, K] float, N at least 1; finite.
        labels: [N] int, 0 to K - 1.

    Returns:
        T, within `BOUNDS`.

    Raises:
        ValueError: if shapes or labels are others, or a score is not finite.

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017,
    section 4.2.
    """
    log_scores, labels = np.asarray(log_scores, np.float64), np.asarray(labels)
    _check(log_scores, labels, "log_scores")
    if not np.isfinite(log_scores).all():
        raise ValueError("`log_scores` must be finite.")
    import scipy.optimize  # here, since whoever only uses a temperature need not wait for it

    # In 1 / T the loss is convex, so that in log T it has one valley.
    found = scipy.optimize.minimize_scalar(
        lambda log_t: negative_log_likelihood(log_scores / np.exp(log_t), labels),
        bounds=tuple(np.log(BOUNDS)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.clip(np.exp(found.x), *BOUNDS))


def calibrated(log_scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return the log-probabilities at a temperature.

    Args:
        log_scores: [..., K] float.
        temperature: T, above 0.

    Returns:
        [..., K] float32; the exponentials sum to 1.
    """
    scores = np.asarray(log_scores, np.float64) / temperature
    return scipy.special.log_softmax(scores, axis=-1).astype(np.float32)


def negative_log_likelihood(log_scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over samples of -log softmax(scores) of the label, in nats.

    Args:
        log_scores: [N, K] float, N at least 1.
        labels: [N] int, 0 to K - 1.

    Raises:
        ValueError: if shapes or labels are others.
    """
    log_scores, labels = np.asarray(log_scores, np.float64), np.asarray(labels)
    _check(log_scores, labels, "log_scores")
    log_probabilities = scipy.special.log_softmax(log_scores, axis=1)
    return float(-np.mean(log_probabilities[np.arange(len(labels)), labels]))


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """Return the mean gap between the probability of the likeliest class and its accuracy.

    The probabilities of the likeliest classes fall into bins ((b - 1) / B, b / B]. In each, the
    difference between their mean and the share of right answers counts by its samples.

    Args:
        probabilities: [N, K] float, N at least 1.
        labels: [N] int, 0 to K - 1.
        bins: B, at least 1.

    Returns:
        From 0, calibrated, to 1.

    Raises:
        ValueError: if shapes or labels are others, or there is no bin.

    Source: Guo et al., 2017, equation 3.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    _check(probabilities, labels, "probabilities")
    if bins < 1:
        raise ValueError(f"`bins` must be at least 1; got {bins}.")
    confidence = np.max(probabilities, axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, confidence - right, minlength=bins)
    return float(np.sum(np.abs(gaps)) / len(labels))


def _check(scores: np.ndarray, labels: np.ndarray, name: str) -> None:
    if scores.ndim != 2 or len(scores) == 0 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"`{name}` must be [N, K] and `labels` [N], N at least 1; got {scores.shape} and "
            f"{labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"`labels` must lie in 0 to {scores.shape[1] - 1}.")
