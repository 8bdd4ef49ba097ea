"""Networks of a run as files for other programs: one file each, and an index of them.

What a file holds is in `jaxinr.export`. The index has a line for every network in the folder, with
the hyperparameters that PyTorch's format has no room for. The format coin_collection is another
matter, files of many networks each: see `coin_collection`.
"""

import csv
import dataclasses
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import jaxfleet
from experiments.siren import write_collection
from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.results.showing import counted
from jaxfleet.results.table import SHAPES, Table
from jaxfleet.scripts.options import flag
from jaxinr import export
from jaxinr.networks.registry import KINDS, hyperparameters
from jaxinr.trial import CHANNELS, SIREN, Trial

INDEX = "index.csv"
# What a file carries beside the weights; the index has these and more.
_SIZES = "trial_id image_id image_height image_width network num_layers layer_size".split()
CARRIED = [*_SIZES, *hyperparameters(), "coordinates", "best_psnr_db"]
_COLUMNS = [
    *_SIZES,
    *hyperparameters(),
    *"learning_rate num_iters seed status parameters hp_bpp best_psnr_db psnr_8bit_db ssim".split(),
]
_HEADER = ["file", "format", *_COLUMNS, "coordinates", "plan"]
_SELECTORS = ("trial_id", "image_id", "network", "num_layers", "layer_size")
COLLECTION = "coin_collection"
_CHUNK = 512  # networks whose weights are in memory at a time


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Flags of `launch/siren_export.py`."""

    RUN_DIR: ClassVar[str] = "read"

    format: str = flag(
        "safetensors",
        "torch: a state_dict for COIN's code (needs PyTorch); npz: for numpy.load; safetensors: "
        "for readers in many languages; json: for a page in a browser; coin_collection: all "
        "networks in the schema of the published COIN collection, as JSON lines and as Parquet.",
        group="Files",
        choices=(*export.FORMATS, COLLECTION),
    )
    output: str = flag(
        "",
        "Folder of the files: a new one, an empty one, or that of an earlier export of the same "
        "run, to which more are then added. Empty for export/ in the run directory.",
    )
    max_files: int = flag(
        1000,
        "Refuse to write more files than this; 0 for no limit. coin_collection ignores it, "
        "since it puts many networks into a file.",
        lower=0,
    )
    rows_per_file: int | None = flag(
        None,
        "coin_collection alone: networks in a file at most; "
        f"{write_collection.ROWS_PER_FILE} by default.",
        lower=1,
    )
    trial_id: tuple[int, ...] = flag(
        (),
        "Number of a network in the table.",
        group="Which networks (by default all; several conditions must all hold)",
        lower=0,
    )
    image_id: tuple[str, ...] = flag((), "Name of its photograph.")
    network: tuple[str, ...] = flag((), "Its kind.", choices=tuple(KINDS))
    num_layers: tuple[int, ...] = flag((), "Its number of hidden layers.", lower=1)
    layer_size: tuple[int, ...] = flag((), "Its units per layer.", lower=1)
    best_per_image: bool = flag(False, "Only the network with the best PSNR of each photograph.")

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.rows_per_file is not None and self.format != COLLECTION:
            raise InputError(f"--rows_per_file belongs to --format={COLLECTION}.")


def file_name(row: Mapping[str, Any], ending: str) -> str:
    """Return `kodim03_10x28_trial17.pt`, of characters that every file system takes."""
    image = re.sub(r"[^A-Za-z0-9.-]+", "_", str(row["image_id"]))[:100].strip("._-") or "image"
    return f"{image}_{row['num_layers']}x{row['layer_size']}_trial{row['trial_id']}{ending}"


def select(frame: Any, config: ExportConfig) -> Any:
    """Select the rows of a pandas.DataFrame that the flags ask for, by trial_id.

    Raises:
        InputError: naming what is not in the table, or if nothing is left, or too much.
    """
    for name in _SELECTORS:
        known = set(frame[name])
        for value in getattr(config, name):
            if value not in known:
                raise InputError(f"--{name}={value}: no finished network; {_known(value, known)}")
    for name in _SELECTORS:
        if getattr(config, name):
            frame = frame[frame[name].isin(getattr(config, name))]
    if config.best_per_image:
        measured = frame[frame["best_psnr_db"].notna()]
        frame = frame.loc[measured.groupby("image_id")["best_psnr_db"].idxmax()]
    if frame.empty:
        raise InputError("no finished network is all of what the flags ask for; ask for less.")
    others = set(frame["network"]) - {SIREN}
    if config.format == COLLECTION and others:
        raise InputError(
            f"--format={COLLECTION} is for SIRENs, and there are {', '.join(sorted(others))}; add "
            f"--network={SIREN}."
        )
    if config.format != COLLECTION and 0 < config.max_files < len(frame):
        raise InputError(
            f"{len(frame)} networks would be {len(frame)} files; choose with --best_per_image, "
            f"--image_id, --layer_size and the like, or allow them with --max_files={len(frame)}."
        )
    return frame.sort_values("trial_id")


def run(config: ExportConfig, run_dir: Path) -> str:
    """Write the files and the index; an unfinished run gives what it has.

    Returns:
        What was written, and where.

    Raises:
        InputError: for a directory that is no run of SIRENs, a folder with other things in it, a
            selection that cannot be met, or a missing PyTorch.
        OSError: if the disk is full.
    """
    try:
        export.require(config.format)
    except ImportError:
        raise InputError(
            f"--format={config.format} needs PyTorch: pip install torch, or take another format."
        ) from None
    table = jaxfleet.open(run_dir)
    coordinates = table.manifest["plan"].get("coordinates")
    if coordinates is None or table.manifest["network"] != {"inputs": 2, "outputs": CHANNELS}:
        raise InputError(f"--run_dir={run_dir}: no run of siren_grid; give one.")
    if not table.manifest["plan"].get("keep_weights", True):
        raise InputError(
            f"--run_dir={run_dir}: its table keeps no weights; launch/collection_table.py makes "
            "the table to publish."
        )
    own = ["split"] if config.format == COLLECTION else []
    chosen = select(_read(table, [*_COLUMNS, *own]), config)
    folder = storage.location(config.output) if config.output else run_dir / "export"
    done = rundir.is_finished(run_dir)
    if config.format == COLLECTION:
        return _collection(config, table, chosen, folder, done)
    ending, as_bytes = export.FORMATS[config.format]
    plan_hash = table.manifest["plan_hash"][:12]
    lines = _claim(folder, plan_hash)
    written = 0
    for row in _with_weights(table, chosen):
        if not np.isfinite(row["weights"]).all():
            continue
        facts = {name: _plain(row[name]) for name in _COLUMNS} | {"coordinates": coordinates}
        values = Trial.from_row(row).hyperparameters  # whole where a table's nulls make floats
        facts |= {name: values.get(name, "") for name in hyperparameters()}
        carried = {name: facts[name] for name in CARRIED if facts[name] != ""}
        data = as_bytes(table.weights(row), carried)
        name = file_name(row, ending)
        storage.write_atomically(folder / name, data)
        lines[name] = {"file": name, "format": config.format, **facts, "plan": plan_hash}
        written += 1
    storage.write_atomically(folder / INDEX, _csv(lines))
    text = f"{counted(written, 'network')} written to {folder}, listed in {folder / INDEX}."
    return text + _remarks(len(chosen) - written, done)


def _collection(config: ExportConfig, table: Any, chosen: Any, folder: Path, done: bool) -> str:
    if not storage.is_local(folder):
        raise InputError(f"--format={COLLECTION} writes to a local folder; give --output=FOLDER.")
    rows_per_file = config.rows_per_file or write_collection.ROWS_PER_FILE
    counts = write_collection.export(table, chosen, folder, rows_per_file=rows_per_file)
    rows = ", ".join(f"{count} {split}" for split, count in counts.items())
    written = sum(counts.values())
    text = (
        f"{counted(written, 'network')} ({rows}) written to {folder}, see "
        f"{folder / write_collection.CARD}."
    )
    return text + _remarks(len(chosen) - written, done)


def _remarks(lost: int, done: bool) -> str:
    text = f" {lost} left out: diverged, with weights that are not finite." if lost else ""
    return text if done else f"{text} The run is not finished; repeat the command for the rest."


def _known(value: Any, known: set[Any]) -> str:
    near = difflib.get_close_matches(value, known, 1) if isinstance(value, str) else []
    if near:
        return f"did you mean {near[0]}?"
    first = ", ".join(str(one) for one in sorted(known)[:5])
    return f"there are {first}{' and more' if len(known) > 5 else ''}."


def _claim(folder: Path, plan_hash: str) -> dict[str, Mapping[str, Any]]:
    """Return lines of the folder's index by file; make the folder, or refuse another's."""
    storage.make_folder(folder, "--output")
    index = folder / INDEX
    if not [path for path in folder.iterdir() if not path.name.startswith(".")]:
        storage.write_atomically(index, _csv({}))  # from here on the folder is known as ours
    lines = _lines(index)
    if lines is None or any(line["plan"] != plan_hash for line in lines):
        raise InputError(
            f"--output={folder}: not empty and no export of this run; give another folder."
        )
    return {line["file"]: line for line in lines if (folder / line["file"]).is_file()}


def _lines(index: Path) -> list[dict[str, str]] | None:
    """Read the lines of an index; None if it is none."""
    if not index.is_file():
        return None
    with index.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        try:
            return list(reader) if reader.fieldnames == _HEADER else None
        except csv.Error:
            return None


def _csv(lines: Mapping[str, Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines.values())
    return text.getvalue().encode()


def _with_weights(table: Table, chosen: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the chosen rows with their weights, which are read some at a time."""
    for start in range(0, len(chosen), _CHUNK):
        ids = chosen["trial_id"].iloc[start : start + _CHUNK].tolist()
        rows = _read(table, [*_COLUMNS, SHAPES, "weights"], [("trial_id", "in", ids)])
        yield from (row for _, row in rows.iterrows())


def _read(table: Table, columns: Sequence[str], filters: Any = None) -> Any:
    """Read these columns; of runs older than the kinds of networks, as they would be now."""
    frame = table.to_pandas([name for name in columns if name in table.columns], filters)
    frame = frame.reindex(columns=list(columns))
    return frame.assign(network=frame["network"].fillna(SIREN))


def _plain(value: Any) -> str | int | float:
    return value.item() if isinstance(value, np.generic) else value
