"""The regret of recommendations: its grid, its limits, and fits that are really made."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxinr
from experiments.forecaster import regret
from experiments.forecaster.regret import RegretConfig, Request
from jaxfleet.errors import InputError
from jaxfleet.imaging.photos import Photo
from jaxfleet.imaging.splits import split_of
from jaxinr.forecaster import speed
from jaxinr.forecaster.trained import packaged

UNSEEN = next(f"photo{i}" for i in range(100) if split_of(f"photo{i}") == "test")


def picture(side, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)


def fitted_db(trials):
    return jaxinr.fit([picture(32)] * len(trials), trials).best_psnr_db


def measure(limit, value, num_iters=30):
    case = Request(Photo(UNSEEN, picture(32)), limit, value)
    return regret.measure(case, packaged(), speed.TYPICAL, num_iters)


def test_rivals_are_the_widest_of_each_depth_and_keep_the_limit():
    advice = jaxinr.recommend(picture(48), bits_per_pixel=3.0)
    found = regret.rivals(advice, (1.0,))
    widths = {trial.num_layers: trial.layer_size for trial in found}
    assert set(widths) == set(regret.DEPTHS)
    assert len(found) == len(widths) * len(regret.W0_INITIALS) * len(regret.LEARNING_RATES)
    for depth, width in widths.items():
        own = [t.layer_size for t in advice.considered if t.num_layers == depth]
        assert width == max(own)
        assert jaxinr.Trial(layer_size=width, num_layers=depth).bits_per_pixel(48, 48) <= 3.0
    shared = regret.rivals(advice, (1.0, 0.3))
    assert len(shared) > len(found)
    assert set(found) <= set(shared)


def test_regret_is_what_fits_say():
    row = measure("bits_per_pixel", 2.0)
    advice = jaxinr.recommend(picture(32), bits_per_pixel=2.0, max_iterations=30)
    own_db, *others_db = fitted_db([advice.trial, *regret.rivals(advice, (1.0,))])
    assert row["recommended_db"] == pytest.approx(own_db, abs=1e-3)
    assert row["best_db"] == pytest.approx(max(others_db), abs=1e-3)
    assert row["regret_db"] == pytest.approx(max(max(others_db) - own_db, 0), abs=1e-3)
    assert row["forecast_db"] == pytest.approx(advice.mean_db)
    assert row["real_seconds"] > 0


def test_under_a_target_the_regret_is_what_lacks():
    row = measure("target_psnr_db", 9.0)
    assert row["best_db"] == 9.0
    assert row["regret_db"] == max(9.0 - row["recommended_db"], 0)


def test_time_limits_the_updates():
    row = measure("encode_seconds", 0.05)
    assert 0.02 < row["encode_seconds"] <= 0.05


def test_a_limit_that_no_network_keeps_counts_as_unknown():
    row = measure("target_psnr_db", 59.0)
    assert np.isnan(row["regret_db"])
    found = regret.summary(pd.DataFrame([row])).iloc[0]
    assert (found["photographs"], found["unmet"]) == (0, 1)
    assert np.isnan(found["regret_db"])


def test_summary_is_means_over_photographs():
    row = {"limit": "encode_seconds", "value": 0.5, "image_height": 96, "image_width": 96}
    numbers = {"recommended_db": 20.0, "forecast_db": 21.0, "best_db": 20.4}
    rows = pd.DataFrame(
        [
            {**row, **numbers, "regret_db": 0.4, "encode_seconds": 0.5, "real_seconds": 0.6},
            {**row, **numbers, "regret_db": 0.0, "encode_seconds": 0.5, "real_seconds": 0.4},
        ]
    )
    found = regret.summary(rows).iloc[0]
    assert found["limit"] == "0.5 s of training"
    assert found["pixels"] == "96 × 96"
    assert (found["photographs"], found["unmet"]) == (2, 0)
    assert found["regret_db"] == pytest.approx(0.2)
    assert found["worst_db"] == pytest.approx(0.36)
    assert found["time_ratio"] == pytest.approx(1.0)


def test_run_goes_on_where_it_was(tmp_path, monkeypatch, foreign):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(picture(32)).save(folder / f"{UNSEEN}.png")
    config = RegretConfig(
        photos=f"folder:{folder}",
        image_size=(32,),
        bits_per_pixel=(2.0,),
        encode_seconds=(0.0,),
        decode_milliseconds=(0.0,),
        target_psnr_db=(9.0,),
        num_iters=20,
    )
    assert regret.run(dataclasses.replace(config, dry_run=True), tmp_path / "no").startswith(
        "2 recommendations for 1 photograph, up to 33 fits each"
    )
    with pytest.raises(InputError, match="and no run; give another folder"):
        regret.run(dataclasses.replace(config, dry_run=True), foreign)
    assert "2 bits per pixel" in regret.run(config, tmp_path / "run")
    rows = pd.read_parquet(tmp_path / "run" / "regret.parquet")
    assert rows["limit"].tolist() == ["bits_per_pixel", "target_psnr_db"]

    def fails(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(regret, "measure", fails)
    regret.run(config, tmp_path / "run")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "regret.parquet"), rows)


def test_photographs_that_were_trained_on_are_refused(tmp_path):
    seen = next(f"photo{i}" for i in range(100) if split_of(f"photo{i}") == "train")
    Image.fromarray(picture(32)).save(tmp_path / f"{seen}.png")
    with pytest.raises(InputError, match="no photograph of the test split"):
        regret.run(RegretConfig(photos=f"folder:{tmp_path}", image_size=(32,)), tmp_path / "run")
