"""The forecaster that is installed: small, with a card, and as good as the card says."""

import importlib.resources

import numpy as np
import pytest

import jaxinr
from experiments.forecaster import data as forecaster_data
from experiments.forecaster import metrics as forecaster_metrics
from jaxfleet import photos
from jaxinr.forecaster import descriptors, inputs
from jaxinr.forecaster.trained import packaged

DATA = importlib.resources.files("jaxinr") / "data"


def test_card_says_what_it_was_trained_on():
    card = packaged().card
    assert card["fits"] > 10_000
    assert card["photographs"] > 300
    assert set(card["range"]) == {name.removeprefix("log2_") for name in inputs.ENCODED}
    rows = {(row["split"], row["predictor"]): row for row in card["evaluation"]}
    own = rows["unseen photographs", "forecaster"]
    others = [row for (split, name), row in rows.items() if split == own["split"]]
    assert own["rmse_db"] == min(row["rmse_db"] for row in others)


def test_what_ships_is_small():
    sizes = {name: len((DATA / name).read_bytes()) for name in _shipped()}
    assert sizes["forecaster.safetensors"] < 5e6
    assert sum(sizes.values()) < 3e6


def test_shipped_table_loads_and_keeps_photographs_apart():
    with importlib.resources.as_file(DATA) as folder:
        table = forecaster_data.load([folder], "")
    assert len(table) > 20_000
    assert (table.frame.groupby("image_id")["split"].nunique() == 1).all()
    assert len(forecaster_metrics.twins(table.frame)[0]) > 1000
    best_db = np.minimum(table.frame["best_psnr_db"], descriptors.FLOOR_DB)
    assert np.array_equal(table.truth_db, best_db)
    before = table.best_db[:, -1] - table.best_db[:, -2]  # the last but one is logged earlier
    assert (before > -6e-3).all()


def test_wider_networks_and_longer_fits_are_forecast_to_be_better():
    image = photos.load("packaged", image_size=48, max_images=1)[0].pixels
    trials = [
        jaxinr.Trial(layer_size=width, num_layers=4, learning_rate=1e-3, num_iters=1000)
        for width in (6, 12, 24, 32)
    ]
    found = jaxinr.forecast(image, trials, iterations=[30, 100, 300, 1000])
    assert (np.diff(found.mean_db, axis=0)[:, -1] > 0).all()
    assert (np.diff(found.mean_db, axis=1) > 0).all()


@pytest.mark.slow
def test_is_as_good_as_its_card_says(shared_data):
    """Unseen photographs again, from their pixels: those whose fits the shipped table holds."""
    names = ("div2k_test_lr", "bsds500_train", "bsds500_test")
    pictures = ",".join(f"folder:{shared_data / 'photos' / name}" for name in names)
    with importlib.resources.as_file(DATA) as folder:
        table = forecaster_data.load([folder], pictures)
    chosen = forecaster_metrics.splits(table)[forecaster_metrics.UNSEEN]
    mean_db, std_db = packaged().predict(table.training_fits(chosen))
    truth_db = table.truth_db[chosen]
    card = packaged().card["evaluation"]
    own = next(
        row
        for row in card
        if (row["split"], row["predictor"]) == ("unseen photographs", "forecaster")
    )
    assert forecaster_metrics.rmse_db(mean_db, truth_db) == pytest.approx(own["rmse_db"], abs=2e-3)
    inside = forecaster_metrics.coverage(mean_db, std_db, truth_db, 0.9)
    assert inside == pytest.approx(own["coverage_90"], abs=2e-3)


def _shipped():
    return ("forecaster.safetensors", forecaster_data.FITS, forecaster_data.PICTURES)


@pytest.mark.parametrize(("side", "updates", "deepest"), [(24, 2000, 10), (48, 1000, 8)])
def test_recommendations_stay_within_what_pictures_of_the_size_were_fitted_with(
    side, updates, deepest, recwarn
):
    image = photos.load("packaged", image_size=side, max_images=1)[0].pixels
    found = jaxinr.recommend(image, 6.0)
    assert found.trial.num_iters == updates
    assert max(trial.num_layers for trial in found.considered) == deepest
    assert [str(one.message) for one in recwarn] == []
    with pytest.warns(jaxinr.ForecastWarning, match=f"iterations 3000, trained on .* to {updates}"):
        longer = jaxinr.recommend(image, 6.0, max_iterations=3000)
    assert longer.std_db > found.std_db
