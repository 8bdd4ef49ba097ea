"""Who trains when: one at a time, the others in line, and each may be told to stop."""

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import TypeVar

Step = TypeVar("Step")

_POLL_SECONDS = 0.5
_STOP_SECONDS = 0.05  # after which a stop is noticed


def unless_stopped(work: Callable[[], Step], stop: threading.Event) -> Step | None:
    """Return what some work returns; None as soon as it is told to stop.

    It then goes on unseen, as nothing ends a thread: to its end, or to that of the server.

    Raises:
        Exception: what the work raises.
    """
    future: Future[Step] = Future()
    threading.Thread(target=_fulfil, args=(future, work), daemon=True).start()
    while not stop.is_set():
        if wait([future], timeout=_STOP_SECONDS).done:
            return future.result()
    return None


def _fulfil(future: Future[Step], work: Callable[[], Step]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)


def each_unless_stopped(steps: Iterator[Step], stop: threading.Event) -> Iterator[Step]:
    """Yield what an iterator does, until it ends or is told to stop; see `unless_stopped`."""
    while (step := unless_stopped(functools.partial(next, steps, None), stop)) is not None:
        yield step


class Turns:
    """A line of works of which one is done at a time."""

    def __init__(self) -> None:
        """Start with nobody in line."""
        self._line: list[threading.Event] = []
        self._lock = threading.Lock()

    def take(self, work: Iterator[Step], stop: threading.Event) -> Iterator[Step | int]:
        """Yield how many are ahead while there are any, then what the work yields.

        Args:
            work: begun when its turn comes, closed at the end.
            stop: set by another thread; ends the wait, or the work after what it yields next.
        """
        with self._lock:
            self._line.append(stop)
        try:
            while (ahead := self._line.index(stop)) and not stop.is_set():
                yield ahead
                stop.wait(_POLL_SECONDS)
            if not stop.is_set():
                for step in work:
                    yield step
                    if stop.is_set():
                        break
        finally:
            close = getattr(work, "close", None)
            if close is not None:
                close()
            with self._lock:
                self._line.remove(stop)


class Stops:
    """Keep what each visitor has going on in each tab, so that it can be stopped."""

    def __init__(self) -> None:
        """Start with nothing going on."""
        self._of: dict[tuple[str, str], threading.Event] = {}

    def begin(self, visitor: str, tab: str) -> threading.Event:
        """Stop what the visitor had going on in the tab; return the event that stops the new."""
        self.stop(visitor, tab)
        self._of[visitor, tab] = threading.Event()
        return self._of[visitor, tab]

    def is_superseded(self, visitor: str, tab: str, stop: threading.Event) -> bool:
        """Return whether the visitor has begun something else in the tab, not only stopped."""
        return self._of.get((visitor, tab), stop) is not stop

    def stop(self, visitor: str, tab: str) -> None:
        """Stop what the visitor has going on in a tab, if anything."""
        event = self._of.pop((visitor, tab), None)
        if event is not None:
            event.set()

    def stop_all(self, visitor: str) -> None:
        """Stop all that the visitor has going on: he has left."""
        for one, tab in list(self._of):
            if one == visitor:
                self.stop(one, tab)
