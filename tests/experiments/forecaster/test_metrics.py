"""How good forecasts are: numbers known by hand or by the statistics of Gaussians."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.forecaster import metrics as forecaster_metrics
from experiments.forecaster.data import FitTable
from jaxinr.forecaster import descriptors


def fits_of(frame, best_psnr_db):
    """A table with these hyperparameters; all else is the same for all fits."""
    constant = {"image_height": 48, "image_width": 48, "w0": 30.0, "w0_initial": 30.0}
    constant |= {"learning_rate": 1e-3, "num_iters": 100, "num_layers": 4, "split": "train"}
    constant["parameters"] = 300
    frame = pd.DataFrame(
        {**constant, "is_new_size": False, **frame}, index=range(len(best_psnr_db))
    )
    frame["image_id"] = frame["picture"].astype(str)
    rows = len(frame)
    described = np.zeros((frame["picture"].max() + 1, len(descriptors.NAMES)), np.float32)
    best_db = np.stack([np.full(rows, 5.0), best_psnr_db], -1).astype(np.float32)
    return FitTable(frame, described, described, np.tile([10, 100], (rows, 1)), best_db)


def test_errors_by_hand():
    truth = np.array([20.0, 30.0, 40.0])
    predicted = np.array([20.0, 33.0, 36.0])
    assert forecaster_metrics.rmse_db(predicted, truth) == pytest.approx(np.sqrt(25 / 3))
    assert forecaster_metrics.mae_db(predicted, truth) == pytest.approx(7 / 3)
    assert forecaster_metrics.r2(predicted, truth) == pytest.approx(1 - 25 / 200)
    assert forecaster_metrics.r2(np.full(3, 30.0), truth) == 0
    assert forecaster_metrics.spearman(predicted, truth) == pytest.approx(1)
    assert forecaster_metrics.spearman(-predicted, truth) == pytest.approx(-1)


def test_no_correlation_without_variation():
    assert np.isnan(forecaster_metrics.spearman(np.ones(3), np.arange(3.0)))
    assert np.isnan(forecaster_metrics.r2(np.arange(3.0), np.ones(3)))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_coverage_of_gaussians(share):
    rng = np.random.default_rng(0)
    std = rng.uniform(0.2, 3.0, 20_000)
    mean = rng.normal(30, 5, 20_000)
    truth = rng.normal(mean, std)
    found = forecaster_metrics.coverage(mean, std, truth, share)
    assert found == pytest.approx(share, abs=0.012)
    assert forecaster_metrics.coverage(mean, std / 2, truth, share) < share - 0.1


def test_noise_floor_of_known_spread():
    first, second = 30 + 0.7 * np.random.default_rng(0).normal(size=(2, 4000))
    floor = forecaster_metrics.noise_floor_db(first, second)
    assert floor.low_db < 0.7 < floor.high_db
    assert floor.value_db == pytest.approx(0.7, rel=0.03)
    assert floor.high_db - floor.low_db < 0.06
    assert floor.pairs == 4000


def test_noise_floor_of_one_pair():
    floor = forecaster_metrics.noise_floor_db(np.array([30.0]), np.array([32.0]))
    assert floor.value_db == floor.low_db == floor.high_db == pytest.approx(np.sqrt(2))


def test_twins_differ_in_their_seed_alone():
    frame = {
        "picture": [0, 0, 1, 0, 0, 0, 1, 0],
        "layer_size": [16, 16, 16, 24, 16, 16, 16, 24],
        "seed": [1, 2, 1, 5, 3, 1, 9, 5],  # rows 5 and 7 are rows 0 and 3 again
    }
    first, second = forecaster_metrics.twins(fits_of(frame, np.zeros(8)).frame)
    assert set(zip(first, second, strict=True)) == {(0, 1), (2, 6)}  # row 4 has no partner left


def test_no_twins_at_other_rates():
    frame = {"picture": [0, 0], "layer_size": 16, "seed": [1, 2], "learning_rate": [1e-3, 2e-3]}
    fits = fits_of(frame, np.array([30.0, 31.0]))
    assert forecaster_metrics.noise_of(fits, np.ones(2, bool)) is None


def test_noise_counts_kinds_as_often_as_they_occur():
    """10 of 16 fits are of one architecture; pairs differ by 2 dB there and by 4 dB elsewhere."""
    frame = {
        "picture": [0] * 12 + [1, 2, 3, 4],
        "layer_size": [16] * 10 + [24] * 6,
        "seed": range(16),
    }
    best_psnr_db = np.array([30.0, 32.0] * 5 + [30.0, 34.0] + [30.0] * 4)
    noise = forecaster_metrics.noise_of(fits_of(frame, best_psnr_db), np.ones(16, bool))
    assert noise.pairs == 6
    assert noise.value_db == pytest.approx(np.sqrt((10 * 2 + 6 * 8) / 16))


def test_other_sizes_of_pictures_and_long_trainings_are_measured_by_themselves():
    frame = {
        "picture": 0,
        "image_height": [48] * 6 + [24] * 4,
        "image_width": [48] * 6 + [32] * 4,
        "split": ["test", "test", "train", "train", "test", "train"] + ["test"] * 3 + ["train"],
        "is_new_size": [False, False, True, False, True, False, False, False, True, True],
    }
    found = forecaster_metrics.splits(fits_of(frame, np.zeros(10)))
    assert {name: np.flatnonzero(rows).tolist() for name, rows in found.items()} == {
        "unseen photographs": [0, 1],
        "unseen architectures": [2],
        "both unseen": [4],
        "unseen photographs, up to 1,000 pixels": [6, 7],
    }
    fits = fits_of(frame, np.zeros(10))
    iterations = np.tile([10, 20_000], (10, 1))
    frame = fits.frame.assign(
        image_height=120, image_width=[120] * 6 + [24] * 4, parameters=[6_000] + [300] * 9
    )
    found = forecaster_metrics.splits(dataclasses.replace(fits, frame=frame, iterations=iterations))
    assert found["unseen photographs, more than 2,000 iterations"].sum() == 4
    large = found["unseen photographs, more than 2,000 iterations and 5,000 weights"]
    assert np.flatnonzero(large).tolist() == [0]
    only = found["unseen photographs, 120 x 120 pixels, 20,000 iterations"]
    assert np.flatnonzero(only).tolist() == [0, 1]


def test_table_has_all_splits_with_fits():
    frame = {
        "picture": np.arange(300) // 2,
        "layer_size": 16,
        "seed": np.arange(300),
        "split": ["train"] * 100 + ["validation"] * 40 + ["test"] * 160,
        "is_new_size": [True] * 20 + [False] * 280,
    }
    rng = np.random.default_rng(0)
    signal = np.repeat(rng.normal(30, 4, 150), 2)
    fits = fits_of(frame, signal + rng.normal(0, 0.5, 300))
    found = forecaster_metrics.table(
        fits, {"signal": signal, "shifted": signal + 3}, {"signal": np.full(300, 0.5)}
    )
    assert list(found["split"]) == ["unseen photographs"] * 2 + ["unseen architectures"] * 2
    assert list(found["fits"]) == [160, 160, 20, 20]
    signal, shifted = found.iloc[0], found.iloc[1]
    assert signal["rmse_db"] == pytest.approx(0.5, abs=0.08)
    assert signal["noise_db"] == pytest.approx(0.5, abs=0.1)
    assert shifted["bias_db"] - signal["bias_db"] == pytest.approx(3)
    assert signal["coverage_90"] == pytest.approx(0.9, abs=0.06)
    assert shifted["rmse_db"] == pytest.approx(3, abs=0.2)
    assert shifted["spearman"] == signal["spearman"]
    assert np.isnan(shifted["coverage_90"])
