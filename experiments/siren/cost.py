"""What a plan will cost, before anything runs: networks, buckets, FLOPs, memory, disk, time."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxfleet import trainer
from jaxfleet.executors import Work
from jaxfleet.progress import clock
from jaxfleet.results.showing import counted
from jaxinr.buckets import COMPILE_SECONDS, AnyBucket, CpuBucket, seconds_per_pixel
from jaxinr.program import SirenProgram
from jaxinr.trial import SIREN

CALIBRATED_BUCKETS, CALIBRATION_SECONDS = 3, 5.0  # at most; none is begun later
STEP_SECONDS = 0.2  # of a calibration
_MANY = (8, 64)  # devices that a dry run speaks of
_EDGE = 1e-9  # of a stretch


class Span(NamedTuple):
    """Forecast of a bucket: seconds of one device for all of it, and for its longest network."""

    device_seconds: float
    longest: float


PARTS_PER_STATE = 4  # parameters, two moments, best


def device_bytes(bucket: AnyBucket, shards: int) -> float:
    """Return the memory that a bucket needs on all devices: states, gradients and pictures."""
    if isinstance(bucket, CpuBucket):
        return shards * bucket.bytes_each
    program = bucket.program
    parameters = sum(out * (fan_in + 1) for out, fan_in in program.layer_shapes)
    pixels = program.blocks * program.block
    states = shards * bucket.slots_per_shard * parameters * 4 * PARTS_PER_STATE
    results = shards * bucket.slots_per_shard * pixels * 3
    in_work = shards * program.group * (pixels * 12 + 2 * parameters * 4)
    units = sum(out for out, _ in program.layer_shapes[:-1])
    activations = 3 * units * program.block * program.group * shards * 4
    return float(states + results + in_work + activations)


def calibrate(
    buckets: Sequence[AnyBucket], work_of: Callable[[AnyBucket, str], Work], shards: int
) -> float:
    """Return measured over modelled seconds, on a few networks of the heaviest buckets."""
    measured = expected = 0.0
    end = time.monotonic() + CALIBRATION_SECONDS
    for bucket in buckets[:CALIBRATED_BUCKETS]:
        if isinstance(bucket, CpuBucket):
            spent, modelled = _calibrate_cores(bucket, work_of, shards)
            measured, expected = measured + spent, expected + modelled
            continue
        program, jobs = bucket.program, bucket.jobs[: bucket.program.group * shards]
        rough = _seconds_per_pixel(program)
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


def _calibrate_cores(
    bucket: CpuBucket, work_of: Callable[[AnyBucket, str], Work], shards: int
) -> tuple[float, float]:
    """Return measured seconds of a few networks, evenly spaced, and those of the rough model."""
    places = np.linspace(0, len(bucket.jobs) - 1, 2 * shards + 2)[1:-1].astype(int)
    chosen = np.unique(places)
    few = dataclasses.replace(bucket, jobs=bucket.jobs[chosen], pixels=bucket.pixels[chosen])
    work_of(few, "calibration").make_trainer([]).step()  # compiles
    team = work_of(few, "calibration").make_trainer([])
    team.step()
    return team.segment_seconds, team.work_done * bucket.seconds / bucket.pixel_steps


def rough_seconds(bucket: AnyBucket) -> float:
    """Return the time of a bucket by the rough model."""
    if isinstance(bucket, CpuBucket):
        return bucket.seconds
    return bucket.pixel_steps * _seconds_per_pixel(bucket.program)


def _seconds_per_pixel(program: SirenProgram) -> float:
    return seconds_per_pixel(program.width, program.num_layers, program.network, program.static)


def _shape(bucket: AnyBucket, shards: int) -> str:
    """Return the first columns of the table."""
    if isinstance(bucket, CpuBucket):
        shape = f"{SIREN:12}  {'any':>6}  {'own':>12}  {'own':>7}"
        return f"{shape}  {len(bucket.jobs):8}  {shards:9}"
    program = bucket.program
    shape = (
        f"{program.network:12}  {program.num_layers:6}  {program.width:12}  "
        f"{program.blocks * program.block:7}"
    )
    return f"{shape}  {len(bucket.jobs):8}  {bucket.slots_per_shard * shards:9}"


def programs_each(seconds: Sequence[float], count: int) -> int:
    """Return the most programs that one of `count` equal shares of the buckets compiles."""
    ends = np.cumsum(seconds) / np.sum(seconds) * count
    first = np.floor(np.append(0.0, ends[:-1]) + _EDGE)
    last = np.ceil(ends - _EDGE) - 1
    return int(max(((first <= i) & (i <= last)).sum() for i in range(count)))


def seconds_on(count: int, spans: Sequence["Span"]) -> float:
    """Forecast seconds of a line of buckets on `count` devices, compilation included.

    A network is never split, so no bucket ends before its longest network on one device.
    """
    even = sum(span.device_seconds for span in spans) / count
    longest = max(span.longest for span in spans)
    compiling = programs_each([span.device_seconds for span in spans], count) * COMPILE_SECONDS
    return max(even, longest) + compiling


def summary(
    buckets: Sequence[AnyBucket], work_of: Callable[[AnyBucket, str], Work], jobs: Sequence[Any]
) -> str:
    """Return the text of a dry run.

    Args:
        buckets: of this shard.
        work_of: (bucket, name) -> how an executor runs it.
        jobs: all of the plan.
    """
    shards = sum(mesh.size for mesh in trainer.lanes())
    factor = calibrate(buckets, work_of, shards)
    lines = [
        "kind          layers  padded width  pixels   networks  at a time      PFLOP     MiB  "
        "     time"
    ]
    times, spans = [], []
    for bucket in buckets:
        seconds = factor * rough_seconds(bucket)
        times.append(seconds)
        busy = min(shards, len(bucket.jobs))  # devices that had work in the calibration
        steps = [jobs[i].trial.num_iters for i in bucket.jobs]
        spans.append(Span(seconds * busy, seconds * busy * max(steps) / sum(steps)))
        lines.append(
            f"{_shape(bucket, shards)}  {bucket.flops / 1e15:9.4f}  "
            f"{device_bytes(bucket, shards) / 2**20:6.0f}  {clock(seconds):>9}"
        )
    first = buckets[0]
    log_every = first.log_every if isinstance(first, CpuBucket) else first.program.log_every
    rows = sum(job.trial.parameters * 4 + job.trial.num_iters * 8 / log_every + 300 for job in jobs)
    flops = sum(bucket.flops for bucket in buckets)
    memory = max(device_bytes(bucket, shards) for bucket in buckets)
    compilation = len(buckets) * COMPILE_SECONDS
    many = [f"{clock(seconds_on(n, spans))} on {n} devices" for n in _MANY]
    lines += [
        f"{len(jobs)} networks in {counted(len(buckets), 'bucket')} on {shards} x "
        f"{jax.local_devices()[0].device_kind}",
        f"{flops / 1e15:.4g} PFLOP in matrix products, {memory / 2**20:.0f} MiB on the devices, "
        f"about {rows / 2**20:.1f} MiB on disk",
        f"about {clock(sum(times) + compilation)} in all, {clock(compilation)} of it compilation",
        f"about {', '.join(many)} of this kind",
    ]
    return "\n".join(lines)
