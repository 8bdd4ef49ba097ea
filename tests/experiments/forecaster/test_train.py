"""Training a forecaster on a table: it is resumed, measured, written, and refuses other tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.forecaster import baselines, jpeg
from experiments.forecaster import train as forecaster_train
from experiments.forecaster.data import FitTable
from experiments.forecaster.train import PredictorConfig
from jaxfleet.errors import InputError
from jaxinr.collection.schema import split_of
from jaxinr.forecaster import descriptors, inputs, training
from jaxinr.forecaster.trained import Trained

CONFIG = PredictorConfig(members=2, steps=40, batch_fits=64, width=16, checkpoint_minutes=0)


def make_table(pictures=60, fits=1200):
    """Random networks on random pictures; a formula of both, and half a dB of noise."""
    key = np.random.default_rng(0)
    images = [
        np.clip(key.normal(128, 10 + number, (16, 16, 3)), 0, 255).astype(np.uint8)
        for number in range(pictures)
    ]
    described = np.stack([descriptors.describe(image) for image in images])
    picture = key.integers(0, pictures, fits)
    size, depth = key.integers(4, 33, fits), key.integers(1, 9, fits)
    w0_initial = np.exp(key.uniform(1, 4.6, fits)).round(2)
    rows = np.stack([size, depth, w0_initial, np.full(fits, 1e-3)], 1)
    rows = np.concatenate([rows, np.full((fits, 2), 16.0)], 1)
    parameters = inputs.parameters(rows)
    best = described[picture, 1] + 1.5 * np.log2(parameters) + key.normal(0, 0.5, fits)
    names = np.array([f"picture{number}" for number in range(pictures)])[picture]
    frame = pd.DataFrame(
        {
            "image_id": names,
            "split": [split_of(name) for name in names],
            "image_height": 16,
            "image_width": 16,
            "layer_size": size,
            "num_layers": depth,
            "w0_initial": w0_initial,
            "w0": 30.0,
            "learning_rate": 1e-3,
            "num_iters": 1000,
            "seed": np.arange(fits),
            "parameters": parameters.astype(int),
            "hp_bpp": 16 * parameters / 256,
            "best_psnr_db": best,
            "seconds": 0.1,
        }
    )
    iterations = np.tile([10, 100, 1000], (fits, 1)).astype(np.int32)
    best_db = (best[:, None] + np.array([-6.0, -3.0, 0.0])).astype(np.float32)
    return FitTable(
        frame.assign(picture=picture, is_new_size=(size == 7) & (depth < 5)),
        described,
        np.stack([jpeg.measure(image) for image in images]),
        iterations,
        best_db,
    )


def save_table(tmp_path_factory):
    """The table on disk, as the shipped one: its folder."""
    folder = tmp_path_factory.mktemp("table")
    make_table().save(folder)
    return folder


folder = pytest.fixture(scope="module")(save_table)


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    config = dataclasses.replace(CONFIG, collections=(str(folder),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(baselines.SETTINGS, "max_iter", 20)
        return run_dir, forecaster_train.run(config, run_dir)


def test_leaves_weights_with_a_card_a_report_and_the_table(finished):
    run_dir, answer = finished
    assert answer.startswith("RMSE ")
    forecaster = Trained.load(run_dir / "forecaster.safetensors")
    card = forecaster.card
    assert card["fits"] > 500
    assert card["photographs"] > 40
    assert card["range"]["layer_size"] == [4, 32]
    assert {row["predictor"] for row in card["evaluation"]} >= {"forecaster"}
    for name in ("report.html", "evaluation.parquet", "fits.parquet", "pictures.parquet", "DONE"):
        assert (run_dir / name).exists(), name
    assert "not trained on" not in (run_dir / "report.html").read_text()


def test_spread_covers_the_validation_photographs(finished, folder):
    forecaster = Trained.load(finished[0] / "forecaster.safetensors")
    table = forecaster_train.data.load([folder], "")
    chosen = table.split("validation")
    mean_db, std_db = forecaster_train.forecast(table, forecaster)
    inside = (np.abs(table.truth_db - mean_db) < 1.645 * std_db)[chosen]
    assert inside.mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(finished, folder, tmp_path, monkeypatch):
    table = forecaster_train.data.load([folder], "")
    make_step, calls = training.make_step, []

    def make_dying_step(*args):
        step = make_step(*args)

        def dying(params, state, number):
            calls.append(int(number))
            if len(calls) == 25:
                raise KeyboardInterrupt
            return step(params, state, number)

        return dying

    monkeypatch.setattr(training, "make_step", make_dying_step)
    with pytest.raises(KeyboardInterrupt):
        forecaster_train.train(table, CONFIG.recipe(), tmp_path, 0)
    again = forecaster_train.train(table, CONFIG.recipe(), tmp_path, 0)
    assert calls == [*range(25), *range(24, 40)]
    whole = Trained.load(finished[0] / "forecaster.safetensors")
    for name in whole.params:
        assert np.array_equal(again.params[name], whole.params[name])


def test_a_directory_keeps_one_training(finished, folder):
    config = dataclasses.replace(CONFIG, collections=(str(folder),), width=24)
    with pytest.raises(InputError, match="training of other fits or flags"):
        forecaster_train.run(config, finished[0])


def test_collections_without_a_split_are_refused(tmp_path):
    table = make_table(fits=50)
    frame = table.frame.assign(split="train")
    dataclasses.replace(table, frame=frame).save(tmp_path)
    config = dataclasses.replace(CONFIG, collections=(str(tmp_path),))
    with pytest.raises(InputError, match="no photograph in the validation split"):
        forecaster_train.run(config, tmp_path / "run")


def test_any_forecaster_is_measured_on_any_fits_without_training(
    finished, folder, tmp_path, monkeypatch
):
    run_dir, _ = finished
    monkeypatch.setattr(forecaster_train, "train", None)
    own = dataclasses.replace(
        CONFIG,
        collections=(str(folder),),
        measure_only=True,
        forecaster=str(run_dir / "forecaster.safetensors"),
    )
    told = forecaster_train.run(own, tmp_path / "own")
    found = pd.read_parquet(tmp_path / "own" / "evaluation.parquet")
    trained = pd.read_parquet(run_dir / "evaluation.parquet")
    trained = trained[trained["predictor"] == "forecaster"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, trained)
    assert told.startswith("| split | fits | rmse_db |")
    assert told.count("\n") == 1 + len(found)
    installed = dataclasses.replace(own, forecaster="")
    forecaster_train.run(installed, tmp_path / "installed")
    other = pd.read_parquet(tmp_path / "installed" / "evaluation.parquet")
    assert (other["rmse_db"] > 2 * found["rmse_db"]).all()
