import numpy as np
import pytest

from jaxsr.attribution import kernel_ridge


def samples(count, size=5, seed=0):
    """Features of different scales, and targets that are no linear function of them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, size)) * np.logspace(-1, 1, size) + 3.0
    units = (features - 3.0) / np.logspace(-1, 1, size)
    targets = np.stack([units[:, 0] * units[:, 1], np.sin(units[:, 2])], axis=1)
    return features, targets


def test_with_every_sample_a_landmark_it_is_kernel_ridge_regression():
    features, targets = samples(40)
    asked, _ = samples(9, seed=1)
    fitted = kernel_ridge.fit(features, targets, ridge=0.3)

    def kernel(one, other):  # main components, all kept, turn distances of standardised features
        units = [(x - features.mean(axis=0)) / features.std(axis=0) for x in (one, other)]
        squares = ((units[0][:, None] - units[1]) ** 2).sum(axis=-1)
        return np.exp(-squares / features.shape[1])

    own = kernel(features, features)
    # Least (y - K a)^2 + r a'K a, the definition, has a = (K + r I)^-1 y.
    weights = np.linalg.solve(own + 0.3 * np.eye(40), targets - targets.mean(axis=0))
    expected = kernel(asked, features) @ weights + targets.mean(axis=0)
    np.testing.assert_allclose(kernel_ridge.predict(fitted, asked), expected, atol=2e-3)


def test_predictions_are_those_of_scikit_learn_on_the_same_landmarks():
    approximation = pytest.importorskip("sklearn.kernel_approximation")
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, targets = samples(200)
    asked, _ = samples(20, seed=1)
    fitted = kernel_ridge.fit(features, targets, landmarks=30, ridge=0.5)
    points, seen = (
        (x.astype(np.float32) - fitted.mean) @ fitted.components for x in (features, asked)
    )
    nystroem = approximation.Nystroem(gamma=1.0, n_components=30).fit(fitted.landmarks)
    ridge = linear_model.Ridge(alpha=0.5, fit_intercept=False).fit(
        nystroem.transform(points), targets - targets.mean(axis=0)
    )
    expected = ridge.predict(nystroem.transform(seen)) + targets.mean(axis=0)
    np.testing.assert_allclose(kernel_ridge.predict(fitted, asked), expected, atol=2e-3)


def test_what_no_plane_parts_is_learnt():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 4))
    inside = np.sum(points[:, :2] ** 2, axis=1) < 1.2
    fitted = kernel_ridge.fit(points[:400], np.eye(2)[inside[:400].astype(int)], landmarks=100)
    found = kernel_ridge.predict(fitted, points[400:]).argmax(axis=1)
    assert np.mean(found == inside[400:]) > 0.9


def test_far_away_nothing_is_known_but_the_mean():
    features, targets = samples(50)
    fitted = kernel_ridge.fit(features, targets)
    far = kernel_ridge.predict(fitted, features + 1e4)
    np.testing.assert_allclose(far, np.tile(targets.mean(axis=0), (50, 1)), atol=1e-5)


def test_samples_are_judged_alone_and_shapes_are_as_documented():
    features, targets = samples(50)
    fitted = kernel_ridge.fit(features, targets, landmarks=20, components=3)
    assert fitted.components.shape == (5, 3)
    assert fitted.landmarks.shape == (20, 3)
    assert fitted.weights.shape == (20, 2)
    assert all(array.dtype == np.float32 for array in fitted)
    whole = kernel_ridge.predict(fitted, features)
    parts = np.concatenate(
        [kernel_ridge.predict(fitted, features[i : i + 7]) for i in range(0, 50, 7)]
    )
    np.testing.assert_allclose(whole, parts, atol=1e-5)


def test_a_seed_draws_the_landmarks():
    features, targets = samples(50)
    one, same, other = (
        kernel_ridge.fit(features, targets, landmarks=10, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.landmarks, same.landmarks)
    assert not np.array_equal(one.landmarks, other.landmarks)


def test_features_that_never_vary_do_not_count():
    features, targets = samples(50)
    constant = np.concatenate([features, np.full((50, 2), 1e6)], axis=1)
    np.testing.assert_allclose(
        kernel_ridge.predict(kernel_ridge.fit(constant, targets), constant),
        kernel_ridge.predict(kernel_ridge.fit(features, targets), features),
        atol=1e-3,
    )


def test_what_cannot_be_fitted_is_named():
    features, targets = samples(10)
    with pytest.raises(ValueError, match=r"\[N, T\].*\(9, 2\)"):
        kernel_ridge.fit(features, targets[:9])
    with pytest.raises(ValueError, match="finite"):
        kernel_ridge.fit(np.where(features > 4, np.nan, features), targets)
    with pytest.raises(ValueError, match="`ridge` above 0"):
        kernel_ridge.fit(features, targets, ridge=0.0)
