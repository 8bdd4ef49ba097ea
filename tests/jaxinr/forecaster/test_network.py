"""The forecaster's network: what it says at first, how its two perceptrons use the picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxinr.forecaster import inputs, network
from jaxinr.forecaster.network import Forecaster, Shape

SHAPE = Shape(width=16, blocks=2, features=0, products=4)
INPUTS = inputs.AXES + inputs.CROSSED


@pytest.fixture(scope="module")
def fits() -> jax.Array:
    """Seven fits, scaled."""
    return jnp.asarray(np.random.default_rng(0).uniform(0, 1, (7, INPUTS)), jnp.float32)


@pytest.fixture(scope="module")
def restless() -> Forecaster:
    """A network whose last layers are not 0 any more."""
    model = Forecaster(SHAPE, rngs=nnx.Rngs(0))
    for number, perceptron in enumerate((model.adding, model.multiplying)):
        kernel = perceptron.head.kernel
        kernel.set_value(jax.random.normal(jax.random.key(number), kernel.get_value().shape))
    return model


def test_at_first_both_say_nothing(fits: jax.Array) -> None:
    model = Forecaster(SHAPE, rngs=nnx.Rngs(0))
    pictures = jnp.ones((1, SHAPE.width + SHAPE.products))
    mean, std = model(pictures, fits)
    assert mean.shape == std.shape == (2, 7)
    assert np.array_equal(mean, np.zeros((2, 7)))
    assert np.asarray(std) == pytest.approx(float(jax.nn.softplus(-1.0)) + 1e-3)


def test_one_perceptron_weighs_the_picture_the_other_bends_it(
    restless: Forecaster, fits: jax.Array
) -> None:
    """Halfway between two pictures the weighing one is halfway between its answers."""
    a, b = jax.random.normal(jax.random.key(5), (2, 1, SHAPE.width + SHAPE.products))
    left, right, middle = (np.asarray(restless(x, fits)[0]) for x in (a, b, (a + b) / 2))
    halfway = (left + right) / 2
    assert middle[1] == pytest.approx(halfway[1], abs=1e-4)
    assert np.abs(left[1] - right[1]).min() > 1e-3
    assert np.abs(middle[0] - halfway[0]).max() > 1e-2


def test_pixels_have_no_waves_the_other_axes_have(fits: jax.Array) -> None:
    for axis in range(inputs.AXES):
        moved = network._positions(fits.at[:, axis].add(0.1))
        changed = (np.abs(moved - network._positions(fits)) > 1e-6).any(0).sum()
        assert changed == (1 if axis == inputs.PIXELS else 1 + 2 * network.OCTAVES)
    assert moved.shape == (7, network.POSITIONS)
