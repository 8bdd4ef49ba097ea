"""What training a network costs: counts that follow from its convolutions."""

import jax
import pytest

import jaxsr
from jaxsr.training import cost as training_cost
from jaxsr.training.program import TrainingProgram, TrainingRecipe

SIZE = {"num_features": 4, "num_convs": 1}
RECIPE = TrainingRecipe(batch_size=3, crop_px=16)


@pytest.fixture(scope="module")
def program():
    return TrainingProgram("srvgg", 2, SIZE, RECIPE)


def test_an_update_costs_what_its_convolutions_do(program):
    flops = training_cost.flops_per_update(program)
    # Three convolutions of 3 x 3 on 8 x 8 pixels of 3 pictures: 3 -> 4 -> 4 -> 12 channels; each
    # forward, by its input and by its kernel, the first without its input.
    products = 2 * 9 * 3 * 8 * 8 * (2 * 3 * 4 + 3 * 4 * 4 + 3 * 4 * 12)
    assert (
        0.75 * products < flops < 1.6 * products
    )  # at the border less; Adam and others come on top


def test_flops_grow_with_the_batch(program):
    double = TrainingProgram("srvgg", 2, SIZE, TrainingRecipe(batch_size=6, crop_px=16))
    ratio = training_cost.flops_per_update(double) / training_cost.flops_per_update(program)
    assert 1.6 < ratio < 2.0


def test_a_network_in_training_is_four_times_its_weights(program):
    weights = 4 * jaxsr.count_parameters("srvgg", scale=2, **SIZE)
    counters = 4 * 5 + 1  # seed, iteration, loss, two counts of Adam; is_finite
    assert training_cost.weight_bytes(program) == weights
    assert training_cost.state_bytes(program) == 4 * weights + counters


def test_activations_grow_with_the_batch(program):
    double = TrainingProgram("srvgg", 2, SIZE, TrainingRecipe(batch_size=6, crop_px=16))
    weights = 4 * jaxsr.count_parameters("srvgg", scale=2, **SIZE)
    one, two = (training_cost.activation_bytes(p) for p in (program, double))
    feature_map = 4 * 3 * 8 * 8 * 4  # of one convolution
    assert one - weights > 2 * feature_map
    assert 2 * one - weights <= two <= 2 * one


def test_the_probe_gives_a_rate_that_a_core_can_have(monkeypatch):
    monkeypatch.setattr(training_cost, "PROBE", (1, 16, 16, 8))
    monkeypatch.setattr(training_cost, "PROBE_SECONDS", 0.05)
    assert 1e6 < training_cost.flops_per_second(jax.local_devices()) < 1e15
