import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.accelerator import collection_hours
from experiments.benchmarks.accelerator.collection_hours import MeasuredBucket
from experiments.benchmarks.accelerator.engines import Rate
from experiments.siren import grid as siren_grid
from jaxinr.buckets import Bucket
from jaxinr.program import SirenProgram
from launch import flagdefs

FLAGFILE = Path(flagdefs.__file__).parent / "flagfiles" / "siren_grid" / "collection.flags"


def bucket(networks, pixel_steps, num_layers=2):
    program = SirenProgram(num_layers=num_layers, width=8, blocks=1, block=256, group=1)
    return Bucket(program, np.arange(networks), 1, pixel_steps, flops=10 * pixel_steps)


def test_collection_is_that_of_the_flagfile():
    config, _ = flagdefs.parse(siren_grid.GridConfig, [f"--flagfile={FLAGFILE}"])
    known = collection_hours.COLLECTION
    assert known.num_trials + known.num_repeats == 300_000
    config = dataclasses.replace(config, photos=known.photos)
    assert config.axes() == known.axes()
    assert config.repeat_axes() == known.repeat_axes()
    axes = ("layer_size", "num_layers", "w0_initial", "w0", "learning_rate", "num_iters", "seed")
    for field in dataclasses.fields(config):
        if field.name not in axes:  # 30 is 30.0
            assert getattr(config, field.name) == getattr(known, field.name)


def test_programs_are_drawn_in_proportion_to_their_cost():
    drawn = collection_hours.draw([bucket(1, 1e6), bucket(1, 1e6), bucket(1, 6e6)], 8)
    assert drawn == {0: 1, 1: 1, 2: 6}


def test_forecast_by_hand():
    # The second bucket is slower than the rough model by twice as much as the first one.
    plan = [bucket(100, 3.6e9), bucket(300, 3.6e9)]
    programs = [
        MeasuredBucket(plan[0], 1, Rate(1e6, 20.0)),
        MeasuredBucket(plan[1], 1, Rate(0.5e6, 40.0)),
    ]
    forecast = collection_hours.forecast(plan, programs, host_seconds=9.0)
    assert forecast.training_hours == pytest.approx(1.0 + 2.0)
    # Two hours of the whole plan by one draw, four by the other: spread sqrt(2), over sqrt(2).
    assert forecast.standard_error_hours == pytest.approx(1.0)
    assert forecast.compile_hours == pytest.approx(2 * 30 / 3600)
    assert forecast.host_hours == pytest.approx(1.0)
    row = forecast.row()
    assert row["hours"] == pytest.approx(4 + 1 / 60)
    assert row["networks_per_hour"] == pytest.approx(400 / (4 + 1 / 60))
    assert programs[0].row()["gflop_per_s"] == pytest.approx(0.01)


def test_forecast_is_exact_where_the_rough_model_is_off_by_one_factor():
    plan = [bucket(1, 1e9, num_layers) for num_layers in (1, 2, 5)]
    rates = [1e3 * one.pixel_steps / collection_hours.rough_seconds(one) for one in plan]
    few = [
        MeasuredBucket(plan[0], 1, Rate(rates[0], 0.0)),
        MeasuredBucket(plan[2], 3, Rate(rates[2], 0.0)),
    ]
    forecast = collection_hours.forecast(plan, few, host_seconds=0.0)
    truth = sum(one.pixel_steps / rate for one, rate in zip(plan, rates, strict=True)) / 3600
    assert forecast.hours == pytest.approx(truth)
    assert forecast.standard_error_hours == pytest.approx(0, abs=1e-12)
