"""What a network of a fleet goes through, against the same training alone with optax."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxfleet import fleet

LONGEST = 60
STOPS_AT = 17  # the iteration at which the network with a target reaches it


@jax.jit
def alone(start, curvature, learning_rate, target):
    """Losses and parameters before each of LONGEST + 1 updates of one network without a cliff."""
    optimizer = optax.adam(learning_rate)

    def loss(params):
        return curvature / 2 * jnp.sum((params["x"] - target) ** 2) + params["y"] ** 2

    def update(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params)
        steps, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, steps), state), (value, params)

    params = {"x": start * jnp.ones(3), "y": 2 * start}
    return jax.lax.scan(update, (params, optimizer.init(params)), length=LONGEST + 1)[1]


@pytest.fixture(scope="module")
def expected(bowls):
    """For each job, its losses [61] and parameters [61, ...]."""
    hyper = bowls.jobs()
    rows = zip(hyper["start"], hyper["curvature"], hyper["learning_rate"], strict=True)
    targets = bowls.data[hyper["target"]]
    # optax needs the promotion; in float32 its bias correction is good to five digits only.
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(True):
        double = [[np.float64(value) for value in row] for row in rows]
        return [
            jax.device_get(alone(*row, np.float64(b)))
            for row, b in zip(double, targets, strict=True)
        ]


def assert_follows(one, losses, params, last):
    """`one` trained like the reference until before update `last`, and says so."""
    at = [*range(0, last, 5), last]
    assert one.iterations.tolist() == at
    np.testing.assert_allclose(one.losses[:-1], losses[at[:-1]], rtol=2e-5)
    assert one.best_iteration <= last
    np.testing.assert_allclose(one.best_loss, losses[one.best_iteration], rtol=2e-5)
    for name, values in one.params.items():
        np.testing.assert_allclose(values, params[name][one.best_iteration], atol=2e-6)


@pytest.mark.parametrize("job", [0, 1, 2, 3, 4, 5, 6, 7, 9, 10])
def test_network_equals_optax_alone(bowls, expected, job):
    one, (losses, params) = bowls.done[job], expected[job]
    last = int(bowls.jobs()["num_iters"][job])
    assert_follows(one, losses, params, last)
    assert one.status == "done"
    np.testing.assert_allclose([one.loss, one.losses[-1]], losses[last], rtol=2e-5)
    np.testing.assert_allclose(one.best_loss, losses[: last + 1].min(), rtol=2e-5)
    miss = one.params["x"] - bowls.data[job % 3]
    np.testing.assert_allclose(one.result["miss"], miss, atol=1e-6)


def test_some_network_is_best_before_its_end(bowls):
    early = [one for one in bowls.done.values() if one.best_iteration < one.iterations[-1]]
    assert any(one.status == "done" for one in early)


def test_network_on_a_cliff_keeps_its_best_weights(bowls, expected):
    one, (losses, params) = bowls.done[8], expected[8]
    fall = int(np.argmax(params["x"][:, 0] > bowls.jobs()["cliff"][8]))
    assert 0 < fall < 60
    assert one.status == "diverged"
    assert_follows(one, losses, params, fall)
    assert one.best_iteration == fall - 1
    assert np.isnan(one.loss)
    assert np.isinf(one.losses[-1])


def test_diverged_network_does_not_disturb_its_neighbours(bowls):
    healthy = bowls.finish(bowls.trainer(bowls.jobs(cliff={8: np.inf}), slots_per_shard=6))
    assert healthy[8].status == "done"
    for job in set(bowls.done) - {8}:
        bowls.same(healthy[job], bowls.done[job])


def test_network_that_starts_beyond_the_cliff_keeps_its_start(bowls):
    hyper = bowls.jobs(cliff={9: -10.0}, start={10: np.nan})
    done = bowls.finish(bowls.trainer(hyper, slots_per_shard=6))
    for job in (9, 10):
        assert (done[job].status, done[job].best_loss) == ("diverged", np.inf)
        assert (done[job].best_iteration, done[job].iterations.tolist()) == (0, [0])
    np.testing.assert_array_equal(done[9].params["x"], np.full(3, hyper["start"][9]))
    bowls.same(done[7], bowls.done[7])


def test_target_stops_at_the_first_iteration_that_reaches_it(bowls, expected):
    losses, params = expected[6]
    assert (np.diff(losses[: STOPS_AT + 2]) < 0).all()
    halfway = (losses[STOPS_AT - 1] + losses[STOPS_AT]) / 2
    at_the_end = (losses[39] + losses[40]) / 2  # iteration 40 is the last of this network
    for target, last in ((halfway, STOPS_AT), (at_the_end, 40)):
        hyper = bowls.jobs(target_loss={6: target})
        one = bowls.finish(bowls.trainer(hyper, slots_per_shard=6))[6]
        assert one.status == "target"
        assert one.best_iteration == last
        assert one.loss == one.best_loss == one.losses[-1] <= target
        assert_follows(one, losses, params, last)


@pytest.fixture
def compiled(caplog):
    """Returns the functions that XLA compiled since the last call, in whatever thread."""

    def names():
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [line.split()[1] for line in lines if line.startswith("Compiling ")]

    jax.config.update("jax_log_compiles", True)
    with caplog.at_level(logging.WARNING):
        yield names
    jax.config.update("jax_log_compiles", False)


def test_everything_is_compiled_once(bowls, compiled):
    program = bowls.Program(log_every=4)  # not seen before
    bowls.finish(bowls.trainer(program=program))  # several refills, segments of several lengths
    names = compiled()
    assert {"jit(segment)", "jit(finish)"} <= set(names)
    assert len(names) == len(set(names))
    bowls.finish(bowls.trainer(bowls.jobs(num_iters={0: 33}), program=program))
    assert not compiled()


def test_fleet_is_made_once(bowls):
    mesh = jax.make_mesh((2,), (fleet.SLOTS,), (jax.sharding.AxisType.Auto,))
    assert fleet.fleet(bowls.Program(), mesh) is fleet.fleet(bowls.Program(), mesh)
