"""Whether a run of SIRENs has what its plan asks for, and what that took.

Said by the run's own parts and progress logs, finished or not.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

import jaxfleet
from jaxfleet import storage
from jaxfleet.errors import InputError, listed
from jaxfleet.progress import clock
from jaxfleet.results import store
from jaxfleet.results.showing import counted
from jaxfleet.results.table import Table

_NAMED = 5  # of missing networks


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
        """Return whether every planned network is there once, and nothing else."""
        return not (len(self.missing) or self.repeated or len(self.foreign)) and self.rows > 0

    def __str__(self) -> str:
        """Return the check in a few lines."""
        planned = f" of {self.planned:,}" if self.planned is not None else ""
        lines = [
            f"{self.rows:,}{planned} networks, {self.diverged:,} of them diverged.",
            f"{len(self.missing):,} missing{first_of(self.missing)}, {self.repeated:,} rows twice, "
            f"{len(self.foreign):,} of no plan{first_of(self.foreign)}.",
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
    table = open_run(run_dir)
    plan = table.manifest["plan"]
    random = plan.get("sampling") == "random"
    planned = plan["num_trials"] + plan["num_repeats"] if random else None
    ids = table.trial_ids
    missing, foreign = compared(ids, planned)
    columns = ["image_height", "image_width", "num_iters", "status"]
    frame = table.to_pandas(columns) if len(ids) else pd.DataFrame(columns=columns)
    pixels = frame["image_height"] * frame["image_width"]
    logs = [list(_samples(path)) for path in sorted(run_dir.glob("progress*.jsonl"))]
    sittings = [sitting for log in logs for sitting in _sittings(log)]
    return Check(
        planned=planned,
        missing=missing,
        repeated=_rows(run_dir) - len(ids),
        foreign=foreign,
        rows=len(ids),
        diverged=int((frame["status"] == "diverged").sum()),
        sittings=len(sittings),
        working_s=sum(sitting[-1]["seconds"] for sitting in sittings),
        away_s=sum(_away(list(_sittings(log))) for log in logs),
        made=sum(sitting[-1]["pixel_steps"] for sitting in sittings),
        kept=float((pixels * frame["num_iters"]).sum()),
    )


def compared(ids: np.ndarray, planned: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the trial_ids of the plan that are not among `ids`, and those of `ids` beyond it.

    Args:
        ids: [N] trial_ids.
        planned: networks of the plan; None if that is not known, then up to the last of `ids`.
    """
    wanted = np.arange(planned if planned is not None else int(ids.max(initial=-1)) + 1)
    return np.setdiff1d(wanted, ids), np.setdiff1d(ids, wanted)


def open_run(run_dir: Path) -> Table:
    """Open the table of a run of SIRENs.

    Raises:
        InputError: for a directory that is no such run.
    """
    table = jaxfleet.open(run_dir)
    if "log_every" not in table.manifest["plan"] or "inputs" not in table.manifest["network"]:
        raise InputError(f"--run_dir={run_dir}: no run of siren_grid; give one.")
    return table


def first_of(ids: np.ndarray) -> str:
    """Name the first few networks, in parentheses; empty if there are none."""
    named = listed(list(map(str, ids.tolist())), _NAMED)
    return f" (trial_id {named})" if named else ""


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
