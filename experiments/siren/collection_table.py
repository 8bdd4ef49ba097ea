"""A run of SIRENs as a small table to publish, and a check that the run has what was planned.

The table has the columns of the published COIN collection (`jaxinr.collection.schema`) but
`best_model`, and the place of each network in the plan, in Parquet files that are made small:
numbers are kept as precisely as anyone can use them, histories at iterations that double. Its
folder has `parquet/SPLIT-NUMBER.parquet` and a card, `README.md`. A table grows: networks that it
lacks come into files of their own, and what is there is never written again, so that a plan can be
fitted over months and by machines that share nothing but the table.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.siren import completeness, write_collection
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.results.showing import counted
from jaxfleet.results.table import Table
from jaxfleet.scripts.options import flag
from jaxinr.collection import schema as collection

PSNR_STEP = 1 / 128  # dB, of histories; seeds of one network differ by more than ten times that
FINAL_STEP = 1 / 1024  # dB, of fp_psnr
ROWS_PER_GROUP = 1 << 16
_CONFIG = {
    "num_iters": pa.int32(),
    "seed": pa.int32(),
    "image_id": pa.string(),
    "image_size": pa.int32(),
    "layer_size": pa.int32(),
    "num_layers": pa.int32(),
    "w0_initial": pa.float32(),
    "w0": pa.float32(),
    "learning_rate": pa.float32(),
}
SCHEMA = pa.schema(
    [
        ("trial_id", pa.int32()),
        ("config", pa.struct(list(_CONFIG.items()))),
        ("iteration_history", pa.list_(pa.int32())),
        ("psnr_history", pa.list_(pa.float32())),
        ("best_psnr_history", pa.list_(pa.float32())),
        ("hp_bpp", pa.float64()),
        ("fp_bpp", pa.float64()),
        ("fp_psnr", pa.float32()),
        ("status", pa.string()),
    ]
)
_READ = (
    "trial_id split image_id image_height layer_size num_layers w0_initial w0 learning_rate "
    "num_iters seed status hp_bpp fp_bpp psnr_8bit_db iteration_history psnr_history"
).split()


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """Flags of `launch/collection_table.py`."""

    RUN_DIR: ClassVar[str] = "read"
    RESUMES: ClassVar[bool] = True

    output: str = flag(
        "",
        "Folder of the table: a new one, or that of an earlier table of the same plan, to which "
        "the networks are added that it lacks. Empty checks the run and writes nothing.",
    )


def run(config: TableConfig, run_dir: Path) -> tuple[str, bool]:
    """Check the run and, if a folder is given, add its networks to the table there.

    Returns:
        What was found and written, and whether the table, or without one the run, is complete.

    Raises:
        InputError: for a directory that is no run of SIRENs, a folder of something else, or a
            table with files that cannot be read.
        OSError: if the disk is full.
    """
    if config.output and not storage.is_local(storage.location(config.output)):
        raise InputError(f"--output={config.output}: give a local folder.")
    found = completeness.check(run_dir)
    if not config.output:
        return str(found), found.complete
    folder = storage.location(config.output)
    added, ids, size = add(completeness.open_run(run_dir), folder, str(found))
    missing, foreign = completeness.compared(ids, found.planned)
    of = f" of {found.planned:,}" if found.planned is not None else ""
    return (
        f"{found}\n{counted(added, 'network')} added to {folder}, which has {len(ids):,}{of}, "
        f"none twice, in {size / 1e6:.1f} MB; see {folder}/README.md."
    ), len(ids) > 0 and not len(missing) and not len(foreign)


def add(table: Table, folder: Path, facts: str) -> tuple[int, np.ndarray, int]:
    """Add the networks of a run to a table, one file for each split; sorted by photograph and size.

    Args:
        table: of the run.
        folder: see `TableConfig.output`.
        facts: for the card, about the run.

    Returns:
        Networks added, the trial_id of each that is there, and bytes of all Parquet files.

    Raises:
        InputError: for a folder of something else, or files in it that cannot be read.
        InUseError: if another process adds to it.
        OSError: if the disk is full.
    """
    with write_collection.claimed(folder, table.manifest["plan_hash"][:12], is_table=True):
        return _add(table, folder, facts)


def _add(table: Table, folder: Path, facts: str) -> tuple[int, np.ndarray, int]:
    log_every = int(table.manifest["plan"]["log_every"])
    (folder / "parquet").mkdir(exist_ok=True)
    before = trial_ids(folder)
    own = np.setdiff1d(table.trial_ids, before)
    if len(own):
        frame = pd.concat(table.batches(_READ, own))
        frame = frame.sort_values(["image_id", "image_height", "trial_id"])
        number = 1 + max((int(path.stem.split("-")[1]) for path in _files(folder)), default=-1)
        for split in collection.SPLITS:
            rows = frame[frame["split"] == split]
            if len(rows):
                _write(
                    folder / "parquet" / f"{split}-{number:05}.parquet", as_arrow(rows, log_every)
                )
    counts = {
        split: sum(pq.read_metadata(path).num_rows for path in paths)
        for split in collection.SPLITS
        if (paths := [path for path in _files(folder) if path.name.startswith(f"{split}-")])
    }
    if len(own) or not (folder / write_collection.CARD).is_file():
        text = _card(counts, table.manifest["plan_hash"][:12], facts)
        storage.write_atomically(folder / write_collection.CARD, text.encode())
    size = sum(path.stat().st_size for path in _files(folder))
    return len(own), np.union1d(before, own), size


def trial_ids(folder: Path) -> np.ndarray:
    """Return the trial_id of each network of a table, [N] int32, in no order.

    Raises:
        InputError: for a file that cannot be read, or a network that is there twice.
    """
    found = [np.empty(0, np.int32)]
    for path in _files(folder):
        try:
            found.append(pq.read_table(path, columns=["trial_id"])["trial_id"].to_numpy())
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise InputError(
                f"{path}: {str(error).splitlines()[0]}; restore the file, or give another folder."
            ) from error
    ids = np.concatenate(found)
    if len(twice := ids[pd.Series(ids).duplicated().to_numpy()]):
        raise InputError(
            f"--output={folder}: {counted(len(twice), 'network')} there twice"
            f"{completeness.first_of(twice)}; remove one of the two files, or give another folder."
        )
    return ids


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "parquet").glob("*-*.parquet"))


def as_arrow(rows: pd.DataFrame, log_every: int) -> pa.Table:
    """Return rows of a run's table as rows of SCHEMA."""
    values = {**rows, "image_size": rows["image_height"]}
    config = [pa.array(values[name], from_pandas=True).cast(kind) for name, kind in _CONFIG.items()]
    histories = [
        _thinned(np.asarray(at), np.asarray(db, np.float32), log_every)
        for at, db in zip(rows["iteration_history"], rows["psnr_history"], strict=True)
    ]
    at, db = ([history[i] for history in histories] for i in range(2))
    columns = {
        "trial_id": rows["trial_id"].to_numpy(np.int32),
        "config": pa.StructArray.from_arrays(config, fields=list(SCHEMA.field("config").type)),
        "iteration_history": at,
        "psnr_history": db,
        "best_psnr_history": [np.fmax.accumulate(one) for one in db],
        "hp_bpp": rows["hp_bpp"].to_numpy(),
        "fp_bpp": rows["fp_bpp"].to_numpy(),
        "fp_psnr": pa.array(_rounded(rows["psnr_8bit_db"], FINAL_STEP), from_pandas=True),
        "status": rows["status"].to_numpy(object),
    }
    return pa.table(columns, schema=SCHEMA)


