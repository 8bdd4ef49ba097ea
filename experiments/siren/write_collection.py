"""A run as the files of the published COIN collection; the way back is `collection_import`.

What a row holds is in `jaxinr.collection.schema`. A folder of the collection has `json/*.jsonl.gz`
and `parquet/*.parquet`, the same rows in each, `README.md`, which is a dataset card that the
Hugging Face `datasets` library reads (another in `json` for that folder alone), and
`collection.json`.
"""

import contextlib
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.results.table import Table
from jaxinr.collection import schema as collection

CARD, SUMMARY = "README.md", "collection.json"
ROWS_PER_FILE = 4096  # about 200 MB of Parquet where networks are those of the paper
_LEVEL = 5  # of gzip: 6 and more cost time and gain a percent or two
_ENDINGS = {"json": ".jsonl.gz", "parquet": ".parquet"}


def export(
    table: Table, chosen: Any, folder: Path, *, rows_per_file: int = ROWS_PER_FILE
) -> dict[str, int]:
    """Write networks of a run as a folder of the collection; memory holds a few hundred.

    Args:
        table: of the run.
        chosen: a pandas.DataFrame with trial_id, split, image_id, num_layers and psnr_8bit_db of
            the networks; one that never had a finite loss has no weights and is left out.
        folder: a new one, an empty one, or that of an earlier export of the same run, whose files
            are replaced.
        rows_per_file: where a split is cut.

    Returns:
        split -> rows.

    Raises:
        InputError: for a folder of something else, or one that cannot be made.
        OSError: if the disk is full.
    """
    plan_hash = table.manifest["plan_hash"][:12]
    with claimed(folder, plan_hash, is_table=False):
        return _export(table, chosen, folder, plan_hash, rows_per_file)


def _export(
    table: Table, chosen: Any, folder: Path, plan_hash: str, rows_per_file: int
) -> dict[str, int]:
    chosen = chosen[chosen["psnr_8bit_db"].notna()]
    counts = {split: int((chosen["split"] == split).sum()) for split in collection.SPLITS}
    counts = {split: count for split, count in counts.items() if count}
    whole = collection.are_whole(chosen["image_id"])
    schema = collection.arrow_schema(int(chosen["num_layers"].max()), whole_ids=whole)
    with contextlib.ExitStack() as stack:
        writers = {
            split: stack.enter_context(_Writer(folder, split, count, rows_per_file, schema))
            for split, count in counts.items()
        }
        for frame in table.batches(["split", *collection.NEEDED], chosen["trial_id"].to_numpy()):
            for split, rows in frame.groupby("split", sort=False):
                records = [
                    collection.to_published(row, whole_ids=whole) for row in rows.to_dict("records")
                ]
                writers[split].write(records)
    written = {path for writer in writers.values() for path in writer.done}
    for kind, ending in _ENDINGS.items():
        for path in (folder / kind).glob(f"*{ending}"):
            if path not in written:
                path.unlink()  # of an earlier export, which had more files or fewer
    for name, path in (("parquet", folder / CARD), ("json", folder / "json" / CARD)):
        text = card(name, schema, counts, plan_hash)
        storage.write_atomically(path, text.encode())
    storage.write_atomically(folder / SUMMARY, _summary(plan_hash, counts))
    return counts


