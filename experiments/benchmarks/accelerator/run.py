"""Measure the engine against the limits of an accelerator; forecast the collection's hours.

One command on one device: its limits, measured on the spot; how exact each engine is; how fast, at
four shapes, beside plain vmap; and the hours for the 300,000 networks of the collection. What an
engine cannot do stands in its row as the error's first line, and the rest goes on. A CPU runs the
same at small sizes, which measures nothing worth knowing but shows that it works.
Everything that is known so far is saved after each step, so that a run that is cut short leaves it.
"""

import dataclasses
import functools
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from experiments.benchmarks import siren, start
from experiments.benchmarks.accelerator import agreement, collection_hours, engines, tables
from experiments.benchmarks.accelerator import limits as accelerator_limits
from experiments.benchmarks.accelerator.engines import BASELINE, PORTABLE, Engine, Exactness, Rate
from experiments.benchmarks.accelerator.limits import Limits, Sizes
from experiments.benchmarks.config import OWN_PARTS, BenchmarkConfig, Shape
from experiments.report import markdown
from experiments.siren.config import GridConfig
from jaxfleet import rundir, storage
from jaxfleet.imaging import decibels
from jaxinr.buckets import Bucket
from jaxinr.program import padded_pixels
from jaxinr.trial import Trial

# In the order in which they are measured: what the wanted figures need comes first.
FLOAT32 = (BASELINE, PORTABLE, Engine("pallas", "float32"))
OTHERS = (
    Engine("pallas", "tf32"),
    Engine("pallas", "bfloat16"),
    Engine("xla", "tf32"),
    Engine("plain vmap", "tf32"),
    Engine("xla", "bfloat16"),
)
LEARNING_RATE = 1e-3  # of the short fits
CHECKED_GRADIENTS = 8  # networks
PICTURES = 8  # different ones
LANES = 128  # a whole picture is rounded up to a multiple of it
INTERPRETED = "not measured: a CPU interprets the kernel, which says nothing of its speed"
TIME_UP = "not begun: --minutes were over"
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Scale:
    """The extent of the measurements.

    Attributes:
        sizes: of the arrays that the limits are measured with.
        shapes: what every engine trains.
        short_fit: what the engines fit to compare their PSNR.
        short_fit_iters: updates of those.
        tile_shapes: what the blocks and groups are tried on.
        blocks: pixels; the whole picture is tried as well.
        groups: networks.
        collection: the plan whose hours are forecast.
        draws: of its programs, for each engine.
        most_seconds: of one measurement.
        remark: above the tables.
    """

    sizes: Sizes
    shapes: tuple[Shape, ...]
    short_fit: Shape
    short_fit_iters: int
    tile_shapes: tuple[Shape, ...]
    blocks: tuple[int, ...]
    groups: tuple[int, ...]
    collection: GridConfig
    draws: int
    most_seconds: float
    remark: str = ""

    @property
    def is_cpu(self) -> bool:
        """Whether the figures are of no account."""
        return bool(self.remark)


ACCELERATOR = Scale(
    sizes=Sizes(copied=1 << 28, matrix=8192, sines=1 << 26),
    shapes=(
        Shape(512, 64, 64, 3, 32),
        Shape(512, 64, 64, 4, 32),
        Shape(512, 64, 64, 5, 64),
        Shape(16, 512, 768, 10, 28),
    ),
    short_fit=Shape(512, 64, 64, 4, 32),
    short_fit_iters=1000,
    tile_shapes=(Shape(512, 64, 64, 4, 32), Shape(512, 120, 120, 10, 28)),
    blocks=(1 << 14, 1 << 12, 1 << 10),
    groups=(64, 512, 256, 16),
    collection=collection_hours.COLLECTION,
    draws=8,
    most_seconds=0.5,  # a hundred of them, and what they compile, in ten minutes
)
CPU = Scale(
    sizes=Sizes(copied=1 << 22, matrix=512, sines=1 << 16),
    shapes=(
        Shape(4, 32, 32, 3, 32),
        Shape(4, 32, 32, 4, 32),
        Shape(4, 32, 32, 5, 64),
        Shape(2, 48, 64, 10, 28),
    ),
    short_fit=Shape(4, 32, 32, 4, 32),
    short_fit_iters=100,
    tile_shapes=(Shape(8, 32, 32, 4, 32),),
    blocks=(256,),
    groups=(2, 4),
    collection=collection_hours.COLLECTION,
    draws=3,
    most_seconds=0.1,
    remark="A CPU, at small sizes: this shows that the command works, and no more.",
)


