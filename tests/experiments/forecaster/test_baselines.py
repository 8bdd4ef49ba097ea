"""Baselines get back the rule that a made-up collection follows."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.forecaster import baselines, jpeg
from experiments.forecaster.data import FitTable
from jaxinr.forecaster import descriptors, inputs

PICTURES, FITS = 40, 1200


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(baselines, "SETTINGS", {"max_iter": 60})


@pytest.fixture(scope="module")
def files():
    """JPEG files that gain 2 to 4 dB per doubling of their bits; nothing else is known."""
    rng = np.random.default_rng(0)
    bits = rng.uniform(10, 11, (PICTURES, 1)) + np.arange(5)
    gain = rng.uniform(2, 4, (PICTURES, 1))
    return np.concatenate([20 + gain * (bits - 10), bits], 1).astype(np.float32)


@pytest.fixture(scope="module")
def table(files):
    """Fits of random sizes, the PSNR still unknown; the last pictures are not trained on."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "picture": rng.integers(0, PICTURES, FITS),
            "image_height": 48,
            "image_width": 48,
            "layer_size": rng.integers(6, 30, FITS),
            "num_layers": rng.integers(2, 6, FITS),
            "w0_initial": rng.uniform(10, 60, FITS),
            "learning_rate": 1e-3,
            "is_new_size": False,
        }
    )
    frame["split"] = np.where(frame["picture"] < 30, "train", "test")
    iterations = np.tile([10, 1000], (FITS, 1))
    described = np.zeros((PICTURES, len(descriptors.NAMES)), np.float32)
    return FitTable(frame, described, files, iterations, np.zeros((FITS, 2), np.float32))


def with_truth(table, best_psnr_db):
    best_db = np.stack([np.zeros(FITS), best_psnr_db], -1).astype(np.float32)
    return dataclasses.replace(table, best_db=best_db)


def log2_parameters(table):
    return np.log2(inputs.parameters(table.training_fits().rows))


def error_db(table, name):
    predicted = baselines.predict(table, table.split("train"))[name]
    assert predicted.shape == (FITS,)
    unseen = table.split("test")
    return np.abs(predicted - table.truth_db)[unseen].max()


def test_power_law(table):
    table = with_truth(table, 10 + 2 * log2_parameters(table))
    assert error_db(table, baselines.POWER_LAW) < 1e-3


def test_jpeg_at_the_rate_that_networks_follow(table):
    files = table.jpeg[table.frame["picture"]]
    jpeg_db = jpeg.at_bits(files, 2.5 + 0.9 * log2_parameters(table))
    table = with_truth(table, 3 + 0.8 * jpeg_db)
    assert error_db(table, baselines.JPEG) < 0.1
    assert error_db(table, baselines.POWER_LAW) > 1


def test_jpeg_between_and_beyond_its_files(files):
    psnr_db, bits = files[:, :5], files[:, 5:]
    gain = psnr_db[:, 1] - psnr_db[:, 0]
    for log2_bits in (8.0, 11.3, 13.9, 17.0):
        wanted = 20 + gain * (log2_bits - 10)
        found = jpeg.at_bits(files, np.full(PICTURES, log2_bits))
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(jpeg.at_bits(files, bits[:, 2]), psnr_db[:, 2], atol=1e-4)


def test_mean_per_architecture(table):
    size = table.frame["layer_size"] * 10 + table.frame["num_layers"]
    table = with_truth(table, np.random.default_rng(2).uniform(20, 40, 400)[size])
    assert error_db(table, baselines.ARCHITECTURE) < 1e-3


def test_architectures_never_seen_have_the_mean_of_those_nearest():
    sizes = np.array([[8, 3], [10, 3], [12, 3], [30, 3], [11, 3]])
    count = np.array([7.0, 7.5, 8.0, 12.0, 7.8])
    truth_db = np.array([20.0, 22.0, 24.0, 40.0, 0.0])
    train = np.array([True] * 4 + [False])
    found = baselines.mean_per_architecture(sizes, count, truth_db, train)
    np.testing.assert_allclose(found, [20, 22, 24, 40, 22])
    few = train & (sizes[:, 0] < 12)
    found = baselines.mean_per_architecture(sizes, count, truth_db, few)
    np.testing.assert_allclose(found, [20, 22, 21, 21, 21])


def test_boosted_trees_learn_what_no_line_says(table):
    pytest.importorskip("sklearn")
    w0_initial = table.frame["w0_initial"].to_numpy()
    table = with_truth(table, 30 - 6 * np.square(np.log2(w0_initial / 25)))
    assert error_db(table, baselines.TREES) < 2
    assert error_db(table, baselines.POWER_LAW) > 5


def test_rules_that_never_look_at_other_rows(table):
    truth_db = 10 + 2 * log2_parameters(table)
    train = table.split("train")
    changed = with_truth(table, np.where(train, truth_db, 99.0))
    before = baselines.predict(with_truth(table, truth_db), train)
    after = baselines.predict(changed, train)
    for name, predicted in before.items():
        np.testing.assert_array_equal(after[name], predicted)


def test_page_says_that_scikit_learn_is_missing(table, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    predicted = baselines.predict(table, table.split("train"))
    assert baselines.TREES not in predicted
    assert "scikit-learn" in baselines.notes(predicted)[0]
    assert not baselines.notes([baselines.TREES])
