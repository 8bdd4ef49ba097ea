"""The table of a run: rows and weights, read from disk as far as they are asked for."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxfleet import rundir, storage
from jaxfleet.errors import InputError
from jaxfleet.results.showing import Tabular, counted
from jaxfleet.results.store import PARTS, is_whole

SHAPES = "layer_shapes"  # column of out and in of every layer in turn, where a run has it


class Table(Tabular):
    """Rows of a run directory, each trial once; get one from `open`."""

    def __init__(self, run_dir: Path) -> None:
        """Read the manifest, and which trials are there."""
        self.run_dir = run_dir
        self.manifest = rundir.read(run_dir)
        if self.manifest["kind"] != rundir.TABLE:
            raise InputError(
                f"{run_dir} holds a run of launch/{self.manifest['kind']}.py, which has no table "
                "of networks; give another."
            )
        self._files = self._listed()

    def __len__(self) -> int:
        """Return the rows."""
        return len(self._index[0])

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"Table({self.run_dir}: {counted(len(self), 'row')}, "
            f"{counted(len(self.columns), 'column')})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: numbers and names, without histories and weights."""
        flat = [f.name for f in self._schema if not pa.types.is_list(f.type)] if self._files else []
        html: str = self.to_pandas(flat)._repr_html_() if flat else repr(self)
        return html

    @property
    def trial_ids(self) -> np.ndarray:
        """[N] int64, ascending."""
        return self._index[0]

    @property
    def columns(self) -> list[str]:
        """Names of the columns; none before the first network is finished."""
        try:
            return self._schema.names if self._files else []
        except (pa.ArrowInvalid, OSError):
            if self._were_merged():
                return self.columns
            self._refuse_damage()
            raise

    def to_pandas(self, columns: Sequence[str] | None = None, filters: Any = None) -> Any:
        """Return a pandas.DataFrame, sorted by trial_id.

        Args:
            columns: which; None for all but `weights`, which take most of the room.
            filters: as pyarrow takes them, e.g. [("psnr_db", ">", 30)].

        Raises:
            InputError: if nothing is finished yet, or a part cannot be read as it was written.
        """
        if not self._files:
            raise InputError(f"{self.run_dir} holds no finished networks yet.")
        try:
            if columns is None:
                columns = [name for name in self.columns if name != "weights"]
            names = list(dict.fromkeys(["trial_id", *columns]))
            table = pq.read_table(
                [str(path) for path in self._files],
                columns=names,
                filters=filters,
                filesystem=storage.filesystem(self.run_dir),
                schema=self._schema,
            )
        except (pa.ArrowInvalid, OSError):
            if self._were_merged():
                return self.to_pandas(columns, filters)
            self._refuse_damage()
            raise
        # Two processes that were given the same work by mistake may both have written a trial.
        place = np.unique(table["trial_id"].to_numpy(), return_index=True)[1]
        return table.take(place).select(list(columns)).to_pandas()

    def batches(self, columns: Sequence[str], trial_ids: np.ndarray | None = None) -> Iterator[Any]:
        """Return rows as pandas.DataFrames of at most a few hundred, so that weights fit in memory.

        Every part is read once; rows come as they lie in them, parts in the order of their least
        trial_id.

        Args:
            columns: which.
            trial_ids: of the rows that are wanted; None for all.

        Raises:
            InputError: if a part cannot be read as it was written.
        """
        ids, files, rows = self._index
        if trial_ids is not None:
            wanted = np.isin(ids, trial_ids)
            ids, files, rows = ids[wanted], files[wanted], rows[wanted]
        left = ids
        for number in dict.fromkeys(files.tolist()):
            own = np.sort(rows[files == number])
            try:
                file, start = self._file(number), 0
                for group in range(file.num_row_groups):
                    end = start + file.metadata.row_group(group).num_rows
                    here = own[(own >= start) & (own < end)] - start
                    if len(here):
                        yield file.read_row_group(group, list(columns)).take(here).to_pandas()
                        given = (files == number) & np.isin(rows, here + start)
                        left = np.setdiff1d(left, ids[given])
                    start = end
            except (pa.ArrowInvalid, OSError):
                if self._were_merged():
                    yield from self.batches(columns, left)
                    return
                self._refuse_damage()
                raise

    def weights(self, row: Any) -> tuple[dict[str, np.ndarray], ...]:
        """Return the layers `{"weight": [out, in], "bias": [out]}` of a row, or of a trial_id.

        Raises:
            InputError: if there is no such trial.
        """
        alone = isinstance(row, int | np.integer)
        if alone or "weights" not in row or (SHAPES not in row and SHAPES in self.columns):
            row = self._row(int(row if alone else row["trial_id"]))
        flat = np.asarray(row["weights"], np.float32)
        if isinstance(row.get(SHAPES), Sequence | np.ndarray):  # null otherwise
            return unflatten_layers(flat, np.reshape(row[SHAPES], (-1, 2)).tolist())
        network = self.manifest["network"]
        sizes = [network["inputs"], *[int(row["layer_size"])] * int(row["num_layers"])]
        return unflatten(flat, [*sizes, network["outputs"]])

    @functools.cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[N] trial_id ascending, the file of each, and its row there."""
        empty = np.zeros(0, np.int64)
        ids, files, rows = [empty], [empty], [empty]
        for number in range(len(self._files)):
            try:
                with self._file(number) as file:  # threads cost more than they save here
                    found = file.read(["trial_id"], use_threads=False)["trial_id"].to_numpy()
            except (pa.ArrowInvalid, OSError):
                if self._were_merged():
                    return self._index
                self._refuse_damage()
                raise
            ids.append(found)
            files.append(np.full(len(found), number))
            rows.append(np.arange(len(found)))
        unique, first = np.unique(np.concatenate(ids), return_index=True)
        return unique, np.concatenate(files)[first], np.concatenate(rows)[first]

    @functools.cached_property
    def _schema(self) -> pa.Schema:
        """The schema of all parts together; a part without a column reads it as null."""
        return pa.unify_schemas([self._file(i).schema_arrow for i in range(len(self._files))])

    def _file(self, number: int) -> pq.ParquetFile:
        path = self._files[number]
        return pq.ParquetFile(str(path), filesystem=storage.filesystem(path))

    def _row(self, trial_id: int) -> Mapping[str, Any]:
        ids, files, rows = self._index
        at = int(np.searchsorted(ids, trial_id))
        if at == len(ids) or ids[at] != trial_id:
            raise InputError(f"{self.run_dir} has no row with trial_id {trial_id}.")
        try:
            file, row = self._file(int(files[at])), int(rows[at])
        except (pa.ArrowInvalid, OSError):
            if self._were_merged():
                return self._row(trial_id)
            self._refuse_damage()
            raise
        group = 0
        while row >= (size := file.metadata.row_group(group).num_rows):
            row, group = row - size, group + 1
        names = [n for n in ("layer_size", "num_layers", SHAPES) if n in file.schema_arrow.names]
        chunk = file.read_row_group(group, columns=[*names, "weights"])
        return {name: chunk[name][row].as_py() for name in names} | {
            "weights": chunk["weights"][row].values.to_numpy()
        }

    def _listed(self) -> list[Path]:
        folder = self.run_dir / PARTS
        return [folder / name for name in storage.names(folder) if name.endswith(".parquet")]

    def _were_merged(self) -> bool:
        """Return whether a writer replaced parts by merged ones; use the new ones from now on."""
        before, now = set(self._files), self._listed()
        if not before - set(now) or not set(now) - before:
            return False
        self._files = now
        for name in ("_index", "_schema"):
            self.__dict__.pop(name, None)
        return True

    def _refuse_damage(self) -> None:
        for path in self._files:
            if not is_whole(path):
                raise InputError(
                    f"{path}: damaged or missing; repeat the command of the run, which fits its "
                    "networks again."
                ) from None


def open(run_dir: str | Path) -> Table:
    """Open the table of a run directory, local or a URL.

    Raises:
        InputError: if the directory holds no run.
    """
    return Table(storage.location(run_dir) if isinstance(run_dir, str) else run_dir)


def flatten(layers: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return [P] float32: layer by layer, weight [out, in] row by row, then bias."""
    return np.concatenate(
        [np.ravel(layer[name]) for layer in layers for name in ("weight", "bias")]
    ).astype(np.float32)


