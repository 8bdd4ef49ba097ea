"""How long does one SIREN take on this machine? The speed that trade-offs are forecast with."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxinr
from experiments.benchmarks.timing import seconds_of
from jaxinr.forecaster import inputs, speed
from jaxinr.kernels.network import SPLIT_FLOPS
from jaxinr.trial import Trial

# (side in pixels, layers, units): on one core each, then those that all cores share.
SHAPES = (
    *((32, 2, 8), (32, 6, 24), (48, 10, 32), (64, 4, 16), (96, 3, 12), (128, 2, 6), (160, 4, 16)),
    *((96, 10, 28), (128, 5, 40), (192, 10, 28), (200, 3, 32), (256, 4, 16), (256, 13, 48)),
)
CHECKS = (  # networks that the model is not fitted to
    *((48, 3, 10), (80, 5, 20), (120, 4, 12)),
    *((160, 8, 32), (224, 6, 24), (300, 3, 14)),
)
SECONDS = 0.4  # of each measurement
CHECK_SECONDS = 2.5  # times as long


def measure(seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Measure this machine, keep its speed, and return the measurements beside the model's.

    The rows of `CHECKS` are whole fits, of about a second by default, of networks that the model
    was not fitted to; their time is divided by the number of updates.

    Args:
        seconds: of a measurement, about.
        rounds: of which the quickest counts.
    """
    rows, each, renders, starts = [], [], [], []
    for side, depth, width in SHAPES:
        trial, image = _network(side, depth, width)
        fits = jaxinr.fit([image], [trial])  # compiles
        start = _least(functools.partial(jaxinr.fit, [image], [trial]), rounds)
        few = _seconds(image, dataclasses.replace(trial, num_iters=20))
        count = int(np.clip(20 * seconds / few, 40, 20_000))
        whole = min(
            _seconds(image, dataclasses.replace(trial, num_iters=count)) for _ in range(rounds)
        )
        starts.append(start)
        each.append(max(whole - start, 0.1 * whole) / (count - 1))
        params = fits.params(0)
        jaxinr.render(params, trial, (side, side))
        render = functools.partial(jaxinr.render, params, trial, (side, side))
        renders.append(_least(render, rounds))
        rows += inputs.trial_rows([trial], side, side).tolist()
    shapes = np.array(rows)
    found = speed.fitted(
        shapes,
        np.array(each),
        np.array(renders),
        start=float(np.median(starts)),
        shared_from=SPLIT_FLOPS,
        device=f"{jax.local_device_count()} x {_device()}",
    )
    path = speed.path()
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save(path)
    modelled = found.update_seconds(shapes)
    return [
        _row("model", shape, update, own, rendering)
        for shape, update, own, rendering in zip(SHAPES, each, modelled, renders, strict=True)
    ] + [_check(shape, found, CHECK_SECONDS * seconds) for shape in CHECKS]


def _row(
    use: str, shape: tuple[int, int, int], update: float, modelled: float, render: float = math.nan
) -> dict[str, Any]:
    side, depth, width = shape
    return {
        "use": use,
        "pixels": f"{side} x {side}",
        "network": f"{depth} x {width}",
        "update_ms": 1e3 * update,
        "modelled_ms": 1e3 * modelled,
        "modelled_share": modelled / update,
        "render_ms": 1e3 * render,
    }


def _check(shape: tuple[int, int, int], found: speed.Speed, wanted: float) -> dict[str, Any]:
    """Measure a fit of about so many seconds, and compare it with its forecast."""
    side, *_ = shape
    trial, image = _network(*shape)
    rows = inputs.trial_rows([trial], side, side)
    count = max(1, round((wanted - found.fit[0]) / found.update_seconds(rows).item()))
    seconds = _seconds(image, dataclasses.replace(trial, num_iters=count))
    forecast = found.encode_seconds(rows, np.array([[count]])).item()
    return _row("check", shape, seconds / count, forecast / count)


def _network(side: int, depth: int, width: int) -> tuple[Trial, np.ndarray]:
    """Return a network, and a picture of noise for it."""
    image = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    return Trial(layer_size=width, num_layers=depth, num_iters=1), image


def _device() -> str:
    return jax.local_devices()[0].device_kind


def _seconds(image: np.ndarray, trial: Trial) -> float:
    return seconds_of(lambda: jaxinr.fit([image], [trial]))


def _least(call: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the quickest of so many calls."""
    return min(seconds_of(call) for _ in range(rounds))
