"""How far a long job is: a live display on a terminal, plain lines in a batch log."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TextIO

from rich import console, progress as bars

FIRST_LINE_SECONDS, LINE_GROWTH, LONGEST_SILENCE_SECONDS = 5.0, 1.3, 60.0


class Progress:
    """Counts fits and pixel-steps; use as a context manager.

    On a terminal it redraws one bar. Elsewhere it writes a line after 5 seconds, then ever more
    rarely, at least once a minute, and one at the end.

    Attributes:
        on_sample: called at each update with what a throughput figure needs: seconds, fits,
            pixel_steps, mean_psnr_db.
    """

    def __init__(
        self, fits: int, pixel_steps: float, *, fits_done: int = 0, stream: TextIO | None = None
    ) -> None:
        """`fits` and `pixel_steps` are totals of the run; `fits_done` were there before."""
        self._stream = stream or sys.stderr
        self._total_fits, self._total_steps = fits, max(pixel_steps, 1.0)
        self._before = fits_done
        self._fits, self._steps = 0, 0.0
        self._sum_db, self._count_db = 0.0, 0
        self._start = self._last = time.monotonic()
        self._wait = FIRST_LINE_SECONDS
        self._bar: bars.Progress | None = None
        self.on_sample: Callable[[dict[str, float]], object] = lambda _: None

    def __enter__(self) -> "Progress":
        """Starts the clock, and the display on a terminal."""
        self._start = self._last = time.monotonic()
        if self._stream.isatty():
            self._bar = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(bar_width=None),
                bars.TaskProgressColumn(),
                console=console.Console(file=self._stream),
            )
            self._task = self._bar.add_task(self._line(), total=self._total_steps)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the display with a last line."""
        if self._bar is not None:
            self._bar.stop()
        elif self._fits or self._steps:
            self._stream.write(self._line() + "\n")
            self._stream.flush()

    def note(self, text: str) -> None:
        """A line of its own, which stays."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def update(self, pixel_steps: float, psnr_db: Sequence[float] = ()) -> None:
        """Adds pixel-steps made and the PSNR of networks that just finished; tells `on_sample`."""
        self._steps += pixel_steps
        self._fits += len(psnr_db)
        finite = [value for value in psnr_db if math.isfinite(value)]
        self._sum_db += sum(finite)
        self._count_db += len(finite)
        now = time.monotonic()
        sample = {
            "seconds": now - self._start,
            "fits": float(self._before + self._fits),
            "pixel_steps": self._steps,
            "mean_psnr_db": self._sum_db / self._count_db if self._count_db else math.nan,
        }
        self.on_sample(sample)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._steps, description=self._line())
        elif now - self._last > self._wait:
            self._last, self._wait = now, min(self._wait * LINE_GROWTH, LONGEST_SILENCE_SECONDS)
            self.note(self._line())

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self._steps / seconds
        parts = [
            f"{self._before + self._fits}/{self._total_fits} fits",
            f"{self._fits / seconds:.2f} fits/s",
            f"{rate:.3g} pixel-steps/s",
        ]
        if self._count_db:
            parts.append(f"mean PSNR {self._sum_db / self._count_db:.2f} dB")
        left = (self._total_steps - self._steps) / rate if rate else math.inf
        parts.append(f"{clock(left)} left" if self._fits + self._before < self._total_fits else "")
        return ", ".join(part for part in parts if part) + f", {clock(seconds)} passed"


def clock(seconds: Any) -> str:
    """Seconds as 0:07, 12:34, 5:00:00, or ? where unknown."""
    if not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
