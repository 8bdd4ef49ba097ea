"""Speed of noise residuals, against prnu-python on the same cores.

Pictures of 512 x 512 in colour, 8 bits, in memory. Ours are a batch spread over all devices, once
its program is compiled; prnu-python runs in one process per core, each on pictures of its own.
Measured in turn, since machines are noisy: each engine keeps its best of `rounds`.
"""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from experiments.benchmarks import timing
from experiments.report import markdown
from jaxfleet import rundir, storage
from jaxfleet.imaging import photos
from jaxfleet.imaging.pixels import from_uint8
from jaxfleet.scripts.options import flag
from jaxfleet.trainer import usable_cores
from jaxsr.fingerprints import prnu, residuals

SIDE_PX = 512
JAXSR, BASELINE = "jaxsr", "prnu-python"
# What it is called: our function of [N, H, W, 3] float, and theirs of [H, W, 3] uint8.
TASKS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "residual": (residuals.wavelet_residual, "noise_extract"),
    "query": (lambda images: prnu.clean(residuals.wavelet_residual(images)), "extract_single"),
}


@dataclasses.dataclass(frozen=True)
class FingerprintBenchmarkConfig:
    """Flags of `launch/fingerprint_benchmark.py`."""

    RUN_DIR: ClassVar[str] = "written"

    task: tuple[str, ...] = flag(
        tuple(TASKS),
        "residual: wavelet residuals; query: grey residuals with zero mean and a flat spectrum, "
        "as compared with fingerprints.",
        choices=tuple(TASKS),
    )
    batch: int = flag(8, "Images per device.", lower=1)
    seconds: float = flag(3.0, "Least duration of a measurement.", lower=0.01)
    rounds: int = flag(3, "Measurements per engine; the best counts.", lower=1)


def run(config: FingerprintBenchmarkConfig, run_dir: Path) -> str:
    """Measure, write `fingerprint_benchmark.json` and return the table as text."""
    rows = [row for task in dict.fromkeys(config.task) for row in _compare(config, task)]
    content = {**rundir.environment(), "rows": rows}
    storage.make_folder(run_dir, "--run_dir")
    rundir.write_json(run_dir / "fingerprint_benchmark.json", content)
    return markdown.table(rows)


def _compare(config: FingerprintBenchmarkConfig, task: str) -> list[dict[str, Any]]:
    """Make a row for each engine; the ratio is of images per second."""
    engines = {JAXSR: _jaxsr(config, task)}
    if _prnu_python() is not None:
        engines[BASELINE] = functools.partial(_every_core, task, config.seconds)
    rates = timing.best_of(engines, config.rounds)
    baseline = rates.get(BASELINE)
    return [
        {
            "task": task,
            "engine": name,
            "images_per_s": rate,
            "ms_per_image": 1e3 / rate,
            "ratio_to_prnu_python": rate / baseline if baseline else None,
        }
        for name, rate in rates.items()
    ]


def _jaxsr(config: FingerprintBenchmarkConfig, task: str) -> Callable[[], float]:
    """Return a function that measures images per second, on all devices together."""
    devices = jax.local_devices()
    mesh = jax.make_mesh(
        (len(devices),), ("images",), (jax.sharding.AxisType.Auto,), devices=devices
    )
    spread = PartitionSpec("images")
    ours, _ = TASKS[task]

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    def extract(pixels: Array) -> Array:
        return ours(from_uint8(pixels))

    pictures = np.stack(_pictures(config.batch * len(devices)))

    def once() -> None:
        extract(jax.device_put(pictures, NamedSharding(mesh, spread))).block_until_ready()

    def measure() -> float:
        once()  # compiles
        return len(pictures) * _calls_per_second(once, config.seconds)

    return measure


def _every_core(task: str, seconds: float) -> float:
    """Return the images per second of prnu-python, one process per core at the same time."""
    cores = usable_cores()
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        concurrent.futures.ProcessPoolExecutor(cores, context) as processes,
    ):
        together = manager.Barrier(cores)
        waiting = [
            processes.submit(_one_core, task, seconds, core, together) for core in range(cores)
        ]
        return sum(process.result() for process in waiting)


def _one_core(task: str, seconds: float, core: int, together: Any) -> float:
    """Return the images per second of this process, after waiting for the others to start."""
    theirs = getattr(_prnu_python(), TASKS[task][1])
    picture = _pictures(core + 1)[core]
    theirs(picture.copy())
    together.wait()
    return _calls_per_second(lambda: theirs(picture.copy()), seconds)


def _prnu_python() -> Any:
    """Import the module; None if it is not installed. Other packages have that name too."""
    try:
        import prnu as module
    except ImportError:
        return None
    return module if hasattr(module, "noise_extract") else None


def _calls_per_second(work: Callable[[], object], seconds: float) -> float:
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or not calls:
        work()
        calls += 1
    return calls / passed


def _pictures(count: int) -> Sequence[np.ndarray]:
    """Return windows of packaged photographs, [SIDE_PX, SIDE_PX, 3] uint8, one after the other."""
    loaded = [
        photo.pixels for photo in photos.load("packaged") if min(photo.pixels.shape[:2]) >= SIDE_PX
    ]
    return [np.ascontiguousarray(loaded[i % len(loaded)][:SIDE_PX, :SIDE_PX]) for i in range(count)]
