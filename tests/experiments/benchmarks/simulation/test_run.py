"""A simulated fleet: its store has every trial once whatever dies; times worked out by hand."""

import dataclasses
import json

import numpy as np
import pytest

import jaxfleet
from experiments.benchmarks.simulation import process as simulated_process
from experiments.benchmarks.simulation import run as simulation
from experiments.benchmarks.simulation.process import Share
from experiments.benchmarks.simulation.run import SimulationConfig
from experiments.siren import grid as siren_grid
from jaxfleet.results import store
from jaxfleet.shards import WHOLE, Shard
from jaxinr import buckets

SMALL = SimulationConfig(
    num_workers=6, num_trials=240, shares_per_worker=(2,), failure_hours=0.5, minutes_per_trial=10
)


def share(*costs, slots=2):
    return Share(WHOLE, [(np.arange(len(costs)), np.array(costs, float), slots)])


def work_on(one, run_dir, **options):
    return simulated_process.work_on(one, {}, run_dir, **options)


def hours(run_dir):
    return jaxfleet.open(run_dir).to_pandas().set_index("trial_id")["hours"].to_dict()


def test_slots_share_a_machine(tmp_path):
    end, trained = work_on(share(100, 300, 200), tmp_path, speed=2.0)
    start = buckets.COMPILE_SECONDS
    # 100 and 300 at half of 2 each; then 200 beside what is left of 300; both have 200 to go
    ends = {0: start + 100, 1: start + 300, 2: start + 300}
    assert hours(tmp_path) == pytest.approx({i: s / 3600 for i, s in ends.items()})
    assert (end, trained) == pytest.approx((start + 300, 600))


def test_killed_process_loses_what_it_had_not_flushed_and_no_more(tmp_path):
    one = share(*[100] * 20, slots=1)
    death = buckets.COMPILE_SECONDS + 750  # checkpoint at 600; 7 trials and a half
    assert work_on(one, tmp_path, death=death) == (death, 750)
    assert one.snapshot == {0: {}}  # the sixth ended at the checkpoint
    kept = jaxfleet.open(tmp_path).trial_ids.tolist()
    assert kept == list(range(6))
    end, trained = work_on(one, tmp_path)
    assert trained == 1400
    assert end == buckets.COMPILE_SECONDS + 1400
    assert jaxfleet.open(tmp_path).trial_ids.tolist() == list(range(20))
    attempts = jaxfleet.open(tmp_path).to_pandas()["attempt"].tolist()
    assert attempts == [1] * 6 + [2] * 14


def test_checkpoint_keeps_what_is_in_flight(tmp_path):
    one = share(2000, slots=1)
    start = buckets.COMPILE_SECONDS
    work_on(one, tmp_path, death=start + 1300)
    assert one.snapshot == {0: {0: 800.0}}
    assert work_on(one, tmp_path) == (start + 800, 800)


def test_shares_are_those_of_the_plan():
    grid = []
    make_jobs = siren_grid.make_jobs

    def record(config, pictures):
        grid.append((config, pictures))
        return make_jobs(config, pictures)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(siren_grid, "make_jobs", record)
        shares = simulation.make_shares(SMALL, 12)
    jobs = make_jobs(*grid[0])
    ids = np.concatenate([ids for one in shares for ids, _, _ in one.parts])
    assert sorted(ids) == list(range(240))
    for index in (0, 5, 11):
        expected = buckets.make_buckets(
            [job.trial for job in jobs], [(120, 120)] * 240, shards=1, platform="gpu",
            shard=Shard(index, 12),
        )  # fmt: skip
        own = {(tuple(sorted(ids)), min(slots, len(ids))) for ids, _, slots in shares[index].parts}
        assert own == {
            (tuple(sorted(b.jobs)), min(b.slots_per_shard, len(b.jobs))) for b in expected
        }
    total = sum(one.seconds for one in shares)
    assert total == pytest.approx(240 * 600)


def test_every_trial_is_there_once_whatever_dies(tmp_path):
    outcome = simulation.simulate(SMALL, 2, tmp_path / "run")
    assert outcome.failures > 10
    assert outcome.rows == 240  # `simulate` compares them with the table
    assert outcome.lost_percent > 0
    assert outcome.makespan_hours > outcome.ideal_hours
    assert outcome.parts == outcome.shares == 12
    assert outcome.flushes > outcome.parts
    attempts = jaxfleet.open(tmp_path / "run").to_pandas()["attempt"]
    assert attempts.max() > 1
    names = [path.name for path in (tmp_path / "run" / "parts").iterdir()]
    assert not [name for name in names if name.endswith(".tmp")]


def test_the_simulation_would_notice_a_trial_that_is_there_twice(tmp_path):
    results = store.Store(tmp_path, {}, simulated_process.SCHEMA, network={})
    for ids in ([0, 1], [1, 2]):
        results.add([{"trial_id": i} for i in ids])
        results.flush()
    results.close()
    with pytest.raises(RuntimeError, match="3 trials, but 4 rows of 3 trials"):
        simulation._check(tmp_path, 3)
    with pytest.raises(RuntimeError, match="4 trials, but 4 rows of 3 trials"):
        simulation._check(tmp_path, 4)


def test_equal_machines_without_failures_come_near_the_ideal(tmp_path):
    calm = dataclasses.replace(
        SMALL, failure_hours=1e9, speed_spread=0.0, model_error=0.0, num_trials=600
    )
    outcome = simulation.simulate(calm, 4, tmp_path / "run")
    assert (outcome.failures, outcome.lost_percent) == (0, pytest.approx(0))
    assert outcome.makespan_hours / outcome.ideal_hours < 1.3


def test_command_leaves_its_table(tmp_path):
    text = simulation.run(SMALL, tmp_path)
    assert (tmp_path / "simulation.md").read_text() == text
    record = json.loads((tmp_path / "simulation.json").read_text())
    assert record["config"]["num_workers"] == 6
    (outcome,) = record["outcomes"]
    assert f"| {outcome['shares']} | {outcome['makespan_hours']:.2f} |" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["simulation.json", "simulation.md"]


@pytest.mark.slow
def test_fifty_workers():
    config = SimulationConfig(num_workers=50, num_trials=3000, failure_hours=4.0)
    with simulation._store_folder() as folder:
        outcome = simulation.simulate(config, 4, folder)
    assert outcome.failures > 20
    assert outcome.lost_percent < 10
    assert outcome.makespan_hours / outcome.ideal_hours < 2
