"""Distances from classes beside the density of a Gaussian."""

import numpy as np
import scipy.stats

from jaxsr.gallery import distances

NUM_CLASSES, NUM_DISCRIMINANTS, DIRECTIONS = 3, 5, 2


def test_distances_are_log_likelihoods_of_gaussians():
    draw = np.random.default_rng(0)
    wider = draw.normal(size=(NUM_CLASSES, NUM_DISCRIMINANTS, DIRECTIONS))
    centres = draw.normal(size=(NUM_CLASSES, NUM_DISCRIMINANTS))
    points = 3 * draw.normal(size=(7, NUM_DISCRIMINANTS))
    found = distances.squared(points, centres, np.stack([distances.spread_of(u) for u in wider]))
    unit = np.eye(NUM_DISCRIMINANTS)
    expected = [
        scipy.stats.multivariate_normal(centre, unit + u @ u.T).logpdf(points)
        for centre, u in zip(centres, wider, strict=True)
    ]
    constant = NUM_DISCRIMINANTS * np.log(2 * np.pi)
    np.testing.assert_allclose(found, -2 * np.stack(expected, axis=1) - constant, rtol=1e-9)


def test_classes_without_directions_of_their_own_have_euclidean_distances():
    points, centres = np.eye(3)[:2], np.eye(3)
    found = distances.squared(points, centres, np.zeros((3, 0, 3)))
    np.testing.assert_allclose(found, [[0, 2, 2], [2, 0, 2]], atol=1e-12)


def test_what_is_kept_of_a_scatter_tells_it_again():
    wider = np.random.default_rng(1).normal(size=(NUM_DISCRIMINANTS, DIRECTIONS))
    again = distances.wider_of(distances.spread_of(wider))
    np.testing.assert_allclose(again @ again.T, wider @ wider.T)
