"""How well does a SIREN store a photograph, and how does that depend on its hyperparameters?

Fits a grid, or a random sample, of SIRENs to photographs. Source: Vonderfecht & Liu, Predicting the
Encoding Error of SIRENs (TMLR 2024), whose collection has the same columns.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa

import jaxfleet
import jaxinr
from experiments import forecast, report
from experiments.grid_config import GridConfig as GridConfig
from jaxfleet import executors, places, plan, shards, store, table, trainer
from jaxfleet import photos as sources
from jaxfleet.errors import InputError
from jaxfleet.photos import Photo
from jaxfleet.progress import Progress
from jaxfleet.shards import WHOLE, Shard
from jaxfleet.trainer import Finished
from jaxinr import buckets, quantise
from jaxinr.fit import MAX_PIXELS, describe
from jaxinr.siren import Params
from jaxinr.trial import CHANNELS, Trial


@dataclasses.dataclass(frozen=True)
class Job:
    """One network to fit: its place in the plan, its picture and hyperparameters."""

    trial_id: int
    photo: int
    trial: Trial


def make_jobs(config: GridConfig, pictures: Sequence[Photo]) -> list[Job]:
    """The plan's networks in order: photographs outermost; the same config gives the same list.

    Raises:
        InputError: if nothing is left after the filters.
    """

    def small(photo: int, values: Mapping[str, Any]) -> bool:
        height, width = pictures[photo].pixels.shape[:2]
        limit = config.max_bits_per_pixel
        return not limit or Trial(**values).bits_per_pixel(height, width) <= limit

    if config.sampling == "random":
        photo = plan.Axis("photo", values=tuple(range(len(pictures))))

        def draw(axes: Sequence[plan.Axis], count: int, seed: Sequence[int]) -> list[Any]:
            drawn = plan.sample(
                [photo, *axes],
                count,
                seed,
                lambda values: small(int(values["photo"]), _without(values, "photo")),
            )
            return [(int(values["photo"]), _without(values, "photo")) for values in drawn]

        chosen = draw(config.axes(), config.num_trials, [config.sampling_seed])
        chosen += draw(config.repeat_axes(), config.num_repeats, [config.sampling_seed, 1])
    else:
        points = plan.grid(config.axes())
        chosen = [
            (photo, values)
            for photo in range(len(pictures))
            for values in points
            if small(photo, values)
        ]
    if not chosen:
        raise InputError("--max_bits_per_pixel leaves no network; raise it.")
    return [Job(i, photo, Trial(**values)) for i, (photo, values) in enumerate(chosen)]


def split_of(image_id: str) -> str:
    """train, validation or test (80, 10, 10 %), by the photograph's name alone."""
    place = int(hashlib.sha256(image_id.encode()).hexdigest()[:8], 16) / 2**32
    return "train" if place < 0.8 else "validation" if place < 0.9 else "test"


def schema() -> pa.Schema:
    """Columns of the table."""
    texts = ("image_id", "split", "status")
    wholes = ("image_height", "image_width", "layer_size", "num_layers", "num_iters", "seed")
    counts = ("trial_id", "parameters", "weight_bits", "best_iteration")
    names = (
        "trial_id image_id split image_height image_width layer_size num_layers w0_initial w0 "
        "learning_rate num_iters seed status parameters hp_bpp fp_bpp weight_bits quantised_bpp "
        "entropy_bpp psnr_db best_psnr_db psnr_8bit_db ssim best_iteration iteration_history "
        "psnr_history seconds weights"
    ).split()
    kinds: dict[str, pa.DataType] = {
        **dict.fromkeys(texts, pa.string()),
        **dict.fromkeys((*wholes, *counts), pa.int64()),
        "iteration_history": pa.list_(pa.int32()),
        "psnr_history": pa.list_(pa.float32()),
        "weights": pa.list_(pa.float32()),
    }
    return pa.schema([(name, kinds.get(name, pa.float64())) for name in names])


def make_row(job: Job, photo: Photo, finished: Finished, weight_bits: int) -> dict[str, Any]:
    """What the table says of one fitted network.

    Sizes are in bits per pixel of the photograph: `fp_bpp` and `hp_bpp` at 32 and 16 bits a weight,
    `quantised_bpp` at `weight_bits`, and `entropy_bpp` what an ideal entropy coder needs for those
    codes (NaN where a weight is not finite). None counts headers or ranges.
    """
    height, width = photo.pixels.shape[:2]
    fit = describe(finished, job.trial, photo.pixels)
    values = {f.name: getattr(fit, f.name) for f in dataclasses.fields(fit) if f.name != "params"}
    return {
        "trial_id": job.trial_id,
        "image_id": photo.image_id,
        "split": split_of(photo.image_id),
        "image_height": height,
        "image_width": width,
        **dataclasses.asdict(job.trial),
        "parameters": job.trial.parameters,
        "hp_bpp": job.trial.bits_per_pixel(height, width, bits=16),
        "fp_bpp": job.trial.bits_per_pixel(height, width, bits=32),
        "weight_bits": weight_bits,
        "quantised_bpp": job.trial.bits_per_pixel(height, width, bits=weight_bits),
        "entropy_bpp": _entropy_bits(fit.params, weight_bits) / (height * width),
        **values,
        "weights": table.flatten(fit.params),
    }


