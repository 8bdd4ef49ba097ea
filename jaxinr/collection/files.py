"""Files of the published COIN collection's rows, read row by row, whatever is damaged in them.

JSON lines, one JSON array or one JSON object in a file (.jsonl, .ndjson, .json, each also .gz), or
Parquet. Memory holds a row of JSON, or a few dozen rows of Parquet, at a time.
"""

import codecs
import dataclasses
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxfleet.errors import InputError
from jaxinr.collection.schema import COLUMNS

JSON = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
PARQUET = ".parquet"
_SPLIT = re.compile(r"(?<![a-z])(train|validation|valid|val|dev|test)(?![a-z])")
_SKIPPED = ("collection.json", "dataset_infos.json")  # of an export, of a Hub folder
_ROWS = 32  # of a Parquet file, in memory
_BLOCK = 1 << 20  # characters of a JSON array, read at a time
_LARGEST_OBJECT = 1 << 28  # bytes of a file that is one object on several lines


@dataclasses.dataclass(frozen=True)
class Item:
    """A row of a file.

    Attributes:
        position: of the row in its file, from 0; blank lines count, so that it stays the same when
            a damaged line is mended or emptied.
        where: the same for a reader: "line 3", "row 3".
        record: the row; None if it was skipped or is damaged.
        reason: what is wrong with it, or "".
    """

    position: int
    where: str
    record: Mapping[str, Any] | None
    reason: str = ""


def find(folder: Path) -> list[Path]:
    """Return the files of rows in a folder and those below, in order; hidden ones are left out.

    Raises:
        InputError: if there are none, or JSON beside Parquet, which may be the same rows twice.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no folder; give that of the collection's files.")
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.endswith((*JSON, PARQUET))
        and path.name not in _SKIPPED
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not paths:
        raise InputError(f"{folder}: no .jsonl, .json or .parquet file; give another folder.")
    if len({path.name.endswith(PARQUET) for path in paths}) > 1:
        raise InputError(
            f"{folder}: holds JSON and Parquet, perhaps the same rows twice; give the folder of "
            "one of them."
        )
    return paths


def split_in(name: str) -> str | None:
    """Return the split in a file's name or folder: `val-00000.jsonl` is validation."""
    found = _SPLIT.findall(name.lower())
    if not found:
        return None
    return found[-1] if found[-1] in ("train", "test") else "validation"


def read(path: Path, skip: Callable[[int], bool] = lambda position: False) -> Iterator[Item]:
    """Yield the rows of a file in order; damaged rows are reported, and reading goes on.

    Behind damage that hides where the next row begins (in an array, a compressed file or a Parquet
    file) nothing is read.

    Args:
        path: of a file that `find` gives.
        skip: position -> whether that row need not be read; such rows are not given.

    Raises:
        OSError: if the file cannot be opened.
    """
    if path.name.endswith(PARQUET):
        yield from _parquet(path, skip)
        return
    opened: Any = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rb") as file:
        try:
            filled = (line.strip() for line in file if line.strip())
            first, second = next(filled, b""), next(filled, b"")
            file.seek(0)
            if first.startswith(b"["):
                yield from _array(file, skip)
            elif second and not second.startswith(b"{") and not first.endswith(b"}"):
                yield from _object(file, skip)
            else:
                yield from _lines(file, skip)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield Item(0, "somewhere", None, f"damaged as a .gz file ({error})")


def _lines(file: IO[bytes], skip: Callable[[int], bool]) -> Iterator[Item]:
    for position, line in enumerate(file):
        if not line.strip() or skip(position):
            continue
        yield _parsed(position, f"line {position + 1}", line)


def _object(file: IO[bytes], skip: Callable[[int], bool]) -> Iterator[Item]:
    if not skip(0):
        yield _parsed(0, "line 1", file.read(_LARGEST_OBJECT))


def _parsed(position: int, where: str, text: bytes) -> Item:
    try:
        return _checked(position, where, json.loads(text))
    except json.JSONDecodeError as error:
        return Item(position, where, None, f"no JSON ({error.msg} at character {error.pos + 1})")
    except UnicodeDecodeError:
        return Item(position, where, None, "no text")


def _array(file: IO[bytes], skip: Callable[[int], bool]) -> Iterator[Item]:
    """Return the elements of [..., ...], decoded as far as they have been read."""
    decoder = json.JSONDecoder()
    characters = codecs.getincrementaldecoder("utf-8")("replace")
    text, line, position, ended = "", 1, 0, False
    started = False
    while True:
        stripped = text.lstrip(" \t\r\n," if started else " \t\r\n[")
        line += text[: len(text) - len(stripped)].count("\n")
        text = stripped
        if text:
            started = True
            if text[0] == "]":
                return
            try:
                value, end = decoder.raw_decode(text)
            except json.JSONDecodeError as error:
                if ended:
                    reason = f"no JSON ({error.msg}), the rest of the file is not read"
                    yield Item(position, f"line {line + error.lineno - 1}", None, reason)
                    return
            else:
                if not skip(position):
                    yield _checked(position, f"line {line}", value)
                line += text[:end].count("\n")
                text, position = text[end:], position + 1
                continue
        elif ended:
            yield Item(position, f"line {line}", None, "the array has no end")
            return
        block = file.read(max(_BLOCK, len(text)))  # doubled, so that no row is decoded often
        ended = not block
        text += characters.decode(block)


def _checked(position: int, where: str, value: Any) -> Item:
    if not isinstance(value, dict):
        return Item(position, where, None, "no object with names")
    return Item(position, where, value)


def _parquet(path: Path, skip: Callable[[int], bool]) -> Iterator[Item]:
    position = 0
    try:
        with pq.ParquetFile(path) as file:
            # A table without weights lacks this column alone; a row of JSON that does is damaged.
            lacking = set(COLUMNS) - set(file.schema_arrow.names)
            bare: dict[str, Any] = {"best_model": {}} if lacking == {"best_model"} else {}
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if all(skip(position + row) for row in range(count)):
                    position += count
                    continue
                for batch in file.iter_batches(_ROWS, [group]):
                    for row in range(len(batch)):
                        if not skip(position):
                            record = {**bare, **batch.slice(row, 1).to_pylist()[0]}
                            yield Item(position, f"row {position + 1}", record)
                        position += 1
    except (pa.ArrowInvalid, OSError) as error:
        reason = f"damaged as a Parquet file ({str(error).splitlines()[0]})"
        yield Item(position, f"row {position + 1}", None, reason)
