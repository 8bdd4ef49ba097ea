"""The forecaster learns a formula, its gradient step is one, and its file keeps it."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxinr.forecaster import inputs, training
from jaxinr.forecaster.trained import CARDS, Trained
from jaxinr.trial import Trial


def test_parameters_are_those_of_a_trial() -> None:
    trials = [Trial(layer_size=w, num_layers=d) for w in (1, 4, 33) for d in (1, 2, 9)]
    found = inputs.parameters(inputs.trial_rows(trials, 100))
    assert found.tolist() == [trial.parameters for trial in trials]


def test_curves_are_interpolated_at_the_size_of_the_network() -> None:
    """Where the k-th of `largest` says k, a network of P = 64 weights reads log2(P) - 3."""
    described = np.zeros(len(inputs.pictures.NAMES), np.float32)
    first = inputs.pictures.NAMES.index("largest_8_db")
    described[first : first + 12] = np.arange(12)
    row = inputs.trial_rows([Trial(layer_size=4, num_layers=2)], 100)
    crossed = inputs.encode(row, np.array([10]), described)[0, inputs.AXES :]
    place = np.log2(Trial(layer_size=4, num_layers=2).parameters) - 3
    expected = np.clip(place + np.array([-4, -3, -2, -1, 0]), 0, 11)
    assert crossed[:5] == pytest.approx(expected, abs=1e-5)


def test_learns_a_formula_on_new_pictures(forecaster: Trained, formula_fits: training.Fits) -> None:
    new = formula_fits.of(formula_fits.picture >= 50)
    for at in range(3):
        mean_db, std_db = forecaster.predict(new, at)
        error = new.best_db[:, at] - mean_db
        assert np.sqrt(np.mean(error**2)) < 0.8  # of which the noise is 0.5
        assert np.mean(np.abs(error) < 1.645 * std_db) > 0.75


def test_fits_of_one_picture_are_asked_as_those_of_many(
    forecaster: Trained, formula_fits: training.Fits
) -> None:
    own = formula_fits.of(formula_fits.picture == 3)
    mean_db, std_db = forecaster.predict(own)
    described = own.described[3]
    looks = forecaster.look(described[None], own.thumbnails[3:4])
    again = forecaster.ask(looks, described, own.rows, own.iterations[:, -1])
    assert again[0] == pytest.approx(mean_db, abs=1e-4)
    assert again[1] == pytest.approx(std_db, abs=1e-4)


def test_a_batch_of_asks_equals_single_ones(
    forecaster: Trained, formula_fits: training.Fits
) -> None:
    own = formula_fits.of(slice(0, 5))
    together = forecaster.predict(own)[0]
    alone = [forecaster.predict(own.of(slice(i, i + 1)))[0][0] for i in range(5)]
    assert together == pytest.approx(alone, abs=1e-4)


@pytest.mark.slow
def test_members_differ_and_steps_repeat(
    formula_fits: training.Fits, recipe: training.ForecasterRecipe
) -> None:
    scaling = training.Scaling.of(formula_fits)

    def losses() -> np.ndarray:
        params, state = training.create(recipe)
        step = training.make_step(formula_fits, scaling, recipe)
        return np.array([step(params, state, 0)[2]])

    first, second = losses(), losses()
    assert np.array_equal(first, second)
    params, _ = training.create(recipe)
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 3 and leaf.std() > 0]
    assert all(np.abs(leaf[0] - leaf[1]).max() > 0 for leaf in kernels)


@pytest.mark.slow
def test_trains_without_pictures(
    formula_fits: training.Fits, recipe: training.ForecasterRecipe
) -> None:
    blind = dataclasses.replace(formula_fits, thumbnails=None)
    shape = dataclasses.replace(recipe.shape, features=0)
    recipe = dataclasses.replace(recipe, shape=shape)
    scaling = training.Scaling.of(blind)
    params, state = training.create(recipe)
    params, _, _ = training.make_step(blind, scaling, recipe)(params, state, 0)
    mean_db, std_db = Trained(params, shape, scaling, 1.0, {}).predict(blind)
    assert np.isfinite(mean_db).all()
    assert (std_db > 0).all()


def test_a_file_keeps_a_forecaster(
    forecaster: Trained, forecaster_file: Path, formula_fits: training.Fits
) -> None:
    loaded = Trained.load(forecaster_file)
    assert loaded.card == forecaster.card
    some = formula_fits.of(slice(0, 50))
    assert np.array_equal(loaded.predict(some), forecaster.predict(some))


def test_half_precision_says_the_same(
    forecaster: Trained, formula_fits: training.Fits, tmp_path: Path
) -> None:
    """float16 has eleven bits, one part in 2,000; the file has half the bytes of the weights."""
    halved = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), forecaster.params)
    dataclasses.replace(forecaster, params=halved).save(tmp_path / "half.safetensors")
    some = formula_fits.of(slice(0, 50))
    mean_db, std_db = Trained.load(tmp_path / "half.safetensors").predict(some)
    wanted = forecaster.predict(some)
    assert mean_db == pytest.approx(wanted[0], abs=0.05)
    assert std_db == pytest.approx(wanted[1], abs=0.05)


def test_foreign_and_damaged_files_are_refused(forecaster_file: Path, tmp_path: Path) -> None:
    data = forecaster_file.read_bytes()
    path = tmp_path / "other.safetensors"
    for other in (b"", b"no weights", data[:-8], data[:40], data[:100] + b"\0" * 100):
        path.write_bytes(other)
        with pytest.raises(
            InputError, match=r"other.safetensors .*(no forecaster|has changed); train it again"
        ):
            Trained.load(path)
    with pytest.raises(InputError, match="absent.safetensors: No such file"):
        Trained.load(tmp_path / "absent.safetensors")


def test_another_version_is_named(forecaster_file: Path, tmp_path: Path) -> None:
    card, arrays = CARDS.read(forecaster_file)
    path = tmp_path / "old.safetensors"
    CARDS.write(path, card | {"descriptors": ["other"]}, arrays)
    with pytest.raises(InputError, match="old.safetensors: .*another version; train it again"):
        Trained.load(path)
    dataclasses.replace(CARDS, version=3).write(path, card, arrays)
    with pytest.raises(InputError, match="a version 3 forecaster, not 4; train it again"):
        Trained.load(path)
