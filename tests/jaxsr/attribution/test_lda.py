import numpy as np
import pytest
import scipy.special

from jaxsr.attribution import lda


def samples(count, size, num_classes, seed=0):
    """Features whose scales, means and correlations differ, and labels as often each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    mixing = rng.normal(size=(size, size)) / np.sqrt(size) + np.eye(size)
    means = rng.normal(size=(num_classes, size))
    features = (rng.normal(size=(count, size)) + 0.7 * means[labels]) @ mixing
    return features * np.logspace(-2, 2, size) + 5.0, labels


def standardised(features):
    return (features - features.mean(axis=0)) / features.std(axis=0)


def log_scores_of(features, labels, queries, shrinkage):
    """Straight from the definition, with an inverse, in float64."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    units, asked = (features - mean) / scale, (queries - mean) / scale
    means = np.stack([units[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    within = units - means[labels]
    covariance = within.T @ within / len(units)
    level = np.trace(covariance) / len(covariance)
    covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))
    apart = asked[:, None] - means
    distances = np.einsum("nkd,de,nke->nk", apart, np.linalg.inv(covariance), apart)
    return scipy.special.log_softmax(-0.5 * distances, axis=1)


def test_two_classes_on_a_line():
    fitted = lda.fit(np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.array([0, 0, 1, 1]), 2)
    # Means -2 and 2, variance 1 within: the logarithm of the odds is 4 x.
    x = np.array([[-0.5], [0.0], [0.25]])
    log_scores = lda.log_scores(fitted, x)
    np.testing.assert_allclose(log_scores[:, 1] - log_scores[:, 0], 4 * x[:, 0], atol=1e-5)
    np.testing.assert_allclose(np.exp(log_scores).sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize(("count", "size"), [(60, 7), (24, 40)], ids=["tall", "wide"])
@pytest.mark.parametrize("shrinkage", [0.05, 0.6, 1.0])
def test_log_scores_are_those_of_the_definition(count, size, shrinkage):
    features, labels = samples(count, size, 3)
    queries, _ = samples(10, size, 3, seed=1)
    fitted = lda.fit(features, labels, 3, shrinkage)
    expected = log_scores_of(features, labels, queries, shrinkage)
    np.testing.assert_allclose(lda.log_scores(fitted, queries), expected, rtol=2e-4, atol=2e-3)


def test_log_scores_are_those_of_scikit_learn():
    discriminant_analysis = pytest.importorskip("sklearn.discriminant_analysis")
    features, labels = samples(90, 6, 3)
    queries, _ = samples(20, 6, 3, seed=1)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    reference = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2)
    reference.fit((features - mean) / scale, labels)
    np.testing.assert_allclose(
        lda.log_scores(lda.fit(features, labels, 3, 0.2), queries),
        reference.predict_log_proba((queries - mean) / scale),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize(("count", "size"), [(50, 8), (12, 30)], ids=["tall", "wide"])
def test_shrinkage_is_that_of_scikit_learn(count, size):
    covariance = pytest.importorskip("sklearn.covariance")
    features, labels = samples(count, size, 3)
    units = standardised(features)
    means = np.stack([units[labels == k].mean(axis=0) for k in range(3)])
    within = units - means[labels]
    expected = covariance.ledoit_wolf_shrinkage(within, assume_centered=True)
    assert 0.001 < expected < 0.999
    assert lda.ledoit_wolf(within) == pytest.approx(expected, rel=1e-9)
    assert float(lda.fit(features, labels, 3).shrinkage) == pytest.approx(expected, rel=1e-5)


def test_features_worked_on_in_parts_give_the_same(monkeypatch):
    features, labels = samples(50, 6, 3)
    whole = lda.fit(features, labels, 3)
    monkeypatch.setattr(lda, "_ROWS", 7)
    for ours, expected in zip(lda.fit(features, labels, 3), whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_units_and_constant_features_change_nothing():
    features, labels = samples(60, 5, 3)
    expected = lda.log_scores(lda.fit(features, labels, 3, 0.0), features)
    other = np.concatenate([1000.0 * features - 7.0, np.full((60, 1), 0.1)], axis=1)
    ours = lda.log_scores(lda.fit(other, labels, 3, 0.0), other)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


def test_projected_samples_have_the_unit_covariance_within_classes():
    features, labels = samples(400, 6, 4)
    projected = lda.project(lda.fit(features, labels, 4, 0.0), features)
    assert projected.shape == (400, 3)
    means = np.stack([projected[labels == k].mean(axis=0) for k in range(4)])
    within = projected - means[labels]
    np.testing.assert_allclose(within.T @ within / 400, np.eye(3), atol=1e-3)


def test_squared_distances_between_projections_are_log_scores():
    features, labels = samples(80, 6, 4)
    fitted = lda.fit(features, labels, 4)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(4)])
    apart = lda.project(fitted, features)[:, None] - lda.project(fitted, means)
    expected = scipy.special.log_softmax(-0.5 * np.sum(apart**2, axis=2), axis=1)
    np.testing.assert_allclose(lda.log_scores(fitted, features), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("count", "size"), [(80, 6), (81, 3)], ids=["balanced", "unbalanced"])
def test_class_means_are_those_of_the_projections(count, size):
    features, labels = samples(count, size, 4)
    fitted = lda.fit(features, labels, 4)
    projected = lda.project(fitted, features)
    means = np.stack([projected[labels == k].mean(axis=0) for k in range(4)])
    found = lda.class_means(fitted)
    np.testing.assert_allclose(found, means - means.mean(axis=0), rtol=1e-3, atol=1e-4)
    products = found.T @ found
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-4 * products.max())


def test_classes_of_one_mean_are_projected_onto_zeros():
    features = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 3.0], [2.0, 1.0]] * 3)
    labels = np.repeat([0, 1, 2], 4)
    fitted = lda.fit(features, labels, 3)
    np.testing.assert_array_equal(lda.project(fitted, features), 0.0)
    np.testing.assert_array_equal(lda.class_means(fitted), 0.0)
    np.testing.assert_allclose(lda.log_scores(fitted, features), np.log(1 / 3), atol=1e-6)


def test_samples_alike_within_classes_are_told_apart():
    features = np.repeat(np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 2.0]]), 4, axis=0)
    fitted = lda.fit(features, np.repeat(np.arange(3), 4), 3)
    np.testing.assert_array_equal(
        np.argmax(lda.log_scores(fitted, features), axis=1), np.repeat(np.arange(3), 4)
    )
    assert all(np.isfinite(array).all() for array in fitted)


def test_input_that_has_no_answer_is_named():
    features, labels = samples(12, 4, 3)
    with pytest.raises(ValueError, match="each of 0 to 3"):
        lda.fit(features, labels, 4)
    with pytest.raises(ValueError, match="two or more"):
        lda.fit(features, np.zeros(12, int), 1)
    with pytest.raises(ValueError, match=r"\[N, D\].*\(12, 4\) and \(11,\)"):
        lda.fit(features, labels[1:], 3)
    with pytest.raises(ValueError, match="finite"):
        lda.fit(np.where(features > 5, np.nan, features), labels, 3)
