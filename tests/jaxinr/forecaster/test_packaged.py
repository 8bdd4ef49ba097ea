"""The forecaster that is installed: small, with a card, and as good as the card says."""

import importlib.resources
import warnings

import numpy as np
import pytest

import jaxinr
from experiments.forecaster import data as forecaster_data
from experiments.forecaster import metrics as forecaster_metrics
from experiments.forecaster import train as forecaster_train
from jaxfleet.imaging import photos
from jaxinr.forecaster import descriptors, reach, tradeoff
from jaxinr.forecaster.trained import packaged

DATA = importlib.resources.files("jaxinr") / "data"


def test_card_says_what_it_was_trained_on():
    card = packaged().card
    assert card["fits"] > 10_000
    assert card["photographs"] > 300
    assert set(card["range"]) == set(reach.NAMES)
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


def test_what_it_recommends_of_frequencies_and_rates_was_trained_on():
    known = packaged().reach
    for name, compared in (
        ("w0_initial", tradeoff.W0_INITIALS),
        ("learning_rate", tradeoff.LEARNING_RATES),
    ):
        place = reach.NAMES.index(name)
        assert known.low[place] <= np.log2(min(compared))
        assert np.log2(max(compared)) <= known.high[place]


def test_wider_networks_and_longer_fits_are_forecast_to_be_better():
    image = photos.load("packaged", image_size=48, max_images=1)[0].pixels
    trials = [
        jaxinr.Trial(layer_size=width, num_layers=4, learning_rate=1e-3, num_iters=1000)
        for width in (6, 12, 24, 32)
    ]
    found = jaxinr.forecast(image, trials, iterations=[30, 100, 300, 1000])
    assert (np.diff(found.mean_db, axis=0)[:, -1] > 0).all()
    assert (np.diff(found.mean_db, axis=1) > 0).all()


def test_is_as_good_as_its_card_says():
    """Unseen photographs again, by the descriptors of the shipped table."""
    table = forecaster_data.load(forecaster_train.parts_of("packaged"), "")
    mean_db, std_db = forecaster_train.forecast(table, packaged())
    splits = forecaster_metrics.splits(table)
    said = [row for row in packaged().card["evaluation"] if row["predictor"] == "forecaster"]
    assert len(said) >= len(splits) - 1  # the card is older than one of the splits
    for own in said:
        chosen = splits[own["split"]]
        truth_db = table.truth_db[chosen]
        rmse_db = forecaster_metrics.rmse_db(mean_db[chosen], truth_db)
        assert rmse_db == pytest.approx(own["rmse_db"], abs=2e-3)
        inside = forecaster_metrics.coverage(mean_db[chosen], std_db[chosen], truth_db, 0.9)
        assert inside == pytest.approx(own["coverage_90"], abs=2e-3)


def test_any_picture_and_network_has_a_forecast():
    """16 x 16 pixels to megapixels, 50 to 50,000 weights, 1 to 100,000 iterations."""
    key = np.random.default_rng(0)
    for size in ((16, 16), (300, 20), (1500, 2000)):
        image = key.integers(0, 256, (*size, 3), dtype=np.uint8)
        trials = [
            jaxinr.Trial(layer_size=width, num_layers=depth, learning_rate=rate)
            for width, depth in ((4, 2), (28, 10), (60, 14))
            for rate in (1e-4, 5e-3)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jaxinr.ForecastWarning)
            found = jaxinr.forecast(image, trials, iterations=[1, 100, 10_000, 100_000])
        assert np.isfinite(found.mean_db).all()
        assert (np.diff(found.mean_db) >= 0).all()
        assert (found.std_db > 0).all()


def _shipped():
    return ("forecaster.safetensors", forecaster_data.FITS, forecaster_data.PICTURES)
