"""The public questions: forecast, learning curve, recommendation, and what they refuse."""

import dataclasses
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import jaxinr
from jaxinr.forecaster.trained import Trained
from tests.jaxinr.forecaster.conftest import smooth_pictures

TRIAL = jaxinr.Trial(
    layer_size=16, num_layers=4, w0_initial=30.0, learning_rate=1e-3, num_iters=1000
)
IMAGE = smooth_pictures(60)[51]


def test_seeds_make_no_difference_and_trials_keep_their_order(forecaster: Trained) -> None:
    trials = [
        TRIAL,
        dataclasses.replace(TRIAL, seed=5),
        dataclasses.replace(TRIAL, layer_size=32),
    ]
    found = jaxinr.forecast(IMAGE, trials, forecaster=forecaster)
    assert found.mean_db.shape == found.std_db.shape == (3,)
    assert found.mean_db[0] == found.mean_db[1]
    assert found.mean_db[2] > found.mean_db[0] + 1
    assert found.outside == ()


def test_curve_ends_where_the_forecast_is(forecaster: Trained) -> None:
    curve = jaxinr.forecast(IMAGE, [TRIAL] * 2, iterations=[10, 100, 1000], forecaster=forecaster)
    assert curve.mean_db.shape == (2, 3)
    final = jaxinr.forecast(IMAGE, [TRIAL], forecaster=forecaster)
    assert curve.mean_db[1, -1] == pytest.approx(final.mean_db[0], abs=1e-4)
    assert (np.diff(curve.mean_db) > 1).all()


UPDATES = [1, 2, 7, 10, 30, 137, 499, 500, 1000, 1001, 2000, 50_000]


@pytest.mark.parametrize("forecasts", ["small", "packaged"])
def test_the_best_so_far_never_falls(forecaster: Trained, forecasts: str) -> None:
    asked = None if forecasts == "packaged" else forecaster
    trials = [
        dataclasses.replace(TRIAL, layer_size=size, num_layers=depth, w0_initial=w0)
        for size, depth, w0 in ((4, 1, 5.0), (28, 10, 30.0), (8, 3, 90.0))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxinr.ForecastWarning)
        curve = jaxinr.forecast(IMAGE, trials, iterations=UPDATES, forecaster=asked)
        alone = [
            jaxinr.forecast(
                IMAGE, [dataclasses.replace(trials[1], num_iters=n)], forecaster=asked
            ).mean_db[0]
            for n in UPDATES[::4]
        ]
    assert (np.diff(curve.mean_db) >= 0).all()
    assert (np.diff(curve.mean_db[:, 4:7]) > 0).all()
    if forecasts == "small":  # no training went beyond 1,000, so the spread grows
        assert (curve.std_db[:, -1] > curve.std_db[:, -4]).all()
    np.testing.assert_allclose(alone, curve.mean_db[1, ::4], rtol=1e-5)


def test_float_pictures_are_as_8_bit_ones(forecaster: Trained) -> None:
    a = jaxinr.forecast(IMAGE, [TRIAL], forecaster=forecaster)
    b = jaxinr.forecast(IMAGE.astype(np.float32) / 255, [TRIAL], forecaster=forecaster)
    assert a.mean_db == pytest.approx(b.mean_db, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_layers": 20}, "num_layers 20, trained on 1 to 8"),
        ({"layer_size": 300}, "layer_size 300, trained on 4 to 32"),
        ({"w0": 10.0}, "w0 10, trained on 30"),
        ({"learning_rate_decay": 1.0}, "learning rates that fall"),
        ({"pixels_per_update": 64}, "updates on a part of the pixels"),
        (
            {"num_iters": 50_000},
            "50,000 iterations of .* weights at a learning rate of 0.001, trained on at most",
        ),
        ({"learning_rate": 1e-2}, "learning_rate 0.01, trained on 0.001"),
    ],
)
def test_outside_its_range_it_says_so(
    forecaster: Trained, change: dict[str, float], said: str
) -> None:
    usual = jaxinr.forecast(IMAGE, [TRIAL], forecaster=forecaster)
    trial = dataclasses.replace(TRIAL, **change)
    with pytest.warns(jaxinr.ForecastWarning, match=said):
        found = jaxinr.forecast(IMAGE, [trial], forecaster=forecaster)
    assert found.outside
    assert found.std_db[0] > usual.std_db[0]


