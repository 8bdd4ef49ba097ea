"""Ratios of distances between classes: worked by hand, and against every pair one by one."""

import itertools

import numpy as np
import pytest

from jaxsr.attribution import class_distances


def test_ratios_of_four_points_on_a_line():
    features = np.array([[0.0], [1.0], [3.0], [5.0]])
    labels = np.array([0, 0, 1, 1])
    # Within 1 and 2; between 3, 5, 2 and 4: (1 + 2) / (2 * 3.5).
    pairwise = class_distances.pairwise_ratios(features, labels, 2)
    np.testing.assert_allclose(pairwise, [[1, 3 / 7], [3 / 7, 1]], rtol=1e-12)
    # Centroids 0.5 and 4: 0.25 against (16 + 9) / 2, 1 against (6.25 + 20.25) / 2.
    expected = (0.25 / 12.5 + 1 / 13.25) / 2
    centroid = class_distances.centroid_ratios(features, labels, 2)
    np.testing.assert_allclose(centroid, [[1, expected], [expected, 1]], rtol=1e-12)


def test_ratios_are_those_of_every_pair_one_by_one(monkeypatch):
    monkeypatch.setattr(class_distances, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], (9, 6, 5))[rng.permutation(20)]
    features = (rng.normal(size=(20, 4)) + 3.0 * labels[:, None] + 1000).astype(np.float32)
    points = [features[labels == k].astype(np.float64) for k in range(3)]

    def mean(one, other):
        return np.mean([np.linalg.norm(x - y) for x, y in itertools.product(one, other)])

    def within(own):
        return np.mean([np.linalg.norm(x - y) for x, y in itertools.combinations(own, 2)])

    def to_centre(own, other):
        return np.mean(np.sum((own - other.mean(axis=0)) ** 2, axis=1))

    pairwise = class_distances.pairwise_ratios(features, labels, 3)
    centroid = class_distances.centroid_ratios(features, labels, 3)
    for (i, a), (j, b) in itertools.permutations(enumerate(points), 2):
        expected = (within(a) + within(b)) / (2 * mean(a, b))
        assert pairwise[i, j] == pytest.approx(expected, rel=1e-9)
        halves = [to_centre(a, a) / to_centre(a, b), to_centre(b, b) / to_centre(b, a)]
        assert centroid[i, j] == pytest.approx(np.mean(halves), rel=1e-9)


def test_two_classes_of_one_distribution_have_a_ratio_near_one_and_distant_ones_near_zero():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 150)
    features = rng.normal(size=(450, 8))
    features[labels == 2] += 1e4
    for ratios in (class_distances.pairwise_ratios, class_distances.centroid_ratios):
        found = ratios(features, labels, 3)
        assert found[0, 1] == pytest.approx(1.0, abs=0.02)
        assert found[0, 2] < 1e-3
        np.testing.assert_array_equal(found, found.T)  # made so: no rounding takes part in it


def test_a_class_of_one_picture_has_no_distance_within():
    found = class_distances.pairwise_ratios(np.eye(3), np.array([0, 0, 2]), 3)
    assert np.isfinite(found).tolist() == [[True, False, False], [False] * 3, [False] * 3]
    by_centre = class_distances.centroid_ratios(np.eye(3), np.array([0, 0, 2]), 3)
    assert np.isfinite(by_centre[np.ix_([0, 2], [0, 2])]).all()
    assert np.isnan(by_centre[1]).all()


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((3, 2, 1), [0, 1, 1], "must be \\[N, D\\]"),
        ((3, 2), [0, 1], "got shapes \\(3, 2\\) and \\(2,\\)"),
        ((3, 2), [0, 1, 2], "in 0..1; got 0 to 2"),
    ],
)
def test_arrays_that_do_not_fit_are_named(shape, labels, message):
    for ratios in (class_distances.pairwise_ratios, class_distances.centroid_ratios):
        with pytest.raises(ValueError, match=message):
            ratios(np.zeros(shape), np.array(labels), 2)