def unflatten(flat: np.ndarray, sizes: Sequence[int]) -> tuple[dict[str, np.ndarray], ...]:
    """Invert `flatten` for a network with these layer sizes, inputs first.

    Raises:
        ValueError: if the number of parameters is another.
    """
    shapes = list(zip(sizes[1:], sizes, strict=False))
    return _split(flat, shapes, f"layer sizes {list(sizes)}")


def unflatten_layers(
    flat: np.ndarray, shapes: Sequence[tuple[int, int]]
) -> tuple[dict[str, np.ndarray], ...]:
    """Invert `flatten` for a network whose layers have these shapes (out, in).

    Raises:
        ValueError: if the number of parameters is another.
    """
    return _split(flat, shapes, f"layers (out, in) {list(shapes)}")


def _split(
    flat: np.ndarray, shapes: Sequence[tuple[int, int]], what: str
) -> tuple[dict[str, np.ndarray], ...]:
    expected = sum(out * (fan_in + 1) for out, fan_in in shapes)
    if flat.shape != (expected,):
        raise ValueError(f"{what} need {expected} weights; got {flat.shape}.")
    layers, start = [], 0
    for out, fan_in in shapes:
        end = start + out * fan_in
        layers.append(
            {"weight": flat[start:end].reshape(out, fan_in), "bias": flat[end : end + out]}
        )
        start = end + out
    return tuple(layers)
