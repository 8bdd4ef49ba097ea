"""Adam on one SIREN in compiled code for CPUs, by Numba: any width and depth, without the GIL.

Letters: L sine layers, W units, P pixels of the picture, N parameters, M parts of an update.
Parameters, moments and gradients are flat, in COIN's order (layer by layer, weight [out, in] before
bias). `pixels` [5, stride] are rows: row and column coordinates, and three colours.

Pixels are taken in chunks of CHUNK, whose activations stay in the second-level cache. For a strip
of a chunk, which the first-level cache holds, the whole network runs forward and back; then the
weight gradients of the chunk are summed. `work` has a row of sines and a row of slopes for each
unit of each sine layer; cotangents take the place of slopes.

An update's pixels are summed in M parts whatever number of cores works on them, so that a network's
bits do not depend on what trains beside it.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from jaxfleet.fleet import (
    ADAM_DECAY_MEAN,
    ADAM_DECAY_SQUARE,
    ADAM_EPSILON,
    DIVERGED,
    DONE,
    RUNNING,
    TARGET,
)
from jaxinr.kernels.emit import LANES, pointer
from jaxinr.kernels.layers import (
    COLOURS,
    PANEL,
    add_outer,
    back_layer,
    error_layer,
    sine_layer,
)
from jaxinr.kernels.tiling import CPU_CHUNK as CHUNK

STRIP = 3840  # numbers of a layer: 15 KB of the first-level cache

# One network in training. `update_pixels` of its `pixels` are taken at a time, the first ones from
# `offset` on; `parts` is M; layers before `first_layer` stay as they are; `logged` counts what its
# history has.
NETWORK = np.dtype(
    [
        (name, np.int64)
        for name in "layers width first_layer pixels update_pixels offset parts".split()
    ]
    + [(name, np.int64) for name in "num_iters iteration best_iteration status logged".split()]
    + [(name, np.float64) for name in "w0_initial w0 learning_rate decay target_loss".split()]
    + [(name, np.float64) for name in "loss best_loss".split()]
)

_SOURCES = hashlib.sha256(
    b"".join(
        Path(__file__).with_name(f"{name}.py").read_bytes()
        for name in ("emit", "layers", "tiling", "cpu")
    )
).hexdigest()
TRAIN, FOLD, LEARN, MEASURE, OBSERVE, UPDATE, RENDER = range(7)  # tasks of `run`

_inline = numba.njit(inline="always")


def _compile(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the code on disk where that can be.

    Numba looks at the age of this file alone, so the contents of all four are the stamp instead.
    """
    try:
        compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
        compiled._cache._cache_file._source_stamp = _SOURCES
    except (RuntimeError, AttributeError):  # no folder can be written; Numba has other insides
        return numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def scratch_size(layers: int, width: int) -> int:
    """Return how many float32 numbers `work` and the totals of a pass need."""
    return (2 * layers * width + COLOURS) * CHUNK + (layers * width + COLOURS + 1) * LANES


@numba.njit(nogil=True)
def _start_of(depth, width):  # type: ignore[no-untyped-def]
    """Return where a layer begins in a flat network."""
    return 0 if depth == 0 else 3 * width + (depth - 1) * width * (width + 1)


