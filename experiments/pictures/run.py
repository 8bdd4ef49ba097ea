"""The same photographs enlarged by every network of a zoo: pictures to look for fingerprints in.

Photographs are reduced by MATLAB's bicubic at each network's scale and enlarged by the network;
what comes out is clipped, rounded to 8 bits and written as PNG. Which photographs are learnt from
and which are kept for tests follows from their names, so it is the same for every network.

Source: Vonderfecht and Liu, "Fingerprints of super resolution networks", 2022, section 3: 1,000
photographs, 800 of them to learn from.

Letters: N pictures, H rows, W columns of high resolution, h and w of low resolution, r scale.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxsr
from experiments.pictures.config import ImagesConfig
from experiments.pictures.foreign import Enlarger
from experiments.pictures.makers import PictureClass, list_classes, zoo_folder
from experiments.pictures.windows import Window, Windows
from jaxfleet import rundir, storage
from jaxfleet.imaging import images, photos, pixels
from jaxfleet.imaging.splits import SPLITS, split_of
from jaxfleet.progress import Progress, clock
from jaxfleet.results.showing import counted
from jaxfleet.trainer import usable_cores
from jaxsr import evaluation
from jaxsr.datasets import picture_sets
from jaxsr.training import cost as training_cost
from jaxsr.upscale import run as run_network

KIND = "sr_images"  # of the run directory
BATCH_PIXELS = 1 << 16  # of low resolution in a batch, at most; more gains nothing on a CPU
PROBE_PX = 64  # side of the picture that work is counted on
GIGA = 1e9
FILE_FLOPS = 1e4  # for each pixel that comes in: about what measuring and writing cost
SAMPLES = 4  # photographs that the size of files is estimated from

_psnr_y_db = jax.jit(images.psnr_y_db, static_argnames="crop_px")


@dataclasses.dataclass(frozen=True)
class UpscalingJob:
    """The work for a class.

    Attributes:
        one: the class.
        windows: what its pictures are made of, all of them.
        rows: image_id -> row of the index, of those that need not be made again. Photographs that
            the flags no longer name are among them.
        is_outdated: whether the index says otherwise of the network in these rows.
        flops: for each pixel that comes in.
    """

    one: PictureClass
    windows: Sequence[Window]
    rows: dict[str, Mapping[str, Any]]
    is_outdated: bool
    flops: float = FILE_FLOPS

    @property
    def missing(self) -> list[Window]:
        """Windows whose pictures are to be made."""
        return [window for window in self.windows if window.image_id not in self.rows]

    def gflop(self, windows: Iterable[Window]) -> float:
        """Work of making these."""
        return self.flops * sum(window.pixels for window in windows) / GIGA


def run(config: ImagesConfig, run_dir: Path) -> str:
    """Make the missing images, and the index.

    A picture is made again if the network's file, the photograph or the picture's own file is not
    what it was. Pictures that the flags no longer name stay.

    Returns:
        What there is and where; of a dry run, what there would be and its cost.

    Raises:
        InputError: for flags, photographs, networks and directories that cannot be used; then
            nothing is made.
        OSError: if the disk is full; what was made before stays and is whole.
    """
    classes = list_classes(
        config.zoo,
        config.network,
        config.labelled,
        bicubic=config.include_bicubic,
        originals=config.include_originals,
    )
    loaded = photos.load(config.photos, max_images=config.max_images)
    pool = Windows(loaded, crop_px=config.crop_px, max_images=config.max_images)
    windows = {one.name: pool.of(one) for one in classes}
    plan = {"crop_px": config.crop_px}
    if config.dry_run:
        rundir.check(run_dir, KIND, plan)
        return _summary(_jobs(run_dir, classes, windows), loaded)
    with rundir.held(run_dir, KIND, plan):
        jobs = _jobs(run_dir, classes, windows)
        _make(run_dir, jobs)
        is_whole = all(rundir.is_finished(zoo_folder(text)) for text in config.zoo)
        if is_whole:
            rundir.finish(run_dir)
    rest = "" if is_whole else " A zoo is not finished; repeat the command for its other networks."
    count = sum(len(job.windows) for job in jobs)
    return (
        f"{counted(count, 'picture')} of {counted(len(jobs), 'class')} ({_splits(loaded)}) in "
        f"{run_dir}, listed in {run_dir / picture_sets.INDEX}.{rest}"
    )


def enlarge(one: PictureClass, model: nnx.Module | Enlarger | None, low: np.ndarray) -> np.ndarray:
    """Enlarge images with a class.

    Args:
        one: the class.
        model: its network, if it has one.
        low: [N, h, w, 3] uint8.

    Returns:
        [N, rh, rw, 3] uint8; of originals, and of pictures made elsewhere, `low`.
    """
    if isinstance(model, Enlarger):
        return np.stack([model(image) for image in low])
    if model is not None and len(low) == 1:
        return jaxsr.upscale(model, low[0])[None]
    if one.kind in ("original", "elsewhere"):
        return low
    as_float = jnp.asarray(pixels.from_uint8(low))
    if model is None:
        large = evaluation.bicubic(as_float, scale=one.scale)
    else:
        large = run_network(model, as_float)
    return pixels.to_uint8(large)


# ------------------------------------------------------------------------------------- the parts


def _jobs(
    run_dir: Path, classes: Sequence[PictureClass], windows: Mapping[str, Sequence[Window]]
) -> list[UpscalingJob]:
    """List what is to be done; read every network that it needs, to check that it can be.

    Raises:
        InputError: if a network's file or an index is damaged.
    """
    jobs: list[UpscalingJob] = []
    flops: dict[tuple[object, ...], float] = {}
    for one in classes:
        job = UpscalingJob(one, windows[one.name], *_kept(run_dir, one, windows[one.name]))
        if one.load is not None and job.missing:
            model = one.load()
            kind = (one.facts["architecture"], one.scale, one.facts["overrides"])
            if not isinstance(model, Enlarger):  # of those nobody knows
                if kind not in flops:
                    flops[kind] = _flops_per_pixel(model)
                job = dataclasses.replace(job, flops=flops[kind])
        jobs.append(job)
    return jobs


def _kept(
    run_dir: Path, one: PictureClass, windows: Sequence[Window]
) -> tuple[dict[str, Mapping[str, Any]], bool]:
    """Return rows of pictures that are there, whole, and made by this network of these photographs.

    What is said of the network is said anew; whether that changed a row comes second.
    """
    now = {window.image_id: window.checksum for window in windows}
    old = [
        row
        for row in picture_sets.read_rows(run_dir, one.name)
        if row["network_checksum"] == one.checksum
        and row["photo_checksum"] == now.get(row["image_id"], row["photo_checksum"])
        and picture_sets.is_whole(run_dir / row["file"], row["file_checksum"])
    ]
    is_outdated = any(row[name] != value for row in old for name, value in one.said.items())
    return {row["image_id"]: {**row, **one.said} for row in old}, is_outdated


def _flops_per_pixel(model: nnx.Module) -> float:
    """Return the FLOPs per input pixel as XLA counts them before it optimises."""
    graphdef, state = nnx.split(model)
    shapes = jax.eval_shape(lambda: state)
    low = jax.ShapeDtypeStruct((1, PROBE_PX, PROBE_PX, 3), jnp.float32)
    lowered = jax.jit(lambda state, low: run_network((graphdef, state), low)).lower(shapes, low)
    analysis = lowered.cost_analysis()
    return FILE_FLOPS + (float(analysis["flops"]) / PROBE_PX**2 if analysis else 0.0)


def _make(run_dir: Path, jobs: Sequence[UpscalingJob]) -> None:
    missing = sum(len(job.missing) for job in jobs)
    total = sum(len(job.windows) for job in jobs)
    if missing:
        rundir.unfinish(run_dir)
    work = sum(job.gflop(job.missing) for job in jobs)
    with (
        Progress(total, work, fits_done=total - missing, unit="pictures", work="GFLOP") as display,
        ThreadPoolExecutor(usable_cores()) as threads,
    ):
        for job in jobs:
            if job.missing:
                _make_class(run_dir, job, display, threads)
            elif job.is_outdated:
                picture_sets.write_rows(run_dir, job.one.name, job.rows.values())


def _make_class(
    run_dir: Path, job: UpscalingJob, display: Progress, threads: ThreadPoolExecutor
) -> None:
    """Make the missing images of a class; each batch is in the index once it is written."""
    one, missing = job.one, job.missing
    folder = run_dir / picture_sets.IMAGES / one.name
    for place in (folder, run_dir / picture_sets.INDEX):
        storage.make_folder(place, "--run_dir")
        _remove_unfinished(place)
    # Rows of pictures that are about to change go first, so that a row is never of another picture.
    picture_sets.write_rows(run_dir, one.name, job.rows.values())
    model = None if one.load is None else one.load()
    for batch, count in _batches(job.windows, missing):
        padded = [*batch, *[batch[-1]] * (count - len(batch))]  # one shape, one program
        large = enlarge(one, model, np.stack([window.low for window in padded]))
        pictures = [picture[window.inside] for picture, window in zip(large, padded, strict=True)]
        psnr_db = _measure(pictures, padded, one.scale)
        rows = threads.map(
            lambda parts: _write(run_dir, one, *parts), zip(batch, pictures, psnr_db, strict=False)
        )
        job.rows.update((row["image_id"], row) for row in rows)
        picture_sets.write_rows(run_dir, one.name, job.rows.values())
        display.update(job.gflop(batch), psnr_db=psnr_db[: len(batch)].tolist())


def _remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for name in storage.names(folder, hidden=True):
        if name.startswith(".") and name.endswith(".tmp"):
            (folder / name).unlink()


def _batches(
    windows: Sequence[Window], missing: Sequence[Window]
) -> Iterable[tuple[list[Window], int]]:
    """Return missing windows of one shape, and how many a program of that shape takes at a time."""
    shapes = Counter(window.shape for window in windows)
    for shape, members in shapes.items():
        own = [window for window in missing if window.shape == shape]
        most = max(1, BATCH_PIXELS // own[0].pixels) if own else 1
        count = math.ceil(members / math.ceil(members / most))
        for start in range(0, len(own), count):
            yield own[start : start + count], count


def _measure(pictures: Sequence[np.ndarray], windows: Sequence[Window], scale: int) -> np.ndarray:
    """Return [N] PSNR of luma in dB, NaN where there is nothing to compare with."""
    truths = [window.truth for window in windows if window.truth is not None]
    if not truths:
        return np.full(len(windows), np.nan)
    decoded, target = (pixels.from_uint8(np.stack(part)) for part in (pictures, truths))
    return np.asarray(_psnr_y_db(decoded, target, crop_px=scale))


def _write(
    run_dir: Path, one: PictureClass, window: Window, picture: np.ndarray, psnr_y_db: float
) -> dict[str, Any]:
    """Write an image; return its row."""
    data = pixels.png(picture)
    file = picture_sets.file_of(one.name, window.image_id)
    storage.write_atomically(run_dir / file, data)
    return {
        "network": one.name,
        "image_id": window.image_id,
        "split": split_of(window.image_id),
        "file": file,
        "height": picture.shape[0],
        "width": picture.shape[1],
        "psnr_y_db": float(psnr_y_db),
        **one.said,
        "network_checksum": one.checksum,
        "photo_checksum": window.checksum,
        "file_checksum": rundir.checksum(data),
    }


def _summary(jobs: Sequence[UpscalingJob], loaded: Sequence[photos.Photo]) -> str:
    """Summarise what would be made, and its cost."""
    kinds = Counter(job.one.kind for job in jobs)
    total = sum(len(job.windows) for job in jobs)
    missing = sum(len(job.missing) for job in jobs)
    num_pixels = sum(window.kept_pixels for job in jobs for window in job.missing)
    windows = jobs[0].windows[:SAMPLES]
    samples = [window.low if window.truth is None else window.truth for window in windows]
    bytes_per_pixel = sum(len(pixels.png(one)) for one in samples) / sum(
        one[..., 0].size for one in samples
    )
    gflop = sum(job.gflop(job.missing) for job in jobs)
    rate = training_cost.flops_per_second(jax.local_devices()) / GIGA
    return "\n".join(
        [
            f"{counted(len(jobs), 'class')}: "
            + ", ".join(f"{n} {kind}" for kind, n in kinds.items()),
            f"{counted(len(loaded), 'photograph')}: {_splits(loaded)}",
            f"{total} pictures, {total - missing} of them there; the others take about "
            f"{num_pixels * bytes_per_pixel / 1e6:.0f} MB",
            f"{gflop:.4g} GFLOP, about {clock(gflop / rate)}, compilation not counted, at "
            f"{rate:.0f} GFLOP/s: what convolutions of 64 features reach here; narrow networks and "
            "attention are slower",
        ]
    )


def _splits(loaded: Sequence[photos.Photo]) -> str:
    """Return how many photographs are in each split, in words."""
    counts = Counter(split_of(photo.image_id) for photo in loaded)
    return ", ".join(f"{counts[split]} {split}" for split in SPLITS)
