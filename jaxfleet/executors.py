"""Where buckets run: in this process, one share of a job array, or a Ray cluster.

A share is cut by `shards`; what it does is the same everywhere, and results meet in the store.
"""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError
from jaxfleet.progress import Progress
from jaxfleet.store import Store
from jaxfleet.trainer import Finished, Trainer

FLUSH_SECONDS = 30.0  # at first; then ever longer, up to the time between checkpoints
FLUSH_BYTES = 1 << 25
POLL_SECONDS = 2.0


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
    checkpoint, or not begun. Ctrl-C and SIGTERM wait for the end of a segment and for a checkpoint
    (a second one does not wait).

    Raises:
        OSError: if the disk is full; finished parts and the last checkpoint stay.
    """
    wait = FLUSH_SECONDS
    for work in works:
        done = np.flatnonzero(np.isin(work.trial_ids, list(store.done))).tolist()
        if len(done) == len(work.trial_ids):
            continue
        checkpoints = Checkpoints(checkpoint_folder(store) / work.name)
        trainer = work.make_trainer(done)
        if checkpoints.folder.exists():
            display.note(_take_up(work, trainer, checkpoints.load(), done))
        flushed = saved = time.monotonic()
        with _signals_wait() as stop:
            for finished in train(trainer):
                rows = [work.row(one) for one in finished]
                store.add(rows)
                display.update(
                    trainer.work_done, [row["psnr_db"] for row in rows], trainer.losses()
                )
                now = time.monotonic()
                if stop.is_set() or now - saved > 60 * checkpoint_minutes:
                    store.flush()
                    checkpoints.save({**trainer.snapshot(), "trial_ids": work.trial_ids})
                    flushed = saved = time.monotonic()
                elif now - flushed > wait or store.pending_bytes > FLUSH_BYTES:
                    store.flush()
                    flushed, wait = now, min(2 * wait, 60 * checkpoint_minutes)
                if stop.is_set():
                    break
            else:
                store.flush()
                checkpoints.clear()


def checkpoint_folder(store: Store) -> Path:
    """Where this shard keeps what is in flight."""
    return store.run_dir / f"checkpoints{store.shard.suffix}"


@contextlib.contextmanager
def _signals_wait() -> Iterator[threading.Event]:
    """Holds SIGINT and SIGTERM back until the end of the block; the event says that one came.

    A second one of them is not held back. Outside of the main thread Python has no signals.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    held: list[int] = []

    def hold(number: int, frame: Any) -> None:
        came.set()
        held.append(number)
        signal.signal(number, before[number])

    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        signal.signal(number, hold)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in held[:1]:
        signal.raise_signal(number)


def run_on_ray(
    share: Callable[[int], Any],
    count: int,
    poll: Callable[[], Any],
    *,
    address: str,
    cpus: float,
    gpus: float,
    retries: int = 10,
) -> None:
    """Runs share(0) to share(count - 1) as tasks of a Ray cluster.

    A task whose process or machine is lost starts again elsewhere and goes on from what is in the
    run directory, which every machine must see under the same name.

    Args:
        share: the work of a share; pickled, so a function of a module, or a partial of one.
        count: of shares; several for each worker, so that none is idle long at the end.
        poll: called every two seconds or so while tasks run.
        address: of the cluster; "" starts one on this machine, for as long as this process lives.
        cpus: that a task needs.
        gpus: that a task needs.
        retries: of a task.

    Raises:
        InputError: if Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--executor=ray needs Ray: pip install 'jaxfleet[ray]'.") from None
    try:
        ray.init(address=address or None, log_to_driver=False, include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--ray_address={address}: {reason}") from None
    try:
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=retries)(share)
        running = [task.remote(index) for index in range(count)]
        while running:
            ended, running = ray.wait(running, timeout=POLL_SECONDS)
            ray.get(ended)
            poll()
    finally:
        ray.shutdown()


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
