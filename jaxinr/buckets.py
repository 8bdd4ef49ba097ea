"""Trials that share a compiled program: which, and how padded.

What must be static is the kind, the number of layers, the padded width and the padded pixel count,
and a few hyperparameters of some kinds that shapes depend on. All the rest is an array with one
entry per network. The CPU kernel holds nothing static, and so all of its trials are one bucket.
"""

import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxfleet import plan, trainer
from jaxfleet.shards import WHOLE, Shard
from jaxinr import pixels as minibatches
from jaxinr.kernels import choice, tiling
from jaxinr.networks import registry
from jaxinr.program import SirenProgram, padded_pixels, tile
from jaxinr.trial import SIREN, Trial

# For choosing buckets only: seconds to compile a program, and a step's seconds per pixel on two
# cores of 2024, one term for matrix products and one for what is done once per unit.
COMPILE_SECONDS = 2.5
SECONDS_PER_FLOP, SECONDS_PER_UNIT = 1 / 250e9, 0.35e-9
INTERVAL_SECONDS = 3.0  # of all networks that train at a time, aimed at


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Jobs for one program.

    Attributes:
        program: what is compiled.
        jobs: [J] indices of trials, ascending.
        slots_per_shard: networks in training at a time on each device.
        pixel_steps: true pixels times iterations, over all jobs.
        flops: of the matrix products at the true widths, over all jobs.
    """

    program: SirenProgram
    jobs: np.ndarray
    slots_per_shard: int
    pixel_steps: float
    flops: float


@dataclasses.dataclass(frozen=True)
class CpuBucket:
    """Jobs for the CPU kernel, which takes networks of all shapes, each at its own.

    Attributes:
        jobs: [J] indices of trials, ascending.
        pixels: [J] of their pictures.
        pixel_steps: as in `Bucket`.
        flops: as in `Bucket`.
        seconds: by the rough model, over all jobs.
        bytes_each: of the largest network in training.
        coordinates: see `siren.points_of`.
        log_every: iterations between the entries of a history.
    """

    jobs: np.ndarray
    pixels: np.ndarray
    pixel_steps: float
    flops: float
    seconds: float
    bytes_each: float
    coordinates: str
    log_every: int


AnyBucket = Bucket | CpuBucket


class Family(NamedTuple):
    """The shape and settings that networks of one program share."""

    num_layers: int
    width: int  # padded
    pixels: int  # padded
    network: str = SIREN
    static: tuple[int, ...] = ()  # see `Trial.static`
    pixels_per_update: int = 0
    log_every: int = 0  # updates between two measurements, where an update takes a part; else 0


_UNPADDED = Family(0, 0, 0)  # the CPU kernel's


@functools.cache  # a plan asks for every trial
def seconds_per_pixel(
    width: int, num_layers: int, network: str = SIREN, static: tuple[int, ...] = ()
) -> float:
    """Return the rough time of a training step per pixel at a padded width; for comparing plans."""
    kind = registry.KINDS[network]
    shapes = kind.shapes(width, num_layers, *static)
    units = kind.seconds * sum(out for out, _ in shapes[:-1])
    return kind.flops_per_pixel(shapes) * SECONDS_PER_FLOP + units * SECONDS_PER_UNIT


def line_up(
    trials: Sequence[Trial],
    sizes: Sequence[tuple[int, int]],
    *,
    platform: str,
    kernel: str = "auto",
    products: str = "float32",
    log_every: int = 10,
) -> tuple[list[tuple[Family, int]], np.ndarray]:
    """Order all trials by their programs, for shards to cut.

    Args:
        trials: what to fit.
        sizes: (height, width) of each trial's picture.
        platform: "cpu", "gpu" or "tpu".
        kernel: see `make_buckets`.
        products: see `make_buckets`.
        log_every: see `make_buckets`.

    Returns:
        (family, index of a trial) for each, and [N] their rough costs, for comparison.
    """
    pixels = np.array([height * width for height, width in sizes])
    work = _pixel_steps(trials, pixels)
    parts = [
        trial.pixels_per_update if minibatches.is_stochastic(trial, count) else 0
        for trial, count in zip(trials, pixels.tolist(), strict=True)
    ]
    chosen = [
        choice.choose(kernel, platform, t.num_layers, t.layer_size, products, t.network, part > 0)
        for t, part in zip(trials, parts, strict=True)
    ]
    unpadded = [job for job, used in enumerate(chosen) if used == "numba"]
    least = [
        tiling.padded_width(trial.layer_size) if used == "pallas" else trial.layer_size
        for trial, used in zip(trials, chosen, strict=True)
    ]
    families: dict[tuple[str, Family], list[int]] = defaultdict(list)
    # Families are counted in the least block of all widths, so that no width is left out of one.
    tiles = (
        _tile(width, trial.network, platform, used)
        for width, trial, used in zip(least, trials, chosen, strict=True)
        if used != "numba"
    )
    block = min((block for _, block in tiles), default=1)
    for job, trial in enumerate(trials):
        if chosen[job] == "numba":
            continue
        padded_count = padded_pixels(int(pixels[job]), block)
        family = Family(trial.num_layers, 0, padded_count, trial.network, trial.static)
        if parts[job]:
            every = minibatches.measured_every(trial, int(pixels[job]), log_every)
            family = family._replace(pixels_per_update=parts[job], log_every=every)
        families[chosen[job], family].append(job)
    members: dict[Family, list[int]] = defaultdict(list)
    if unpadded:
        members[_UNPADDED] = unpadded
    for (used, family), jobs in families.items():
        work_at: dict[int, float] = defaultdict(float)
        for job in jobs:
            work_at[least[job]] += work[job]

        def seconds(
            size: int, width: int, w: dict[int, float] = work_at, f: Family = family
        ) -> float:
            return w[size] * seconds_per_pixel(width, f.num_layers, f.network, f.static)

        padded = plan.partition(sorted(work_at), seconds, COMPILE_SECONDS)
        for job in jobs:
            width = padded[least[job]]
            block = _tile(width, family.network, platform, used)[1]
            padded_count = padded_pixels(int(pixels[job]), block)
            members[family._replace(width=width, pixels=padded_count)].append(job)
    line = [(key, job) for key, jobs in members.items() for job in jobs]
    return line, np.array([work[job] * _seconds_per_pixel(key, trials[job]) for key, job in line])


def _pixel_steps(trials: Sequence[Trial], pixels: np.ndarray) -> np.ndarray:
    """Return [N] pixels of all updates together; `pixels` are those of the pictures."""
    pairs = zip(trials, pixels.tolist(), strict=True)
    return np.array([minibatches.pixel_steps_of(trial, count) for trial, count in pairs], float)


def _seconds_per_pixel(key: Family, trial: Trial) -> float:
    width = trial.layer_size if key == _UNPADDED else key.width
    return seconds_per_pixel(width, trial.num_layers, trial.network, trial.static)


def _tile(width: int, network: str, platform: str, used: str) -> tuple[int, int]:
    """Choose the tile as `program.tile` does; complex units count twice."""
    return tile(width * registry.KINDS[network].parts, platform, used)


def make_buckets(
    trials: Sequence[Trial],
    sizes: Sequence[tuple[int, int]],
    *,
    shards: int,
    platform: str,
    coordinates: str = "coin",
    log_every: int = 10,
    shard: Shard = WHOLE,
    kernel: str = "auto",
    products: str = "float32",
) -> list[AnyBucket]:
    """Return the buckets of trials, heaviest first.

    Every shard pads and groups as the whole would, so a trial has the same program in any cut.

    Args:
        trials: what to fit.
        sizes: (height, width) of each trial's picture.
        shards: devices times lanes that share a bucket.
        platform: "cpu", "gpu" or "tpu".
        coordinates: see `siren.points_of`.
        log_every: iterations between the entries of a history.
        shard: which share of the trials to bucket.
        kernel: one of `choice.KERNELS`; a bucket's program says what became of it.
        products: one of `siren.PRODUCTS`.
    """
    line, costs = line_up(
        trials,
        sizes,
        platform=platform,
        kernel=kernel,
        products=products,
        log_every=log_every,
    )
    counts = np.array([h * w for h, w in sizes])
    pixel_steps = _pixel_steps(trials, counts)
    whole = Counter(key for key, _ in line)
    shares: dict[Family, list[int]] = defaultdict(list)
    seconds_of: dict[Family, float] = defaultdict(float)
    for place in np.flatnonzero(shard.cut(costs)):
        key, job = line[place]
        shares[key].append(job)
        seconds_of[key] += float(costs[place])
    buckets: list[AnyBucket] = []
    for key, jobs in shares.items():
        total = float(pixel_steps[jobs].sum())
        flops = float(sum(pixel_steps[j] * trials[j].flops_per_pixel for j in jobs))
        if key == _UNPADDED:
            most = max(_bytes_on_a_core(trials[j], sizes[j][0] * sizes[j][1]) for j in jobs)
            seconds = seconds_of[key]
            buckets.append(
                CpuBucket(
                    np.array(jobs),
                    counts[jobs],
                    total,
                    flops,
                    seconds,
                    most,
                    coordinates,
                    log_every,
                )
            )
            continue
        num_layers, width, padded_count, network, static, part, measured_every = key
        # Widths that pad to one another are of one kernel, so the padded width tells which.
        used = choice.choose(kernel, platform, num_layers, width, products, network, part > 0)
        group, block = _tile(width, network, platform, used)
        # The group is that of the whole: with another one, XLA sums in another order.
        group, slots_per_shard = trainer.layout(whole[key], shards, group)
        groups = -(-len(jobs) // (shards * group))
        if platform == "cpu":
            seconds = seconds_per_pixel(width, num_layers, network, static)
            seconds *= group * (part or padded_count) * (measured_every or log_every)
            groups = min(groups, _max_groups(seconds))
        slots_per_shard = min(slots_per_shard, groups * group)
        program = SirenProgram(
            num_layers=num_layers,
            width=width,
            blocks=padded_count // block,
            block=block,
            group=group,
            coordinates=coordinates,
            log_every=measured_every or log_every,
            kernel=used,
            products=products,
            network=network,
            static=static,
            pixels_per_update=part,
        )
        buckets.append(Bucket(program, np.array(jobs), slots_per_shard, total, flops))
    return sorted(buckets, key=lambda bucket: -bucket.flops)


def _bytes_on_a_core(trial: Trial, pixels: int) -> float:
    """Return the memory of a network in training, its pixels and activations included."""
    activations = 2 * trial.num_layers * trial.layer_size * tiling.CPU_CHUNK
    return 4.0 * (6 * trial.parameters + activations + 5 * pixels)


def _max_groups(seconds: float) -> int:
    """Limit groups so that a log interval, for which signals wait, takes a few seconds.

    `seconds` are those of a group by the rough model, whose two cores are two shards.
    """
    return int(np.clip(INTERVAL_SECONDS / (2 * seconds), 1, trainer.MAX_GROUPS_PER_SHARD))