def run(config: BenchmarkConfig, run_dir: Path) -> str:
    """Measure the parts of this module, let `siren.run` do the others, and return the text.

    Leaves `accelerator_benchmark.json` and `.md`, `accelerator_tiles.json`, `agreement.json`,
    `start.json`.

    Raises:
        InputError: for runs that cannot be compared.
    """
    texts = []
    for part in dict.fromkeys(config.part):
        if part == "start":
            waits = start.measure(config.wait, config.rounds)
            rundir.write_json(run_dir / "start.json", waits)
            texts.append(markdown.table(waits))
        elif part == "accelerator":
            texts.append(accelerator(config, run_dir))
        elif part == "accelerator_tiles":
            texts.append(siren.alone(functools.partial(tiles, run_dir=run_dir), config))
        elif part == "agreement":
            rows = agreement.of_runs(
                storage.location(config.first_run), storage.location(config.second_run)
            )
            rundir.write_json(run_dir / "agreement.json", rows)
            texts.append(f"{markdown.table(rows)}\n\n{agreement.verdict(rows)}")
    others = tuple(part for part in config.part if part in OWN_PARTS)
    if others:
        texts.append(siren.run(dataclasses.replace(config, part=others), run_dir))
    return "\n\n".join(texts)


def accelerator(config: BenchmarkConfig, run_dir: Path) -> str:
    """Return limits, exactness, rates and the collection's hours on this machine's device, as text.

    Every engine has a process of its own: a kernel that kills it, or leaves the device in error,
    takes its own rows with it alone.
    """
    scale, facts, limits = siren.alone(machine, config)
    attempt = Attempts(time.time() + 60 * config.minutes)
    content: dict[str, Any] = {"remark": scale.remark, "device": [facts]}

    def keep(**found: Any) -> None:
        content.update(found)
        rundir.write_json(run_dir / "accelerator_benchmark.json", content)
        text = tables.summary(content)
        storage.write_atomically(run_dir / "accelerator_benchmark.md", text.encode())

    def alone(work: Callable[..., Result], engine: Engine) -> Result | str:
        if engine.is_fused and scale.is_cpu:
            return INTERPRETED
        part = functools.partial(work, scale, attempt, engine)
        return attempt(lambda: siren.alone(part, config))

    keep(limits=accelerator_limits.rows(limits))
    exactness: dict[Engine, Exactness | str] = {}
    measured: dict[tuple[Engine, Shape], Rate | str] = {}
    forecasts: dict[Engine, collection_hours.HoursForecast | str] = {}
    for some in (FLOAT32, OTHERS):
        for engine in some:
            found = alone(_engine, engine)
            exactness[engine], rates = (found, found) if isinstance(found, str) else found
            for shape in scale.shapes:
                measured[engine, shape] = rates if isinstance(rates, str) else rates[shape]
            keep(
                exactness=tables.exactness_rows(exactness),
                shapes=tables.shape_rows(measured, limits),
                means=tables.mean_rows(measured, limits),
            )
        best = tables.fastest(measured)
        if best and best not in forecasts:
            forecasts[best] = alone(_collection, best)
        keep(
            programs=tables.program_rows(forecasts),
            collection=tables.forecast_rows(forecasts),
        )
        keep(wanted=tables.wanted(content["means"], content["collection"], len(scale.shapes)))
    return tables.summary(content)


def machine(config: BenchmarkConfig) -> tuple[Scale, dict[str, str], Limits]:
    """Return how much work this machine is given, what it is and its limits."""
    del config
    scale = scale_here()
    return scale, device(), accelerator_limits.measure(scale.sizes)


