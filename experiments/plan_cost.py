"""What a plan will cost, before anything runs: networks, buckets, FLOPs, memory, disk, time."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxfleet import trainer
from jaxfleet.executors import Work
from jaxfleet.progress import clock
from jaxinr.buckets import COMPILE_SECONDS, Bucket, seconds_per_pixel
from jaxinr.trial import Trial

CALIBRATED_BUCKETS, CALIBRATION_SECONDS = 3, 5.0  # at most; none is begun later
STEP_SECONDS = 0.2  # of a calibration
_MANY = (8, 64)  # devices that a dry run speaks of
_EDGE = 1e-9  # of a stretch
PARTS_PER_STATE = 4  # parameters, two moments, best


def device_bytes(bucket: Bucket, shards: int) -> float:
    """Memory that a bucket needs on all devices together: states, gradients and pictures."""
    program = bucket.program
    parameters = Trial(layer_size=program.width, num_layers=program.num_layers).parameters
    pixels = program.blocks * program.block
    states = shards * bucket.slots_per_shard * parameters * 4 * PARTS_PER_STATE
    results = shards * bucket.slots_per_shard * pixels * 3
    in_work = shards * program.group * (pixels * 12 + 2 * parameters * 4)
    activations = (
        3 * program.num_layers * program.width * program.block * program.group * shards * 4
    )
    return float(states + results + in_work + activations)


def calibrate(
    buckets: Sequence[Bucket], work_of: Callable[[Bucket, str], Work], shards: int
) -> float:
    """Measured seconds over those of the rough model, on a few networks of the heaviest buckets."""
    measured = expected = 0.0
    end = time.monotonic() + CALIBRATION_SECONDS
    for bucket in buckets[:CALIBRATED_BUCKETS]:
        program, jobs = bucket.program, bucket.jobs[: bucket.program.group * shards]
        rough = seconds_per_pixel(program.width, program.num_layers)
        iterations = STEP_SECONDS / (rough * len(jobs) * program.blocks * program.block)
        program = dataclasses.replace(
            program, log_every=int(np.clip(iterations, 1, program.log_every))
        )
        few = dataclasses.replace(bucket, program=program, jobs=jobs, slots_per_shard=program.group)
        team = work_of(few, "calibration").make_trainer([])
        team.step()  # compiles
        if team.step() is None:
            continue  # too short to measure
        measured += team.segment_seconds
        expected += team.work_done * rough
        if time.monotonic() > end:
            break
    return measured / expected if expected else 1.0


def programs_each(seconds: Sequence[float], count: int) -> int:
    """Most programs that one of `count` equal stretches of a line of buckets has to compile."""
    ends = np.cumsum(seconds) / np.sum(seconds) * count
    first = np.floor(np.append(0.0, ends[:-1]) + _EDGE)
    last = np.ceil(ends - _EDGE) - 1
    return int(max(((first <= i) & (i <= last)).sum() for i in range(count)))


def describe(
    buckets: Sequence[Bucket], work_of: Callable[[Bucket, str], Work], jobs: Sequence[Any]
) -> str:
    """The dry run's text.

    Args:
        buckets: of this shard.
        work_of: (bucket, name) -> how an executor runs it.
        jobs: all of the plan.
    """
    shards = sum(mesh.size for mesh in trainer.lanes())
    factor = calibrate(buckets, work_of, shards)
    lines = ["layers  padded width  pixels   networks  at a time      PFLOP     MiB       time"]
    times = []
    for bucket in buckets:
        program = bucket.program
        seconds = factor * bucket.pixel_steps * seconds_per_pixel(program.width, program.num_layers)
        times.append(seconds)
        lines.append(
            f"{program.num_layers:6}  {program.width:12}  {program.blocks * program.block:7}  "
            f"{len(bucket.jobs):8}  {bucket.slots_per_shard * shards:9}  "
            f"{bucket.flops / 1e15:9.4f}  {device_bytes(bucket, shards) / 2**20:6.0f}  "
            f"{clock(seconds):>9}"
        )
    log_every = buckets[0].program.log_every
    rows = sum(job.trial.parameters * 4 + job.trial.num_iters * 8 / log_every + 300 for job in jobs)
    flops = sum(bucket.flops for bucket in buckets)
    memory = max(device_bytes(bucket, shards) for bucket in buckets)
    compilation = len(buckets) * COMPILE_SECONDS
    seconds_of = {
        n: sum(times) * shards / n + programs_each(times, n) * COMPILE_SECONDS for n in _MANY
    }
    many = [f"{clock(seconds)} on {n} devices" for n, seconds in seconds_of.items()]
    lines += [
        f"{len(jobs)} networks in {len(buckets)} buckets on {shards} x "
        f"{jax.local_devices()[0].device_kind}",
        f"{flops / 1e15:.4g} PFLOP in matrix products, {memory / 2**20:.0f} MiB on the devices, "
        f"about {rows / 2**20:.1f} MiB on disk",
        f"about {clock(sum(times) + compilation)} in all, {clock(compilation)} of it compilation",
        f"about {', '.join(many)} of this kind",
    ]
    return "\n".join(lines)
