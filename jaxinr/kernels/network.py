"""One SIREN on the CPU: trained or rendered by compiled code, from arrays that Python holds.

A large network has its pixels shared out to all cores; its numbers are the same either way, see
`cpu`.
"""

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxfleet import fleet
from jaxfleet.results import table
from jaxfleet.trainer import Best, Finished
from jaxinr import pixels, siren
from jaxinr.kernels import cpu
from jaxinr.kernels.layers import COLOURS, PANEL
from jaxinr.kernels.tiling import CPU_CHUNK
from jaxinr.siren import Params
from jaxinr.trial import Trial

TURN_FLOPS = 2e9  # that compiled code works on before it looks at the clock: some 50 ms
SPLIT_FLOPS = 2e8  # of an update: some milliseconds, against 0.1 to share them out
RENDER_PIXELS = 1 << 14
_NO_COLOURS = np.empty((COLOURS, 0), np.float32)
_LINE = 16  # float32 numbers of a cache line
_WHOLES = ("iteration", "best_iteration", "status", "logged")  # of a record, for a snapshot
_NUMBERS = ("loss", "best_loss")

Part = Callable[[int, np.ndarray], None]  # work on a part, with a core's scratch
Each = Callable[[Part, int], None]  # all parts of some work, on one core or all


def aligned(*shape: int) -> np.ndarray:
    """Return an array of float32 zeros that begins with a cache line."""
    size = int(np.prod(shape))
    memory = np.zeros(size + _LINE, np.float32)
    start = -(memory.ctypes.data // 4) % _LINE
    return memory[start : start + size].reshape(shape)


def render(
    params: Params, trial: Trial, shape: tuple[int, int], coordinates: str, *, cores: int = 1
) -> np.ndarray:
    """Return the network's picture: [H, W, 3] float32, not clipped."""
    height, width = shape
    colours = np.empty((COLOURS, height * width), np.float32)

    def draw(start: int) -> None:
        index = np.arange(start, min(start + RENDER_PIXELS, height * width))
        black = aligned(2 + COLOURS, RENDER_PIXELS + PANEL)
        black[:2, : len(index)] = siren.places(index, height, width, coordinates)
        scratch = aligned(cpu.scratch_size(trial.num_layers, trial.layer_size))
        part = np.empty((COLOURS, RENDER_PIXELS), np.float32)
        network = _Arrays(trial, params, parts=1)
        network.run(cpu.RENDER, black, scratch, count=len(index), colours=part)
        colours[:, start : start + len(index)] = part[:, : len(index)]

    starts = range(0, height * width, RENDER_PIXELS)
    if min(cores, len(starts)) == 1:
        for start in starts:
            draw(start)
    else:
        with concurrent.futures.ThreadPoolExecutor(cores) as threads:
            list(threads.map(draw, starts))
    return colours.T.reshape(height, width, COLOURS)


def _viewed(colours: np.ndarray) -> np.ndarray:
    """Return colours as 8-bit numbers; black where a network is not finite."""
    return np.round(np.clip(np.nan_to_num(colours), 0.0, 1.0) * 255.0).astype(np.uint8)


class _Arrays:
    """A network's record and arrays, which compiled code works on.

    Args:
        trial: hyperparameters.
        params: of the network.
        parts: of an update's pixels.
        log_at: [T] iterations of the history, ascending.
    """

    def __init__(
        self, trial: Trial, params: Params, *, parts: int, log_at: np.ndarray | None = None
    ) -> None:
        """Make a network that runs and has learnt nothing."""
        self._record = np.zeros(1, cpu.NETWORK).view(np.recarray)
        self.record = record = self._record[0]
        record.layers, record.width, record.parts = trial.num_layers, trial.layer_size, parts
        record.num_iters, record.learning_rate = trial.num_iters, trial.learning_rate
        record.decay = trial.learning_rate_decay
        record.w0_initial, record.w0 = trial.w0_initial, trial.w0
        record.best_loss, record.status = np.inf, fleet.RUNNING
        self.params = table.flatten(params)
        self.best = self.params.copy()
        self.mean, self.square, self._folded = (np.zeros_like(self.params) for _ in range(3))
        self._gradients = np.zeros((parts, len(self.params)), np.float32)
        self._losses = np.zeros(parts)
        self.log_at = np.zeros(0, np.int32) if log_at is None else log_at
        self.history = np.zeros(len(self.log_at), np.float32)

    def run(
        self,
        task: int,
        pixels: np.ndarray,
        scratch: np.ndarray,
        *,
        part: int = 0,
        count: int = 0,
        colours: np.ndarray = _NO_COLOURS,
    ) -> None:
        """Do a task of `cpu.run`."""
        state = (
            self.params, self.mean, self.square, self.best, self._folded, self._gradients,
            self._losses,
        )  # fmt: skip
        cpu.run(
            task, part, count, self.record, pixels, scratch, state, self.log_at, self.history,
            colours,
        )  # fmt: skip


class Network:
    """One network in training."""

    def __init__(
        self,
        job: int,
        trial: Trial,
        picture: np.ndarray,
        params: Params,
        *,
        coordinates: str,
        log_at: np.ndarray,
        target_loss: float,
        cores: int,
        first_layer: int = 0,
    ) -> None:
        """Begin a training.

        Args:
            job: what `Finished.job` will be.
            trial: hyperparameters.
            picture: [H, W, 3] uint8 or float32.
            params: initial parameters.
            coordinates: see `siren.points_of`.
            log_at: [T] iterations of the history, ascending.
            target_loss: at which the training may stop; 0 for never.
            cores: that share the pixels of a large network.
            first_layer: that is trained; those before it stay as they are.
        """
        self.job, self.trial, self.picture = job, trial, picture
        self.coordinates, self.seconds = coordinates, 0.0
        count = picture.shape[0] * picture.shape[1]
        self.update_pixels = pixels.pixels_of_update(trial, count)
        parts = 1
        if self.flops > SPLIT_FLOPS:
            parts = min(4 * cores, -(-self.update_pixels // CPU_CHUNK))
        self._arrays = _Arrays(trial, params, parts=parts, log_at=log_at)
        record = self.record
        record.pixels, record.update_pixels = count, self.update_pixels
        record.offset = pixels.first_of(trial, count) if self.update_pixels < count else 0
        record.target_loss, record.first_layer = target_loss, first_layer
        self._pixels = self._pack()

    @property
    def record(self) -> Any:
        """The fields of `cpu.NETWORK`."""
        return self._arrays.record

    @property
    def flops(self) -> float:
        """Floating-point operations of an update's matrix products."""
        return float(self.update_pixels * self.trial.flops_per_pixel)

    @property
    def is_large(self) -> bool:
        """Whether its updates have parts for many cores."""
        return bool(self.record.parts > 1)

    @property
    def is_running(self) -> bool:
        """Whether it is not at its end."""
        return bool(self.record.status == fleet.RUNNING)

    def _pack(self) -> np.ndarray:
        """Return the coordinates and colours of the picture's pixels, in the order of training."""
        height, width, _ = self.picture.shape
        count, wraps = height * width, 0
        order = np.arange(count)
        if self.update_pixels < count:
            order, wraps = pixels.order(count), self.update_pixels
            order = np.append(order, order[:wraps])
        stride = count + wraps + PANEL
        packed = aligned(2 + COLOURS, stride + -stride % _LINE)
        packed[:2, : count + wraps] = siren.places(order, height, width, self.coordinates)
        colours = siren.unit(self.picture.reshape(-1, COLOURS)[order])
        packed[2:, : count + wraps] = colours.T
        return packed

    def advance(self, scratch: np.ndarray) -> None:
        """Train on this core for a short while, or to the end."""
        updates = max(1, int(TURN_FLOPS / self.flops))
        self._arrays.run(cpu.TRAIN, self._pixels, scratch, count=updates)

    def advance_together(self, each: Each) -> None:
        """Make one update as cpu.TRAIN does, or the last measurement, on all cores."""
        record, parts = self.record, int(self.record.parts)

        def do(task: int) -> Part:
            return lambda part, scratch: self._arrays.run(task, self._pixels, scratch, part=part)

        ends, whole = record.iteration == record.num_iters, self.update_pixels == record.pixels
        each(do(cpu.FOLD), 1)
        if ends or (not whole and cpu.is_due.py_func(record, self._arrays.log_at)):
            each(do(cpu.MEASURE), parts)
            each(do(cpu.OBSERVE), 1)
        if self.is_running:
            each(do(cpu.LEARN), parts)
            if whole:
                each(do(cpu.OBSERVE), 1)
            each(do(cpu.UPDATE), 1)

    def best(self) -> Best:
        """Return the network as it is now, with a copy of its best parameters so far."""
        record = self.record
        params = table.unflatten_layers(self._arrays.best.copy(), self.trial.layer_shapes)
        return Best(self.job, int(record.iteration), float(record.best_loss), params)

    def finish(self) -> Finished:
        """Return the result, with the picture as a viewer gets it."""
        record, arrays = self.record, self._arrays
        iterations, losses = arrays.log_at[: record.logged], arrays.history[: record.logged]
        if not len(iterations) or iterations[-1] != record.iteration:
            iterations = np.append(iterations, record.iteration)
            losses = np.append(losses, np.float32(record.loss))
        params = table.unflatten_layers(arrays.best, self.trial.layer_shapes)
        colours = render(params, self.trial, self.picture.shape[:2], self.coordinates)
        return Finished(
            job=self.job,
            status=fleet.STATUS_NAMES[record.status],
            params=params,
            result=_viewed(colours).reshape(-1, COLOURS),
            loss=float("nan") if record.status == fleet.DIVERGED else float(record.loss),
            best_loss=float(record.best_loss),
            best_iteration=int(record.best_iteration),
            iterations=iterations.astype(np.int32),
            losses=losses.astype(np.float32),
            seconds=self.seconds,
        )

    def snapshot(self) -> list[np.ndarray]:
        """Return all that training changes: whole numbers, others, [4, N] and the history."""
        record, arrays = self.record, self._arrays
        return [
            np.array([self.job, *(record[name] for name in _WHOLES)], np.int64),
            np.array([self.seconds, *(record[name] for name in _NUMBERS)]),
            np.stack([arrays.params, arrays.mean, arrays.square, arrays.best]),
            arrays.history[: record.logged].copy(),
        ]

    def restore(self, snapshot: Sequence[np.ndarray]) -> None:
        """Go on from what `snapshot` returned for this job."""
        wholes, numbers, state, history = snapshot
        arrays = self._arrays
        for names, values in ((_WHOLES, wholes[1:]), (_NUMBERS, numbers[1:])):
            for name, value in zip(names, values, strict=True):
                self.record[name] = value
        self.seconds = float(numbers[0])
        for array, values in zip(
            (arrays.params, arrays.mean, arrays.square, arrays.best), state, strict=True
        ):
            array[:] = values
        arrays.history[: len(history)] = history
