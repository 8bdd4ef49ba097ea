import re

import pytest

from experiments.benchmarks.config import SHAPES, BenchmarkConfig
from experiments.benchmarks.sr import SrBenchmarkConfig
from jaxfleet.errors import InputError


def test_a_limit_leaves_the_shapes_whose_updates_are_cheap():
    assert BenchmarkConfig().shapes == SHAPES
    few = BenchmarkConfig(max_update_gflop=0.5).shapes
    # 6 W - 4 w FLOP for each pixel and network, with W = 8^2 * 2 + 5 * 8 weights of width w = 8
    assert few[0].update_gflop == pytest.approx(32 * 4096 * (6 * 168 - 4 * 8) / 1e9)
    assert [shape.update_gflop <= 0.5 for shape in SHAPES].count(True) == len(few) < len(SHAPES)


def test_a_limit_that_leaves_nothing_is_refused_with_one_that_leaves_something():
    with pytest.raises(InputError, match="leaves no shape") as refusal:
        BenchmarkConfig(max_update_gflop=1e-3)
    least = re.search(r"; ([\d.]+) leaves one", str(refusal.value))[1]
    assert len(BenchmarkConfig(max_update_gflop=float(least)).shapes) == 1
    assert BenchmarkConfig(part=("mixed",), max_update_gflop=1e-3).part == ("mixed",)


def test_crops_that_no_network_makes_are_refused():
    with pytest.raises(ValueError, match="--crop_px=30 is not a multiple of 4"):
        SrBenchmarkConfig(crop_px=30)
