"""The paper's findings by size of picture, looked for where they were put."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.forecaster import jpeg, regimes
from experiments.forecaster.data import FitTable
from jaxinr.trial import count_parameters

PICTURES = 40
GAIN_DB = {24: 3.0, 48: 2.0}


def table():
    """Return fits at two sizes: one architecture with two seeds, and others, for each picture."""
    rng = np.random.default_rng(0)
    bits = rng.uniform(9, 10, (2 * PICTURES, 1)) + np.arange(5)
    files = np.concatenate([3 * bits + rng.normal(0, 2, (2 * PICTURES, 5)), bits], 1)
    jpeg_db = jpeg.at_bits(files, np.full(2 * PICTURES, 11.4))
    rows = []
    for picture in range(2 * PICTURES):
        side = 24 if picture < PICTURES else 48
        same = {"image_id": f"p{picture % PICTURES}", "image_height": side, "image_width": side}
        same |= {"picture": picture, "w0_initial": 30.0, "w0": 30.0, "learning_rate": 1e-3}
        for seed in range(2):
            rows.append(same | {"num_layers": 4, "layer_size": 16, "seed": seed})
        for seed, size in enumerate(rng.permutation(np.arange(4, 40))[:6]):
            rows.append(same | {"num_layers": 3, "layer_size": int(size), "seed": seed})
    frame = pd.DataFrame(rows).assign(num_iters=1000, split="train", is_new_size=False)
    frame["parameters"] = count_parameters(frame["layer_size"], frame["num_layers"])
    gain = frame["image_height"].map(GAIN_DB)
    truth_db = jpeg_db[frame["picture"]] + gain * np.log2(frame["parameters"])
    best_db = np.array(truth_db, np.float32)[:, None]
    updates = np.full((len(frame), 1), 1000)
    return FitTable(frame, np.zeros((2 * PICTURES, 1), np.float32), files, updates, best_db)


def test_each_size_has_its_own_finding():
    found = regimes.by_regime(table())
    assert found["pixels"].tolist() == ["24 × 24", "48 × 48"]
    assert found["iterations"].tolist() == ["1,000"] * 2
    assert found["photographs"].tolist() == [PICTURES] * 2
    assert found["gain_db"].tolist() == pytest.approx([3, 2], abs=1e-3)
    assert (found["jpeg_percent"] > 99).all()
    assert (found["jpeg_low"] < found["jpeg_percent"]).all()
    assert (found["jpeg_percent"] < found["jpeg_high"]).all()
    assert (found["jpeg_high"] <= 100).all()


def test_too_few_photographs_tell_nothing():
    whole = table()
    few = whole.frame["picture"].to_numpy() < 5
    some = dataclasses.replace(
        whole,
        frame=whole.frame[few].reset_index(drop=True),
        iterations=whole.iterations[few],
        best_db=whole.best_db[few],
    )
    found = regimes.by_regime(some)
    assert found["jpeg_percent"].isna().all()


def test_where_no_two_fits_share_w0_or_picture():
    whole = table()
    place = whole.frame.groupby("picture").cumcount()
    once = place.isin((0, 2)).to_numpy()  # the common architecture, and one other
    frame = whole.frame[once].reset_index(drop=True)
    rng = np.random.default_rng(1)
    frame["w0_initial"] = np.exp(rng.uniform(np.log(3), np.log(100), len(frame)))
    other = frame["layer_size"].to_numpy() != 16
    frame.loc[other, "layer_size"] = 20 + np.arange(other.sum()) % PICTURES
    frame["parameters"] = count_parameters(frame["layer_size"], frame["num_layers"])
    gain = frame["image_height"].map(GAIN_DB) * np.log2(frame["parameters"])
    jpeg_db = jpeg.at_bits(whole.jpeg, np.full(2 * PICTURES, 11.4))[frame["picture"]]
    effect_db = -2 * np.log2(frame["w0_initial"] / 20) ** 2
    best_db = (jpeg_db + gain + effect_db).to_numpy(np.float32)[:, None]
    updates = np.full((len(frame), 1), 1000)
    found = regimes.by_regime(FitTable(frame, whole.described, whole.jpeg, updates, best_db))
    assert (found["jpeg_percent"] > 98).all()
    assert (abs(found["gain_db"] - [3, 2]) < 2 * found["gain_error_db"] + 0.05).all()
    assert (found["gain_error_db"] < 0.5).all()


def test_jpeg_explains_less_where_w0_adds_chance():
    rng = np.random.default_rng(2)
    count = 4 * PICTURES
    bits = rng.uniform(9, 10, (count, 1)) + np.arange(5)
    files = np.concatenate([3 * bits + rng.normal(0, 2, (count, 5)), bits], 1)
    octaves = rng.uniform(-2, 2, count)
    frame = pd.DataFrame({"image_id": map(str, range(count)), "picture": range(count)}).assign(
        **{"image_height": 120, "image_width": 120, "layer_size": 12, "num_layers": 4},
        **{"w0_initial": 20 * 2**octaves, "w0": 30.0, "learning_rate": 2e-4, "num_iters": 20_000},
    )
    chance = rng.normal(0, 2, count) * (octaves > 1)
    truth_db = jpeg.at_bits(files, np.full(count, 11.4)) - octaves**2 + chance
    long = np.full((count, 1), 20_000)
    table = FitTable(frame, np.zeros((count, 1)), files, long, truth_db[:, None])
    found = regimes.by_w0(table)
    assert found["fits"].tolist() == [54, 53, 53]
    assert (found["jpeg_percent"][:2] > 98).all()
    assert found["jpeg_high"][2] < 90
    short = dataclasses.replace(table, iterations=np.full((count, 1), 1000))
    assert regimes.by_w0(short).empty
