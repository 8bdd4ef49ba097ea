"""Trainings small enough to work out alone: quadratic bowls, some with a cliff in them."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxfleet.trainer import FleetTrainer


@dataclasses.dataclass(frozen=True)
class Bowls:
    """Networks of parameters x [3] and y; loss curvature / 2 |x - target|^2 + y^2.

    The target is a row of the data. Where x[0] is beyond `cliff`, the loss is infinite.
    """

    group: int = 2
    log_every: int = 5
    max_logs: int = 8
    is_stochastic: bool = False

    def prepare(self, hyper, data):
        return data[hyper["target"]]

    def loss_and_gradient(self, params, hyper, batch):
        def one(params, curvature, cliff, target):
            loss = curvature / 2.0 * jnp.sum((params["x"] - target) ** 2) + params["y"] ** 2
            return jnp.where(params["x"][0] > cliff, jnp.inf, loss)

        each = jax.vmap(jax.value_and_grad(one))
        return each(params, hyper["curvature"], hyper["cliff"], batch)

    def result(self, params, hyper, batch):
        return {"miss": params["x"] - batch}


BUDGETS = (1, 4, 5, 6, 10, 23, 40, 41, 60, 60, 60)  # log_every is 5


def jobs(**changes):
    """`hyper` of eleven networks that differ in everything; job 8 falls off a cliff."""
    count = len(BUDGETS)
    hyper = {
        "learning_rate": np.geomspace(0.01, 0.3, count, dtype=np.float32),
        "num_iters": np.array(BUDGETS, np.int32),
        "target_loss": np.zeros(count, np.float32),
        "start": np.linspace(-2.0, -1.0, count, dtype=np.float32),
        "curvature": np.linspace(0.5, 3.0, count, dtype=np.float32),
        "cliff": np.where(np.arange(count) == 8, 0.0, np.inf).astype(np.float32),
        "target": np.arange(count, dtype=np.int32) % 3,
    }
    for name, entries in changes.items():
        for job, value in entries.items():
            hyper[name][job] = value
    return hyper


DATA = np.array([[1.0, -1.0, 0.5], [2.0, 0.0, 1.0], [0.5, 0.5, 0.5]], np.float32)


def trainer(hyper=None, *, program=None, slots_per_shard=2, **options):
    hyper = jobs() if hyper is None else hyper
    start = hyper["start"]

    def params(job):
        return {"x": np.full(3, start[job]), "y": 2 * start[job]}

    return FleetTrainer(
        program or Bowls(),
        hyper,
        DATA,
        work=1.0 + np.arange(len(hyper["num_iters"])),
        params=params,
        slots_per_shard=slots_per_shard,
        **options,
    )


def finish(trainer):
    """Job -> `Finished`, each job once."""
    done = {}
    while (finished := trainer.step()) is not None:
        for one in finished:
            assert one.job not in done
            done[one.job] = one
    return done


def same(one, other):
    """Asserts that two `Finished` are equal bit for bit, but for the time that they took."""
    one, other = (dataclasses.asdict(finished) | {"seconds": 0.0} for finished in (one, other))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="session")
def bowls():
    """The eleven trainings: `jobs`, `trainer`, `finish`, `same`, `data`, and the outcome `done`."""
    roomy = trainer(slots_per_shard=6)
    assert roomy.slots > len(BUDGETS)
    return types.SimpleNamespace(
        Program=Bowls,
        jobs=jobs,
        trainer=trainer,
        finish=finish,
        same=same,
        data=DATA,
        done=finish(roomy),
    )