class _Writer:
    """Rows of a split, cut into files that get their names when they are whole."""

    def __init__(
        self, folder: Path, split: str, count: int, rows_per_file: int, schema: pa.Schema
    ) -> None:
        self.folder, self.split, self.limit, self.schema = folder, split, rows_per_file, schema
        self.files = -(-count // rows_per_file)
        self.done: list[Path] = []
        self._stack = contextlib.ExitStack()
        self._room = 0

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self._finish(keep=kind is None)

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        while records:
            if not self._room:
                self._finish(keep=True)
                self._begin()
            here, records = records[: self._room], records[self._room :]
            self._parquet.write_table(collection.as_arrow(here, self.schema))
            self._json.write("".join(f"{collection.as_json(r)}\n" for r in here).encode())
            self._room -= len(here)

    def _begin(self) -> None:
        number = len(self.done) // len(_ENDINGS)
        stem = f"{self.split}-{number:05}-of-{self.files:05}"
        self._paths = {kind: self.folder / kind / (stem + end) for kind, end in _ENDINGS.items()}
        opened = {}
        for kind, path in self._paths.items():
            path.parent.mkdir(exist_ok=True)
            opened[kind] = self._stack.enter_context(_hidden(path).open("wb"))
        # No name and no time in the header: the same rows give the same bytes.
        self._json = self._stack.enter_context(
            gzip.GzipFile("", "wb", _LEVEL, opened["json"], mtime=0)
        )
        self._parquet = self._stack.enter_context(
            pq.ParquetWriter(opened["parquet"], self.schema, compression="zstd")
        )
        self._room = self.limit

    def _finish(self, *, keep: bool) -> None:
        paths = getattr(self, "_paths", {})
        self._stack.close()
        for path in paths.values():
            if keep:
                _hidden(path).replace(path)
                self.done.append(path)
            else:
                _hidden(path).unlink(missing_ok=True)
        self._paths, self._room = {}, 0


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


@contextlib.contextmanager
def claimed(folder: Path, plan_hash: str, *, is_table: bool) -> Iterator[None]:
    """Create, mark and lock a folder, or refuse one that belongs to something else.

    Args:
        folder: for files of a run.
        plan_hash: of the run.
        is_table: whether they are those of `experiments.siren.collection_table`, which grow, or
            those of `export`, which are replaced.

    Raises:
        InputError: for a folder of something else, or one that cannot be made.
        InUseError: if another process writes to it.
    """
    storage.make_folder(folder, "--output")
    refusal = InputError(
        f"--output={folder}: not empty and no collection of this run; give another folder."
    )
    path, found = folder / SUMMARY, storage.names(folder)
    if found and not path.is_file():
        raise refusal
    with storage.locked(folder, SUMMARY, "--output"):  # created empty if it is absent
        if not path.stat().st_size and found in ([], [SUMMARY]):
            path.write_bytes(_summary(plan_hash, {}))
        try:
            own = json.loads(path.read_text())["plan"] == plan_hash
        except (OSError, ValueError, KeyError, TypeError):
            own = False
        if not own:
            raise refusal
        _refuse_other_files(folder, is_table)
        yield


def _refuse_other_files(folder: Path, is_table: bool) -> None:
    found = [name for name in storage.names(folder / "parquet") if name.endswith(".parquet")]
    if any(("-of-" in name) == is_table for name in found):
        other = "siren_export" if is_table else "collection_table"
        raise InputError(
            f"--output={folder} holds the files of launch/{other}.py; give another folder."
        )


def _summary(plan_hash: str, counts: Mapping[str, int]) -> bytes:
    return json.dumps({"plan": plan_hash, "rows": dict(counts)}, indent=1).encode() + b"\n"


_FIELDS = """\
| field | |
|---|---|
| `config` | `num_iters` Adam updates, `seed` of the initial weights, `image_id`, `image_size` in \
pixels (the side of a square picture, the height of any other), `layer_size` units in each of \
`num_layers` sine layers, `w0_initial` of the first of them; added to the published ones: `w0` of \
the other layers, `learning_rate` of Adam |
| `iteration_history` | updates before each entry of the histories |
| `psnr_history` | dB at each entry, of the raw output |
| `best_psnr_history` | dB, the highest so far |
| `hp_bpp`, `fp_bpp` | bits per pixel of all weights at 16 and at 32 bits each |
| `fp_psnr` | dB, of `best_model` in float32, on its decoded 8-bit picture |
| `best_model` | weights of the best step under the names of COIN's state_dict, [out, in] and \
[out]; in Parquet, null for the layers that a shallower network does not have |
"""


def card(kind: str, schema: pa.Schema, counts: Mapping[str, int], plan_hash: str) -> str:
    """Return a README.md: what `datasets` must know, then what a reader must.

    That library reads one kind of file in a folder, so the folder `json` has a card of its own.
    """
    path = "parquet/{}-*.parquet" if kind == "parquet" else "{}-*.jsonl.gz"
    return "\n".join(
        [
            *card_head(path, schema, counts),
            "# SIRENs fitted to photographs",
            "",
            "Rows in the schema of the COIN collection (`predict-SIREN-PSNR/COIN-collection`; "
            "Vonderfecht & Liu, Predicting the Encoding Error of SIRENs, TMLR 2024), one for each "
            f"network: {rows_text(counts)}. JSON lines and Parquet hold the same rows. "
            f"Plan {plan_hash}.",
            "",
            _FIELDS,
            "A number that is unknown is null in both. An exact PSNR is inf, in JSON lines "
            "`Infinity`: Python, pandas, Arrow and DuckDB read it, JavaScript does not.",
            "",
        ]
    )


def card_head(path: str, schema: pa.Schema, counts: Mapping[str, int]) -> list[str]:
    """Return the lines of a dataset card that `datasets` reads; `path` has a {} for the split."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in counts:
        lines += [f"  - split: {split}", f"    path: {path.format(split)}"]
    lines += ["dataset_info:", "- config_name: default", "  features:", *_features(schema, "  ")]
    return [*lines, "---", ""]


def rows_text(counts: Mapping[str, int]) -> str:
    """Return how many rows each split has, in words."""
    return ", ".join(f"{split} {count}" for split, count in counts.items())


def _features(fields: Any, indent: str) -> Iterator[str]:
    """Return the fields as the YAML in which a dataset card lists them."""
    for one in fields:
        yield f"{indent}- name: {one.name}"
        if pa.types.is_struct(one.type):
            yield f"{indent}  struct:"
            yield from _features(one.type, f"{indent}  ")
            continue
        kind, deeper = one.type, f"{indent}  "
        while pa.types.is_list(kind):
            if not pa.types.is_list(kind.value_type):
                yield f"{deeper}sequence: {_dtype(kind.value_type)}"
                break
            yield f"{deeper}sequence:"
            kind, deeper = kind.value_type, f"{deeper}  "
        else:
            yield f"{indent}  dtype: {_dtype(kind)}"


def _dtype(kind: pa.DataType) -> str:
    names = {pa.float32(): "float32", pa.float64(): "float64", pa.string(): "string"}
    return {**names, pa.int32(): "int32", pa.int64(): "int64"}[kind]
