import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxfleet import shards
from jaxfleet.errors import InputError
from jaxfleet.shards import Shard


@given(st.lists(st.floats(1e-3, 1e3), max_size=60), st.integers(1, 9))
def test_every_trial_has_one_shard_and_shards_are_stretches(costs, count):
    owned = np.array([Shard(index, count).cut(costs) for index in range(count)])
    assert (owned.sum(axis=0) == 1).all()
    owner = owned.argmax(axis=0)
    assert (np.diff(owner) >= 0).all()


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60), st.integers(1, 9))
def test_no_shard_is_off_its_share_by_more_than_one_trial(costs, count):
    costs = np.array(costs)
    loads = [costs[Shard(index, count).cut(costs)].sum() for index in range(count)]
    assert max(abs(load - costs.sum() / count) for load in loads) <= costs.max() * (1 + 1e-9)


SYSTEMS = [
    ({}, None),
    ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}, Shard(3, 8)),
    (
        {
            "SLURM_ARRAY_TASK_ID": "8",
            "SLURM_ARRAY_TASK_COUNT": "8",
            "SLURM_ARRAY_TASK_MIN": "1",
        },
        Shard(7, 8),
    ),
    ({"JOB_COMPLETION_INDEX": "0", "NUM_SHARDS": "4"}, Shard(0, 4)),
    ({"TPU_WORKER_ID": "2", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}, Shard(2, 4)),
    ({"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "localhost"}, Shard()),
]


@pytest.mark.parametrize(("environ", "expected"), SYSTEMS)
def test_share_that_a_batch_system_gives(environ, expected):
    assert shards.from_environment(environ) == expected


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"JOB_COMPLETION_INDEX": "1"}, "give --num_shards, or NUM_SHARDS"),
        ({"SLURM_ARRAY_TASK_ID": "x"}, "SLURM_ARRAY_TASK_ID=x is no whole number"),
        ({"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "4"}, "count from 0"),
    ],
)
def test_variables_that_make_no_sense_are_refused(environ, message):
    with pytest.raises(InputError, match=message):
        shards.from_environment(environ)


def test_flags_come_before_the_batch_system(monkeypatch):
    assert shards.choose(None, None) == Shard()
    assert shards.choose(2, 5) == Shard(2, 5)
    with pytest.raises(InputError, match="belong together"):
        shards.choose(2, None)
    with pytest.raises(InputError, match="belong together"):
        shards.choose(None, 5)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    assert shards.choose(None, 5) == Shard(3, 5)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "4")
    assert shards.choose(None, None) == Shard(1, 4)
    assert shards.choose(2, None) == Shard(2, 4)
