"""The comparison: settings chosen on some photographs, networks compared on others.

Two runs of the engine one after the other, each resumed where it was: `tuning` and `compared` in
the run directory. Sources of the kinds: `jaxinr.networks`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import jaxfleet
from experiments.coin.kodak import reduced
from experiments.coordinate_networks import report
from experiments.coordinate_networks.config import NetworksConfig
from experiments.siren import grid as siren_grid
from experiments.siren.config import GridConfig
from experiments.siren.grid import FitJob
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxinr.trial import Trial

TUNING, COMPARED = "tuning", "compared"


def run(config: NetworksConfig, run_dir: Path) -> str:
    """Fit what is not fitted yet, then write the page.

    Returns:
        What was found and where to look; of a dry run, both plans and their cost.

    Raises:
        InputError: for photographs and directories that cannot be used.
        OSError: if the disk is full.
    """
    tuning, compared = _photographs(config)
    candidates = [one for network in config.network for one in config.candidates(network)]
    first = _fit(config, run_dir / TUNING, tuning, candidates)
    if config.dry_run:
        guess = {network: config.candidates(network)[0] for network in config.network}
        second = _fit(config, run_dir / COMPARED, compared, _sizes(config, guess))
        return f"To choose settings:\n{first}\n\nTo compare:\n{second}"
    chosen = choose(run_dir / TUNING, config.network)
    _fit(config, run_dir / COMPARED, compared, _sizes(config, chosen))
    page, table = report.write(
        run_dir, config, chosen, jaxfleet.open(run_dir / COMPARED), tuning, compared
    )
    storage.write_atomically(run_dir / "DONE", b"")
    return f"{table}\nLook at {page}"


def choose(run_dir: Path, networks: Sequence[str]) -> dict[str, Trial]:
    """Choose the candidate of each kind with the best mean PSNR over the photographs of a run.

    A candidate that diverged anywhere is not chosen.

    Raises:
        InputError: if every candidate of a kind diverged.
    """
    frame = jaxfleet.open(run_dir).to_pandas()
    # A network that diverged keeps what it had before; that is no setting to recommend.
    frame["db"] = frame["best_psnr_db"].where(frame["status"] != "diverged", -np.inf)
    chosen = {}
    for network in networks:
        own = frame[frame["network"] == network].copy()
        own["candidate"] = own.groupby("image_id")["trial_id"].rank(method="first").astype(int)
        means = own.groupby("candidate")["db"].mean()
        if not np.isfinite(means.max()):
            raise InputError(
                f"every {network} network diverged; give a new --run_dir and a lower "
                "--learning_rate."
            )
        best = own[own["candidate"] == means.idxmax()].iloc[0]
        chosen[network] = Trial.from_row(best)
    return chosen


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
