"""Where buckets run: in this process, one share of a job array, or a Ray cluster.

A share is cut by `shards`; what it does is the same everywhere, and results meet in the store.
"""

import contextlib
import dataclasses
import io
import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jax
import numpy as np

from jaxfleet import storage
from jaxfleet.checkpoints import Checkpoints
from jaxfleet.errors import InputError, InUseError
from jaxfleet.progress import Progress, Underway
from jaxfleet.results.store import Store

FLUSH_SECONDS = 30.0  # at first; then ever longer, up to the time between checkpoints
FLUSH_BYTES = 1 << 25
POLL_SECONDS = 2.0
LOST_SECONDS = 60.0  # until a process of a lost machine has surely ended
TASK_RETRIES = 10  # of a task whose process or machine is lost
STOP_SECONDS = 15.0  # for tasks to write their checkpoints
CONNECT_SECONDS = 10.0  # until a cluster that does not answer is given up


class Trainer(Protocol):
    """The interface of a trainer of a bucket's jobs, such as `jaxfleet.trainer.FleetTrainer`.

    Attributes:
        work_done: in the last segment, in the unit of the display.
        segment_seconds: wall time of the last segment.
    """

    work_done: float
    segment_seconds: float

    @property
    def training(self) -> np.ndarray:
        """[N] bool: which of its places hold a job."""

    def step(self) -> Sequence[Any] | None:
        """Train for a segment and return what finished; None when all is done."""

    def losses(self) -> np.ndarray:
        """Return the mean squared errors of what is in training, for the eye."""

    def underway(self) -> list[Underway]:
        """Return how far each network in training is."""

    def snapshot(self) -> dict[str, Any]:
        """Return everything in flight, a tree of numpy arrays."""

    def restore(self, snapshot: Mapping[str, Any], done: Sequence[int]) -> bool:
        """Go on from a snapshot; False, and nothing is changed, if it does not fit."""


@dataclasses.dataclass(frozen=True)
class Work:
    """One bucket, as an executor sees it.

    Attributes:
        name: unique in the run and the same each time; names its checkpoints.
        trial_ids: [J] of its jobs.
        make_trainer: positions of jobs that need no training -> a trainer of the others.
        row: what the store keeps of a finished job.
        shown: the column of `row`, a PSNR in dB, that is for the display.
    """

    name: str
    trial_ids: np.ndarray
    make_trainer: Callable[[Sequence[int]], Trainer]
    row: Callable[[Any], Mapping[str, Any]]
    shown: str = "psnr_db"


def train(trainer: Trainer) -> Iterator[Sequence[Any]]:
    """Yield what finishes in each segment, until all is done."""
    while (finished := trainer.step()) is not None:
        yield finished


