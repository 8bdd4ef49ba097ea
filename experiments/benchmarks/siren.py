"""Speed of the engine, against other ways to train and against the machine's limit.

Everything is measured in one run on one machine, in turn, since machines are noisy: each engine
keeps its best of `rounds`. Our engine is measured through the public `jaxinr.fit`, from the call to
the finished results (initial weights, histories, best weights, 8-bit PSNR and SSIM included), once
its program is compiled. GFLOP/s count matrix products alone, see `trial.flops_per_pixel`.
"""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxinr
from experiments.benchmarks import calibrate, peers, plain_vmap, stochastic, timing
from experiments.benchmarks.config import MIXED_ITERS, BenchmarkConfig, Shape
from experiments.benchmarks.timing import seconds_of
from experiments.report import markdown
from jaxfleet import rundir
from jaxfleet.imaging import photos
from jaxinr import siren
from jaxinr.trial import Trial

SCALING_ITERS = 20
MIXED_NETWORKS = 16
Result = TypeVar("Result")


def run(config: BenchmarkConfig, run_dir: Path) -> str:
    """Measures, leaves `benchmark.json`, and gives the table as text.

    `benchmark.json` lists rows {shape, engine, pixel_steps_per_s, gflop_per_s, ratio_to_xla,
    ratio_to_plain_vmap, ratio_to_torch, share_of_matmul}; `benchmark_extra.json` holds the other
    parts and the machine.
    """
    texts: list[str] = []
    extra: dict[str, Any] = {}
    for part in dict.fromkeys(config.part):
        rows = alone(_MEASURES[part], config)
        texts.append(markdown.table(rows))
        if part == "shapes":
            texts.append(_summary(rows))
            rundir.write_json(run_dir / "benchmark.json", rows)
        else:
            extra[part] = rows
    # Only now: a process that has looked at a GPU keeps its memory from the parts.
    rundir.write_json(run_dir / "benchmark_extra.json", rundir.environment() | extra)
    return "\n\n".join(texts)


def shapes(config: BenchmarkConfig) -> list[dict[str, Any]]:
    """Measure the shapes, each engine in turn."""
    rows = []
    for shape in config.shapes:
        rates = timing.best_of(dict(_engines(shape, config.seconds)), config.rounds)
        limit = rates.pop("matmul")
        for name, rate in rates.items():
            torch = rates.get("torch loop")
            rows.append(
                {
                    "shape": str(shape),
                    "engine": name,
                    "pixel_steps_per_s": rate,
                    "gflop_per_s": rate * shape.flops / 1e9,
                    "ratio_to_xla": rate / rates["jaxinr.fit, xla"],
                    "ratio_to_plain_vmap": rate / rates["plain vmap"],
                    "ratio_to_torch": rate / torch if torch else None,
                    "share_of_matmul": rate * shape.flops / limit,
                }
            )
    return rows


def scaling(config: BenchmarkConfig) -> list[dict[str, Any]]:
    """Cost per fit of 4 x 32 on 64 pictures of 128 x 128, and the process's peak memory."""
    pictures = [window(128, 128, i) for i in range(64)]
    rows: list[dict[str, Any]] = []
    for count in config.networks:
        trials = [
            Trial(layer_size=32, num_layers=4, num_iters=SCALING_ITERS, seed=i)
            for i in range(count)
        ]
        images = [pictures[i % 64] for i in range(count)]
        first = [dataclasses.replace(trial, num_iters=1) for trial in trials]
        jaxinr.fit(images, first)
        seconds = seconds_of(functools.partial(jaxinr.fit, images, trials))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append({"networks": count, "seconds_per_fit": seconds / count, "peak_memory_gb": peak})
    for row in rows:
        row["cost_against_first"] = row["seconds_per_fit"] / rows[0]["seconds_per_fit"]
    return rows


def mixed(config: BenchmarkConfig) -> list[dict[str, Any]]:
    """Networks of many widths in one call, against each width in a call of its own."""
    picture = window(64, 64, 0)
    num_iters = MIXED_ITERS if config.num_iters is None else config.num_iters

    def trials(widths: Sequence[int]) -> list[Trial]:
        return [
            Trial(layer_size=width, num_layers=4, num_iters=num_iters, seed=seed)
            for width in widths
            for seed in range(MIXED_NETWORKS)
        ]

    def seconds(widths: Sequence[int]) -> float:
        own = trials(widths)
        jaxinr.fit([picture] * len(own), own)
        return seconds_of(lambda: jaxinr.fit([picture] * len(own), own))

    apart = {str(width): seconds([width]) for width in config.layer_size}
    together = seconds(config.layer_size)
    total = sum(apart.values())
    rows = {**apart, "sum": total, "together": together}
    return [
        {"widths": name, "seconds": value, "against_sum": value / total}
        for name, value in rows.items()
    ]


def fits_of_peers(config: BenchmarkConfig) -> list[dict[str, Any]]:
    """Fits an hour by the recipes of others, beside their published times."""
    return peers.measure(peers.with_fits(config.peer_fits))


