"""Fit a grid of SIRENs to photographs: PSNR by hyperparameters.

Fits a grid, or a random sample, of SIRENs to photographs. Source: Vonderfecht & Liu, Predicting the
Encoding Error of SIRENs (TMLR 2024), whose collection has the same columns.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa

from experiments.siren import plan
from experiments.siren.config import GridConfig as GridConfig
from experiments.siren.jobs import FitJob as FitJob
from experiments.siren.jobs import make_row as make_row
from experiments.siren.jobs import make_works as make_works
from experiments.siren.jobs import run_jobs as run_jobs
from experiments.siren.jobs import schema as schema
from experiments.siren.plan import make_jobs as make_jobs
from jaxfleet import executors, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import albums
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxfleet.imaging.splits import split_of as split_of
from jaxfleet.progress import Progress
from jaxfleet.results import store
from jaxinr.inputs import MAX_PIXELS
from jaxinr.pixels import pixel_steps_of


def run(config: GridConfig, run_dir: Path) -> str:
    """Fit what is not fitted yet, then write the report.

    Returns:
        What was done and where to look; of a dry run, the plan and its cost.

    Raises:
        InputError: for photographs, plans and directories that cannot be used.
        OSError: if the disk is full.
    """
    pictures, jobs = _make_plan(config)
    if config.executor == "ray":
        if not config.dry_run:
            _run_on_ray(config, run_dir, pictures, jobs)
        config = dataclasses.replace(config, shard=None, num_shards=None)
    return run_jobs(
        config, run_dir, pictures, jobs, lambda: _write_report(config, run_dir, pictures)
    )


def _write_report(config: GridConfig, run_dir: Path, pictures: Sequence[Photo]) -> Path:
    from experiments.siren import pages  # Matplotlib, which no training waits for

    return pages.write_report(config, run_dir, pictures)


def _make_plan(config: GridConfig) -> tuple[Sequence[Photo], list[FitJob]]:
    pictures, jobs = plan.load(config)
    check_sizes(pictures, f"give an --image_size below {int(MAX_PIXELS**0.5)}")
    return pictures, jobs


def _run_on_ray(
    config: GridConfig, run_dir: Path, pictures: Sequence[Photo], jobs: Sequence[FitJob]
) -> None:
    """Have a cluster fit the jobs; the report is left to this process."""
    config = dataclasses.replace(config, photos=sources.absolute(config.photos))
    run_dir = run_dir.absolute() if storage.is_local(run_dir) else run_dir
    count = config.num_shards or 4 * len(jax.local_devices())
    pixels = np.prod(albums.shapes_of(pictures), axis=1)
    work = np.array([pixel_steps_of(job.trial, pixels[job.photo]) for job in jobs])
    seen: set[str] = set()
    counted = np.zeros(len(jobs), bool)

    def news() -> Iterator[tuple[float, list[float]]]:
        """Work and PSNR of the parts that were not there at the last look."""
        for name in storage.names(run_dir / store.PARTS):
            if name not in seen:
                seen.add(name)
                with contextlib.suppress(OSError, pa.ArrowInvalid):  # damaged, or set aside
                    rows = store.read_part(run_dir / store.PARTS / name, ["trial_id", "psnr_db"])
                    ids = rows["trial_id"].to_numpy()
                    new = ~counted[ids]  # parts are merged at the end of a share
                    counted[ids] = True
                    yield float(work[ids[new]].sum()), rows["psnr_db"].to_numpy()[new].tolist()

    before = list(news())
    left = work.sum() - sum(steps for steps, _ in before)
    done = sum(len(psnr_db) for _, psnr_db in before)
    with Progress(len(jobs), float(left), fits_done=done) as display:

        def poll() -> None:
            for steps, psnr_db in news():
                display.update(steps, psnr_db=psnr_db)

        executors.run_on_ray(
            functools.partial(_share, config, str(run_dir), count),
            count,
            poll,
            address=config.ray_address,
            cpus=config.ray_cpus,
            gpus=config.ray_gpus,
        )


def _share(config: GridConfig, run_dir: str, count: int, index: int) -> str:
    """Run a task of a cluster."""
    config = dataclasses.replace(config, shard=index, num_shards=count)
    return run_jobs(config, storage.location(run_dir), *_make_plan(config), finish=None)


def check_sizes(pictures: Sequence[Photo], remedy: str) -> None:
    """Refuse photographs of more pixels than float32 can count.

    Raises:
        InputError: naming the photograph, and the remedy.
    """
    for index, (height, width) in enumerate(albums.shapes_of(pictures)):
        if height * width >= MAX_PIXELS:
            raise InputError(
                f"{pictures[index].image_id} has {height} x {width} pixels, more than a network "
                f"can tell apart; {remedy}."
            )
