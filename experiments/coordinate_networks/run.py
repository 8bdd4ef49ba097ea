"""The comparison: settings chosen on some photographs, networks compared on others.

Runs of the engine one after the other, each resumed where it was: `tuning/round-NN` and `compared`
in the run directory. Sources of the kinds: `jaxinr.networks`.
"""

import dataclasses
import itertools
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np

import jaxfleet
from experiments.coin.kodak import reduced
from experiments.coordinate_networks import report
from experiments.coordinate_networks.config import NetworksConfig, best_of, neighbours
from experiments.siren import grid as siren_grid
from experiments.siren.config import GridConfig
from experiments.siren.grid import FitJob
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxinr.trial import Trial

KIND = "coordinate_networks"  # of the run directory
TUNING, COMPARED = "tuning", "compared"
MARGIN_DB = 0.05  # that other settings must gain to be worth a step
FACTORS = (2.0, 8.0)  # by which settings are changed; the second where the first gains nothing


def run(config: NetworksConfig, run_dir: Path) -> str:
    """Fit what is not fitted yet, then write the page.

    Returns:
        What was found and where to look; of a dry run, both plans and their cost.

    Raises:
        InputError: for photographs and directories that cannot be used.
        OSError: if the disk is full.
    """
    tuning, compared = _photographs(config)
    if config.dry_run:
        rundir.check(run_dir, KIND)
        starts = {network: config.start(network) for network in config.network}
        around = [each for one in starts.values() for each in neighbours(one, FACTORS[0])]
        first = _fit(config, _round(run_dir, 1), tuning, around)
        last = _fit(config, run_dir / COMPARED, compared, _sizes(config, starts))
        return (
            "To choose settings, the first of several rounds (later ones are smaller):\n"
            f"{first}\n\nTo compare:\n{last}"
        )
    with rundir.held(run_dir, KIND):
        rundir.unfinish(run_dir)
        tried = tune(config, run_dir, tuning)
        chosen = {network: best_of(own) for network, own in tried.items()}
        _fit(config, run_dir / COMPARED, compared, _sizes(config, chosen))
        page, table = report.write(
            run_dir, config, tried, jaxfleet.open(run_dir / COMPARED), tuning, compared
        )
        rundir.finish(run_dir)
    return f"{table}\nLook at {page}"


def tune(
    config: NetworksConfig, run_dir: Path, pictures: Sequence[Photo]
) -> dict[str, dict[Trial, float]]:
    """Search for each kind's settings, a pattern search from those of its paper.

    Each round fits the neighbours of each kind's best trial so far, by the first of `FACTORS` that
    gives new ones. A kind is ready when none of them gains `MARGIN_DB`, so its settings are no end
    of a grid.

    Returns:
        kind -> trial -> mean best PSNR over the photographs, dB; -inf where one diverged.

    Raises:
        InputError: if a kind diverged with all settings.
    """
    starts = {network: config.start(network) for network in config.network}
    best, wanted = dict(starts), list(starts.values())
    tried: dict[str, dict[Trial, float]] = {network: {} for network in starts}
    for number in itertools.count():
        folder = _round(run_dir, number)
        _fit(config, folder, pictures, wanted)
        for trial, db in zip(wanted, _means(folder, len(wanted)), strict=True):
            tried[trial.network][trial] = float(db)
        for network, own in tried.items():
            ahead = best_of(own)
            if own[ahead] >= own[best[network]] + MARGIN_DB:
                best[network] = ahead
        wanted = [one for network, own in tried.items() for one in _untried(best[network], own)]
        if not wanted:
            break
    for network, own in tried.items():
        if not np.isfinite(own[best[network]]):
            raise InputError(
                f"every {network} network diverged; give a new --run_dir and a lower "
                "--learning_rate."
            )
    return tried


def _untried(best: Trial, tried: Container[Trial]) -> list[Trial]:
    """Return the nearest neighbours that were not tried; none if all were."""
    for factor in FACTORS:
        if found := [one for one in neighbours(best, factor) if one not in tried]:
            return found
    return []


def _round(run_dir: Path, number: int) -> Path:
    return run_dir / TUNING / f"round-{number:02}"


def _means(run_dir: Path, count: int) -> np.ndarray:
    """Return the mean best PSNR of each of `count` trials over the photographs of a run."""
    frame = jaxfleet.open(run_dir).to_pandas(["trial_id", "best_psnr_db", "status"])
    frame = frame.sort_values("trial_id")
    # A network that diverged keeps what it had before; that is no setting to recommend.
    db = frame["best_psnr_db"].where(frame["status"] != "diverged", -np.inf)
    return db.to_numpy().reshape(-1, count).mean(axis=0)


def _photographs(config: NetworksConfig) -> tuple[list[Photo], list[Photo]]:
    """Return the photographs for tuning and those for the comparison."""
    tuning = sources.load(
        config.tuning_photos, image_size=config.tuning_size, max_images=config.tuning_images
    )
    whole = sources.load(config.photos, max_images=config.max_images)
    both = {photo.image_id for photo in tuning} & {photo.image_id for photo in whole}
    if both:
        raise InputError(
            f"--photos and --tuning_photos share {sorted(both)[0]}; give photographs apart."
        )
    compared = [reduced(photo, config.reduce) for photo in whole]
    siren_grid.check_sizes(compared, "give a larger --reduce")
    return list(tuning), compared


def _sizes(config: NetworksConfig, chosen: dict[str, Trial]) -> list[Trial]:
    """Return each kind at each size, with its settings."""
    trials = []
    for parameters in sorted(config.parameters):
        for network, one in chosen.items():
            size = config.trial(network, parameters)
            shape = {name: getattr(size, name) for name in ("layer_size", "num_frequencies")}
            trials.append(dataclasses.replace(one, **shape))
    return trials


def _fit(
    config: NetworksConfig, run_dir: Path, pictures: Sequence[Photo], trials: Sequence[Trial]
) -> str:
    """Fit every trial to every picture; the trials of a picture stand together."""
    pairs = [(photo, trial) for photo in range(len(pictures)) for trial in trials]
    jobs = [FitJob(i, photo, trial) for i, (photo, trial) in enumerate(pairs)]
    grid = GridConfig(
        network=tuple(config.network),
        coordinates="symmetric",
        checkpoint_minutes=config.checkpoint_minutes,
        dry_run=config.dry_run,
    )
    facts = {"trials": [trial.as_row() for trial in trials]}
    return siren_grid.run_jobs(
        grid, run_dir, pictures, jobs, lambda: run_dir / "manifest.json", facts
    )
