"""Files of the published COIN collection as a run of our own: `parts/*.parquet` and a manifest.

So that everything that reads runs (`jaxfleet.open`, the forecaster, the export) reads the published
networks too. Source: Vonderfecht & Liu, Predicting the Encoding Error of SIRENs (TMLR 2024).
"""

import dataclasses
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jaxfleet
from experiments.siren import pages
from experiments.siren.jobs import schema
from jaxfleet import executors, rundir
from jaxfleet.errors import InputError, listed
from jaxfleet.imaging.photos import Photo
from jaxfleet.results import store
from jaxfleet.results.showing import counted
from jaxfleet.results.table import unflatten
from jaxfleet.scripts.options import flag
from jaxinr import quantise
from jaxinr.collection import files as collection_files
from jaxinr.collection import schema as collection
from jaxinr.trial import CHANNELS

# A network's trial_id is this times the place of its file, plus its row there: it stays the same
# when another file is mended, and says where the row came from.
ROWS_OF_A_FILE = 10_000_000
SILENCE_SECONDS = 60.0
SOURCE = "coin_collection"  # in the plan of such a run
_NAMED = 3  # damaged rows that the message names


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Flags of `launch/collection_import.py`."""

    input: str = flag(
        "",
        "Folder of the collection's files, those in folders below it too: .jsonl, .json (lines, "
        "or an array), each also .gz, or .parquet. A name with train, val or test in it says the "
        "split; without one it follows from the image_id.",
        group="Files",
    )
    w0: float = flag(
        30.0,
        "Frequency factor of all sine layers but the first. Assumed: COIN's.",
        group="What the files do not say",
        lower=1e-3,
    )
    learning_rate: float = flag(2e-4, "Learning rate of Adam. Assumed: COIN's.", lower=1e-8)
    weight_bits: int = flag(
        8,
        "Bits per weight for quantised_bpp and entropy_bpp, which are computed from the weights.",
        lower=quantise.MIN_BITS,
        upper=quantise.MAX_BITS,
    )


def run(config: ImportConfig, run_dir: Path) -> str:
    """Import what is not there yet.

    Returns:
        What was imported, and where.

    Raises:
        InputError: for a folder without files, a directory of another plan, or damaged rows, which
            are named; all others are imported by then.
        OSError: if the disk is full.
    """
    if not config.input:
        raise InputError("--input is missing: give the folder of the collection's files.")
    folder = Path(config.input).expanduser()
    paths = collection_files.find(folder)
    names = [str(path.relative_to(folder)) for path in paths]
    plan = {
        "source": SOURCE,
        "files": len(names),
        "names_digest": rundir.checksum("\n".join(names).encode()),
        "coordinates": "coin",
        **{f.name: getattr(config, f.name) for f in dataclasses.fields(config)[1:]},
    }
    results = store.Store(run_dir, plan, schema(), network={"inputs": 2, "outputs": CHANNELS})
    damaged: list[str] = []
    try:
        told = time.monotonic()
        for number, path in enumerate(paths):
            damaged += _import(config, path, names[number], number, results)
            if time.monotonic() - told > SILENCE_SECONDS:
                told = time.monotonic()
                sys.stderr.write(f"{number + 1} of {len(paths)} files read.\n")
        results.flush()
    finally:
        results.close()
    if damaged:
        raise InputError(
            f"{listed(damaged, _NAMED, '; ')}. The other {len(results.done)} networks are in "
            f"{run_dir}. Mend these in place (an emptied line is left out) and repeat the command."
        )
    rundir.finish(run_dir)
    return (
        f"{counted(len(results.done), 'network')} of {counted(len(paths), 'file')} imported to "
        f"{run_dir}."
    )


def is_import(manifest: Mapping[str, Any]) -> bool:
    """Return whether a run directory with this manifest was made here."""
    return bool(manifest["plan"].get("source") == SOURCE)


def write_report(run_dir: Path, pictures: Sequence[Photo]) -> Path:
    """Write the page of an imported run, complete or not.

    Args:
        run_dir: of the import.
        pictures: the photographs that are at hand, of the size of the published ones.

    Returns:
        Path of the page. Its settings are those of the import; on what the networks were fitted,
        and how fast, nobody noted.
    """
    manifest = jaxfleet.open(run_dir).manifest
    return pages.write_page(
        run_dir,
        pictures,
        title="SIRENs of a published collection",
        coordinates=manifest["plan"]["coordinates"],
        settings={**manifest["plan"], **{k: manifest[k] for k in ("git_commit", "versions")}},
    )


def _import(
    config: ImportConfig, path: Path, name: str, number: int, results: store.Store
) -> list[str]:
    """Add the rows of a file; return what is wrong with the others."""
    damaged = []
    split = collection_files.split_in(name)
    first = number * ROWS_OF_A_FILE
    for item in collection_files.read(path, lambda position: first + position in results.done):
        reason = item.reason
        if item.record is not None:
            try:
                row = make_row(config, item.record, first + item.position, split)
            except ValueError as error:
                reason = str(error)
            else:
                results.add([row])
                if results.pending_bytes > executors.FLUSH_BYTES:
                    results.flush()
        if reason:
            damaged.append(f"{path}, {item.where}: {' '.join(reason.split())}")
    return damaged


def make_row(
    config: ImportConfig, record: Mapping[str, Any], trial_id: int, split: str | None
) -> dict[str, Any]:
    """Convert a published row to a row of our table.

    Raises:
        ValueError: saying what is wrong with it.
    """
    row = collection.from_published(record, w0=config.w0, learning_rate=config.learning_rate)
    sizes = [2, *[row["layer_size"]] * row["num_layers"], CHANNELS]
    entropy_bits = math.nan
    if len(row["weights"]):
        codes = quantise.quantise(unflatten(row["weights"], sizes), config.weight_bits)
        entropy_bits = codes.entropy_bits
    pixels = row["image_height"] * row["image_width"]
    return {
        **row,
        "trial_id": trial_id,
        "split": split or collection.split_of(row["image_id"]),
        "weight_bits": config.weight_bits,
        "quantised_bpp": row["parameters"] * config.weight_bits / pixels,
        "entropy_bpp": entropy_bits / pixels,
        "psnr_quantised_db": float("nan"),  # the photographs may not be at hand
    }
