"""A process of `fleet_simulation`: real rows in the real store, at times that nobody waits for.

It flushes and checkpoints by the rules of `executors.run_here`. The slots of a bucket train side by
side, each at an equal share of the machine's rate.
"""

import dataclasses
import heapq
import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxfleet import executors, storage
from jaxfleet.results import store
from jaxfleet.shards import Shard
from jaxinr import buckets

SCHEMA = pa.schema(
    [
        ("trial_id", pa.int64()),
        ("share", pa.int64()),
        ("attempt", pa.int64()),
        ("hours", pa.float64()),
        ("psnr_db", pa.float64()),
    ]
)


@dataclasses.dataclass
class Share:
    """A share of the plan, and what survives the process that works on it.

    Attributes:
        shard: which.
        parts: its buckets: trial ids, seconds of each at speed 1, slots.
        snapshot: bucket -> trial id -> seconds left, of the latest checkpoint.
        attempts: processes that took it up.
        parts_written: files, before they were merged into one.
    """

    shard: Shard
    parts: list[tuple[np.ndarray, np.ndarray, int]]
    snapshot: dict[int, dict[int, float]] = dataclasses.field(default_factory=dict)
    attempts: int = 0
    parts_written: int = 0

    @property
    def seconds(self) -> float:
        """The time of its training, at speed 1."""
        return float(sum(costs.sum() for _, costs, _ in self.parts))


def work_on(
    share: Share,
    plan: Mapping[str, Any],
    run_dir: Path,
    *,
    speed: float = 1.0,
    start: float = 0.0,
    death: float = math.inf,
    checkpoint_minutes: float = 10.0,
    torn: bool = False,
) -> tuple[float, float]:
    """Simulate a process from its start to its end or death; in seconds of simulated time.

    Args:
        share: what it works on; changed as a disk would be.
        plan: of the run directory.
        run_dir: of the real store.
        speed: of the machine.
        start: when it begins.
        death: when it is killed.
        checkpoint_minutes: as in siren_grid.
        torn: whether death comes while it writes a part.

    Returns:
        When it ended (`death` if it was killed), and the seconds at speed 1 that it trained.
    """
    share.attempts += 1
    results = store.Store(run_dir, plan, SCHEMA, network={}, shard=share.shard)
    clock = _Clock(start, death, speed, 60 * checkpoint_minutes)
    try:
        for number, (ids, costs, slots) in enumerate(share.parts):
            left = _left(share.snapshot.get(number), ids, costs, results.done)
            if left and not _train(share, number, left, slots, clock, results):
                if torn:
                    name = f".part{share.shard.suffix}-0123456789abcdef.tmp"
                    (run_dir / store.PARTS / name).write_bytes(b"PAR1")
                return death, clock.trained
        share.parts_written += len(_parts_of(run_dir, share.shard))
        results.merge()
    finally:
        results.close()
    return clock.now, clock.trained


class _Clock:
    """Time of a process, and when it must flush, as in `executors.run_here`."""

    def __init__(self, start: float, death: float, speed: float, checkpoint: float) -> None:
        self.now, self.death, self.speed, self.checkpoint = start, death, speed, checkpoint
        self.wait, self.trained = executors.FLUSH_SECONDS, 0.0

    def pass_to(self, when: float, *, training: bool = True) -> bool:
        """Return whether the process lives until then."""
        end = min(when, self.death)
        if training:
            self.trained += (end - self.now) * self.speed
        self.now = end
        return when < self.death


def _left(
    snapshot: dict[int, float] | None, ids: np.ndarray, costs: np.ndarray, done: set[int]
) -> list[tuple[int, float]]:
    """Return (trial_id, seconds left) of a bucket: the checkpoint first, then the queue."""
    queue = dict(zip(ids.tolist(), costs.tolist(), strict=True))
    taken = {trial_id: left for trial_id, left in (snapshot or {}).items() if trial_id not in done}
    return [
        *taken.items(),
        *((one, cost) for one, cost in queue.items() if one not in done and one not in taken),
    ]


def _train(
    share: Share,
    number: int,
    left: list[tuple[int, float]],
    slots: int,
    clock: _Clock,
    results: store.Store,
) -> bool:
    """Train a bucket to its end; False if the process dies before."""
    if not clock.pass_to(clock.now + buckets.COMPILE_SECONDS, training=False):
        return False
    saved = flushed = clock.now
    queue, level = deque(left), 0.0  # level: seconds that a slot got which was never free
    active: list[tuple[float, int]] = []  # level at the end, trial_id
    while queue or active:
        while queue and len(active) < slots:
            trial_id, cost = queue.popleft()
            heapq.heappush(active, (level + cost, trial_id))
        rate = clock.speed / len(active)
        finish = clock.now + (active[0][0] - level) / rate
        due = saved + clock.checkpoint
        when = min(finish, due)
        before = clock.now
        alive = clock.pass_to(when)
        level += (clock.now - before) * rate
        if not alive:
            return False
        if when == finish:
            level, trial_id = heapq.heappop(active)
            results.add([_row(share, trial_id, clock.now)])
        if when == due:
            results.flush()
            share.snapshot[number] = {one: end - level for end, one in active}
            saved = flushed = clock.now
        elif clock.now - flushed > clock.wait:
            results.flush()
            flushed, clock.wait = clock.now, min(2 * clock.wait, clock.checkpoint)
    results.flush()
    share.snapshot.pop(number, None)
    return True


def _parts_of(run_dir: Path, shard: Shard) -> list[str]:
    names = storage.names(run_dir / store.PARTS)
    return [name for name in names if name.startswith(f"part{shard.suffix}-")]


def _row(share: Share, trial_id: int, now: float) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "share": share.shard.index,
        "attempt": share.attempts,
        "hours": now / 3600,
        "psnr_db": 20 + 10 * math.sin(trial_id),  # something that can be checked
    }
