"""Recommendations keep to their limits, and a trade-off has no network that another beats."""

import math
import re
import warnings
from typing import Any

import numpy as np
import pytest

import jaxinr
from jaxinr.forecaster import inputs, speed
from jaxinr.forecaster.trained import Trained
from tests.jaxinr.forecaster.conftest import smooth_pictures

IMAGE = smooth_pictures(60)[51]
SPEED = speed.Speed(
    fit=(0.0, 1e-4, 1e-9, 2e-10, 5e-12),
    shared=(1e-4, 1e-9, 2e-10, 5e-12),
    shared_from=1e9,
    render=(1e-3, 2e-9, 1e-9, 1e-12),
    device="a machine",
)
SHORT = {"max_iterations": 1000, "learning_rate": 1e-3, "speed": SPEED}


def test_recommends_what_the_formula_likes(forecaster: Trained) -> None:
    """The formula's best is the most parameters that fit, at w0_initial 30."""
    found = jaxinr.recommend(IMAGE, 6.0, forecaster=forecaster, **SHORT)
    assert 4.5 < found.bits_per_pixel <= 6.0
    assert found.trial.num_iters == 1000
    assert found.trial.w0 == 30.0
    assert 15 < found.trial.w0_initial < 50
    assert found.considered[0] == found.trial
    assert found.mean_db == pytest.approx(found.forecasts.mean_db[0])
    assert max(trial.bits_per_pixel(24, 24) for trial in found.considered) <= 6.0
    again = jaxinr.forecast(IMAGE, [found.trial], forecaster=forecaster)
    assert again.mean_db[0] == pytest.approx(found.mean_db, abs=1e-3)


def test_fewer_bits_a_weight_leave_more_weights(forecaster: Trained) -> None:
    half = jaxinr.recommend(IMAGE, 4.0, forecaster=forecaster, **SHORT)
    byte = jaxinr.recommend(IMAGE, 4.0, bits_per_weight=8, forecaster=forecaster, **SHORT)
    assert byte.trial.parameters > half.trial.parameters


def test_times_are_kept_to(forecaster: Trained) -> None:
    rows = inputs.trial_rows([jaxinr.Trial(layer_size=12, num_layers=3)], 24, 24)
    seconds = float(SPEED.encode_seconds(rows, np.array([300]))[0])
    found = jaxinr.recommend(
        IMAGE, encode_seconds=seconds, learning_rate=1e-3, speed=SPEED, forecaster=forecaster
    )
    assert found.encode_seconds <= seconds
    assert found.trial.num_iters > 30
    longer = jaxinr.recommend(
        IMAGE, encode_seconds=3 * seconds, learning_rate=1e-3, speed=SPEED, forecaster=forecaster
    )
    assert longer.mean_db > found.mean_db
    slow = 1e3 * float(SPEED.decode_seconds(rows)[0])
    found = jaxinr.recommend(IMAGE, decode_milliseconds=slow, forecaster=forecaster, **SHORT)
    assert found.decode_milliseconds <= slow


def test_a_target_is_reached_by_the_smallest(forecaster: Trained) -> None:
    best = jaxinr.recommend(IMAGE, 20.0, forecaster=forecaster, **SHORT)
    found = jaxinr.recommend(IMAGE, target_psnr_db=best.mean_db - 4, forecaster=forecaster, **SHORT)
    assert found.mean_db >= best.mean_db - 4
    assert found.bits_per_pixel < best.bits_per_pixel
    reached = found.forecasts.mean_db >= best.mean_db - 4
    sizes = np.array([trial.parameters for trial in found.considered])
    assert sizes[reached].min() == found.trial.parameters


