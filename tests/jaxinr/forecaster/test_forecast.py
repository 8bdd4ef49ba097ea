"""The public questions: forecast, learning curve, recommendation, and what they refuse."""

import dataclasses
import warnings

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
    assert (curve.mean_db[:, -1] == curve.mean_db[:, -2]).all()  # no training went beyond 2,000
    assert (curve.std_db[:, -1] > curve.std_db[:, -4]).all()  # so the spread grows
    np.testing.assert_allclose(alone, curve.mean_db[1, ::4], rtol=1e-5)


def test_recommendations_name_the_sizes_they_do_not_know(forecaster: Trained) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # its own grid of frequencies is inside its range
        inside = jaxinr.recommend(IMAGE, bits_per_pixel=2.0, forecaster=forecaster)
    assert inside.forecasts.outside == ()
    with pytest.warns(jaxinr.ForecastWarning, match=r"Not trained on: networks of \S+ to 500 bits"):
        found = jaxinr.recommend(IMAGE, bits_per_pixel=500.0, forecaster=forecaster)
    assert "none of them was compared" in found.forecasts.outside[-1]


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
        ({"num_iters": 50_000}, "iterations 5e\\+04, trained on 10 to 1000"),
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
        jaxinr.recommend(IMAGE, 4.0, forecaster=forecaster)


def test_recommends_what_the_formula_likes(forecaster: Trained) -> None:
    """The formula's best is the most parameters that fit, at w0_initial 30."""
    found = jaxinr.recommend(IMAGE, 6.0, forecaster=forecaster)
    assert found.bits_per_pixel <= 6.0
    assert found.trial.num_iters == 1000
    assert found.trial.w0 == 30.0
    assert found.bits_per_pixel > 5.0
    assert 18 < found.trial.w0_initial < 50
    assert (np.diff(found.forecasts.mean_db) <= 0).all()
    assert found.considered[0] == found.trial
    assert found.mean_db == pytest.approx(found.forecasts.mean_db[0])
    sizes = [trial.bits_per_pixel(24, 24) for trial in found.considered]
    assert max(sizes) <= 6.0


def test_fewer_bits_a_weight_leave_more_weights(forecaster: Trained) -> None:
    half = jaxinr.recommend(IMAGE, 4.0, forecaster=forecaster)
    byte = jaxinr.recommend(IMAGE, 4.0, bits_per_weight=8, forecaster=forecaster)
    assert byte.trial.parameters > half.trial.parameters


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (np.zeros((1, 1, 3), np.uint8), ValueError, "1 x 1 pixels; a forecast needs at least 8"),
        (np.zeros((9, 9), np.uint8), ValueError, r"must be \[H, W, 3\]"),
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
    with pytest.raises(ValueError, match="at least 1"):
        jaxinr.forecast(IMAGE, [TRIAL], iterations=[0], forecaster=forecaster)
    with pytest.raises(ValueError, match="the smallest takes 0.75"):
        jaxinr.recommend(IMAGE, 0.01, forecaster=forecaster)
    with pytest.raises(ValueError, match="must be positive"):
        jaxinr.recommend(IMAGE, 0.0, forecaster=forecaster)
