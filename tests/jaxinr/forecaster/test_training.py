"""The forecaster learns a formula, its intervals are calibrated, and its file keeps it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxfleet.errors import InputError
from jaxinr.forecaster import descriptors, inputs, reach, training
from jaxinr.forecaster.scaling import Scaling
from jaxinr.forecaster.trained import CARDS, Trained


def ask(forecaster: Trained, fits: training.TrainingFits) -> tuple[np.ndarray, np.ndarray]:
    return forecaster.ask(fits.described[fits.picture], fits.rows, fits.iterations)


def test_learns_a_formula_on_new_pictures(
    forecaster: Trained, formula_fits: training.TrainingFits
) -> None:
    new = formula_fits.of(formula_fits.picture >= 50)
    mean_db, std_db = ask(forecaster, new)
    error = new.best_db - mean_db
    assert np.sqrt(np.mean(error**2)) < 1.0  # of which the noise is 0.5
    assert np.mean(np.abs(error) < 1.645 * std_db) > 0.75


def test_fits_of_one_picture_are_asked_as_those_of_many(
    forecaster: Trained, formula_fits: training.TrainingFits
) -> None:
    own = formula_fits.of(formula_fits.picture == 3)
    together = ask(forecaster, own)
    again = forecaster.ask(own.described[3], own.rows, own.iterations)
    alone = ask(forecaster, own.of(slice(4, 5)))
    for some, one, single in zip(together, again, alone, strict=True):
        assert some == pytest.approx(one, abs=1e-4)
        assert some[4] == pytest.approx(single[0], abs=1e-4)


def test_many_are_asked_in_parts(forecaster: Trained, formula_fits: training.TrainingFits) -> None:
    times = np.tile(np.arange(1, 1501), (8, 1))
    rows = formula_fits.rows[:8]
    mean_db, _ = forecaster.ask(formula_fits.described[0], rows, times)
    single, _ = forecaster.ask(formula_fits.described[0], rows[7:], times[7:])
    assert mean_db[7] == pytest.approx(single[0], abs=1e-4)
    assert (np.diff(mean_db) >= 0).all()


@pytest.mark.slow
def test_members_differ_and_steps_repeat(
    formula_fits: training.TrainingFits, recipe: training.ForecasterRecipe
) -> None:
    scaling = Scaling.of(formula_fits.encoded().features, formula_fits.weights)

    def losses() -> np.ndarray:
        params, state = training.create(recipe)
        step = training.make_step(formula_fits, scaling, recipe)
        return np.array([step(params, state, 0)[2]])

    first, second = losses(), losses()
    assert np.array_equal(first, second)
    params, _ = training.create(recipe)
    for name in ("first", "second"):
        assert np.abs(params[name][0] - params[name][1]).max() > 0


def test_a_group_has_its_own_factor_and_small_groups_that_of_their_iterations() -> None:
    """Errors of short fits are twice, of long ones three times what was forecast."""
    key = np.random.default_rng(0)
    rows = np.tile([16.0, 4, 30, 1e-3, 48, 48], (600, 1))
    rows[500:, 0] = 30  # another group of weights, and long
    iterations = np.where(np.arange(600) < 500, 1000, 20_000)
    error = key.normal(0, np.where(iterations > 2000, 3.0, 2.0))
    known = reach.Reach.of(np.zeros((2, len(descriptors.NAMES))), rows, iterations, np.zeros(600))
    found = known.calibrated(rows, iterations, error, np.ones(600)).factors
    short, long = found[1, 0, 1], found[1, 1, 2]
    assert short == pytest.approx(2, rel=0.1)
    assert long == pytest.approx(3, rel=0.25)
    assert found[3, 1, 0] == long
    assert found[3, 0, 2] == short


def test_deviations_grow_outside_up_to_that_of_all_fits(forecaster: Trained) -> None:
    row = np.array([[16.0, 4, 30, 1e-3, 24, 24]])
    described = forecaster.reach.described_mean
    inside = forecaster.reach.widened(described, row, np.array([[100]]), np.full((1, 1), 0.5))
    assert inside[0, 0] == 0.5
    spreads = [inside[0, 0]]
    for iterations in (2000, 8000, 10**9):
        asked = np.array([[iterations]])
        spreads.append(forecaster.reach.widened(described, row, asked, np.full((1, 1), 0.5))[0, 0])
    assert (np.diff(spreads) > 0).all()
    assert spreads[-1] == pytest.approx(forecaster.reach.prior_db[1])
    larger = np.array([[16.0, 4, 30, 1e-3, 4000, 3000]])  # a small network leaves the rest
    assert (
        forecaster.reach.widened(described, larger, np.array([[100]]), np.full((1, 1), 0.5)) == 0.5
    )


def test_a_file_keeps_a_forecaster(
    forecaster: Trained, forecaster_file: Path, formula_fits: training.TrainingFits
) -> None:
    loaded = Trained.load(forecaster_file)
    assert loaded.card == forecaster.card
    some = formula_fits.of(slice(0, 50))
    assert np.array_equal(ask(loaded, some), ask(forecaster, some))


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
    CARDS.write(path, card | {"features": ["other"]}, arrays)
    with pytest.raises(InputError, match="old.safetensors: .*another version; train it again"):
        Trained.load(path)
    dataclasses.replace(CARDS, version=4).write(path, card, arrays)
    with pytest.raises(InputError, match="a version 4 forecaster, not 6; train it again"):
        Trained.load(path)
    assert len(inputs.FEATURES) == arrays["scaling.mean"].size