def calibration(config: BenchmarkConfig) -> list[dict[str, Any]]:
    """Measure single fits, and keep the speed of this machine."""
    return calibrate.measure(min(config.seconds, calibrate.SECONDS), config.rounds)


def parts_of_pixels(config: BenchmarkConfig) -> list[dict[str, Any]]:
    """Compare updates on a part of a photograph's pixels with updates on all."""
    (photo,) = photos.load(config.photos, image_size=0, max_images=1)
    num_iters = stochastic.NUM_ITERS if config.num_iters is None else config.num_iters
    return stochastic.measure(photo.pixels, num_iters=num_iters)


_MEASURES = {
    "shapes": shapes,
    "scaling": scaling,
    "mixed": mixed,
    "peers": fits_of_peers,
    "pixels": parts_of_pixels,
    "calibrate": calibration,
}


def _engines(shape: Shape, seconds: float) -> Iterator[tuple[str, Callable[[], float]]]:
    """Name and measurement (pixel-steps per second; FLOP per second for the matrix product)."""
    trials = [
        Trial(layer_size=shape.layer_size, num_layers=shape.num_layers, seed=i)
        for i in range(shape.networks)
    ]
    pictures = [window(shape.height, shape.width, i) for i in range(shape.networks)]
    place = siren.points_of(jnp.arange(shape.pixels), shape.height, shape.width, "coin")
    points = np.asarray(place.T)
    targets = np.stack([p.reshape(-1, 3) for p in pictures]).astype(np.float32) / np.float32(255)

    def ours(kernel: str, num_iters: int) -> float:
        own = [dataclasses.replace(trial, num_iters=num_iters) for trial in trials]
        return seconds_of(lambda: jaxinr.fit(pictures, own, kernel=kernel))

    def rate(kernel: str, num_iters: int) -> float:
        return shape.networks * shape.pixels * num_iters / ours(kernel, num_iters)

    for name, kernel in (("jaxinr.fit", "auto"), ("jaxinr.fit, xla", "xla")):
        ours(kernel, 1)
        iters = _enough(lambda kernel=kernel: ours(kernel, 20) / 20, seconds, 20)  # type: ignore[misc]
        yield name, functools.partial(rate, kernel, iters)

    params = plain_vmap.start(trials)
    carry = [(params, optax.adam(1e-4).init(params))]

    def plain(steps: int) -> float:
        def once() -> None:
            carry[0], losses = plain_vmap.train(
                carry[0], jnp.asarray(points), jnp.asarray(targets), trial=trials[0], steps=steps
            )
            losses.block_until_ready()

        return seconds_of(once)

    plain(2)
    steps = _enough(lambda: plain(2) / 2, seconds, 2)
    plain(steps)
    yield "plain vmap", lambda: shape.networks * shape.pixels * steps / plain(steps)

    try:
        from experiments.benchmarks.pytorch import siren as torch_siren
    except ImportError:
        pass
    else:
        one = jax.tree.map(lambda leaf: np.asarray(leaf[0]), plain_vmap.start(trials))

        def torch(steps: int) -> float:
            return torch_siren.seconds_per_step(one, trials[0], points, targets[0], steps)

        loops = _enough(lambda: torch(2), seconds, 2)
        yield "torch loop", lambda: shape.pixels / torch(loops)

    matrix = jnp.ones((2048, 2048), jnp.float32)
    product = jax.jit(jnp.matmul)

    def square() -> float:
        return (
            2.0
            * 2048**3
            / min(seconds_of(lambda: product(matrix, matrix).block_until_ready()) for _ in range(6))
        )

    yield "matmul", square


def _enough(one: Callable[[], float], seconds: float, least: int) -> int:
    """Return how many repetitions take about `seconds`."""
    return max(least, round(seconds / one()))


def window(height: int, width: int, seed: int) -> np.ndarray:
    """Cut a window of a packaged photograph, [H, W, 3] uint8, mirrored if that is too small."""
    packaged = photos.load("packaged")
    pixels = packaged[seed % len(packaged)].pixels
    rows, columns = max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width]


def alone(part: Callable[[BenchmarkConfig], Result], config: BenchmarkConfig) -> Result:
    """Run a part in its own process, with its own memory and caches."""
    cores = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]  # set at run time
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context, _use_cores, (cores,)) as process:
        return process.submit(part, config).result()


def _use_cores(cores: int) -> None:
    jax.config.update("jax_num_cpu_devices", cores)


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    """Geometric means of our ratios."""
    own = [row for row in rows if row["engine"] == "jaxinr.fit"]
    lines = []
    for name in ("ratio_to_xla", "ratio_to_plain_vmap", "ratio_to_torch", "share_of_matmul"):
        values = [row[name] for row in own if row[name]]
        if values:
            mean = float(np.exp(np.mean(np.log(values))))
            lines.append(f"{name}: geometric mean {mean:.2f}, least {min(values):.2f}")
    return "\n".join(lines)
