"""What a plan will cost, before anything runs: networks, buckets, FLOPs, memory, disk, time."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxfleet import trainer
from jaxfleet.executors import Work
from jaxfleet.progress import clock
from jaxinr.buckets import COMPILE_SECONDS, Bucket, seconds_per_pixel
from jaxinr.trial import Trial

CALIBRATED_BUCKETS = 3
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


def calibrate(buckets: Sequence[Bucket], works: Sequence[Work]) -> float:
    """Measured seconds over those of the rough model, on the heaviest buckets."""
    measured = expected = 0.0
    for bucket, work in list(zip(buckets, works, strict=True))[:CALIBRATED_BUCKETS]:
        keep = trainer.MAX_GROUPS_PER_SHARD * bucket.program.group * 8
        team = work.make_trainer(range(keep, len(bucket.jobs)))
        team.step()  # compiles
        if team.step() is None:
            continue  # too short to measure
        measured += team.segment_seconds
        program = bucket.program
        expected += team.work_done * seconds_per_pixel(program.width, program.num_layers)
    return measured / expected if expected else 1.0


def describe(buckets: Sequence[Bucket], works: Sequence[Work], jobs: Sequence[Any]) -> str:
    """The dry run's text."""
    shards = sum(mesh.size for mesh in trainer.lanes())
    factor = calibrate(buckets, works)
    lines = ["layers  padded width  pixels   networks  at a time      PFLOP     MiB       time"]
    total = 0.0
    for bucket in buckets:
        program = bucket.program
        seconds = factor * bucket.pixel_steps * seconds_per_pixel(program.width, program.num_layers)
        total += seconds + COMPILE_SECONDS
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
    lines += [
        f"{len(jobs)} networks in {len(buckets)} buckets on {shards} x "
        f"{jax.local_devices()[0].device_kind}",
        f"{flops / 1e15:.4g} PFLOP in matrix products, {memory / 2**20:.0f} MiB on the devices, "
        f"about {rows / 2**20:.1f} MiB on disk",
        f"about {clock(total)} in all, {clock(len(buckets) * COMPILE_SECONDS)} of it compilation",
    ]
    return "\n".join(lines)