def _thinned(at: np.ndarray, db: np.ndarray, log_every: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries at 0, at log_every times a power of two and at the end, rounded."""
    quotient = at // log_every
    kept = (at % log_every == 0) & (quotient & (quotient - 1) == 0)
    kept[-1:] = True
    return at[kept].astype(np.int32), _rounded(db[kept], PSNR_STEP)


def _rounded(values: Any, step: float) -> np.ndarray:
    """Return float32 multiples of `step`, a power of two: the bits below compress to nothing."""
    rounded: np.ndarray = (np.round(np.asarray(values, float) / step) * step).astype(np.float32)
    return rounded


def _write(path: Path, table: pa.Table) -> None:
    """Write a Parquet file in few bytes; every reader of the format's version 2.6 knows how."""
    split = ["config.w0_initial", "config.learning_rate", "fp_psnr"]
    split += ["psnr_history.list.element", "best_psnr_history.list.element"]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=15,
        row_group_size=ROWS_PER_GROUP,
        use_dictionary=[
            *(
                f"config.{name}"
                for name in _CONFIG
                if f"config.{name}" not in (*split, "config.seed")
            ),
            *("hp_bpp", "fp_bpp", "status", "iteration_history.list.element"),
        ],
        column_encoding={
            **dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
            **dict.fromkeys(["trial_id", "config.seed"], "DELTA_BINARY_PACKED"),
        },
        write_statistics=False,
    )
    storage.write_atomically(path, sink.getvalue().to_pybytes())


def _card(counts: Mapping[str, int], plan_hash: str, facts: str) -> str:
    return "\n".join(
        [
            *write_collection.card_head("parquet/{}-*.parquet", SCHEMA, counts),
            "# SIRENs fitted to photographs, without their weights",
            "",
            "Rows in the schema of the COIN collection (`predict-SIREN-PSNR/COIN-collection`; "
            "Vonderfecht & Liu, Predicting the Encoding Error of SIRENs, TMLR 2024) without "
            f"`best_model`: {write_collection.rows_text(counts)}. Plan {plan_hash}.",
            "",
            "| field | |",
            "|---|---|",
            "| `trial_id` | place in the plan, no number twice |",
            "| `config` | `num_iters` Adam updates at a constant `learning_rate`, `seed` of the "
            "initial weights, `image_id`, `image_size` in pixels (the side of a square picture, "
            "the height of any other), `layer_size` units in each of `num_layers` sine layers, "
            "`w0_initial` of the first of them and `w0` of the others |",
            "| `iteration_history` | updates before each entry of the histories: 0, some that "
            "double, and the end |",
            "| `psnr_history`, `best_psnr_history` | dB at each entry, of the raw output, and the "
            f"highest of those; multiples of 1/{round(1 / PSNR_STEP)} |",
            "| `hp_bpp`, `fp_bpp` | bits per pixel of all weights at 16 and at 32 bits each |",
            "| `fp_psnr` | dB, of the best weights in float32, on their decoded 8-bit picture; "
            f"multiples of 1/{round(1 / FINAL_STEP)} |",
            "| `status` | `done`, `target` (it reached the PSNR asked for) or `diverged` |",
            "",
            "A split has photographs of its own, in no other split. Files were added one after the "
            "other, and a file is never written again.",
            "",
            "Of the run that the last networks are from:",
            "",
            *facts.splitlines(),
            "",
        ]
    )