@_inline
def sum_squares(one, folded, pixels, first, last, scratch, gradients, part, learns, colours):  # type: ignore[no-untyped-def]
    """Return the sum of squared errors over pixels [first, last) and colours.

    Args:
        one: a NETWORK.
        folded: [N], from `fold`.
        pixels: [5, stride] float32, PANEL columns or more beyond `last`.
        first: of the pixels.
        last: after the last of the pixels.
        scratch: [scratch_size] float32.
        gradients: [M, N] float32, for half the gradient by `folded`.
        part: the row of it.
        learns: whether that is wanted.
        colours: [3, last - first] float32, for the network's output minus that of `pixels`; [3, 0]
            for none.
    """
    layers, width, stride = one.layers, one.width, pixels.shape[1]
    area = width * CHUNK
    slopes, errors = layers * area, 2 * layers * area
    sums = errors + COLOURS * CHUNK
    squares = sums + (layers * width + COLOURS) * LANES
    last_layer = _start_of(layers, width)
    strip = max(1, STRIP // (width * PANEL)) * PANEL
    weights, data, work = pointer(folded), pointer(pixels), pointer(scratch)
    slope_of, numbers = pointer(gradients), len(folded)
    if learns:
        for k in range(numbers):
            gradients[part, k] = 0.0
    total = 0.0
    for begin in range(first, last, CHUNK):
        count = min(CHUNK, last - begin)
        for k in range(sums, squares + LANES):
            scratch[k] = 0.0
        for panel in range(0, count, strip):
            here, size = begin + panel, min(strip, count - panel)
            sine_layer(width, 2, size, weights, 0, data, here, stride, work, panel, slopes + panel)
            for depth in range(1, layers):
                row = depth * area + panel
                sine_layer(
                    width, width, size, weights, _start_of(depth, width), work, row - area, CHUNK,
                    work, row, slopes + row,
                )  # fmt: skip
            error_layer(
                width, size, weights, last_layer, data, here + 2 * stride, stride, work,
                (layers - 1) * area + panel, errors + panel, sums + layers * width * LANES,
            )  # fmt: skip
            if learns:
                for depth in range(layers, one.first_layer, -1):
                    row = slopes + depth * area + panel
                    back_layer(
                        COLOURS if depth == layers else width, width, size, weights,
                        _start_of(depth, width), work, row, row - area,
                        sums + (depth - 1) * width * LANES,
                    )  # fmt: skip
        for lane in range(LANES):
            total += scratch[squares + lane]
        for colour in range(min(COLOURS, colours.size)):
            row = errors + colour * CHUNK
            for place in range(count):
                colours[colour, begin - first + place] = scratch[row + place]
        if learns:
            whole = count + -count % LANES
            if one.first_layer == 0:
                row = part * numbers
                add_outer(width, 2, whole, work, slopes, data, begin, stride, slope_of, row)
            for depth in range(max(1, one.first_layer), layers + 1):
                add_outer(
                    COLOURS if depth == layers else width, width, whole, work,
                    slopes + depth * area, work, (depth - 1) * area, CHUNK, slope_of,
                    part * numbers + _start_of(depth, width),
                )  # fmt: skip
            for depth in range(one.first_layer, layers + 1):
                units = COLOURS if depth == layers else width
                bias = _start_of(depth, width) + units * (2 if depth == 0 else width)
                row = sums + depth * width * LANES
                for k in range(units * LANES):
                    gradients[part, bias + k // LANES] += scratch[row + k]
    return total


@_inline
def fold(one, params, folded):  # type: ignore[no-untyped-def]
    """Put the parameters into `folded`, those of sine layers times their frequency over pi."""
    for depth in range(one.layers + 1):
        omega = one.w0_initial if depth == 0 else one.w0
        scale = np.float32(omega / math.pi if depth < one.layers else 1.0)
        end = _start_of(depth + 1, one.width) if depth < one.layers else len(params)
        for k in range(_start_of(depth, one.width), end):
            folded[k] = scale * params[k]


@_inline
def range_of_part(one, part, learns):  # type: ignore[no-untyped-def]
    """Return [first, last) of the pixels of a part, of an update or of the whole picture."""
    begin, pixels = 0, one.pixels
    if learns and one.update_pixels < one.pixels:
        updates = -(-one.pixels // one.update_pixels)  # of a round, as in `jaxinr.pixels`
        begin = (one.offset + one.iteration % updates * one.update_pixels) % one.pixels
        pixels = one.update_pixels
    size = -(-pixels // (one.parts * CHUNK)) * CHUNK
    return begin + min(pixels, part * size), begin + min(pixels, (part + 1) * size)


@_inline
def is_due(one, log_at):  # type: ignore[no-untyped-def]
    """Return whether the present parameters belong into the history."""
    return one.logged < len(log_at) and log_at[one.logged] == one.iteration


@_inline
def observe(one, losses, params, best, log_at, history):  # type: ignore[no-untyped-def]
    """Take note of the whole picture's loss, keep the best parameters, and stop where it says so.

    Args:
        one: a NETWORK.
        losses: [M] float64, squared errors.
        params: [N].
        best: [N], of the lowest loss so far.
        log_at: [T] int, iterations of the history, ascending.
        history: [T] float32.
    """
    total = 0.0
    for part in range(one.parts):
        total += losses[part]
    one.loss = np.float32(total / (COLOURS * one.pixels))
    if is_due(one, log_at):
        history[one.logged] = one.loss
        one.logged += 1
    if one.loss < one.best_loss:
        one.best_loss, one.best_iteration = one.loss, one.iteration
        for k in range(len(params)):
            best[k] = params[k]
    if not math.isfinite(one.loss):
        one.status = DIVERGED
    elif 0 < one.target_loss and one.loss <= one.target_loss:
        one.status = TARGET


@_inline
def update(one, losses, gradients, params, mean, square):  # type: ignore[no-untyped-def]
    """Make an update of Adam (Kingma & Ba 2015, as in PyTorch); a loss that is not finite ends it.

    Args:
        one: a NETWORK.
        losses: [M] float64, squared errors of the update's pixels.
        gradients: [M, N] float32, half the gradients of those by the folded parameters.
        params: [N].
        mean: [N], first moments.
        square: [N], second moments.
    """
    for part in range(one.parts):
        if not math.isfinite(losses[part]):
            one.loss, one.status = np.nan, DIVERGED
            return
        for k in range(len(params) if part else 0):
            gradients[0, k] += gradients[part, k]
    one.iteration += 1
    age = one.iteration
    lost = 0.5 - 0.5 * math.cos(math.pi * (age - 1) / one.num_iters)
    learning_rate = one.learning_rate * (1.0 - one.decay * lost)
    rate = np.float32(learning_rate / -math.expm1(age * math.log(ADAM_DECAY_MEAN)))
    correction = np.float32(1.0 / math.sqrt(-math.expm1(age * math.log(ADAM_DECAY_SQUARE))))
    keep, keep_square = np.float32(ADAM_DECAY_MEAN), np.float32(ADAM_DECAY_SQUARE)
    new, new_square = np.float32(1.0 - ADAM_DECAY_MEAN), np.float32(1.0 - ADAM_DECAY_SQUARE)
    epsilon = np.float32(ADAM_EPSILON)
    for depth in range(one.first_layer, one.layers + 1):
        omega = one.w0_initial if depth == 0 else one.w0
        omega_over_pi = omega / math.pi if depth < one.layers else 1.0
        scale = np.float32(2.0 / (COLOURS * one.update_pixels) * omega_over_pi)
        end = _start_of(depth + 1, one.width) if depth < one.layers else len(params)
        for k in range(_start_of(depth, one.width), end):
            gradient = scale * gradients[0, k]
            mean[k] = keep * mean[k] + new * gradient
            square[k] = keep_square * square[k] + new_square * gradient * gradient
            params[k] -= rate * mean[k] / (math.sqrt(square[k]) * correction + epsilon)


@_compile
def run(task, part, count, one, pixels, scratch, state, log_at, history, colours):  # type: ignore[no-untyped-def]
    """Train one network for some updates, or do one of the steps of that.

    All is one function with one pass over pixels, since LLVM takes seconds for that pass, and would
    for each function that it is in.

    Args:
        task: TRAIN for `count` updates, or to the end; FOLD the parameters; LEARN a `part`: its
            half gradient and squared errors; MEASURE a part of the whole picture: its squared
            errors; OBSERVE what was measured; UPDATE the parameters; RENDER pixels [0, count).
        part: from 0 to M - 1.
        count: updates, or pixels.
        one: a NETWORK.
        pixels: [5, stride] float32.
        scratch: [scratch_size] float32.
        state: parameters, both moments, best parameters, folded ones, each [N], half gradients
            [M, N] by the folded ones, float32, and squared errors [M] float64.
        log_at: [T] iterations of the history, ascending.
        history: [T] float32.
        colours: [3, count] float32 for RENDER, the picture less that in `pixels`; else [3, 0].
    """
    params, mean, square, best, folded, gradients, losses = state
    whole = one.update_pixels == one.pixels
    while one.status == RUNNING:
        learns, first_part, last_part = task == LEARN, part, part + 1
        ends = one.iteration == one.num_iters
        if task == TRAIN:
            learns = not ends and (whole or not is_due(one, log_at))
            if learns and count == 0:
                break
            first_part, last_part = 0, one.parts
        elif task == FOLD or task == OBSERVE or task == UPDATE:
            last_part = part
        if task == TRAIN or task == FOLD or task == RENDER:
            fold(one, params, folded)
        for k in range(first_part, last_part):
            first, last = range_of_part(one, k, learns)
            if task == RENDER:
                first, last = 0, count
            losses[k] = sum_squares(
                one, folded, pixels, first, last, scratch, gradients, k, learns, colours
            )
        if task == OBSERVE or (task == TRAIN and (whole or not learns)):
            observe(one, losses, params, best, log_at, history)
        if ends and one.status == RUNNING and (task == TRAIN or task == OBSERVE):
            one.status = DONE
        if one.status == RUNNING and (task == UPDATE or (task == TRAIN and learns)):
            update(one, losses, gradients, params, mean, square)
            count -= 1
        if task != TRAIN:
            break
