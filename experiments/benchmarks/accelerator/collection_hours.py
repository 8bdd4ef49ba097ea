"""Hours that an engine needs for the collection of 300,000 networks, from a few measured programs.

The plan has hundreds of compiled programs, too many to time. A few are drawn with probability
proportional to their rough cost, and the mean of measured over rough time scales the whole: an
unbiased estimate, whatever the rough model gets wrong (Hansen & Hurwitz, 1943).
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import jaxinr
from experiments.benchmarks.accelerator.engines import (
    Engine,
    Rate,
    devices,
    make_buckets,
    rate_of_bucket,
)
from experiments.benchmarks.timing import seconds_of
from experiments.siren import plan as siren_plan
from experiments.siren.config import GridConfig
from jaxinr.buckets import Bucket, seconds_per_pixel
from jaxinr.trial import Trial

# launch/flagfiles/siren_grid/collection.flags, on the photographs that are at hand.
COLLECTION = GridConfig(
    image_size=("120",),
    sampling="random",
    num_trials=200_000,
    layer_size=("uniform:5:50",),
    num_layers=("uniform:1:17",),
    w0_initial=("log:3:100",),
    max_bits_per_pixel=11.7,
    num_repeats=100_000,
    seed=("uniform:0:999999",),
    num_iters=("20000",),
)
WANTED_HOURS, AUTHORS_HOURS = 24.0, 12_000.0
HOST_NETWORKS = 64  # fitted for one iteration, for what the host does for each


@dataclasses.dataclass(frozen=True)
class Plan:
    """The fits of a collection.

    Attributes:
        trials: of all networks.
        pictures: [H, W, 3] uint8, one for each trial.
    """

    trials: Sequence[Trial]
    pictures: Sequence[np.ndarray]

    def buckets(self, engine: Engine) -> list[Bucket]:
        """Return the buckets as the engine groups them on this machine, by depth and width."""
        sizes = [picture.shape[:2] for picture in self.pictures]
        found = make_buckets(engine, self.trials, sizes)
        return sorted(found, key=lambda b: (b.program.num_layers, b.program.width))


@dataclasses.dataclass(frozen=True)
class MeasuredBucket:
    """A measured program of the plan.

    Attributes:
        bucket: its networks.
        draws: how often it was drawn.
        rate: of one device.
    """

    bucket: Bucket
    draws: int
    rate: Rate

    @property
    def to_rough_time(self) -> float:
        """Measured over rough time."""
        return self.bucket.pixel_steps / self.rate.pixel_steps_per_s / rough_seconds(self.bucket)

    def row(self) -> dict[str, Any]:
        """Return a row of a table."""
        program = self.bucket.program
        flops = self.bucket.flops / self.bucket.pixel_steps
        return {
            "program": f"{program.num_layers} x {program.width}, {program.kernel}",
            "networks": len(self.bucket.jobs),
            "draws": self.draws,
            "pixel_steps_per_s": self.rate.pixel_steps_per_s,
            "gflop_per_s": self.rate.pixel_steps_per_s * flops / 1e9,
            "compile_seconds": self.rate.compile_seconds,
        }


@dataclasses.dataclass(frozen=True)
class HoursForecast:
    """Hours of one device for the whole plan.

    Attributes:
        programs: that were measured.
        networks: of the plan.
        num_programs: of the plan, each compiled once.
        training_hours: of the iterations.
        standard_error_hours: of those, by the spread of the draws; NaN of a single one.
        compile_hours: at the mean of the measured programs.
        host_hours: of what a fit costs beside its iterations.
    """

    programs: tuple[MeasuredBucket, ...]
    networks: int
    num_programs: int
    training_hours: float
    standard_error_hours: float
    compile_hours: float
    host_hours: float

    @property
    def hours(self) -> float:
        """The sum of all parts, one after the other."""
        return self.training_hours + self.compile_hours + self.host_hours

    def row(self) -> dict[str, Any]:
        """Return a row of a table."""
        return {
            "networks": self.networks,
            "programs": self.num_programs,
            "draws": sum(one.draws for one in self.programs),
            "training_hours": self.training_hours,
            "standard_error_hours": self.standard_error_hours,
            "compile_hours": self.compile_hours,
            "host_hours": self.host_hours,
            "hours": self.hours,
            "networks_per_hour": self.networks / self.hours,
        }


def make_plan(config: GridConfig) -> Plan:
    """Plan the collection's networks on the packaged photographs; their content costs no time."""
    packaged, jobs = siren_plan.load(config)
    return Plan([job.trial for job in jobs], [packaged[job.photo].pixels for job in jobs])


def rough_seconds(bucket: Bucket) -> float:
    """Time of a bucket by the rough model, in its own unit: for comparison alone."""
    return bucket.pixel_steps * seconds_per_pixel(bucket.program.width, bucket.program.num_layers)


def draw(buckets: Sequence[Bucket], count: int) -> Counter[int]:
    """Return how often each bucket is drawn: evenly in the line of rough costs, `count` in all."""
    ends = np.cumsum([rough_seconds(bucket) for bucket in buckets])
    points = (np.arange(count) + 0.5) / count * ends[-1]
    return Counter(np.searchsorted(ends, points).tolist())


def measure(plan: Plan, bucket: Bucket, draws: int, seconds: float) -> MeasuredBucket:
    """Measure one program of the plan by training a group for about `seconds`."""
    program = bucket.program
    jobs = bucket.jobs[: program.group * devices()]
    few = dataclasses.replace(bucket, jobs=jobs, slots_per_shard=program.group)
    rate = rate_of_bucket(few, plan.trials, plan.pictures, seconds=seconds, rounds=1)
    return MeasuredBucket(bucket, draws, rate)


def host_seconds(engine: Engine, plan: Plan) -> float:
    """Measure a fit's time beside its iterations: initial weights, transfers, 8-bit PSNR, SSIM."""
    last = dataclasses.replace(plan.trials[-1], num_iters=1)
    trials = [dataclasses.replace(last, seed=seed) for seed in range(HOST_NETWORKS)]
    pictures = [plan.pictures[-1]] * HOST_NETWORKS

    def fit() -> None:
        jaxinr.fit(pictures, trials, **engine.options)

    fit()  # compiles
    return seconds_of(fit) / HOST_NETWORKS


def forecast(
    buckets: Sequence[Bucket], programs: Sequence[MeasuredBucket], host_seconds: float
) -> HoursForecast:
    """Forecast the hours of the whole plan from some of its programs.

    Args:
        buckets: of the plan.
        programs: of `measure`, at least one.
        host_seconds: of one fit beside its iterations.
    """
    rough = sum(map(rough_seconds, buckets))
    ratios = np.repeat([one.to_rough_time for one in programs], [one.draws for one in programs])
    error = float(ratios.std(ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else float("nan")
    networks = sum(len(bucket.jobs) for bucket in buckets)
    compilation = float(np.mean([one.rate.compile_seconds for one in programs]))
    return HoursForecast(
        tuple(programs),
        networks=networks,
        num_programs=len(buckets),
        training_hours=rough * float(ratios.mean()) / 3600,
        standard_error_hours=rough * error / 3600,
        compile_hours=len(buckets) * compilation / 3600,
        host_hours=networks * host_seconds / 3600,
    )