def test_inside_its_range_it_is_silent(forecaster: Trained) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jaxinr.forecast(IMAGE, [TRIAL], forecaster=forecaster)
        jaxinr.recommend(IMAGE, 4.0, max_iterations=1000, learning_rate=1e-3, forecaster=forecaster)


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (np.zeros((1, 1, 3), np.uint8), ValueError, "1 x 1 pixels; a forecast needs at least 8"),
        (np.zeros((9, 9), np.uint8), ValueError, r"must be \[H, W, 3\]"),
        ("a.png", TypeError, r"got the path a\.png\. Read it"),
        (np.zeros((9, 9, 3), np.int64), TypeError, "uint8, or float"),
        (np.full((9, 9, 3), np.nan), ValueError, "must lie in"),
        (np.full((9, 9, 3), 2.0), ValueError, "must lie in"),
    ],
)
def test_what_is_no_picture_is_refused(
    forecaster: Trained, image: np.ndarray, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        jaxinr.forecast(image, [TRIAL], forecaster=forecaster)
    with pytest.raises(error, match=said):
        jaxinr.recommend(image, 1.0, forecaster=forecaster)


def test_empty_questions_are_refused(forecaster: Trained) -> None:
    with pytest.raises(ValueError, match="`trials` is empty"):
        jaxinr.forecast(IMAGE, [], forecaster=forecaster)
    with pytest.raises(TypeError, match=r"Write \[trial\]"):
        jaxinr.forecast(IMAGE, TRIAL, forecaster=forecaster)


@pytest.mark.parametrize(
    ("iterations", "error", "said"),
    [
        ([0], ValueError, "at least 1"),
        ([2.5], ValueError, "whole numbers"),
        ([float("nan")], ValueError, "whole numbers"),
        ([], TypeError, r"a list of numbers of updates; got \[\]"),
        (100, TypeError, "a list of numbers of updates; got 100"),
    ],
)
def test_iterations_that_nobody_makes_are_refused(
    forecaster: Trained, iterations: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        jaxinr.forecast(IMAGE, [TRIAL], iterations=iterations, forecaster=forecaster)


def test_the_longest_training_that_it_names_is_inside(forecaster: Trained) -> None:
    """Whatever the learning rate is: what the warning offers can be asked without one."""
    trial = dataclasses.replace(TRIAL, num_iters=10**6, learning_rate=9e-4)
    with pytest.warns(jaxinr.ForecastWarning):
        found = jaxinr.forecast(IMAGE, [trial], forecaster=forecaster)
    (line,) = (line for line in found.outside if "iterations" in line)
    longest = int(line.rpartition(" ")[2].replace(",", ""))
    assert 100 <= longest < 10**6
    shorter = dataclasses.replace(trial, num_iters=longest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxinr.ForecastWarning)  # of the learning rate
        inside = jaxinr.forecast(IMAGE, [shorter], forecaster=forecaster)
    assert not any("iterations" in line for line in inside.outside)


def test_neither_import_nor_answer_needs_jax() -> None:
    """The first answer comes before JAX could have been imported."""
    script = """
import sys, time
start = time.perf_counter()
import jaxinr.forecaster, jaxinr, numpy
image = numpy.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype("uint8")
trial = jaxinr.Trial(layer_size=16, num_layers=4, learning_rate=1e-3, num_iters=1000)
assert jaxinr.forecast(image, [trial]).mean_db.shape == (1,)
jaxinr.recommend(image, bits_per_pixel=2)
assert "jax" not in sys.modules, [name for name in sys.modules if "jax." in name]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
