"""The report of a run made again: of one that finished, is still running, or was killed."""

import dataclasses
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jaxfleet
from experiments.attribution import files as attribution_files
from experiments.attribution import report as attribution_report
from experiments.coin import kodak as coin_kodak
from experiments.siren import import_collection
from experiments.siren import pages as siren_pages
from experiments.siren.config import GridConfig
from experiments.zoo import report as zoo_report
from experiments.zoo import run as zoo_run
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.results.showing import counted
from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Flags of `launch/report.py`."""

    RUN_DIR: ClassVar[str] = "read"

    photos: str = flag(
        "",
        "Where the photographs are now, as launch/siren_grid.py takes it; empty for where the run "
        "had them.",
    )


def run(config: ReportConfig, run_dir: Path, flags_of: Callable[[type[Any]], Any]) -> str:
    """Write the page, and say where it is.

    Args:
        config: the flags.
        run_dir: of the run.
        flags_of: class of a configuration -> the one that the run was made with.

    Raises:
        InputError: if the directory is none of a run, or no network is finished yet.
    """
    kind = rundir.read(run_dir)["kind"]
    if kind == attribution_files.KIND:
        return f"Look at {attribution_report.write(run_dir)}"
    if kind != rundir.TABLE:
        raise InputError(
            f"--run_dir={run_dir} is of launch/{kind}.py; repeat its command, which makes the "
            "report again."
        )
    table = jaxfleet.open(run_dir)
    if zoo_run.is_zoo(table.manifest):
        return f"Look at {zoo_report.write(run_dir)}"
    if coin_kodak.is_run(table.manifest):
        coin = flags_of(coin_kodak.CoinConfig)
        coin = dataclasses.replace(coin, photos=config.photos or coin.photos)
        return f"Look at {coin_kodak.write_report(coin, run_dir)}"
    columns = ["image_id", "image_height", "image_width"]
    sizes = set(table.to_pandas(columns).itertuples(index=False, name=None))
    imported = import_collection.is_import(table.manifest)
    flags = _flags_of_import(sizes) if imported else flags_of(GridConfig)
    flags = dataclasses.replace(flags, photos=config.photos or flags.photos)
    pictures = [
        picture
        for picture in _load(flags)
        if (picture.image_id, *picture.pixels.shape[:2]) in sizes  # the source may have changed
    ]
    missing = len({image_id for image_id, *_ in sizes} - {picture.image_id for picture in pictures})
    if missing:
        sys.stderr.write(
            f"{counted(missing, 'photograph')} left out: --photos=... says where they are.\n"
        )
    if imported:
        return f"Look at {import_collection.write_report(run_dir, pictures)}"
    return f"Look at {siren_pages.write_report(flags, run_dir, pictures)}"


def _flags_of_import(sizes: Collection[tuple[str, int, int]]) -> GridConfig:
    """Return how photographs become those of an imported run: squares, if those are of one size."""
    shapes = {(height, width) for _, height, width in sizes}
    (height, width), *others = shapes
    side = height if height == width and not others else 0
    return GridConfig(photos="", image_size=(str(side),))


def _load(flags: GridConfig) -> Sequence[photos.Photo]:
    """Load the photographs of the run; none if it names none or they cannot be read any more.

    Of a run with several sizes the page shows no pictures.
    """
    side = flags.one_size
    if not flags.photos or side is None:
        return []
    try:
        return photos.load(
            flags.photos,
            image_size=side,
            image_fit=flags.image_fit,
            max_images=flags.max_images,
        )
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return []
