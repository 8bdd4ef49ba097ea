"""How long does one SIREN take on this machine? The speed that trade-offs are forecast with."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxinr
from jaxinr.forecaster import inputs, speed
from jaxinr.trial import Trial

# (side in pixels, layers, units), each with the others' range.
SHAPES = (
    *((32, 2, 8), (32, 6, 24), (64, 4, 16), (96, 3, 12), (96, 10, 28), (128, 5, 40)),
    *((192, 4, 16), (192, 10, 28), (256, 13, 48)),
)
SECONDS = 0.4  # of each measurement
ROUNDS = 3


def measure() -> list[dict[str, Any]]:
    """Measure this machine, keep its speed, and return the measurements beside the model's."""
    rows, each, renders, starts = [], [], [], []
    for side, depth, width in SHAPES:
        image = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
        trial = Trial(layer_size=width, num_layers=depth, num_iters=1)
        fits = jaxinr.fit([image], [trial])  # compiles
        start = _least(functools.partial(jaxinr.fit, [image], [trial]))
        few = _seconds(image, dataclasses.replace(trial, num_iters=20))
        count = int(np.clip(20 * SECONDS / few, 40, 20_000))
        whole = min(
            _seconds(image, dataclasses.replace(trial, num_iters=count)) for _ in range(ROUNDS)
        )
        starts.append(start)
        each.append(max(whole - start, 0.1 * whole) / (count - 1))
        params = fits.params(0)
        jaxinr.render(params, trial, (side, side))
        renders.append(_least(functools.partial(jaxinr.render, params, trial, (side, side))))
        rows += inputs.trial_rows([trial], side, side).tolist()
    shapes = np.array(rows)
    fit, render = speed.fitted(shapes, np.array(each), np.array(renders), float(np.median(starts)))
    found = speed.Speed(fit, render, f"{jax.local_device_count()} x {_device()}")
    path = speed.path()
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save(path)
    modelled = found.update_seconds(shapes)
    return [
        {
            "pixels": f"{side} x {side}",
            "network": f"{depth} x {width}",
            "update_ms": 1e3 * seconds,
            "modelled_ms": 1e3 * own,
            "render_ms": 1e3 * rendering,
        }
        for (side, depth, width), seconds, own, rendering in zip(
            SHAPES, each, modelled, renders, strict=True
        )
    ]


def _device() -> str:
    return jax.local_devices()[0].device_kind


def _seconds(image: np.ndarray, trial: Trial) -> float:
    start = time.perf_counter()
    jaxinr.fit([image], [trial])
    return time.perf_counter() - start


def _least(call: Callable[[], object]) -> float:
    """Return the seconds of the quickest of a few calls."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
