"""Networks fitted to photographs, each with its hyperparameters: the table, and how a run fills it.

Which networks is another module's business: `siren_grid` makes a grid of them, or a sample.
"""

import contextlib
import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa

import jaxfleet
from experiments.report import columns
from experiments.siren import cost
from experiments.siren.config import GridConfig
from jaxfleet import executors, rundir, shards, storage, trainer
from jaxfleet.imaging import albums, decibels
from jaxfleet.imaging.photos import Photo
from jaxfleet.imaging.splits import split_of
from jaxfleet.progress import Progress
from jaxfleet.results import store, table
from jaxfleet.results.showing import counted
from jaxfleet.shards import WHOLE, Shard
from jaxfleet.trainer import Finished
from jaxinr import buckets, quantise, trainers
from jaxinr.fit import Fit, make_fit
from jaxinr.networks.registry import KINDS, hyperparameters
from jaxinr.pixels import pixel_steps_of
from jaxinr.render import render
from jaxinr.trial import CHANNELS, SIREN, Trial

MERGED_PARTS = 16  # of a process, from which on they are made one


@dataclasses.dataclass(frozen=True, slots=True)
class FitJob:
    """One network to fit: its place in the plan, its picture and hyperparameters."""

    trial_id: int
    photo: int
    trial: Trial


def schema() -> pa.Schema:
    """Return the columns of the table."""
    texts = ("image_id", "split", "network", "status")
    wholes = (
        *("image_height", "image_width", "layer_size", "num_layers", "num_iters", "seed"),
        *(name for name, found in hyperparameters().items() if found[0].integer),
    )
    counts = ("trial_id", "pixels_per_update", "parameters", "weight_bits", "best_iteration")
    kinds: dict[str, pa.DataType] = {
        **dict.fromkeys(texts, pa.string()),
        **dict.fromkeys((*wholes, *counts), pa.int64()),
        "iteration_history": pa.list_(pa.int32()),
        table.SHAPES: pa.list_(pa.int32()),
        "psnr_history": pa.list_(pa.float32()),
        "weights": pa.list_(pa.float32()),
    }
    return columns.schema("siren", kinds)


def make_row(
    job: FitJob,
    photo: Photo,
    finished: Finished,
    weight_bits: int,
    keep_weights: bool = True,
    coordinates: str = "coin",
) -> dict[str, Any]:
    """Return what the table says of one fitted network, see `columns.SIREN`.

    No size counts headers or ranges.
    """
    height, width = photo.pixels.shape[:2]
    fit = make_fit(finished, job.trial, photo.pixels)
    values = {f.name: getattr(fit, f.name) for f in dataclasses.fields(fit) if f.name != "params"}
    entropy_bits, quantised_db = _quantised(fit, job.trial, photo.pixels, weight_bits, coordinates)
    return {
        "trial_id": job.trial_id,
        "image_id": photo.image_id,
        "split": split_of(photo.image_id),
        "image_height": height,
        "image_width": width,
        **job.trial.as_row(),
        "parameters": job.trial.parameters,
        "hp_bpp": job.trial.bits_per_pixel(height, width, bits=16),
        "fp_bpp": job.trial.bits_per_pixel(height, width, bits=32),
        "weight_bits": weight_bits,
        "quantised_bpp": job.trial.bits_per_pixel(height, width, bits=weight_bits),
        "entropy_bpp": entropy_bits / (height * width),
        "psnr_quantised_db": quantised_db,
        **values,
        table.SHAPES: np.ravel(job.trial.layer_shapes),
        "weights": table.flatten(fit.params) if keep_weights else [],
    }


def make_works(
    config: GridConfig,
    pictures: Sequence[Photo],
    jobs: Sequence[FitJob],
    shard: Shard = WHOLE,
) -> list[tuple[buckets.AnyBucket, executors.Work]]:
    """Make the buckets of a shard of the plan, and how an executor runs each."""
    shapes = albums.shapes_of(pictures)
    found = buckets.make_buckets(
        [job.trial for job in jobs],
        [shapes[job.photo] for job in jobs],
        shards=sum(mesh.size for mesh in trainer.lanes()),
        platform=jax.local_devices()[0].platform,
        coordinates=config.coordinates,
        log_every=config.log_every,
        shard=shard,
        kernel=config.kernel,
        products=config.products,
    )
    works = [
        _make_work(config, pictures, jobs, bucket, f"bucket-{number:03}")
        for number, bucket in enumerate(found)
    ]
    return list(zip(found, works, strict=True))


