"""A run of SIRENs as a small table to publish, and a check that the run has what was planned.

The table has the columns of the published COIN collection (`jaxinr.collection.schema`) but
`best_model`, in Parquet files that are made small: numbers are kept as precisely as anyone can use
them, histories at iterations that double. Its folder has `parquet/SPLIT-*.parquet` and a card,
`README.md`.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import jaxfleet
from experiments.siren import write_collection
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.progress import clock
from jaxfleet.results import store
from jaxfleet.results.showing import counted
from jaxfleet.results.table import Table
from jaxfleet.scripts.options import flag
from jaxinr.collection import schema as collection

PSNR_STEP = 1 / 128  # dB, of histories; seeds of one network differ by more than ten times that
FINAL_STEP = 1 / 1024  # dB, of fp_psnr
ROWS_PER_GROUP = 1 << 16
_NAMED = 5  # of missing networks
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

    output: str = flag(
        "",
        "Folder of the table: a new one, or that of an earlier table of the same run, which is "
        "replaced. Empty checks the run and writes nothing.",
    )


@dataclasses.dataclass(frozen=True)
class Check:
    """The facts of a run, from its directory.

    Attributes:
        planned: networks of the plan; None for a grid, whose plan needs the photographs.
        missing: trial_ids of the plan that have no row.
        repeated: rows that are there a second time.
        foreign: trial_ids beyond the plan.
        rows: networks that are there.
        diverged: of those.
        sittings: processes that worked on the run, one after the other in each shard.
        working_s: seconds that they trained.
        away_s: seconds between their ends and the next one's first result.
        made: pixel-steps that they made.
        kept: pixel-steps of the networks that are there.
    """

    planned: int | None
    missing: np.ndarray
    repeated: int
    foreign: np.ndarray
    rows: int
    diverged: int
    sittings: int
    working_s: float
    away_s: float
    made: float
    kept: float

    @property
    def complete(self) -> bool:
        """Whether every planned network is there once, and nothing else."""
        return not (len(self.missing) or self.repeated or len(self.foreign)) and self.rows > 0

    def __str__(self) -> str:
        """Return the check in a few lines."""
        planned = f" of {self.planned:,}" if self.planned is not None else ""
        lines = [
            f"{self.rows:,}{planned} networks, {self.diverged:,} of them diverged.",
            f"{len(self.missing):,} missing{_first(self.missing)}, {self.repeated:,} rows twice, "
            f"{len(self.foreign):,} of no plan{_first(self.foreign)}.",
        ]
        if self.working_s:
            again = max(0.0, 1 - self.kept / self.made) if self.made else 0.0
            lines += [
                f"{3600 * self.rows / self.working_s:,.0f} networks an hour, "
                f"{self.kept / self.working_s:.3g} pixel-steps/s over {clock(self.working_s)} of "
                f"training in {counted(self.sittings, 'sitting')}.",
                f"Interrupted for {clock(self.away_s)}, "
                f"{self.away_s / (self.away_s + self.working_s):.1%} of the time; "
                f"{again:.2%} of the pixel-steps were made again or are of networks in training.",
            ]
        return "\n".join(lines)


def check(run_dir: Path) -> Check:
    """Check a run of SIRENs, finished or not, against its plan and its progress logs.

    Raises:
        InputError: for a directory that is no run of SIRENs, or parts that cannot be read.
    """
    table = _open(run_dir)
    plan = table.manifest["plan"]
    random = plan.get("sampling") == "random"
    planned = plan["num_trials"] + plan["num_repeats"] if random else None
    ids = table.trial_ids
    wanted = np.arange(planned if planned is not None else int(ids.max(initial=-1)) + 1)
    columns = ["image_height", "image_width", "num_iters", "status"]
    frame = table.to_pandas(columns) if len(ids) else pd.DataFrame(columns=columns)
    pixels = frame["image_height"] * frame["image_width"]
    logs = [list(_samples(path)) for path in sorted(run_dir.glob("progress*.jsonl"))]
    sittings = [sitting for log in logs for sitting in _sittings(log)]
    return Check(
        planned=planned,
        missing=np.setdiff1d(wanted, ids),
        repeated=_rows(run_dir) - len(ids),
        foreign=np.setdiff1d(ids, wanted),
        rows=len(ids),
        diverged=int((frame["status"] == "diverged").sum()),
        sittings=len(sittings),
        working_s=sum(sitting[-1]["seconds"] for sitting in sittings),
        away_s=sum(_away(list(_sittings(log))) for log in logs),
        made=sum(sitting[-1]["pixel_steps"] for sitting in sittings),
        kept=float((pixels * frame["num_iters"]).sum()),
    )


def run(config: TableConfig, run_dir: Path) -> tuple[str, bool]:
    """Check the run and, if a folder is given, write its table.

    Returns:
        What was found and written, and whether the run is complete.

    Raises:
        InputError: for a directory that is no run of SIRENs, or a folder of something else.
        OSError: if the disk is full.
    """
    found = check(run_dir)
    if not config.output:
        return str(found), found.complete
    folder = Path(config.output).expanduser()
    size = write(_open(run_dir), folder, str(found))
    return f"{found}\n{size / 1e6:.1f} MB written to {folder}, see {folder}/README.md.", (
        found.complete
    )


def write(table: Table, folder: Path, facts: str) -> int:
    """Write the table of a run, one file for each split; rows are sorted by photograph and size.

    Args:
        table: of the run.
        folder: see `TableConfig.output`.
        facts: for the card, about the run.

    Returns:
        Bytes of all Parquet files.

    Raises:
        InputError: for a folder of something else.
        OSError: if the disk is full.
    """
    plan_hash = table.manifest["plan_hash"][:12]
    write_collection.claim(folder, plan_hash)
    log_every = int(table.manifest["plan"]["log_every"])
    shutil.rmtree(folder / "parquet", ignore_errors=True)
    (folder / "parquet").mkdir()
    frame = table.to_pandas(_READ).sort_values(["image_id", "image_height", "trial_id"])
    counts, size = {}, 0
    for split in collection.SPLITS:
        rows = frame[frame["split"] == split]
        if len(rows):
            path = folder / "parquet" / f"{split}-00000-of-00001.parquet"
            _write(path, as_arrow(rows, log_every))
            counts[split], size = len(rows), size + path.stat().st_size
    storage.write_atomically(folder / "README.md", _card(counts, plan_hash, facts).encode())
    return size


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
    hidden = path.with_name(f".{path.name}.tmp")
    pq.write_table(
        table,
        hidden,
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
            "config.seed": "DELTA_BINARY_PACKED",
        },
        write_statistics=False,
    )
    hidden.replace(path)


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
            "A split has the photographs of its own, in no other split.",
            "",
            *facts.splitlines(),
            "",
        ]
    )


def _open(run_dir: Path) -> Table:
    table = jaxfleet.open(run_dir)
    if "log_every" not in table.manifest["plan"] or "inputs" not in table.manifest["network"]:
        raise InputError(f"--run_dir={run_dir}: no run of siren_grid; give one.")
    return table


def _rows(run_dir: Path) -> int:
    """Count the rows in all parts, duplicates included."""
    parts = run_dir / store.PARTS
    return sum(
        pq.read_metadata(str(parts / name), filesystem=storage.filesystem(parts)).num_rows
        for name in storage.names(parts)
        if name.endswith(".parquet")
    )


def _samples(path: Path) -> Iterator[dict[str, float]]:
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the last line of a killed process
            continue


def _sittings(log: Sequence[dict[str, float]]) -> Iterator[list[dict[str, float]]]:
    """Split the samples by process, whose clocks and counts begin at 0."""
    start = 0
    for i in range(1, len(log) + 1):
        if i == len(log) or log[i]["seconds"] < log[i - 1]["seconds"]:
            yield list(log[start:i])
            start = i


def _away(sittings: Sequence[list[dict[str, float]]]) -> float:
    """Return seconds from the last sample of a process to the start of the next one's training."""
    gaps = [
        later[0]["time"] - later[0]["seconds"] - earlier[-1]["time"]
        for earlier, later in zip(sittings, sittings[1:], strict=False)
        if "time" in earlier[-1] and "time" in later[0]
    ]
    return float(sum(max(gap, 0.0) for gap in gaps))


def _first(ids: np.ndarray) -> str:
    if not len(ids):
        return ""
    more = ", ..." if len(ids) > _NAMED else ""
    return f" (trial_id {', '.join(map(str, ids[:_NAMED].tolist()))}{more})"
