"""Scores of being known, and how good they are: by hand, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from jaxsr.attribution import open_set

scores = st.lists(st.integers(0, 6), min_size=1, max_size=30).map(lambda one: np.array(one, float))


@pytest.fixture(scope="module")
def draw():
    return np.random.default_rng(0)


# ------------------------------------------------------------------------------ scores of pictures


def test_scores_of_even_and_of_certain_pictures():
    logits = np.array([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(open_set.probability(logits), [0.25, 1.0], rtol=1e-12)
    np.testing.assert_allclose(open_set.certainty(logits), [0.0, 1.0], atol=1e-12)


def test_a_shift_of_the_logits_changes_nothing(draw):
    logits = draw.normal(size=(5, 3))
    for score in (open_set.probability, open_set.certainty):
        np.testing.assert_allclose(score(logits + 7.0), score(logits), rtol=1e-12)


def test_the_energy_is_the_log_density_of_a_mixture_up_to_a_constant(draw):
    labels = np.repeat([0, 1, 2], 20)
    features = draw.normal(size=(60, 2)) + np.stack([labels, labels**2], axis=1)
    features /= features.std(axis=0)
    means = np.stack([features[labels == one].mean(axis=0) for one in range(3)])
    covariance = open_set.shrunk_covariance(features - means[labels])
    density = sum(stats.multivariate_normal(mean, covariance).pdf(features) for mean in means)
    got = open_set.fit_gaussians(features, labels).energy(features)
    np.testing.assert_allclose(got - got[0], np.log(density / density[0]), atol=1e-6)


def test_the_covariance_is_shrunk_as_scikit_learn_does(draw):
    covariance = pytest.importorskip("sklearn.covariance")
    for shape in ((40, 6), (8, 20)):
        centred = draw.normal(size=shape) * np.arange(1, shape[1] + 1)
        expected, _ = covariance.ledoit_wolf(centred, assume_centered=True)
        np.testing.assert_allclose(open_set.shrunk_covariance(centred), expected, rtol=1e-10)


def test_distances_are_those_of_the_shrunk_covariance(draw):
    labels = np.repeat([0, 1, 2], 15)
    features = draw.normal(size=(45, 4)) @ draw.normal(size=(4, 4)) + labels[:, None]
    gaussians = open_set.fit_gaussians(features, labels)
    scaled = features / features.std(axis=0)
    means = np.stack([scaled[labels == one].mean(axis=0) for one in range(3)])
    inverse = np.linalg.inv(open_set.shrunk_covariance(scaled - means[labels]))
    away = scaled[:, None] - means
    expected = np.einsum("nki,ij,nkj->nk", away, inverse, away)
    np.testing.assert_allclose(gaussians.squared_distances(features), expected, rtol=1e-6)
    np.testing.assert_allclose(gaussians.mahalanobis(features), -expected.min(axis=1), rtol=1e-6)
    away = scaled - scaled.mean(axis=0)
    inverse = np.linalg.inv(open_set.shrunk_covariance(away))
    overall = np.einsum("ni,ij,nj->n", away, inverse, away)
    np.testing.assert_allclose(
        gaussians.relative_mahalanobis(features), overall - expected.min(axis=1), rtol=1e-5
    )


def test_a_feature_that_never_varies_does_not_count(draw):
    labels = np.repeat([0, 1], 20)
    features = draw.normal(size=(40, 3)) + labels[:, None]
    constant = np.concatenate([features, np.full((40, 1), 5.0)], axis=1)
    np.testing.assert_allclose(
        open_set.fit_gaussians(constant, labels).squared_distances(constant + [0, 0, 0, 9]),
        open_set.fit_gaussians(constant, labels).squared_distances(constant),
    )


def test_a_cluster_far_from_the_others_is_found_out(draw):
    labels = np.repeat([0, 1], 50)
    known = draw.normal(size=(100, 3)) + 10.0 * np.stack([labels, 0 * labels, 0 * labels], axis=1)
    unknown = draw.normal(size=(50, 3)) + [5.0, 8.0, 0.0]
    gaussians = open_set.fit_gaussians(known[::2], labels[::2])
    for score in (gaussians.energy, gaussians.mahalanobis, gaussians.relative_mahalanobis):
        assert open_set.auroc(score(known[1::2]), score(unknown)) > 0.99


@pytest.mark.parametrize("labels", [np.array([0, 2]), np.array([0]), np.array([], int)])
def test_classes_without_pictures_and_other_lengths_are_refused(labels):
    with pytest.raises(ValueError, match="class|labels"):
        open_set.fit_gaussians(np.zeros((2, 3)), labels)


# --------------------------------------------------------------------------- how good a score is


@given(scores, scores)
def test_auroc_is_the_share_of_pairs_in_the_right_order(known, unknown):
    order = np.sign(known[:, None] - unknown)
    assert open_set.auroc(known, unknown) == pytest.approx((order.mean() + 1) / 2)


def test_auroc_is_scikit_learns(draw):
    metrics = pytest.importorskip("sklearn.metrics")
    known, unknown = np.round(draw.normal(0.5, 1, 300), 1), np.round(draw.normal(0, 1, 200), 1)
    truth = np.repeat([1, 0], [300, 200])
    expected = metrics.roc_auc_score(truth, np.concatenate([known, unknown]))
    assert open_set.auroc(known, unknown) == pytest.approx(expected, rel=1e-12)


@given(scores, scores, st.integers(0, 2**30 - 1))
def test_oscr_is_the_area_under_the_curve_counted_threshold_by_threshold(known, unknown, bits):
    is_right = np.array([bool(bits >> place & 1) for place in range(len(known))])
    levels = [np.inf, *sorted({*known, *unknown}, reverse=True)]
    false = [(unknown >= level).mean() for level in levels]
    right = [((known >= level) & is_right).mean() for level in levels]
    x, y = open_set.curve(known, is_right, unknown)
    np.testing.assert_allclose(x, false, atol=1e-12)
    np.testing.assert_allclose(y, right, atol=1e-12)
    assert open_set.oscr(known, is_right, unknown) == pytest.approx(np.trapezoid(right, false))


def test_when_every_answer_is_right_oscr_is_auroc_and_the_curve_is_the_roc(draw):
    metrics = pytest.importorskip("sklearn.metrics")
    known, unknown = draw.normal(1, 1, 50), draw.normal(0, 1, 40)
    is_right = np.ones(50, bool)
    assert open_set.oscr(known, is_right, unknown) == open_set.auroc(known, unknown)
    truth = np.repeat([1, 0], [50, 40])
    expected = metrics.roc_curve(truth, np.concatenate([known, unknown]), drop_intermediate=False)
    for got, wanted in zip(open_set.curve(known, is_right, unknown), expected, strict=False):
        np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_the_threshold_keeps_the_wanted_share_and_no_more_than_it_must():
    known = np.arange(100.0)
    assert open_set.threshold_at_tpr(known) == 5.0
    assert open_set.threshold_at_tpr(known, 1.0) == 0.0
    assert open_set.threshold_at_tpr(known, 0.951) == 4.0
    assert open_set.tnr_at_tpr(known, np.array([4.0, 4.9, 5.0, 80.0])) == 0.5


@given(scores, st.floats(0.01, 1.0))
def test_at_least_the_wanted_share_reaches_the_threshold(known, tpr):
    threshold = open_set.threshold_at_tpr(known, tpr)
    assert (known >= threshold).mean() >= tpr - 1e-9
    assert (known > threshold).mean() < tpr


def test_without_pictures_there_is_no_measure():
    none, some = np.empty(0), np.ones(3)
    for known, unknown in ((none, some), (some, none)):
        is_right = np.ones(len(known), bool)
        assert np.isnan(open_set.auroc(known, unknown))
        assert np.isnan(open_set.oscr(known, is_right, unknown))
        assert np.isnan(open_set.tnr_at_tpr(known, unknown))
    with pytest.raises(ValueError, match="Give scores"):
        open_set.threshold_at_tpr(none)
