"""The model: limits worked by hand, NumPy as JAX, and what no parameters can change."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinr.forecaster import descriptors, inputs, model
from jaxinr.trial import Trial
from tests.jaxinr.forecaster.conftest import smooth_pictures

TRIALS = [
    Trial(layer_size=size, num_layers=depth, w0_initial=w0, learning_rate=rate)
    for size, depth, w0, rate in ((4, 1, 5.0, 1e-4), (28, 10, 30.0, 2e-4), (16, 4, 90.0, 5e-3))
]
ITERATIONS = np.tile(np.float32([1, 2, 10, 100, 1000, 50_000, 100_000]), (3, 1))


def encoded(side: int = 24) -> inputs.EncodedFits:
    described = descriptors.describe(smooth_pictures(3, side)[2])
    return inputs.encode(inputs.trial_rows(TRIALS, side, side), described)


def restless(seed: int) -> dict[str, Any]:
    """Parameters that are not zero anywhere."""
    key = np.random.default_rng(seed)
    params = model.init(key, 8)
    return {
        name: np.asarray(leaf + 0.3 * key.normal(size=np.shape(leaf)), np.float32)
        for name, leaf in params.items()
    }


def answers(params: dict[str, Any], known: inputs.EncodedFits, xp: Any = np) -> model.Prediction:
    features = np.tanh(known.features / 10)
    shapes = model.shape(xp, params, features)
    return model.answer(xp, params, shapes, known, inputs.BAND_OCTAVES, ITERATIONS)


@pytest.mark.parametrize("seed", range(5))
def test_no_parameters_make_a_curve_fall(seed: int) -> None:
    found = answers(restless(seed), encoded())
    assert (np.diff(found.mean_db) >= 0).all()
    assert (found.std_db > 0).all()


def test_numpy_and_jax_agree() -> None:
    params, known = restless(9), encoded()
    here = answers(params, known)
    assert {leaf.dtype for leaf in here} == {np.dtype(np.float32)}  # float64 takes twice as long
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        there = answers(jax.tree.map(jnp.asarray, params), known, jnp)
    np.testing.assert_allclose(here.mean_db, there.mean_db, atol=2e-3)
    np.testing.assert_allclose(here.std_db, there.std_db, atol=2e-4)


def test_bands_beyond_the_cutoff_are_lost_whole() -> None:
    """A cutoff far below everything leaves all energy; far above, nothing but 60 dB."""
    params, known = model.init(np.random.default_rng(0), 8), encoded()
    for start, expected in ((-60.0, known.energies.sum(1)), (60.0, np.zeros(3))):
        params["bias"][-4] = start
        mean_db = answers(params, known).mean_db[:, 0]
        np.testing.assert_allclose(mean_db, -10 * np.log10(expected + 1e-6), atol=0.5)


def test_a_network_that_can_store_all_values_runs_away() -> None:
    """The same cutoff reaches further where the pixels end there than where they go on."""
    params, known = model.init(np.random.default_rng(0), 8), encoded()
    far = known._replace(limit=known.limit + 20)
    nearby = known._replace(limit=known.limit - 6)
    plain, crowded = (answers(params, one).mean_db for one in (far, nearby))
    assert (crowded > plain).all()
    assert (crowded[:, -1] > plain[:, -1] + 3).all()
    further = known._replace(limit=known.limit + 25)
    np.testing.assert_allclose(answers(params, further).mean_db, plain, atol=1e-3)


def test_a_larger_picture_adds_the_energy_that_averaging_takes() -> None:
    """The invariance: a band far above the cutoff adds its energy to the error, and no more."""
    params, known = model.init(np.random.default_rng(0), 8), encoded()
    known = known._replace(limit=known.limit + 20)  # a large picture
    energies = known.energies.copy()
    energies[:, -1] += 0.01
    small = 10 ** (-answers(params, known).mean_db / 10)
    large = 10 ** (-answers(params, known._replace(energies=energies)).mean_db / 10)
    np.testing.assert_allclose(large - small, 0.01, rtol=0.02)


def test_parameters_are_those_of_a_trial() -> None:
    trials = [Trial(layer_size=w, num_layers=d) for w in (1, 4, 33) for d in (1, 2, 9)]
    found = inputs.parameters(inputs.trial_rows(trials, 10, 10))
    assert found.tolist() == [trial.parameters for trial in trials]


def test_curves_are_interpolated_at_the_size_of_the_network() -> None:
    """Where the k-th of `cosines` says k dB, a network of P weights reads log2(P) - 3."""
    described = np.zeros(len(descriptors.NAMES), np.float32)
    described[[descriptors.AT[name] for name in descriptors.COSINES]] = np.arange(15)
    row = inputs.trial_rows([Trial(layer_size=4, num_layers=2)], 100, 100)
    found = inputs.encode(row, described).features[0]
    place = np.log2(Trial(layer_size=4, num_layers=2).parameters) - 3
    at = inputs.FEATURES.index("cosines_-4_db")
    expected = np.clip(place + np.array([-4, -3, -2, -1]), 0, 14)
    assert found[at : at + 4] == pytest.approx(expected, abs=1e-5)


def test_values_beyond_ten_a_weight_make_no_difference() -> None:
    trial = dataclasses.replace(TRIALS[0], layer_size=8, num_layers=3)
    described = descriptors.describe(smooth_pictures(1)[0])
    at = inputs.FEATURES.index("log2_values_per_weight")
    few, enough, many = (
        inputs.encode(inputs.trial_rows([trial], side, side), described).features[0, at]
        for side in (8, 200, 4000)
    )
    assert enough == pytest.approx(np.log2(10), abs=1e-3)
    assert many == pytest.approx(enough, abs=1e-3)
    assert few == pytest.approx(np.log2(3 * 64 / trial.parameters), abs=0.1)