def _make_work(
    config: GridConfig,
    pictures: Sequence[Photo],
    jobs: Sequence[FitJob],
    bucket: buckets.AnyBucket,
    name: str,
) -> executors.Work:
    own = [jobs[i] for i in bucket.jobs]
    target = 10.0 ** (-config.target_psnr_db / 10) if config.target_psnr_db else 0.0

    def start(skip: Sequence[int]) -> executors.Trainer:
        return trainers.make_trainer(
            dataclasses.replace(bucket, jobs=np.arange(len(own))),
            [job.trial for job in own],
            albums.Pixels(pictures),
            [job.photo for job in own],
            target_loss=[target] * len(own),
            bias_init=config.bias_init,
            skip=skip,
            log_spacing=config.log_spacing,
        )

    def row(finished: Finished) -> dict[str, Any]:
        job = own[finished.job]
        photo = pictures[job.photo]
        return make_row(
            job, photo, finished, config.weight_bits, config.keep_weights, config.coordinates
        )

    return executors.Work(name, np.array([job.trial_id for job in own]), start, row)


def run_jobs(
    config: GridConfig,
    run_dir: Path,
    pictures: Sequence[Photo],
    jobs: Sequence[FitJob],
    finish: Callable[[], Path] | None,
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Fit the jobs that are not fitted yet, then call `finish`.

    Args:
        config: how to fit; the jobs say what.
        run_dir: of these jobs alone.
        pictures: what the jobs' `photo` counts.
        jobs: in the order of their `trial_id`.
        finish: writes the page of the run and gives its path; the table is complete by then. None
            for one shard of several, if another process will do that.
        facts: what defines the jobs beside the config and the pictures, JSON-able.

    Returns:
        What was done and where to look; of a dry run, the plan and its cost.

    Raises:
        InputError: for a directory that cannot be used.
        OSError: if the disk is full.
    """
    shard = shards.choose(config.shard, config.num_shards)
    pairs = make_works(config, pictures, jobs, shard)
    if config.dry_run:
        rundir.check(run_dir, rundir.TABLE)
        work_of = functools.partial(_make_work, config, pictures, jobs)
        return cost.summary([bucket for bucket, _ in pairs], work_of, jobs)
    results = store.Store(
        run_dir,
        {**_facts(config, pictures), **(facts or {})},
        schema(),
        network={"inputs": 2, "outputs": CHANNELS},
        shard=shard,
    )
    try:
        with storage.naming(run_dir):
            _run(config, run_dir, pictures, pairs, jobs, results)
            own = sum(len(work.trial_ids) for _, work in pairs)
            done = len(jaxfleet.open(run_dir))
            if finish is None or done < len(jobs):
                return (
                    f"Shard {shard.index} of {shard.count}: its {own} fits are done, {done} of "
                    f"{len(jobs)} in all. The last shard to end writes the report."
                )
            page = finish()
            rundir.finish(run_dir)
    finally:
        results.close()
    executors.clear_checkpoints(run_dir)
    fits = jaxfleet.open(run_dir).to_pandas(["status", "best_psnr_db"])
    diverged = fits["status"] == "diverged"
    lost = f" ({diverged.sum():,} diverged)" if diverged.any() else ""
    best = decibels.mean(fits.loc[~diverged, "best_psnr_db"])
    return f"{counted(len(fits), 'fit')}{lost}, mean best PSNR {best}. Look at {page}"


def _run(
    config: GridConfig,
    run_dir: Path,
    pictures: Sequence[Photo],
    pairs: Sequence[tuple[buckets.AnyBucket, executors.Work]],
    jobs: Sequence[FitJob],
    results: store.Store,
) -> None:
    ids = [int(trial_id) for _, work in pairs for trial_id in work.trial_ids]
    left = [jobs[trial_id] for trial_id in ids if trial_id not in results.done]
    pixels = np.prod(albums.shapes_of(pictures), axis=1)
    pixel_steps = sum(pixel_steps_of(job.trial, pixels[job.photo]) for job in left)
    if left:
        rundir.unfinish(run_dir)
    with (
        Progress(len(ids), pixel_steps, fits_done=len(ids) - len(left)) as display,
        _progress_log(run_dir / f"progress{results.shard.suffix}.jsonl") as log,
    ):
        for name in results.set_aside:
            display.note(f"{name} was damaged or missing; its fits are made again.")
        display.on_sample = log
        executors.run_here(
            [work for _, work in pairs],
            results,
            display,
            checkpoint_minutes=config.checkpoint_minutes,
        )
    results.merge(least=MERGED_PARTS)
    storage.remove_folder(executors.checkpoint_folder(results))


@contextlib.contextmanager
def _progress_log(path: Path) -> Iterator[Callable[[dict[str, float]], None]]:
    """Yield a function that logs throughput samples, with the time of day in UNIX seconds.

    An object store, which cannot append, has no log.
    """
    if not storage.is_local(path):
        yield lambda sample: None
        return
    with path.open("a", buffering=1) as file:

        def log(sample: dict[str, float]) -> None:
            stamped = {**sample, "time": time.time()}
            values = [f'"{name}": {decibels.to_json(value)}' for name, value in stamped.items()]
            file.write(f"{{{', '.join(values)}}}\n")

        yield log


def _quantised(
    fit: Fit, trial: Trial, pixels: np.ndarray, weight_bits: int, coordinates: str
) -> tuple[float, float]:
    """Return entropy in bits and PSNR in dB of a network's codes; NaN without a finite loss."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params)):
        return float("nan"), float("nan")
    fixed = KINDS[trial.network].fixed_layers
    coded = quantise.quantise(fit.params[fixed:], weight_bits)
    params = (*fit.params[:fixed], *coded.params)
    decoded = render(params, trial, pixels.shape[:2], coordinates=coordinates)
    error = np.mean(np.square(decoded - pixels / np.float32(255), dtype=np.float64))
    return coded.entropy_bits, float(decibels.of_error(error))


def _facts(config: GridConfig, pictures: Sequence[Photo]) -> dict[str, Any]:
    """Return what defines the results: flags and pixels."""
    neutral = ["photos", "checkpoint_minutes", "dry_run", "shard", "num_shards", "executor"]
    # What a run of before there was a choice did, so that it goes on.
    choices: dict[str, Any] = {
        **{"kernel": "auto", "products": "float32", "log_spacing": "linear"},
        **{"keep_weights": True, "max_gflop": 0.0, "sizes_per_draw": 1},
        **{"network": (SIREN,), **dict.fromkeys(hyperparameters(), ())},
        **{"pixels_per_update": (), "learning_rate_decay": ()},
        **dict.fromkeys(("repeat_learning_rate", "repeat_num_iters", "repeat_image_size"), ()),
    }
    neutral += [name for name, first in choices.items() if getattr(config, name) == first]
    digest = hashlib.sha256()
    contents = list(albums.contents_of(pictures))
    for image_id, pixels in contents:
        digest.update(image_id.encode() + str(pixels.shape).encode())
        digest.update(pixels.tobytes())
    flags = {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name not in neutral and not f.name.startswith("ray_")
    }
    flags |= {axis.name: str(axis) for axis in config.axes()}  # 2e-4 is 0.0002
    # Single values as numbers, as before these two could have several.
    repeated = next(axis for axis in config.repeat_axes() if axis.name == "w0_initial")
    for name, axis in (("image_size", config.sizes()), ("repeat_w0_initial", repeated)):
        flags[name] = axis.values[0] if len(axis.values) == 1 else str(axis)
    return {**flags, "pictures": len(contents), "picture_digest": digest.hexdigest()[:16]}
