import numpy as np
import pytest
import scipy.special

from jaxsr.attribution import calibration


def drawn(count=20000, num_classes=4):
    """Log-probabilities, and labels that come as often as they say."""
    rng = np.random.default_rng(0)
    log_scores = scipy.special.log_softmax(rng.normal(size=(count, num_classes)) * 2.0, axis=1)
    labels = np.argmax(log_scores + rng.gumbel(size=log_scores.shape), axis=1)
    return log_scores, labels


@pytest.mark.parametrize("factor", [0.25, 1.0, 8.0])
def test_temperature_undoes_a_factor(factor):
    log_scores, labels = drawn()
    assert calibration.fit_temperature(factor * log_scores, labels) == pytest.approx(
        factor, rel=0.03
    )


def test_no_other_temperature_has_a_smaller_loss():
    log_scores, labels = drawn(200)
    found = calibration.fit_temperature(3.0 * log_scores, labels)
    losses = {
        t: calibration.negative_log_likelihood(3.0 * log_scores / t, labels)
        for t in (found, *np.geomspace(0.1, 1e3, 500))
    }
    assert min(losses, key=lambda t: losses[t]) == found


def test_temperature_is_small_where_all_is_right_and_at_its_bound_where_all_is_wrong():
    scores = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    certain = calibration.fit_temperature(scores, np.array([0, 1]))
    assert certain == pytest.approx(calibration.BOUNDS[0], rel=1e-3)
    assert calibration.fit_temperature(scores, np.array([1, 0])) == pytest.approx(1e3, rel=0.01)


def test_calibrated_scores_are_a_softmax():
    scores = np.array([[2.0, 0.0], [0.0, 0.0]])
    expected = [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], [0.5, 0.5]]
    np.testing.assert_allclose(np.exp(calibration.calibrated(scores, 2.0)), expected, rtol=1e-6)


def test_loss_of_chance_is_the_logarithm_of_the_number_of_classes():
    loss = calibration.negative_log_likelihood(np.zeros((5, 7)), np.arange(5))
    assert loss == pytest.approx(np.log(7))


def test_error_is_the_gap_between_confidence_and_accuracy():
    probabilities = np.tile([0.8, 0.2], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert calibration.expected_calibration_error(probabilities, labels) == pytest.approx(0.2)


def test_error_is_that_of_each_bin():
    log_scores, labels = drawn(500)
    probabilities = np.exp(2.0 * log_scores) / np.exp(2.0 * log_scores).sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert expected > 0.05
    ours = calibration.expected_calibration_error(probabilities, labels, bins=10)
    assert ours == pytest.approx(expected)


def test_certainty_falls_into_the_last_bin():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]])
    error = calibration.expected_calibration_error(probabilities, np.array([0, 1]))
    assert error == pytest.approx(0.5)


def test_input_that_has_no_answer_is_named():
    with pytest.raises(ValueError, match=r"\[N, K\].*\(2, 3\) and \(3,\)"):
        calibration.fit_temperature(np.zeros((2, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="0 to 2"):
        calibration.fit_temperature(np.zeros((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match="finite"):
        calibration.fit_temperature(np.full((1, 2), -np.inf), np.array([0]))
    with pytest.raises(ValueError, match="`bins`"):
        calibration.expected_calibration_error(np.ones((1, 2)), np.array([0]), bins=0)