def make_works(
    config: GridConfig,
    pictures: Sequence[Photo],
    jobs: Sequence[Job],
    shard: Shard = WHOLE,
) -> list[tuple[buckets.Bucket, executors.Work]]:
    """The buckets of a shard of the plan, and how an executor runs each."""
    trials = [job.trial for job in jobs]
    pixels = [photo.pixels for photo in pictures]
    picture_of = [job.photo for job in jobs]
    target = 10.0 ** (-config.target_psnr_db / 10) if config.target_psnr_db else 0.0
    found = buckets.make_buckets(
        trials,
        [pixels[photo].shape[:2] for photo in picture_of],
        shards=sum(mesh.size for mesh in trainer.lanes()),
        platform=jax.local_devices()[0].platform,
        coordinates=config.coordinates,
        log_every=config.log_every,
        shard=shard,
    )

    def work(number: int, bucket: buckets.Bucket) -> executors.Work:
        own = [jobs[i] for i in bucket.jobs]

        def start(skip: Sequence[int]) -> trainer.Trainer:
            return buckets.make_trainer(
                bucket,
                trials,
                pixels,
                picture_of,
                target_loss=[target] * len(trials),
                bias_init=config.bias_init,
                skip=skip,
            )

        def row(finished: Finished) -> dict[str, Any]:
            job = own[finished.job]
            return make_row(job, pictures[job.photo], finished, config.weight_bits)

        return executors.Work(
            f"bucket-{number:03}", np.array([job.trial_id for job in own]), start, row
        )

    return [(bucket, work(number, bucket)) for number, bucket in enumerate(found)]


def run(config: GridConfig, run_dir: Path) -> str:
    """Fits what is not fitted yet, then writes the report.

    Returns:
        What was done and where to look; of a dry run, the plan and its cost.

    Raises:
        InputError: for photographs, plans and directories that cannot be used.
        OSError: if the disk is full.
    """
    pictures = sources.load(
        config.photos,
        image_size=config.image_size,
        image_fit=config.image_fit,
        max_images=config.max_images,
    )
    check_sizes(pictures, f"give an --image_size below {int(MAX_PIXELS**0.5)}")
    jobs = make_jobs(config, pictures)
    if config.executor == "ray" and not config.dry_run:
        config = _run_on_ray(config, run_dir, pictures, jobs)
    return run_jobs(
        config, run_dir, pictures, jobs, lambda: write_report(config, run_dir, pictures)
    )


def _run_on_ray(
    config: GridConfig, run_dir: Path, pictures: Sequence[Photo], jobs: Sequence[Job]
) -> GridConfig:
    """Has a cluster fit the jobs; gives the config with which this process ends the run."""
    here = dataclasses.replace(config, executor="here", shard=None, num_shards=None)
    count = config.num_shards or 4 * len(jax.local_devices())
    work = np.array([pictures[job.photo].pixels[..., 0].size * job.trial.num_iters for job in jobs])
    seen: set[int] = set()
    with Progress(len(jobs), float(work.sum())) as display:

        def poll() -> None:
            with contextlib.suppress(InputError):  # nothing is there yet
                rows = jaxfleet.open(run_dir).to_pandas(["trial_id", "psnr_db"])
                new = rows[~rows["trial_id"].isin(seen)]
                seen.update(new["trial_id"])
                display.update(float(work[new["trial_id"]].sum()), new["psnr_db"].tolist())

        executors.run_on_ray(
            functools.partial(_share, here, str(run_dir), count),
            count,
            poll,
            address=config.ray_address,
            cpus=config.ray_cpus,
            gpus=config.ray_gpus,
        )
    return here


def _share(config: GridConfig, run_dir: str, count: int, index: int) -> str:
    """A task of a cluster; its own share of the machine's cores is all it uses."""
    return run(dataclasses.replace(config, shard=index, num_shards=count), places.place(run_dir))


