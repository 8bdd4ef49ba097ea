"""How far a long job is: a live display on a terminal, plain lines in a batch log."""

import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jaxfleet.imaging import decibels

FEW = 4  # fits that are left, of which the display tells iterations
COMPILING_SHARE = 0.01  # of the work: a first update of less tells of compilation, not of the rate
LEAST_WORK = 1e-9  # where there is none, so that nothing is divided by zero
FIRST_LINE_SECONDS, LINE_GROWTH, LONGEST_SILENCE_SECONDS = 5.0, 1.3, 60.0


class Underway(NamedTuple):
    """A network in training: updates made, updates in all, and the work of an update."""

    made: int
    total: int
    work: float


class Progress:
    """Counts fits and pixel-steps, or whatever they are called; use as a context manager.

    On a terminal it redraws a bar and a line of numbers, its clocks also between updates. Elsewhere
    it writes a line after 5 seconds, then ever more rarely, at least once a minute, and one at the
    end.

    Attributes:
        on_sample: called at each update with a dictionary of seconds, fits, pixel_steps,
            mean_psnr_db (of those that have finished) and training_psnr_db (of the others); NaN
            for what is not known.
    """

    def __init__(
        self,
        fits: int,
        pixel_steps: float,
        *,
        fits_done: int = 0,
        stream: TextIO | None = None,
        unit: str = "fits",
        work: str = "pixel-steps",
    ) -> None:
        """`fits` and `pixel_steps` are totals of the run; `fits_done` were there before.

        `unit` and `work` are what the two are called on the display.
        """
        self._stream = stream or sys.stderr
        self.unit, self._work = unit, work
        self._total_fits, self._total_steps = fits, max(pixel_steps, LEAST_WORK)
        self._before = fits_done
        self._fits, self._steps = 0, 0.0
        self._mean = decibels.mean([])  # of finished networks
        self._training_db: float | None = None
        self._underway: Sequence[Underway] = ()
        self._start = self._last = self._updated = time.monotonic()
        self._origin = self._start, 0.0  # time and work that the time left is reckoned from
        self._wait = FIRST_LINE_SECONDS
        self._news = False  # whether there was an update since the last line
        self._live: Live | None = None
        self.on_sample: Callable[[dict[str, float]], object] = lambda _: None

    def __enter__(self) -> "Progress":
        """Start the clock, and the display on a terminal."""
        self._start = self._last = self._updated = time.monotonic()
        self._origin = self._start, 0.0
        console = Console(file=self._stream)
        in_notebook = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
        terminal = self._stream.isatty() and not console.is_dumb_terminal
        if terminal or (in_notebook and self._stream is sys.stderr):
            self._live = Live(get_renderable=self._display, console=console)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the display with a last line."""
        if self._live is not None:
            self._live.stop()
        elif self._news:
            self._stream.write(self._line() + "\n")
            self._stream.flush()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def take_up(self, work: float, *, fits: int = 0) -> None:
        """Leave out of the rates and times what earlier processes did, by their checkpoint."""
        self._total_steps = max(self._total_steps - work, LEAST_WORK)
        self._before += fits

    def update(
        self,
        work: float,
        *,
        finished: int | None = None,
        psnr_db: Sequence[float] = (),
        training_mse: Iterable[float] = (),
        underway: Sequence[Underway] = (),
    ) -> None:
        """Add work that was done, and what has just finished; tell `on_sample`.

        Args:
            work: pixel-steps, or whatever the display calls them.
            finished: how many fits have finished; None for as many as `psnr_db` has values.
            psnr_db: of fits that have finished, dB; values that are not finite count for nothing.
            training_mse: present losses of the networks in training, for the eye alone.
            underway: the networks in training; of a few, the display tells the iteration.
        """
        is_first = work > 0 and not self._steps
        self._underway = underway
        self._news = True
        self._steps += work
        self._fits += len(psnr_db) if finished is None else finished
        self._mean = self._mean.joined(decibels.mean(psnr_db))
        training_db = [-10 * math.log10(mse) for mse in training_mse if 0 < mse < math.inf]
        self._training_db = sum(training_db) / len(training_db) if training_db else None
        self._updated = now = time.monotonic()
        if is_first and self._steps < COMPILING_SHARE * self._total_steps:
            self._origin = now, self._steps
        sample = {
            "seconds": now - self._start,
            "fits": float(self._before + self._fits),
            "pixel_steps": self._steps,
            "mean_psnr_db": self._mean.db,
            "training_psnr_db": math.nan if self._training_db is None else self._training_db,
        }
        self.on_sample(sample)
        ended = self._before + self._fits >= self._total_fits  # the last line says so
        if self._live is None and not ended and now - self._last > self._wait:
            self._last, self._wait = now, min(self._wait * LINE_GROWTH, LONGEST_SILENCE_SECONDS)
            self.note(self._line())
            self._news = False

    def _display(self) -> Group:
        """Return what the terminal shows: two lines in 80 columns, wrapped in fewer."""
        share = 1.0 if self._complete else min(self._steps / self._total_steps, 1.0)
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        head.add_row(ProgressBar(1.0, share), f"{share:4.0%}  {self._times()}")
        return Group(head, Text(self._counts()))

    def _line(self) -> str:
        return f"{self._counts()}, {self._times()}"

    @property
    def _complete(self) -> bool:
        return self._before + self._fits >= self._total_fits

    def _counts(self) -> str:
        """Return the fits, rates and quality at the last update."""
        fits = f"{self._before + self._fits}/{self._total_fits} {self.unit}"
        if not self._fits and not self._steps and not self._underway:
            return fits if self._complete else f"{fits}, starting ..."
        seconds = max(self._updated - self._start, 1e-9)
        rate = _rate(self._fits / seconds, self.unit)
        if not self._fits:  # long ones: a rate of 0 would say nothing
            rate = f"{min(self._steps / self._total_steps, 1.0):.0%} of the work"
        is_part = self._work == self.unit  # what trains is a part of one
        parts = [fits, rate]
        if not is_part:
            parts.append(f"{self._steps / seconds:.3g} {self._work}/s")
        if self._underway and (is_part or self._total_fits - self._before - self._fits <= FEW):
            last = min(self._underway, key=lambda one: one.made / one.total)
            parts.insert(1, f"iteration {last.made:,} of {last.total:,}")
        if self._mean.finite or self._mean.exact:  # the largest networks come first
            so_far = "" if self._complete else " so far"
            new = f" of {self._fits} new" if self._before else ""
            parts.append(f"mean PSNR{so_far} {self._mean}{new}")
        elif self._training_db is not None:
            parts.append(f"in training {self._training_db:.2f} dB")
        return ", ".join(parts)

    def _times(self) -> str:
        """Time left, by the rate since the first update that tells one, and time passed."""
        now = time.monotonic()
        passed = f"{clock(now - self._start)} passed"
        if self._complete:
            return passed
        start, steps = self._origin
        if self._steps <= steps:
            return f"? left, {passed}"
        seconds_per_step = (self._updated - start) / (self._steps - steps)
        end = self._updated + seconds_per_step * (self._total_steps - self._steps)
        return f"{clock(max(0.0, end - now))} left, {passed}"


def _rate(per_second: float, unit: str) -> str:
    """Format a rate, per hour if there is less than about one per second."""
    if 0 < per_second < 0.1:
        return f"{3600 * per_second:.1f} {unit}/h"
    return f"{per_second:.2f} {unit}/s"


def clock(seconds: Any) -> str:
    """Return the seconds as 0:07, 12:34, 5:00:00, or ? where unknown."""
    if not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