def run_here(
    works: Sequence[Work],
    store: Store,
    display: Progress,
    *,
    checkpoint_minutes: float,
) -> None:
    """Run buckets one after the other in this process, skipping what the store holds already.

    A checkpoint of other slots or jobs (another machine's) is left alone, its fits begun again.
    Rows are flushed before every checkpoint, so that a network is always in a part, in the latest
    checkpoint, or not begun. Ctrl-C and SIGTERM wait for the end of a segment and for a checkpoint
    (a second one does not wait).

    Raises:
        OSError: if the disk is full; finished parts and the last checkpoint stay.
    """
    wait = FLUSH_SECONDS
    for work in works:
        done = [i for i, trial in enumerate(work.trial_ids.tolist()) if trial in store.done]
        if len(done) == len(work.trial_ids):
            continue
        checkpoints = Checkpoints(checkpoint_folder(store) / work.name)
        trainer = work.make_trainer(done)
        if checkpoints.folder.exists():
            display.note(_take_up(work, trainer, checkpoints.load(), done, display.unit))
            display.take_up(sum(one.made * one.work for one in trainer.underway()))
        flushed = saved = time.monotonic()
        with signals_wait() as stop:
            for finished in train(trainer):
                rows = [work.row(one) for one in finished]
                store.add(rows)
                display.update(
                    trainer.work_done,
                    psnr_db=[row[work.shown] for row in rows],
                    training_mse=trainer.losses(),
                    underway=trainer.underway(),
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
        if stop.is_set():  # and its handler, another program's, let it pass
            raise KeyboardInterrupt


def checkpoint_folder(store: Store) -> Path:
    """Return where this shard keeps what is in flight."""
    return store.run_dir / f"checkpoints{store.shard.suffix}"


def clear_checkpoints(run_dir: Path) -> None:
    """Forget what was in flight in any shard, of this cut or another; for a run that is complete.

    A shard that a process still works on, given the same work by mistake, keeps its own.
    """
    for name in storage.names(run_dir):
        if match := re.fullmatch(r"checkpoints(-\d{5}-of-\d{5})?", name):
            with (
                contextlib.suppress(InUseError),
                storage.locked(run_dir, f".lock{match[1] or ''}", "--run_dir"),
            ):
                storage.remove_folder(run_dir / name)


@contextlib.contextmanager
def signals_wait() -> Iterator[threading.Event]:
    """Hold SIGINT and SIGTERM back until the end of the block; the event is set if one came.

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
        if before[number] is not _interrupt_once:
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
) -> None:
    """Run share(0) to share(count - 1) as tasks of a Ray cluster.

    A task whose process or machine is lost starts again elsewhere and goes on from what is in the
    run directory, which every machine must see under the same name.

    Args:
        share: the work of a share; pickled, so a function of a module, or a partial of one.
        count: of shares; several for each worker, so that none is idle long at the end.
        poll: called every two seconds or so while tasks run.
        address: of the cluster; "" starts one on this machine, for as long as this process lives.
        cpus: that a task needs.
        gpus: that a task needs.

    Raises:
        InputError: if Ray is not installed, there is no cluster at the address, or a task says so.
        OSError: if a disk is full, or a task was lost too often.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
    try:
        import ray
    except ImportError:
        raise InputError("--executor=ray needs Ray: pip install 'jaxfleet[ray]'.") from None
    _refuse_silence(address)

    def task(index: int) -> None:
        signal.signal(signal.SIGINT, _interrupt_once)
        _use_cores(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
        _wait_for_lock(lambda: share(index))

    # Ray tells of lost workers on standard output, whatever its log level; they are made up for.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            with _signals_kept():
                ray.init(
                    address=address or "local",  # None would look for one that runs
                    log_to_driver=False,
                    include_dashboard=None if address else False,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"--ray_address={address}: {reason}") from None
        with signals_wait() as stop:  # which Ray would make another exception of
            running: list[Any] = []
            try:
                remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=TASK_RETRIES)(task)
                running = [remote.remote(index) for index in range(count)]
                while running and not stop.is_set():
                    ended, running = ray.wait(running, timeout=POLL_SECONDS)
                    ray.get(ended)
                    poll()
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise OSError(str(error).splitlines()[0]) from None
            finally:
                for one in running:
                    ray.cancel(one)  # as Ctrl-C does: after a checkpoint
                if running:
                    ray.wait(running, num_returns=len(running), timeout=STOP_SECONDS)
                ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Refuse a cluster's address at which nothing listens: Ray would try for many minutes."""
    where = (os.environ.get("RAY_ADDRESS") or address) if address == "auto" else address
    match = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d{1,5})", where)
    if match is None:  # none was given, or what Ray itself finds or refuses
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"--ray_address={address}: no cluster answers at {where} ({reason}). Start one with "
            "`ray start --head`, give the address that it prints, or leave the flag out for one on "
            "this machine."
        ) from None


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM, which Ray replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt_once(number: int, frame: Any) -> NoReturn:
    """Interrupt a task once: Ray sends SIGINT every two seconds until the task has ended."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _use_cores(count: float) -> None:
    """Have JAX take so many cores of a machine that others share, if it has not started yet."""
    with contextlib.suppress(RuntimeError):  # it has, for the task before
        jax.config.update("jax_num_cpu_devices", max(1, int(count)))


def _wait_for_lock(work: Callable[[], Any]) -> None:
    """Wait until a lost process that holds this share has noticed and ended."""
    end = time.monotonic() + LOST_SECONDS
    while True:
        try:
            work()
            return
        except InUseError:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_SECONDS)


def _take_up(
    work: Work,
    trainer: Trainer,
    snapshot: Mapping[str, Any] | None,
    done: Sequence[int],
    unit: str,
) -> str:
    """Restore what was in flight, if possible, and report which."""
    if (
        snapshot is not None
        and np.array_equal(snapshot["trial_ids"], work.trial_ids)
        and trainer.restore(snapshot, done)
    ):
        return f"{work.name}: {int(trainer.training.sum())} {unit} taken up again."
    return f"{work.name}: the checkpoint is damaged or of another machine; its {unit} begin again."
