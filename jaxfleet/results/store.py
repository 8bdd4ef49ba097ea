"""Results on disk: a plan, and Parquet parts that any number of processes add to.

A run directory, local or in an object store, holds `manifest.json` (the plan, versions, device) and
`parts/*.parquet`. A part is written whole and never changed, and its name ends in the checksum of
its bytes: a damaged part is known by its name, no list of parts has to be kept, and processes that
share a directory need not know of each other. `pandas.read_parquet("parts")` reads all of it.
"""

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.shards import WHOLE, Shard

PARTS, CORRUPT = "parts", "corrupt"
ROWS_PER_GROUP, GROUP_BYTES = 256, 1 << 21  # at most; read together where one row is wanted
MERGED_BYTES = 1 << 27  # of a part that `merge` writes, at most
_PART = re.compile(r"part(-\d{5}-of-\d{5})?-([0-9a-f]{16})\.parquet")
_UNFINISHED = re.compile(r"\.part(-\d{5}-of-\d{5})?-[0-9a-f]{16}\.tmp")


class Store:
    """A writer of a run directory: of the whole run, or of one shard among others.

    Args:
        run_dir: made if absent. What it holds must come from the same plan.
        plan: JSON-able facts that define the results; compared when a run is taken up again.
        schema: of the rows, with a column `trial_id`.
        network: inputs and outputs of the networks, for `Table.weights`.
        shard: which share of the trials this process adds.
        free: names of facts in the plan that may change later, as of `rundir.held`.

    Raises:
        InputError: for a directory of another plan, one that holds something else, one that cannot
            be made, one where another process writes the same shard, or one with a damaged part of
            another number of shards, whose trials this process cannot know.
    """

    def __init__(
        self,
        run_dir: Path,
        plan: Mapping[str, Any],
        schema: pa.Schema,
        *,
        network: Mapping[str, int],
        shard: Shard = WHOLE,
        free: Collection[str] = (),
    ) -> None:
        """Open the directory; damaged parts are set aside, see `set_aside`."""
        self.run_dir, self.schema, self.shard = run_dir, schema, shard
        self.parts = run_dir / PARTS
        self._rows: list[Mapping[str, Any]] = []
        self.pending_bytes = 0
        with contextlib.ExitStack() as stack:
            self.manifest = stack.enter_context(
                rundir.held(
                    run_dir,
                    rundir.TABLE,
                    plan,
                    free=free,
                    extra={"network": dict(network)},
                    suffix=shard.suffix,
                )
            )
            self._open()
            self._held = stack.pop_all()

    def _open(self) -> None:
        if storage.is_local(self.parts):
            self.parts.mkdir(exist_ok=True)
        self._refuse_damage_of_others()
        self.set_aside = self._check_own_parts()
        self.done = self._read_done()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; they are on disk after the next `flush`."""
        self._rows.extend(rows)
        values = (value for row in rows for value in row.values())
        self.pending_bytes += sum(getattr(value, "nbytes", 8) for value in values)

    def flush(self) -> None:
        """Write the rows added so far as one part.

        Raises:
            OSError: if the disk is full; parts written before stay whole.
        """
        if not self._rows:
            return
        table = pa.Table.from_pylist([dict(row) for row in self._rows], schema=self.schema)
        self._write(table)
        self.done.update(table["trial_id"].to_pylist())
        self._rows, self.pending_bytes = [], 0

    def merge(self, least: int = 2) -> None:
        """Merge the parts of this shard, if it has at least `least`, keeping each trial once.

        For the end of a shard's work: a table opens in time proportional to its parts. The new part
        is whole before the old ones go, so a kill in between leaves rows twice and none never; the
        next merge, and `Table`, take them once.

        Raises:
            OSError: if the disk is full; the old parts stay.
        """
        matches = map(_PART.fullmatch, storage.names(self.parts))
        own = [match[0] for match in matches if match and (match[1] or "") == self.shard.suffix]
        if len(own) < least:
            return
        group: list[Path] = []
        tables: list[pa.Table] = []
        for name in own:
            table = read_part(self.parts / name)
            if sum(one.nbytes for one in (*tables, table)) > MERGED_BYTES:
                self._replace(group, tables)
                group, tables = [], []
            group.append(self.parts / name)
            tables.append(table)
        self._replace(group, tables)

    def _replace(self, paths: Sequence[Path], tables: Sequence[pa.Table]) -> None:
        """Return one part in place of several."""
        if len(paths) < 2:
            return
        # Parts of before there was a column get it, as null.
        table = pa.concat_tables(tables, promote_options="default")
        place = np.unique(table["trial_id"].to_numpy(), return_index=True)[1]
        name = self._write(table.take(place))
        for path in paths:
            if path.name != name:
                path.unlink()

    def _write(self, table: pa.Table) -> str:
        """Write a part with these rows; return its name."""
        sink = pa.BufferOutputStream()
        rows = min(ROWS_PER_GROUP, GROUP_BYTES * len(table) // max(table.nbytes, 1))
        pq.write_table(table, sink, compression="zstd", row_group_size=max(rows, 1))
        data = sink.getvalue().to_pybytes()
        name = f"part{self.shard.suffix}-{rundir.checksum(data)}.parquet"
        storage.write_atomically(self.parts / name, data, mark=f"part{self.shard.suffix}")
        return name

    def close(self) -> None:
        """Let another process have the directory."""
        self._held.close()

    def _check_own_parts(self) -> list[str]:
        """Move damaged parts of this shard to `corrupt/`; return their names."""
        bad = []
        for name in storage.names(self.parts, hidden=True):
            path = self.parts / name
            if name.startswith("."):
                match = _UNFINISHED.fullmatch(name)
                if match and (match[1] or "") == self.shard.suffix:
                    path.unlink()  # of a process that was killed
            elif self._is_own(name) and not is_whole(path):
                bad.append(name)
                storage.move(path, self.run_dir / CORRUPT)
        return sorted(bad)

    def _refuse_damage_of_others(self) -> None:
        """Refuse damaged parts of another cut, before anything is fitted next to them."""
        for name in storage.names(self.parts):
            path = self.parts / name
            match = _PART.fullmatch(name)
            if match and self._is_of_another_cut(name) and not is_whole(path) and path.exists():
                index, _, count = (match[1] or "")[1:].partition("-of-")
                mend = f"--shard={int(index)} --num_shards={int(count)}" if count else "no --shard"
                raise InputError(
                    f"{path}: damaged. Repeat the command with {mend}, which fits its networks "
                    "again, or remove the file to have them fitted by this one."
                )

    def _is_own(self, name: str) -> bool:
        match = _PART.fullmatch(name)
        return match is None or (match[1] or "") == self.shard.suffix

    def _is_of_another_cut(self, name: str) -> bool:
        return not self._is_own(name) and f"-of-{self.shard.count:05}-" not in name

    def _read_done(self) -> set[int]:
        """Return the trials of parts that this shard may have written, for any number of shards.

        Other shards of the same cut have other trials, so their parts need not be read.
        """
        done: set[int] = set()
        for name in storage.names(self.parts):
            if self._is_own(name) or self._is_of_another_cut(name):
                with contextlib.suppress(FileNotFoundError):  # merged meanwhile by another process
                    done.update(read_part(self.parts / name, ["trial_id"])["trial_id"].to_pylist())
        return done


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part, or some of its columns."""
    return pq.ParquetFile(str(path), filesystem=storage.filesystem(path)).read(columns)


def is_whole(path: Path) -> bool:
    """Return whether a part's bytes are those that its name says."""
    match = _PART.fullmatch(path.name)
    return match is not None and path.exists() and rundir.checksum(path.read_bytes()) == match[2]
