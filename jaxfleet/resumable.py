"""A fixed order of trainings that goes on, after its process was stopped, from a checkpoint.

    kept = Resumable(folder)
    kept.claim(rundir.digest(everything_that_the_result_depends_on))
    first = kept.once(lambda: coarse(kept))        # trains by kept.train, returns a tree of arrays
    second = kept.once(lambda: fine(first, kept))
    kept.clear()

Repeated in another process, `once` returns at once what is known, and the training that was in
flight continues; what lies between the trainings is computed again. So the result is that of an
uninterrupted run, bit for bit on the same machine.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from jaxfleet import executors
from jaxfleet.checkpoints import Checkpoints
from jaxfleet.progress import Progress
from jaxfleet.trainer import Finished

Team = TypeVar("Team", bound=executors.Trainer)

SAVE_SECONDS = 10.0  # between checkpoints, at least
SAVE_SHARE = 0.05  # of the time, that checkpoints take at most


class Resumable:
    """Keeps results of trainings, and what is in flight, in a folder; without one, nothing."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        note: Callable[[str], object] = lambda _: None,
        within: Progress | None = None,
    ) -> None:
        """Keep nothing yet; `folder` need not exist. `note` takes a line for the user.

        `within` is the display of work of which this is a part: it tells what is in training.
        """
        self._checkpoints = None if folder is None else Checkpoints(folder)
        self._note, self._within = note, within
        self._display: Progress | None = None
        self._identity, self._seconds, self._start = "", 0.0, time.monotonic()
        self._results: list[Any] = []  # of the calls of `once`; the first of them are known
        self._calls = self._trainings = 0  # of `once`, and of `train` in the present one
        self._flight: dict[str, Any] | None = None  # what an earlier process left in flight
        self._saved, self._wait = self._start, SAVE_SECONDS
        self._fits, self._work = 0, 0.0  # done so far, for the display
        self._stop = threading.Event()

    @property
    def seconds(self) -> float:
        """Wall time so far, that of the processes before included."""
        return self._seconds + time.monotonic() - self._start

    def claim(self, identity: str, display: Progress | None = None) -> None:
        """Look for what an earlier process left of the same work; of other work it is forgotten.

        Args:
            identity: a digest of all that the results depend on.
            display: that trainings are shown on.
        """
        self._identity, self._display = identity, display
        if self._checkpoints is None or not self._checkpoints.folder.exists():
            return
        folder, tree = self._checkpoints.folder, self._checkpoints.load()
        if tree is None:
            self._note(f"{folder} is damaged, and nothing of it is used.")
        elif tree["identity"].tobytes().decode() != identity:
            self._note(f"{folder} was left by work on other input or settings, and is not used.")
        else:
            self._note(f"Goes on from {folder}.")
            self._seconds = float(tree["seconds"])
            self._results, self._flight = list(tree.get("results", ())), tree.get("flight")
            self._fits, self._work = int(tree["fits"]), float(tree["work"])
            if display is not None:
                display.take_up(self._work, fits=self._fits)

    def once(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, a tree of arrays; of a call that is known, from the folder.

        Tuples may come back as lists.

        Raises:
            KeyboardInterrupt: after a checkpoint; or what the handler of SIGTERM raises.
            OSError: if a checkpoint cannot be written.
        """
        self._calls += 1
        if self._calls <= len(self._results):
            return self._results[self._calls - 1]
        self._trainings = 0
        if self._checkpoints is None:
            self._results.append(work())
            return self._results[-1]
        with executors.signals_wait() as self._stop:
            try:
                self._results.append(work())
                if self._stop.is_set():
                    self._save()
            except _StoppedError:
                pass
        if self._stop.is_set():  # and its handler, another program's, let it pass
            raise KeyboardInterrupt
        return self._results[-1]

    def train(self, make_trainer: Callable[..., Team]) -> Iterator[tuple[Team, Sequence[Finished]]]:
        """Yield a trainer, and what finished in its last segment, until all is done.

        Args:
            make_trainer: makes the trainer; called with `skip`, positions of jobs that need none.
        """
        number, self._trainings = self._trainings, self._trainings + 1
        flight, self._flight = self._flight, None
        if flight is not None and flight["number"] != number:
            flight = None
        ended = [_unpacked(one) for one in (flight or {}).get("ended", ())]
        trainer = make_trainer(skip=[one.job for one in ended])
        work = 0.0
        if flight is not None and trainer.restore(flight["snapshot"], []):
            work = float(flight["work"])
            if self._display is not None:
                self._display.take_up(work, fits=len(ended))
            yield trainer, list(ended)
        elif flight is not None:
            self._note("The training in flight was of another machine, and begins again.")
            ended, trainer = [], make_trainer(skip=[])
        for finished in executors.train(trainer):
            yield trainer, finished
            ended += finished
            work += trainer.work_done
            if self._display is not None:
                self._display.update(
                    trainer.work_done,
                    finished=len(finished),
                    training_mse=trainer.losses(),
                    underway=trainer.underway(),
                )
            if self._within is not None:
                self._within.update(0.0, training_mse=trainer.losses(), underway=trainer.underway())
            due = time.monotonic() - self._saved > self._wait
            if (due or self._stop.is_set()) and trainer.training.any():
                facts = {"number": number, "work": work, "snapshot": trainer.snapshot()}
                self._save(facts, ended)
                if self._stop.is_set():
                    raise _StoppedError
        self._fits, self._work = self._fits + len(ended), self._work + work

    def clear(self) -> None:
        """Remove the folder, once the result is in a safe place."""
        if self._checkpoints is not None:
            self._checkpoints.clear()

    def _save(self, flight: dict[str, Any] | None = None, ended: Sequence[Finished] = ()) -> None:
        if self._checkpoints is None:
            return
        tree: dict[str, Any] = {
            "identity": np.frombuffer(self._identity.encode(), np.uint8),
            "seconds": self.seconds,
            "fits": self._fits,
            "work": self._work,
        }
        if self._results:
            tree["results"] = self._results
        if flight is not None:
            tree["flight"] = flight
            if ended:
                flight["ended"] = list(map(_packed, ended))
        begun = time.monotonic()
        self._checkpoints.save(jax.tree.map(np.asarray, tree))
        self._saved = time.monotonic()
        self._wait = max(SAVE_SECONDS, (self._saved - begun) / SAVE_SHARE)


class _StoppedError(Exception):
    """A signal came, and what is in flight was saved."""


def _packed(finished: Finished) -> dict[str, Any]:
    fields = {field.name: getattr(finished, field.name) for field in dataclasses.fields(finished)}
    return fields | {"status": np.frombuffer(finished.status.encode(), np.uint8)}


def _unpacked(fields: dict[str, Any]) -> Finished:
    values = {name: value for name, value in fields.items() if name not in ("params", "result")}
    values = {name: value if value.ndim else value.item() for name, value in values.items()}
    return Finished(**{**fields, **values, "status": fields["status"].tobytes().decode()})
