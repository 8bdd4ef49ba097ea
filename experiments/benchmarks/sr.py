"""Speed of training and using super-resolution networks: side by side, alone, by PyTorch.

Everything is measured in one run on one machine, in turn, since machines are noisy: each engine
keeps its best of `rounds`. Ours is measured through `jaxsr.training.trainer.ZooTrainer` and
`jaxsr.upscale`, on real batches drawn from photographs, once its program is compiled. GFLOP/s are
XLA's count of an update, before it optimises, for every engine alike.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from flax import nnx

import jaxsr
from experiments.benchmarks import timing
from experiments.report import markdown
from jaxfleet import rundir, storage
from jaxfleet.imaging import photos
from jaxfleet.scripts.options import flag
from jaxsr.datasets import training_sets
from jaxsr.training import cost as training_cost
from jaxsr.training import strategy as training_strategy
from jaxsr.training import trainer as sr_trainer
from jaxsr.training.program import TrainingProgram, TrainingRecipe
from jaxsr.training.strategy import Strategy

PARTS = ("step", "fleet", "upscale")
FOREVER = 10**9  # updates: the clock ends a measurement
PAPER_UPDATES = 50_000  # of a network of the paper, for networks per hour
SERIAL, TORCH = "jaxsr, one after the other", "PyTorch, one after the other"


@dataclasses.dataclass(frozen=True)
class Workload:
    """Networks of one kind and how they are trained.

    Attributes:
        architecture: one of `jaxsr.names()`.
        overrides: of its hyperparameters.
        scale: how many times more rows and columns.
        batch_size: crops.
        crop_px: side of the high-resolution crops.
        in_torch: whether the baseline knows the architecture.
    """

    architecture: str
    overrides: Mapping[str, Any]
    scale: int
    batch_size: int
    crop_px: int
    in_torch: bool = False

    def __str__(self) -> str:
        """Return the name that the table shows."""
        return f"{self.architecture} x{self.scale}, {self.batch_size} crops of {self.crop_px} px"


BASELINE: dict[str, Any] = {"num_features": 64, "num_blocks": 16, "res_scale": 1.0}
STEP = Workload("edsr", BASELINE, 4, 16, 192, in_torch=True)
# The networks of launch/flagfiles/sr_zoo/mini.flags.
MINI: tuple[tuple[str, Mapping[str, Any], bool], ...] = (
    ("edsr", {"num_features": 16, "num_blocks": 4, "res_scale": 1.0}, True),
    ("rdn", {"num_features": 16, "growth_rate": 8, "num_blocks": 3, "num_layers": 3}, True),
    ("rcan", {"num_features": 16, "num_groups": 2, "num_blocks": 2, "reduction": 4}, True),
    (
        "nlsn",
        {
            **{"num_features": 16, "num_blocks": 4, "res_scale": 1.0},
            **{"num_hashes": 2, "chunk_size": 36},
        },
        False,
    ),
    (
        "swinir",
        {
            **{"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2]},
            "upsampler": "pixelshuffledirect",
        },
        False,
    ),
)
FLEET = tuple(
    Workload(architecture, overrides, scale, 4, 64, in_torch)
    for architecture, overrides, in_torch in MINI
    for scale in (2, 4)
)
NETWORKS = 4  # of a fleet, for each device
SCALES = tuple(dict.fromkeys(case.scale for case in FLEET))
PICTURE = (339, 510)  # rows and columns of what is enlarged


@dataclasses.dataclass(frozen=True)
class SrBenchmarkConfig:
    """Flags of `launch/sr_benchmark.py`."""

    RUN_DIR: ClassVar[str] = "written"

    part: tuple[str, ...] = flag(
        PARTS,
        "step: an update of EDSR's baseline; fleet: the small networks of mini.flags, many side "
        "by side and one after the other; upscale: a picture by 4.",
        choices=PARTS,
    )
    architecture: tuple[str, ...] = flag(
        tuple(name for name, _, _ in MINI),
        "Architectures of --part=fleet.",
        choices=tuple(name for name, _, _ in MINI),
    )
    scale: tuple[int, ...] = flag(SCALES, "Scales of --part=fleet.", choices=SCALES)
    networks: int = flag(
        NETWORKS, "Networks that --part=fleet trains side by side on a device.", lower=1
    )
    num_blocks: int = flag(
        BASELINE["num_blocks"], "Residual blocks of EDSR in --part=step and upscale.", lower=1
    )
    num_features: int = flag(BASELINE["num_features"], "Features of EDSR there.", lower=1)
    batch_size: int = flag(STEP.batch_size, "Crops of an update of --part=step.", lower=1)
    crop_px: int = flag(
        STEP.crop_px, f"Side of these crops, pixels, a multiple of {STEP.scale}.", lower=STEP.scale
    )
    height: int = flag(PICTURE[0], "Rows of the picture that --part=upscale enlarges.", lower=1)
    width: int = flag(PICTURE[1], "Columns of that picture.", lower=1)
    seconds: float = flag(4.0, "Target duration of a measurement.", lower=0.1)
    rounds: int = flag(3, "Measurements per engine; the best counts.", lower=1)

    def __post_init__(self) -> None:
        """Refuse crops that a network of this scale cannot make.

        Raises:
            ValueError: naming the flag.
        """
        if self.crop_px % STEP.scale:
            raise ValueError(f"--crop_px={self.crop_px} is not a multiple of {STEP.scale}.")

    @property
    def edsr(self) -> Mapping[str, Any]:
        """The EDSR of --part=step and upscale."""
        return BASELINE | {"num_blocks": self.num_blocks, "num_features": self.num_features}


def run(config: SrBenchmarkConfig, run_dir: Path) -> str:
    """Measure, write `sr_benchmark.json` and return the tables as text."""
    parts = {"step": _step, "fleet": _fleet, "upscale": _upscale}
    rows = {part: parts[part](config) for part in dict.fromkeys(config.part)}
    content = {**rundir.environment(), **rows}
    storage.make_folder(run_dir, "--run_dir")
    rundir.write_json(run_dir / "sr_benchmark.json", content)
    return "\n\n".join(markdown.table(part_rows) for part_rows in rows.values())


def _step(config: SrBenchmarkConfig) -> list[dict[str, Any]]:
    """Benchmark one network: its batch over all devices, or on one."""
    devices = jax.local_devices()
    case = dataclasses.replace(
        STEP, overrides=config.edsr, batch_size=config.batch_size, crop_px=config.crop_px
    )
    engines = {
        "jaxsr": _trainer(case, 1, Strategy(spread=True), devices, config.seconds),
        "jaxsr, one device": _trainer(case, 1, Strategy(), devices[:1], config.seconds),
    }
    return _compare(config, case, engines | _torch(config, case))


def _fleet(config: SrBenchmarkConfig) -> list[dict[str, Any]]:
    """Benchmark small networks: a fleet on all devices, and other ways to train as many."""
    devices = jax.local_devices()
    networks, rows = config.networks * len(devices), []
    for case in FLEET:
        if case.architecture not in config.architecture or case.scale not in config.scale:
            continue
        default = training_strategy.choose(
            "auto", 0, devices, networks=networks, batch_size=case.batch_size
        )
        updates = default.updates
        ways = {
            "jaxsr fleet": (networks, default, devices),
            SERIAL: (1, Strategy(updates=updates), devices[:1]),
            f"jaxsr, {config.networks} unrolled": (
                *(config.networks, Strategy(config.networks, updates=updates)),
                devices[:1],
            ),
            f"jaxsr, {config.networks} under vmap": (
                *(config.networks, Strategy(config.networks, True, updates)),
                devices[:1],
            ),
        }
        engines = {name: _trainer(case, *way, config.seconds) for name, way in ways.items()}
        rows += _compare(config, case, engines | _torch(config, case))
    return rows


def _compare(
    config: SrBenchmarkConfig, case: Workload, engines: Mapping[str, Callable[[], float]]
) -> list[dict[str, Any]]:
    """Make a row for each engine; a ratio above 1 means faster than the engine it names."""
    flops = training_cost.flops_per_update(_program(case))
    rates = timing.best_of(engines, config.rounds)
    measured = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
    sys.stderr.write(f"{case}, updates/s: {measured}\n")
    serial = rates.get(SERIAL)
    torch = rates.get(TORCH)
    return [
        {
            "networks": str(case),
            "engine": name,
            "updates_per_s": rate,
            "gflop_per_s": rate * flops / 1e9,
            "networks_per_hour": 3600 * rate / PAPER_UPDATES,
            "ratio_to_serial": rate / serial if serial else None,
            "ratio_to_torch": rate / torch if torch else None,
        }
        for name, rate in rates.items()
    ]


def _trainer(
    case: Workload,
    networks: int,
    strategy: Strategy,
    devices: Sequence[jax.Device],
    seconds: float,
) -> Callable[[], float]:
    """Return a function that measures updates per second, of all networks together."""

    @functools.cache
    def make() -> sr_trainer.ZooTrainer:
        return sr_trainer.ZooTrainer(
            _program(case),
            [sr_trainer.TrainingJob(seed) for seed in range(networks)],
            [_dataset(case.scale)],
            strategy=strategy,
            devices=devices,
            log_every=FOREVER,
            validate_every=FOREVER,
            wanted_seconds=seconds,
        )

    def measure() -> float:
        trainer = make()
        if not trainer.work_done:
            trainer.step()  # compiles
        trainer.step()
        return trainer.work_done / trainer.segment_seconds

    return measure


def _torch(config: SrBenchmarkConfig, case: Workload) -> dict[str, Callable[[], float]]:
    """Return the baseline, if PyTorch is installed and knows the architecture."""
    try:
        from experiments.benchmarks.pytorch import sr as torch_sr
    except ImportError:
        return {}
    if not case.in_torch:
        return {}
    network = torch_sr.build(case.architecture, case.scale, **case.overrides)
    sizes = (case.scale, case.batch_size, case.crop_px)
    return {TORCH: lambda: torch_sr.updates_per_second(network, *sizes, config.seconds)}


def _upscale(config: SrBenchmarkConfig) -> list[dict[str, Any]]:
    """Benchmark EDSR's baseline, which enlarges one picture four times."""
    pixels = max(photos.load("packaged"), key=lambda photo: photo.pixels.size).pixels
    image = np.ascontiguousarray(pixels[: config.height, : config.width])
    model = jaxsr.build("edsr", scale=STEP.scale, **config.edsr, rngs=nnx.Rngs(0))
    engines: dict[str, Callable[[], float]] = {
        "jaxsr.upscale": lambda: timing.seconds_of(lambda: jaxsr.upscale(model, image))
    }
    try:
        from experiments.benchmarks.pytorch import sr as torch_sr
    except ImportError:
        pass
    else:
        network = torch_sr.build("edsr", STEP.scale, **config.edsr)
        engines["PyTorch"] = lambda: torch_sr.seconds_to_upscale(network, image)
    jaxsr.upscale(model, image)
    best = timing.best_of(engines, config.rounds, min)
    torch = best.get("PyTorch")
    return [
        {
            "picture": f"{image.shape[1]} x {image.shape[0]} by 4, "
            f"EDSR of {config.num_blocks} blocks of {config.num_features}",
            "engine": name,
            "seconds": seconds,
            "ratio_to_torch": torch / seconds if torch else None,
        }
        for name, seconds in best.items()
    ]


@functools.cache
def _dataset(scale: int) -> training_sets.Dataset:
    return training_sets.pack([photo.pixels for photo in photos.load("packaged")], scale)


def _program(case: Workload) -> TrainingProgram:
    recipe = TrainingRecipe(num_iters=FOREVER, batch_size=case.batch_size, crop_px=case.crop_px)
    return TrainingProgram(case.architecture, case.scale, case.overrides, recipe)
