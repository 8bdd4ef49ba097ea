"""How the host keeps slots busy: whatever it does, each network trains as in `bowls.done`."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType

from jaxfleet import fleet, trainer


def assert_same(bowls, done, jobs=range(11)):
    assert sorted(done) == sorted(jobs)
    for job, one in done.items():
        bowls.same(one, bowls.done[job])


def meshes(*devices_of_each):
    return [
        jax.make_mesh((len(devices),), (fleet.SLOTS,), (AxisType.Auto,), devices=devices)
        for devices in devices_of_each
    ]


def test_refilled_slots_give_what_enough_slots_give(bowls):
    team = bowls.trainer()
    assert team.slots == 4
    assert_same(bowls, bowls.finish(team))
    assert team.step() is None


@pytest.mark.parametrize("lanes", [1, 3])
def test_lanes_on_one_device_give_what_a_mesh_gives(bowls, lanes):
    team = bowls.trainer(meshes=meshes(*[jax.devices()[:1]] * lanes))
    assert team.slots == 2 * lanes
    assert_same(bowls, bowls.finish(team))


def test_length_of_segments_changes_nothing(bowls, monkeypatch):
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 0.0)  # one log interval each
    hyper = bowls.jobs(target_loss={6: 1.0})
    short = bowls.finish(bowls.trainer(hyper))
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 1e9)
    long = bowls.finish(bowls.trainer(hyper))
    assert short[6].status == "target"
    for job in range(11):
        bowls.same(short[job], long[job])


def test_skipped_jobs_are_left_out(bowls):
    done = bowls.finish(bowls.trainer(skip=[0, 7, 10]))
    assert_same(bowls, done, jobs=[1, 2, 3, 4, 5, 6, 8, 9])


def test_nothing_to_do_ends_at_once(bowls):
    assert bowls.trainer(skip=range(11)).step() is None


def test_work_and_seconds_add_up(bowls):
    team = bowls.trainer()
    work = seconds = 0.0
    while (finished := team.step()) is not None:
        work += team.work_done
        seconds += sum(one.seconds for one in finished)
    made = [bowls.done[job].iterations[-1] for job in range(11)]
    assert work == np.sum((1 + np.arange(11)) * made)
    assert seconds > 0


@pytest.mark.parametrize("steps", [1, 5, 9, 11])
def test_snapshot_goes_on_bit_for_bit(bowls, steps, monkeypatch):
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 0.0)  # a step is one log interval
    team = bowls.trainer()
    before = [one for _ in range(steps) for one in team.step()]
    snapshot = team.snapshot()
    assert bowls.finish(team)  # reuses the buffers that the snapshot was taken from

    done = {one.job: one for one in before}
    again = bowls.trainer(skip=list(done))
    assert again.restore(snapshot, list(done))
    assert_same(bowls, done | bowls.finish(again))


def test_snapshot_without_what_was_finished_since(bowls):
    team = bowls.trainer()
    team.step()
    snapshot = team.snapshot()
    flying = snapshot["job"][snapshot["job"] >= 0]
    again = bowls.trainer(skip=flying[:2])
    assert again.restore(snapshot, flying[:2])
    assert int(again.training.sum()) == len(flying) - 2
    done = bowls.finish(again)
    assert_same(bowls, done, jobs=set(range(11)) - set(flying[:2].tolist()))


@pytest.mark.parametrize("change", ["slots", "lanes"])
def test_snapshot_of_other_slots_is_left_alone(bowls, change):
    team = bowls.trainer()
    team.step()
    if change == "slots":
        again = bowls.trainer(slots_per_shard=6)
    else:  # as many slots, in two lanes
        again = bowls.trainer(meshes=meshes(*[jax.devices()[:1]] * 2))
        assert again.slots == team.slots
    assert not again.restore(team.snapshot())
    assert_same(bowls, bowls.finish(again))


def test_a_lone_cpu_device_gets_a_lane_for_each_core():
    assert [mesh.size for mesh in trainer.lanes()] == [2]  # see conftest
    assert [mesh.size for mesh in trainer.lanes(jax.devices()[:1])] == [1] * trainer.usable_cores()


@given(st.integers(1, 20_000), st.integers(1, 64), st.integers(1, 64))
def test_layout_is_even(jobs, shards, limit):
    group, slots = trainer.layout(jobs, shards, limit)
    share = -(-jobs // shards)
    most = limit * trainer.MAX_GROUPS_PER_SHARD
    assert 1 <= group <= limit
    assert slots % group == 0
    assert min(share, most) <= slots <= most
    assert slots - share < slots // group  # less than one idle slot in each group