def run_jobs(
    config: GridConfig,
    run_dir: Path,
    pictures: Sequence[Photo],
    jobs: Sequence[Job],
    finish: Callable[[], Path],
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Fits those of the jobs that are not fitted yet, then calls `finish`.

    Args:
        config: how to fit; the jobs say what.
        run_dir: of these jobs alone.
        pictures: what the jobs' `photo` counts.
        jobs: in the order of their `trial_id`.
        finish: writes the page of the run and gives its path; the table is complete by then.
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
        return forecast.describe([pair[0] for pair in pairs], [pair[1] for pair in pairs], jobs)
    results = store.Store(
        run_dir,
        {**_facts(config, pictures), **(facts or {})},
        schema(),
        network={"inputs": 2, "outputs": CHANNELS},
        shard=shard,
    )
    try:
        with places.naming(run_dir):
            _run(config, run_dir, pictures, pairs, jobs, results)
            own = sum(len(work.trial_ids) for _, work in pairs)
            done = len(jaxfleet.open(run_dir))
            if done < len(jobs):
                return (
                    f"Shard {shard.index} of {shard.count}: its {own} fits are done, {done} of "
                    f"{len(jobs)} in all. The last shard to end writes the report."
                )
            page = finish()
            places.write_atomically(run_dir / "DONE", b"")
    finally:
        results.close()
    best = jaxfleet.open(run_dir).to_pandas(["best_psnr_db"])["best_psnr_db"]
    return f"{len(best)} fits, mean best PSNR {best.mean():.2f} dB. Look at {page}"


def _run(
    config: GridConfig,
    run_dir: Path,
    pictures: Sequence[Photo],
    pairs: Sequence[tuple[buckets.Bucket, executors.Work]],
    jobs: Sequence[Job],
    results: store.Store,
) -> None:
    ids = [int(trial_id) for _, work in pairs for trial_id in work.trial_ids]
    left = [jobs[trial_id] for trial_id in ids if trial_id not in results.done]
    pixel_steps = sum(pictures[job.photo].pixels[..., 0].size * job.trial.num_iters for job in left)
    if left and (run_dir / "DONE").exists():
        (run_dir / "DONE").unlink()
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
    folder = executors.checkpoint_folder(results)
    if places.is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _progress_log(path: Path) -> Iterator[Callable[[dict[str, float]], None]]:
    """Takes the samples of a throughput figure; an object store, which cannot append, has none."""
    if not places.is_local(path):
        yield lambda sample: None
        return
    with path.open("a", buffering=1) as file:
        yield lambda sample: print(json.dumps(sample), file=file)


def write_report(config: GridConfig, run_dir: Path, pictures: Sequence[Photo]) -> Path:
    """The page of a run, complete or not."""
    table = jaxfleet.open(run_dir)

    def render(row: Any) -> np.ndarray:
        trial = Trial.from_row(row)
        shape = (int(row["image_height"]), int(row["image_width"]))
        weights: Any = table.weights(row)
        return jaxinr.render(weights, trial, shape, coordinates=config.coordinates)

    logs = [
        list(_samples((run_dir / name).read_text().splitlines()))
        for name in places.names(run_dir)
        if name.startswith("progress") and name.endswith(".jsonl")
    ]
    manifest = table.manifest
    return report.write_report(
        run_dir,
        table.to_pandas(),
        {photo.image_id: photo.pixels for photo in pictures},
        render,
        title="SIRENs fitted to photographs",
        settings={
            **{f.name: getattr(config, f.name) for f in dataclasses.fields(config)},
            "device": manifest["device"],
            "git_commit": manifest["git_commit"],
            "versions": manifest["versions"],
            "wall_seconds": sum(map(_seconds, logs)),
        },
        progress=logs[0] if len(logs) == 1 else [],
    )


def _seconds(samples: Sequence[Mapping[str, float]]) -> float:
    """Wall time of a process and of those before it that were stopped, which began at 0 again."""
    clock = np.array([sample["seconds"] for sample in samples] + [0.0])
    return float(clock[:-1][np.diff(clock) < 0].sum())


def _samples(lines: Sequence[str]) -> Iterator[dict[str, float]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # the last line of a killed run
            continue


def _entropy_bits(params: Params, weight_bits: int) -> float:
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        return float("nan")  # a network that never had a finite loss
    return quantise.quantise(params, weight_bits).entropy_bits


def check_sizes(pictures: Sequence[Photo], remedy: str) -> None:
    """Refuses photographs of more pixels than float32 can count.

    Raises:
        InputError: naming the photograph, and the remedy.
    """
    for photo in pictures:
        height, width = photo.pixels.shape[:2]
        if height * width >= MAX_PIXELS:
            raise InputError(
                f"{photo.image_id} has {height} x {width} pixels, more than a network can tell "
                f"apart; {remedy}."
            )


def _facts(config: GridConfig, pictures: Sequence[Photo]) -> dict[str, Any]:
    """What defines the results: flags and pixels."""
    neutral = ("photos", "checkpoint_minutes", "dry_run", "shard", "num_shards", "executor")
    digest = hashlib.sha256()
    for photo in pictures:
        digest.update(photo.image_id.encode() + str(photo.pixels.shape).encode())
        digest.update(photo.pixels.tobytes())
    flags = {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name not in neutral and not f.name.startswith("ray_")
    }
    flags |= {axis.name: str(axis) for axis in config.axes()}  # 2e-4 is 0.0002
    return {**flags, "pictures": len(pictures), "picture_digest": digest.hexdigest()[:16]}


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
