import dataclasses
import itertools

import numpy as np
import pytest

from jaxinr import Trial
from jaxinr.trial import flops_per_pixel

ARCHITECTURES = [(1, 1), (8, 1), (28, 10), (20, 5), (49, 13)]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"layer_size": 0}, ValueError, r"layer_size must be in \[1, 2\*\*31\); got 0"),
        ({"num_layers": -1}, ValueError, r"num_layers must be in .* got -1"),
        ({"num_iters": 2**31}, ValueError, r"num_iters must be in .* got 2147483648"),
        ({"w0_initial": 0.0}, ValueError, r"w0_initial must be positive and finite; got 0\.0"),
        ({"w0": float("nan")}, ValueError, r"w0 must be positive and finite; got nan"),
        ({"learning_rate": float("inf")}, ValueError, r"learning_rate must .* got inf"),
        ({"learning_rate": -1e-3}, ValueError, r"learning_rate must .* got -0\.001"),
        ({"seed": -1}, ValueError, r"seed must be in \[0, 2\*\*31\); got -1"),
        ({"seed": 2**31}, ValueError, r"seed must be in .* got 2147483648"),
        ({"layer_size": 8.5}, TypeError, r"layer_size must be a whole number; got 8\.5"),
        ({"num_iters": "200"}, TypeError, r"num_iters must be a whole number; got '200'"),
        ({"w0": "30"}, TypeError, r"w0 must be a number; got '30'"),
    ],
)
def test_what_cannot_be_trained_is_refused(fields, error, message):
    with pytest.raises(error, match=message):
        Trial(**fields)


@pytest.mark.parametrize(("layer_size", "num_layers"), ARCHITECTURES)
def test_parameters(layer_size, num_layers):
    trial = Trial(layer_size=layer_size, num_layers=num_layers)
    w, depth = layer_size, num_layers
    assert trial.parameters == 3 * w + (depth - 1) * (w**2 + w) + 3 * w + 3
    assert trial.parameters == sum(out * fan_in + out for out, fan_in in trial.layer_shapes)


@pytest.mark.parametrize(
    ("num_layers", "layer_size", "expected"), [(5, 20, 0.0734), (10, 28, 0.3043), (13, 49, 1.2084)]
)
def test_bits_per_pixel_of_coin_on_kodak(num_layers, layer_size, expected):
    trial = Trial(layer_size=layer_size, num_layers=num_layers)
    assert trial.bits_per_pixel(512, 768) == pytest.approx(expected, abs=5e-5)
    assert trial.bits_per_pixel(512, 768, bits=32) == 2 * trial.bits_per_pixel(512, 768)


@pytest.mark.parametrize(("layer_size", "num_layers"), ARCHITECTURES)
def test_flops_per_pixel_counts_the_products_of_a_training_step(layer_size, num_layers):
    sizes = [2] + [layer_size] * num_layers + [3]
    flops = 0
    for depth, (fan_in, out) in enumerate(itertools.pairwise(sizes)):
        flops += 2 * out * fan_in  # forward
        flops += 2 * out * fan_in  # gradient of the weights
        flops += 2 * out * fan_in if depth > 0 else 0  # of the inputs; coordinates need none
    assert flops_per_pixel(layer_size, num_layers) == flops


def test_from_row_takes_numpy_scalars_and_leaves_other_columns():
    row = {
        "image_id": "kodim01",
        "layer_size": np.float64(16.0),  # what pandas makes of a row with mixed columns
        "num_layers": np.int32(4),
        "w0_initial": np.float32(12.5),
        "w0": np.int64(30),
        "learning_rate": np.float64(2e-4),
        "num_iters": np.int64(50),
        "seed": np.uint8(7),
    }
    trial = Trial.from_row(row)
    expected = Trial(layer_size=16, num_layers=4, w0_initial=12.5, num_iters=50, seed=7)
    assert trial == expected
    kinds = [type(value) for value in dataclasses.astuple(trial)]
    assert kinds == [int, int, float, float, float, float, int, int, int, str] + [type(None)] * 5


def test_a_row_is_the_trial_it_came_from():
    trial = Trial(layer_size=9, num_layers=2, w0_initial=4.75, w0=20.0, learning_rate=1e-3, seed=3)
    assert Trial.from_row(dataclasses.asdict(trial)) == trial
    with pytest.raises(KeyError, match="num_iters"):
        Trial.from_row({"layer_size": 8, "num_layers": 2, "w0_initial": 30, "w0": 30,
                        "learning_rate": 1e-3, "seed": 0})  # fmt: skip


def test_defaults_are_what_the_docstring_and_the_grid_say():
    trial = Trial()
    assert (trial.num_layers, trial.layer_size, trial.w0_initial, trial.w0) == (10, 28, 30.0, 30.0)
    assert (trial.learning_rate, trial.num_iters) == (2e-4, 2000)
    assert "Defaults are COIN's, except for `num_iters`: COIN made 50,000" in Trial.__doc__