def tiles(config: BenchmarkConfig, run_dir: Path) -> str:
    """Return rates of the portable path by block and group (see `jaxinr.program`) as text."""
    scale, attempt = scale_here(), Attempts(time.time() + 60 * config.minutes)
    seconds = min(config.seconds, scale.most_seconds)
    rows: list[dict[str, Any]] = []
    for shape in scale.tile_shapes:
        trials, pictures = _trials(shape), _pictures(shape)
        bucket = engines.make_bucket(PORTABLE, trials, [(shape.height, shape.width)] * len(trials))
        for group in scale.groups:
            for block in dict.fromkeys((*scale.blocks, -(-shape.pixels // LANES) * LANES)):
                tiled = with_tile(bucket, group, block, shape.pixels)
                measure = functools.partial(
                    engines.rate_of_bucket, tiled, trials, pictures, seconds=seconds, rounds=1
                )
                rate = attempt(measure)
                known = rate if isinstance(rate, Rate) else None
                rows.append(
                    {
                        "shape": str(shape),
                        "group": tiled.program.group,
                        "block": block,
                        "pixels_of_blocks": tiled.program.blocks * block,
                        "pixel_steps_per_s": known and known.pixel_steps_per_s,
                        "compile_seconds": known and known.compile_seconds,
                        "remark": "" if known else rate,
                    }
                )
                rundir.write_json(run_dir / "accelerator_tiles.json", [device(), *rows])
    return markdown.table(rows)


def with_tile(bucket: Bucket, group: int, block: int, pixels: int) -> Bucket:
    """Return a bucket whose program takes so many networks and pixels at a time, or all."""
    share = -(-len(bucket.jobs) // engines.devices())
    group = min(group, share)
    program = dataclasses.replace(
        bucket.program, group=group, block=block, blocks=padded_pixels(pixels, block) // block
    )
    return dataclasses.replace(bucket, program=program, slots_per_shard=-(-share // group) * group)


@dataclasses.dataclass(frozen=True)
class Attempts:
    """Measurements, none of which stops the others.

    Attributes:
        end: seconds since 1970, after which nothing is begun.
    """

    end: float

    def __call__(self, work: Callable[[], Result]) -> Result | str:
        """Return the result of the work, or one line that says why it failed."""
        if time.time() > self.end:
            return TIME_UP
        try:
            return work()
        except Exception as error:  # of a compiler, a driver, memory: any kind
            return f"{type(error).__name__}: {error}".splitlines()[0]


def scale_here() -> Scale:
    """Return how much work this machine's device is given."""
    return CPU if jax.local_devices()[0].platform == "cpu" else ACCELERATOR


def device() -> dict[str, str]:
    """Return facts on the machine: device, NVIDIA driver if any, versions and commit."""
    found = rundir.environment()
    runtime = jax.local_devices()[0].client.platform_version
    return {
        "device": found["device"],
        "driver": _driver(),
        "runtime": " ".join(runtime.split()),
        "jax": found["versions"]["jax"],
        "git_commit": found["git_commit"],
    }


def _driver() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None or jax.local_devices()[0].platform != "gpu":
        return ""
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.strip().splitlines()[0] if answer.returncode == 0 else ""


def _trials(shape: Shape, num_iters: int = 1) -> list[Trial]:
    return [
        Trial(
            layer_size=shape.layer_size,
            num_layers=shape.num_layers,
            learning_rate=LEARNING_RATE,
            num_iters=num_iters,
            seed=seed,
        )
        for seed in range(shape.networks)
    ]


def _pictures(shape: Shape) -> list[np.ndarray]:
    some = [siren.window(shape.height, shape.width, i) for i in range(PICTURES)]
    return [some[i % PICTURES] for i in range(shape.networks)]


def _engine(
    scale: Scale, attempt: Attempts, engine: Engine, config: BenchmarkConfig
) -> tuple[Exactness | str, dict[Shape, Rate | str]]:
    """Return everything about one engine but the collection."""
    exactness = attempt(lambda: _exactness(scale, engine))
    rates: dict[Shape, Rate | str] = {}
    for shape in scale.shapes:
        rate = functools.partial(
            engines.rate,
            engine,
            _trials(shape),
            _pictures(shape),
            seconds=min(config.seconds, scale.most_seconds),
            rounds=config.rounds,
        )
        rates[shape] = attempt(rate)
    return exactness, rates


def _exactness(scale: Scale, engine: Engine) -> Exactness:
    shape = scale.short_fit
    trials, pictures = _trials(shape, scale.short_fit_iters), _pictures(shape)
    few = slice(CHECKED_GRADIENTS)
    return Exactness(
        *engines.errors(engine, trials[few], pictures[few]),
        psnr_db=decibels.mean(engines.short_fit(engine, trials, pictures)).db,
    )


def _collection(
    scale: Scale, attempt: Attempts, engine: Engine, config: BenchmarkConfig
) -> collection_hours.HoursForecast:
    """Forecast the hours from as many of the plan's drawn programs as the time allows."""
    seconds = min(config.seconds, scale.most_seconds)
    plan = collection_hours.make_plan(scale.collection)
    buckets = plan.buckets(engine)
    host = collection_hours.host_seconds(engine, plan)
    programs = []
    for place, draws in collection_hours.draw(buckets, scale.draws).items():
        work = functools.partial(collection_hours.measure, plan, buckets[place], draws, seconds)
        programs.append(attempt(work))
    measured = [one for one in programs if not isinstance(one, str)]
    if not measured:
        raise RuntimeError(str(programs[0]))
    return collection_hours.forecast(buckets, measured, host)
