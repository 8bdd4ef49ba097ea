"""The page of a forecaster: what it shows, and that nothing from outside becomes a tag."""

import numpy as np
import pandas as pd
import pytest

from experiments.forecaster import page as forecaster_page
from experiments.forecaster import regimes
from experiments.forecaster.metrics import Estimate
from experiments.report import page

N = 300


@pytest.fixture
def evaluation():
    rows = [
        ("unseen photographs", "forecaster", 0.9, 0.9),
        ("unseen photographs", "boosted trees", 1.2, np.nan),
        ("unseen photographs", "power law", 3.0, np.nan),
        ("unseen architectures", "forecaster", 1.0, 0.88),
        ("unseen architectures", "power law", 0.5, np.nan),
    ]
    frame = pd.DataFrame(rows, columns=["split", "predictor", "rmse_db", "coverage_90"])
    frame[["bias_db", "mae_db", "r2", "spearman", "noise_db", "coverage_50"]] = 0.75
    return frame.assign(fits=1234)


@pytest.fixture
def forecasts():
    rng = np.random.default_rng(0)
    mean_db, std_db = rng.uniform(20, 40, N), rng.uniform(0.5, 2, N)
    return mean_db, std_db, rng.normal(mean_db, std_db)


def test_tiles_are_of_unseen_photographs(evaluation):
    tiles = forecaster_page.tiles(evaluation, Estimate(0.8, 0.75, 0.85, 100), 8.25)
    assert tiles["RMSE on unseen photographs"] == "0.90 dB"
    assert tiles["scatter over seeds"] == "0.80 dB (0.75–0.85)"
    assert tiles["truth within the 90 % interval"] == "90.0 %"
    assert tiles["RMSE below the best baseline’s"] == "25 % (boosted trees)"
    assert tiles["a thousand forecasts"] == "8.25 ms"
    assert len(forecaster_page.tiles(evaluation)) == len(tiles) - 2


def test_page_and_its_figures(evaluation, forecasts, tmp_path):
    iterations = np.tile([10, 100, 1000], (2, 1))
    truth_db = np.array([[10.0, 20, 30], [12, 18, 22]])
    drawings = [
        forecaster_page.against_truth(*forecasts),
        forecaster_page.calibration(*forecasts),
        forecaster_page.learning_curves(
            iterations, truth_db, truth_db + 1, np.ones((2, 3)), ["a.png, 4 × 16", "b.png, 8 × 32"]
        ),
    ]
    values = forecaster_page.tiles(evaluation)
    said = {"pixels": "24 × 24", "iterations": "1,000", "fits": 90, "photographs": 30}
    numbers = dict.fromkeys(("jpeg_percent", "jpeg_low", "jpeg_high", "gain_error_db"), np.nan)
    found = pd.DataFrame([{**said, **numbers, "gain_db": 3.21}])
    path = forecaster_page.write(
        tmp_path,
        "A <forecaster>",
        evaluation,
        drawings,
        values,
        {"steps": 6000},
        ["a <note>"],
        {"Findings": page.table(found, regimes.COLUMNS, leading=2)},
    )
    assert path == tmp_path / "report.html"
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert names == {"against_truth.png", "calibration.png", "learning_curves.png"}
    text = path.read_text()
    assert "A &lt;forecaster&gt;" in text
    assert "a &lt;note&gt;" in text
    assert text.count("<tr>") == 1 + len(evaluation) + 1 + len(found)
    for shown in ("24 × 24", "3.21", "boosted trees", "1,234", "88.0%", "<td>–</td>", "6000"):
        assert shown in text


def test_numbers_of_the_captions(forecasts):
    mean_db, std_db, truth_db = forecasts
    rmse_db = np.sqrt(np.mean((mean_db - truth_db) ** 2))
    assert f"RMSE {rmse_db:.2f} dB" in forecaster_page.against_truth(*forecasts).caption
    inside = np.mean(np.abs(mean_db - truth_db) < 1.6449 * std_db)
    caption = forecaster_page.calibration(*forecasts).caption
    assert f"90 %, {100 * inside:.1f} %" in caption
