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
    CHUNK,
    COLOURS,
    PANEL,
    add_outer,
    back_layer,
    error_layer,
    sine_layer,
)

STRIP = 3840  # numbers of a layer: 15 KB of the first-level cache

# One network in training. `update_pixels` of its `pixels` are taken at a time, the first ones from
# `offset` on; `parts` is M; `logged` counts the entries of its history.
NETWORK = np.dtype(
    [(name, np.int64) for name in "layers width pixels update_pixels offset parts".split()]
    + [(name, np.int64) for name in "num_iters iteration best_iteration status logged".split()]
    + [(name, np.float64) for name in "w0_initial w0 learning_rate target_loss".split()]
    + [(name, np.float64) for name in "loss best_loss".split()]
)

_SOURCES = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()


def _compile(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the code on disk where that can be.

    Numba looks at the age of this file alone, so the kernels' sources are its stamp instead.
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


@_compile
def _start_of(depth, width):  # type: ignore[no-untyped-def]
    """Return where a layer begins in a flat network."""
    return 0 if depth == 0 else 3 * width + (depth - 1) * width * (width + 1)


@_compile
def sum_squares(one, folded, pixels, first, last, scratch, gradient, colours):  # type: ignore[no-untyped-def]
    """Return the sum of squared errors over pixels [first, last) and colours.

    Args:
        one: a NETWORK.
        folded: [N], from `fold`.
        pixels: [5, stride] float32, PANEL columns or more beyond `last`.
        first: of the pixels.
        last: after the last of the pixels.
        scratch: [scratch_size] float32.
        gradient: [N] float32, to which half the gradient by `folded` is added; [0] for none.
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
    weights, data, work = pointer(folded), pointer(pixels.reshape(-1)), pointer(scratch)
    slope_of = pointer(gradient)
    learns = len(gradient) > 0
    total = 0.0
    for begin in range(first, last, CHUNK):
        count = min(CHUNK, last - begin)
        scratch[sums:] = 0.0
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
                for depth in range(layers, 0, -1):
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
            add_outer(width, 2, whole, work, slopes, data, begin, stride, slope_of, 0)
            for depth in range(1, layers + 1):
                add_outer(
                    COLOURS if depth == layers else width, width, whole, work,
                    slopes + depth * area, work, (depth - 1) * area, CHUNK, slope_of,
                    _start_of(depth, width),
                )  # fmt: skip
            for depth in range(layers + 1):
                units = COLOURS if depth == layers else width
                bias = _start_of(depth, width) + units * (2 if depth == 0 else width)
                row = sums + depth * width * LANES
                for k in range(units * LANES):
                    gradient[bias + k // LANES] += scratch[row + k]
    return total


@_compile
def fold(one, params, folded):  # type: ignore[no-untyped-def]
    """Put the parameters into `folded`, those of sine layers times their frequency over pi."""
    for depth in range(one.layers + 1):
        omega = one.w0_initial if depth == 0 else one.w0
        scale = np.float32(omega / math.pi if depth < one.layers else 1.0)
        end = _start_of(depth + 1, one.width) if depth < one.layers else len(params)
        for k in range(_start_of(depth, one.width), end):
            folded[k] = scale * params[k]


@_compile
def part_of(pixels, part, parts):  # type: ignore[no-untyped-def]
    """Return where a part of some pixels begins; the next one's beginning is its end."""
    return min(pixels, part * (-(-pixels // (parts * CHUNK)) * CHUNK))


@_compile
def gradient_of_part(one, part, folded, pixels, scratch, gradients, losses):  # type: ignore[no-untyped-def]
    """Put a part of an update's half gradient and squared errors into a row of [M, N] and [M]."""
    begin = 0
    if one.update_pixels < one.pixels:
        begin = (one.offset + one.iteration * one.update_pixels) % one.pixels
    first = begin + part_of(one.update_pixels, part, one.parts)
    last = begin + part_of(one.update_pixels, part + 1, one.parts)
    gradients[part] = 0.0
    nothing = np.empty((COLOURS, 0), np.float32)
    losses[part] = sum_squares(one, folded, pixels, first, last, scratch, gradients[part], nothing)


@_compile
def loss_of_part(one, part, folded, pixels, scratch, losses):  # type: ignore[no-untyped-def]
    """Put a part of the whole picture's squared errors into [M]."""
    first = part_of(one.pixels, part, one.parts)
    last = part_of(one.pixels, part + 1, one.parts)
    nothing = np.empty((COLOURS, 0), np.float32)
    losses[part] = sum_squares(one, folded, pixels, first, last, scratch, nothing[0], nothing)


@_compile
def is_due(one, log_at):  # type: ignore[no-untyped-def]
    """Return whether the present parameters belong into the history."""
    return one.logged < len(log_at) and log_at[one.logged] == one.iteration


@_compile
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
    one.loss = np.float32(losses.sum() / (COLOURS * one.pixels))
    if is_due(one, log_at):
        history[one.logged] = one.loss
        one.logged += 1
    if one.loss < one.best_loss:
        one.best_loss, one.best_iteration = one.loss, one.iteration
        best[:] = params
    if not np.isfinite(one.loss):
        one.status = DIVERGED
    elif 0 < one.target_loss and one.loss <= one.target_loss:
        one.status = TARGET


@_compile
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
    if not np.isfinite(losses.sum()):
        one.loss, one.status = np.nan, DIVERGED
        return
    total = gradients[0]
    for part in range(1, one.parts):
        total += gradients[part]
    one.iteration += 1
    age = one.iteration
    rate = np.float32(one.learning_rate / -math.expm1(age * math.log(ADAM_DECAY_MEAN)))
    correction = np.float32(1.0 / math.sqrt(-math.expm1(age * math.log(ADAM_DECAY_SQUARE))))
    keep, keep_square = np.float32(ADAM_DECAY_MEAN), np.float32(ADAM_DECAY_SQUARE)
    new, new_square = np.float32(1.0 - ADAM_DECAY_MEAN), np.float32(1.0 - ADAM_DECAY_SQUARE)
    epsilon = np.float32(ADAM_EPSILON)
    for depth in range(one.layers + 1):
        omega = one.w0_initial if depth == 0 else one.w0
        omega_over_pi = omega / math.pi if depth < one.layers else 1.0
        scale = np.float32(2.0 / (COLOURS * one.update_pixels) * omega_over_pi)
        end = _start_of(depth + 1, one.width) if depth < one.layers else len(params)
        for k in range(_start_of(depth, one.width), end):
            gradient = scale * total[k]
            mean[k] = keep * mean[k] + new * gradient
            square[k] = keep_square * square[k] + new_square * gradient * gradient
            params[k] -= rate * mean[k] / (np.sqrt(square[k]) * correction + epsilon)


@_compile
def advance(one, count, pixels, scratch, state, log_at, history):  # type: ignore[no-untyped-def]
    """Train for `count` updates, or to the end, as `host.Network.advance_together` does.

    `state` are the parameters, both moments, the best parameters, the folded ones [N], gradients
    [M, N] and losses [M]; the other arguments are those of the functions above.
    """
    params, mean, square, best, folded, gradients, losses = state
    whole = one.update_pixels == one.pixels
    while one.status == RUNNING:
        fold(one, params, folded)
        ends = one.iteration == one.num_iters
        if ends or (not whole and is_due(one, log_at)):
            for part in range(one.parts):
                loss_of_part(one, part, folded, pixels, scratch, losses)
            observe(one, losses, params, best, log_at, history)
            if ends and one.status == RUNNING:
                one.status = DONE
            if one.status != RUNNING:
                break
        if count == 0:
            break
        count -= 1
        for part in range(one.parts):
            gradient_of_part(one, part, folded, pixels, scratch, gradients, losses)
        if whole:
            observe(one, losses, params, best, log_at, history)
        if one.status == RUNNING:
            update(one, losses, gradients, params, mean, square)
