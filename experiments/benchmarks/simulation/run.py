"""Simulate a collection on a thousand machines: its time, and that every network is there once.

Simulates the clock and the training alone. Plan, cut and store are the real ones: every simulated
process (`process`) opens its share of a run directory, flushes and checkpoints as a real
one does, and is killed at random between any two of these; what it had not flushed is gone.

Machines differ in speed, and programs cost more or less than the plan thinks. Free machines take
the next share, and that of a killed one goes to the next that is free, as on a Ray cluster; with
one share for each machine this is a job array whose killed tasks are queued again.
"""

import contextlib
import dataclasses
import heapq
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

import jaxfleet
from experiments.benchmarks.simulation import process
from experiments.benchmarks.simulation.process import Share
from experiments.siren import grid as siren_grid
from jaxfleet import rundir, storage, trainer
from jaxfleet.imaging.photos import Photo
from jaxfleet.results import store
from jaxfleet.scripts.options import flag
from jaxfleet.shards import Shard
from jaxinr import buckets
from jaxinr.program import tile

_PICTURE = 120  # pixels of a side
_TORN = 0.25  # of kills: in the middle of writing a part


@dataclasses.dataclass(frozen=True)
class SimulationConfig:
    """Flags of `launch/fleet_simulation.py`."""

    RUN_DIR: ClassVar[str] = "written"

    num_workers: int = flag(1000, "Number of machines.", group="Fleet", lower=1)
    shares_per_worker: tuple[int, ...] = flag((1, 4), "Shares of the plan per machine.", lower=1)
    speed_spread: float = flag(
        0.2, "Standard deviation of the logarithm of machine speeds.", lower=0
    )
    failure_hours: float = flag(12.0, "Mean hours between the failures of a machine.", lower=0.01)
    restart_minutes: float = flag(5.0, "Minutes until a failed machine is back.", lower=0)
    checkpoint_minutes: float = flag(
        10.0, "Minutes between checkpoints, as in siren_grid.", lower=0.1
    )
    num_trials: int = flag(
        30_000, "Number of networks, a third of them of one architecture.", group="Work", lower=3
    )
    minutes_per_trial: float = flag(
        2.4,
        "Mean time of a network on a machine of speed 1. The paper's took 2.4: 12,000 GPU hours "
        "for 300,000.",
        lower=1e-3,
    )
    model_error: float = flag(
        0.2,
        "Standard deviation of the logarithm of a program's true cost over the one planned with.",
        lower=0,
    )
    platform: str = flag(
        "gpu",
        "Platform, which decides how many networks train side by side.",
        choices=("cpu", "gpu", "tpu"),
    )
    seed: int = flag(0, "Random seed of the simulation.", lower=0)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One simulation.

    Attributes:
        shares: the plan was cut into so many.
        makespan_hours: until the last network.
        ideal_hours: if all machines had worked at their speed all the time.
        failures: machines lost at work.
        lost_percent: of all training, what was done again after a kill.
        idle_percent: of the machines' time until the end, without a share or in repair.
        imbalance: the longest share over the mean, true costs at speed 1.
        flushes: parts that were written on the way.
        parts: files in the store at the end, merged when a share ended.
        rows: in all of them.
        open_seconds: until `jaxfleet.open` knew all rows.
        wall_seconds: that the simulation took.
    """

    shares: int
    makespan_hours: float
    ideal_hours: float
    failures: int
    lost_percent: float
    idle_percent: float
    imbalance: float
    flushes: int
    parts: int
    rows: int
    open_seconds: float
    wall_seconds: float


def make_shares(config: SimulationConfig, count: int) -> list[Share]:
    """Make the real plan of a random sample, cut into shares as `buckets.make_buckets` does."""
    repeats = config.num_trials // 3
    grid = siren_grid.GridConfig(
        sampling="random",
        num_trials=config.num_trials - repeats,
        num_repeats=repeats,
        layer_size=("log:5:60",),
        num_layers=("uniform:2:15",),
        w0_initial=("log:3:60",),
        num_iters=("20000",),
        seed=("uniform:0:1000000",),
        sampling_seed=config.seed,
    )
    picture = np.zeros((_PICTURE, _PICTURE, 3), np.uint8)
    jobs = siren_grid.make_jobs(grid, [Photo(str(number), picture) for number in range(1000)])
    trials = [job.trial for job in jobs]
    line, planned = buckets.line_up(
        trials, [picture.shape[:2]] * len(jobs), platform=config.platform
    )
    key = np.random.default_rng([config.seed, 1])
    factors = {program: key.lognormal(0.0, config.model_error) for program in dict(line)}
    true = planned * np.array([factors[program] for program, _ in line])
    true *= 60 * config.minutes_per_trial * len(jobs) / true.sum()
    shares = []
    for index in range(count):
        members: dict[buckets.Family, list[int]] = {}
        for position in np.flatnonzero(Shard(index, count).cut(planned)).tolist():
            members.setdefault(line[position][0], []).append(position)
        parts = []
        for family, positions in members.items():
            ids = np.array([jobs[line[p][1]].trial_id for p in positions])
            slots = trainer.layout(len(ids), 1, tile(family.width, config.platform)[0])[1]
            parts.append((ids, true[positions], slots))
        parts.sort(key=lambda part: -part[1].sum())
        shares.append(Share(Shard(index, count), parts))
    return shares


def simulate(config: SimulationConfig, shares_per_worker: int, run_dir: Path) -> Outcome:
    """Simulate one collection, from the first process to the last network.

    Raises:
        RuntimeError: if the store does not hold every trial exactly once.
    """
    began = time.monotonic()
    key = np.random.default_rng([config.seed, 2])
    speeds = key.lognormal(0.0, config.speed_spread, config.num_workers)
    shares = make_shares(config, config.num_workers * shares_per_worker)
    seconds = np.array([share.seconds for share in shares])
    plan = {"num_trials": config.num_trials, "seed": config.seed}
    waiting = deque(range(len(shares)))
    free = deque(np.argsort(-speeds).tolist())
    events: list[tuple[float, int, int, bool]] = []  # time, worker, share that comes back, is_back
    worked = trained = now = 0.0
    failures, makespan = 0, 0.0
    while waiting or events:
        while waiting and free:
            worker, index = free.popleft(), waiting.popleft()
            death = now + key.exponential(3600 * config.failure_hours)
            torn = key.random() < _TORN
            end, done = process.work_on(
                shares[index],
                plan,
                run_dir,
                speed=speeds[worker],
                start=now,
                death=death,
                checkpoint_minutes=config.checkpoint_minutes,
                torn=torn,
            )
            worked, trained = worked + end - now, trained + done
            if end < death:
                makespan = max(makespan, end)
                heapq.heappush(events, (end, worker, -1, True))
            else:
                failures += 1
                heapq.heappush(events, (end, worker, index, False))
                heapq.heappush(events, (end + 60 * config.restart_minutes, worker, -1, True))
        if events:
            now, worker, index, is_back = heapq.heappop(events)
            if is_back:
                free.append(worker)
            else:
                waiting.appendleft(index)
    parts, rows, open_seconds = _check(run_dir, config.num_trials)
    return Outcome(
        shares=len(shares),
        makespan_hours=makespan / 3600,
        ideal_hours=float(seconds.sum() / speeds.sum() / 3600),
        failures=failures,
        lost_percent=100 * float(1 - seconds.sum() / trained),
        idle_percent=100 * (1 - worked / (makespan * config.num_workers)),
        imbalance=float(seconds.max() / seconds.mean()),
        flushes=sum(share.parts_written for share in shares),
        parts=parts,
        rows=rows,
        open_seconds=open_seconds,
        wall_seconds=time.monotonic() - began,
    )


def run(config: SimulationConfig, run_dir: Path) -> str:
    """Simulate every number of shares; write `simulation.json` and `simulation.md`.

    Returns:
        The table.
    """
    outcomes = []
    for shares_per_worker in config.shares_per_worker:
        with _store_folder() as folder:
            outcomes.append(simulate(config, shares_per_worker, folder))
    record = {
        "config": dataclasses.asdict(config),
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    text = as_markdown(outcomes)
    storage.make_folder(run_dir, "--run_dir")
    rundir.write_json(run_dir / "simulation.json", record)
    storage.write_atomically(run_dir / "simulation.md", text.encode())
    return text


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """Write a line of Markdown for each simulation."""
    lines = [
        "| shares | hours | over ideal | failures | lost work | idle | longest share over mean "
        "| flushes | parts at the end | rows, each trial once | open, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.shares:,} | {one.makespan_hours:.2f} "
        f"| {one.makespan_hours / one.ideal_hours:.2f} | {one.failures:,} "
        f"| {one.lost_percent:.1f}% | {one.idle_percent:.1f}% | {one.imbalance:.2f} "
        f"| {one.flushes:,} | {one.parts:,} | {one.rows:,} | {one.open_seconds:.1f} |"
        for one in outcomes
    ]
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def _store_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fleet_simulation") as folder:
        yield Path(folder) / "run"


def _check(run_dir: Path, trials: int) -> tuple[int, int, float]:
    """Return the parts, rows, and the seconds that opening took."""
    began = time.monotonic()
    table = jaxfleet.open(run_dir)
    found = len(table)
    seconds = time.monotonic() - began
    paths = [run_dir / store.PARTS / name for name in storage.names(run_dir / store.PARTS)]
    rows = sum(store.read_part(path, ["trial_id"]).num_rows for path in paths)
    if found != trials or rows != trials or not np.array_equal(table.trial_ids, np.arange(trials)):
        raise RuntimeError(f"{trials} trials, but {rows} rows of {found} trials in the store.")
    return len(paths), rows, seconds
