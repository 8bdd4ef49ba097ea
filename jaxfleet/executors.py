"""Where buckets run: this process."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxfleet.checkpoints import Checkpoints
from jaxfleet.progress import Progress
from jaxfleet.store import Store
from jaxfleet.trainer import Finished, Trainer

FLUSH_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Work:
    """One bucket, as an executor sees it.

    Attributes:
        name: unique in the run and the same each time; names its checkpoints.
        trial_ids: [J] of its jobs.
        make_trainer: positions of jobs that need no training -> a trainer of the others.
        row: what the store keeps of a finished job, and its PSNR in dB for the display.
    """

    name: str
    trial_ids: np.ndarray
    make_trainer: Callable[[Sequence[int]], Trainer]
    row: Callable[[Finished], Mapping[str, Any]]


def train(trainer: Trainer) -> Iterator[list[Finished]]:
    """What finishes in each segment, until all is done."""
    while (finished := trainer.step()) is not None:
        yield finished


def run_here(
    works: Sequence[Work],
    store: Store,
    display: Progress,
    *,
    checkpoint_minutes: float,
) -> None:
    """Runs buckets one after the other in this process, skipping what the store holds already.

    A checkpoint of other slots or jobs (another machine's) is left alone, its fits begun again.
    Rows are flushed before every checkpoint, so that a network is always in a part, in the latest
    checkpoint, or not begun.

    Raises:
        OSError: if the disk is full; finished parts and the last checkpoint stay.
    """
    for work in works:
        done = np.flatnonzero(np.isin(work.trial_ids, list(store.done))).tolist()
        if len(done) == len(work.trial_ids):
            continue
        checkpoints = Checkpoints(store.run_dir / "checkpoints" / work.name)
        trainer = work.make_trainer(done)
        if checkpoints.folder.exists():
            display.note(_take_up(work, trainer, checkpoints.load(), done))
        flushed = saved = time.monotonic()
        for finished in train(trainer):
            rows = [work.row(one) for one in finished]
            store.add(rows)
            display.update(trainer.work_done, [row["psnr_db"] for row in rows], trainer.losses())
            now = time.monotonic()
            if now - saved > 60 * checkpoint_minutes:
                store.flush()
                checkpoints.save({**trainer.snapshot(), "trial_ids": work.trial_ids})
                flushed = saved = time.monotonic()
            elif now - flushed > FLUSH_SECONDS:
                store.flush()
                flushed = now
        store.flush()
        checkpoints.clear()


def _take_up(
    work: Work, trainer: Trainer, snapshot: Mapping[str, Any] | None, done: Sequence[int]
) -> str:
    """Restores what was in flight, if it can be; says which."""
    if (
        snapshot is not None
        and np.array_equal(snapshot["trial_ids"], work.trial_ids)
        and trainer.restore(snapshot, done)
    ):
        return f"{work.name}: {int(trainer.training.sum())} fits taken up again."
    return f"{work.name}: the checkpoint is damaged or of another machine; its fits begin again."