def test_larger_networks_than_it_knows_are_named(forecaster: Trained) -> None:
    with pytest.warns(jaxinr.ForecastWarning, match="none of them was compared"):
        found = jaxinr.recommend(IMAGE, 5000.0, forecaster=forecaster, **SHORT)
    assert "none of them was compared" in found.forecasts.outside[-1]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "give at least one of bits_per_pixel, target_psnr_db, encode_seconds"),
        ({"bits_per_pixel": 0.0}, "`bits_per_pixel` must be positive"),
        ({"encode_seconds": -1.0}, "`encode_seconds` must be positive"),
        (
            {"bits_per_pixel": 0.01},
            "no network .* takes at most 0.01 bits per pixel .*; the smallest takes 0.75",
        ),
        (
            {"encode_seconds": 1e-9},
            "keeps within encode_seconds 1e-09; on a machine an update of the fastest takes 0.0001",
        ),
        ({"decode_milliseconds": 1e-9}, "and rendering 1.01 ms"),
        ({"target_psnr_db": 99.0}, "reaches 99 dB; the best is forecast to .* after 2,000"),
        (
            {"target_psnr_db": 99.0, "encode_seconds": 9.0},
            "reaches 99 dB within encode_seconds 9; the best is forecast to reach",
        ),
        ({"bits_per_pixel": 4.0, "max_iterations": 2.5}, "`max_iterations` must be a whole"),
        ({"bits_per_pixel": 4.0, "max_iterations": math.inf}, "`max_iterations` must be finite"),
        ({"bits_per_pixel": 4.0, "learning_rate": math.inf}, "`learning_rate` must be finite"),
        ({"bits_per_pixel": 4.0, "bits_per_weight": 0}, "`bits_per_weight` must be positive"),
    ],
)
def test_limits_that_nothing_keeps_are_refused(
    forecaster: Trained, limits: dict[str, float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        jaxinr.recommend(IMAGE, **{"speed": SPEED, "forecaster": forecaster, **limits})


@pytest.mark.parametrize("side", [9, 13, 24, 44])
@pytest.mark.parametrize(
    ("limit", "unit"),
    [
        ("bits_per_pixel", "smallest takes (.*)\\."),
        ("encode_seconds", "takes (\\S+) s"),
        ("decode_milliseconds", "rendering (.*) ms"),
    ],
)
def test_the_limit_that_a_refusal_names_can_be_met(
    forecaster: Trained, side: int, limit: str, unit: str
) -> None:
    """Also where a number has more digits than are said."""
    image = np.resize(IMAGE, (side, side, 3))
    given: dict[str, Any] = {"speed": SPEED, "forecaster": forecaster}
    with pytest.raises(ValueError, match=unit) as caught:
        jaxinr.recommend(image, **{limit: 1e-9}, **given)
    named = re.search(unit, str(caught.value))
    assert named is not None
    least = float(named[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxinr.ForecastWarning)
        assert jaxinr.recommend(image, **{limit: least}, **given).considered
    with pytest.raises(ValueError, match=unit):
        jaxinr.recommend(image, **{limit: 0.98 * least}, **given)


def test_limits_of_another_kind_are_refused(forecaster: Trained) -> None:
    with pytest.raises(TypeError, match="`bits_per_pixel` must be a number; got '4'"):
        jaxinr.recommend(IMAGE, "4", forecaster=forecaster)  # type: ignore[arg-type]
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="`encode_seconds` must be positive"):
            jaxinr.tradeoff(IMAGE, encode_seconds=wrong, forecaster=forecaster)
    with pytest.raises(ValueError, match="`bits_per_weight` must be positive"):
        jaxinr.tradeoff(IMAGE, bits_per_weight=0, forecaster=forecaster)


def _outside(forecaster: Trained, trial: jaxinr.Trial) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxinr.ForecastWarning)
        return jaxinr.forecast(IMAGE, [trial], forecaster=forecaster).outside


def test_no_network_of_a_tradeoff_is_beaten(forecaster: Trained) -> None:
    found = jaxinr.tradeoff(IMAGE, speed=SPEED, forecaster=forecaster)
    bits, seconds = (np.round(2 * np.log2(x)) for x in (found.bits_per_pixel, found.encode_seconds))
    for i in range(len(found.trials)):
        better = (bits <= bits[i]) & (seconds <= seconds[i]) & (found.mean_db > found.mean_db[i])
        assert not better.any()
    assert (np.diff(found.bits_per_pixel) >= 0).all()
    assert repr(found).startswith(f"Tradeoff({len(found.trials)} networks: ")
    frame = found.to_pandas()
    assert len(frame) == len(found.trials)
    assert {"encode_seconds", "decode_milliseconds", "mean_db", "layer_size"} <= set(frame)
    some = range(0, len(frame), 20)
    said = [_outside(forecaster, found.trials[i]) for i in some]
    assert frame["is_outside"][some].tolist() == [bool(lines) for lines in said]
    short = jaxinr.tradeoff(
        IMAGE,
        encode_seconds=float(np.median(found.encode_seconds)),
        speed=SPEED,
        forecaster=forecaster,
    )
    assert short.encode_seconds.max() <= np.median(found.encode_seconds)
    with pytest.raises(ValueError, match="no fit of 100 .* on a machine the fastest takes 0.01"):
        jaxinr.tradeoff(IMAGE, encode_seconds=1e-9, speed=SPEED, forecaster=forecaster)
