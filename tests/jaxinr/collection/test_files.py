"""Rows of files in every form, whole and damaged."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxfleet.errors import InputError
from jaxinr.collection import files as collection_files
from jaxinr.collection.schema import COLUMNS

ROWS = [{"a": i, "text": "é" * i} for i in range(5)]
LINES = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS, indent=1, ensure_ascii=False).encode()


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def rows(path, **options):
    return [item.record for item in collection_files.read(path, **options)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl.gz", LINES),
        ("a.json", LINES),
        ("a.json.gz", LINES),
        ("a.json", ARRAY),
        ("a.json.gz", ARRAY),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.jsonl", LINES.replace(b"\n", b"\r\n\n").rstrip()),
    ],
)
def test_json_in_every_form(tmp_path, name, content, monkeypatch):
    monkeypatch.setattr(collection_files, "_BLOCK", 7)  # cuts rows and letters
    assert rows(write(tmp_path / name, content)) == ROWS


def test_parquet_and_single_objects(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    assert rows(tmp_path / "a.parquet") == ROWS
    assert rows(tmp_path / "a.parquet", skip=lambda i: i in (0, 1, 3)) == [ROWS[2], ROWS[4]]
    assert rows(write(tmp_path / "b.json", json.dumps(ROWS[3], indent=2).encode())) == [ROWS[3]]
    assert rows(write(tmp_path / "c.json", json.dumps(ROWS[3]).encode())) == [ROWS[3]]
    assert rows(write(tmp_path / "d.json", b"")) == []


def test_parquet_table_without_weights_has_empty_ones(tmp_path):
    published = {name: [1] for name in COLUMNS if name != "best_model"}
    pq.write_table(pa.Table.from_pylist([published]), tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == [{**published, "best_model": {}}]
    del published["config"]  # lacks more than weights: damaged, as it is
    pq.write_table(pa.Table.from_pylist([published]), tmp_path / "b.parquet")
    assert rows(tmp_path / "b.parquet") == [published]


@pytest.mark.parametrize("content", [LINES, ARRAY])
def test_rows_that_are_skipped_keep_the_places_of_the_others(tmp_path, content):
    path = write(tmp_path / "a.json", content)
    found = list(collection_files.read(path, lambda position: position < 3))
    assert [(item.position, item.record) for item in found] == list(enumerate(ROWS))[3:]


def test_damaged_line_is_told_and_the_others_are_read(tmp_path):
    lines = LINES.splitlines()
    lines[1], lines[3] = lines[1][:-1], b"[1, 2]"
    lines.insert(2, b"")
    found = list(collection_files.read(write(tmp_path / "a.jsonl", b"\n".join(lines))))
    assert [item.position for item in found] == [0, 1, 3, 4, 5]
    assert [item.record for item in found] == [ROWS[0], None, ROWS[2], None, ROWS[4]]
    assert found[1].where == "line 2"
    assert found[1].reason.startswith("no JSON (")
    assert (found[3].where, found[3].reason) == ("line 5", "no object with names")


def test_first_line_may_be_the_damaged_one(tmp_path):
    lines = LINES.splitlines()
    lines[0] = lines[0][:-1]
    for name in ("a.jsonl", "a.json"):
        found = list(collection_files.read(write(tmp_path / name, b"\n".join(lines))))
        assert [item.record for item in found] == [None, *ROWS[1:]]


def test_damage_that_hides_what_follows(tmp_path):
    *good, bad = collection_files.read(write(tmp_path / "a.json", ARRAY[: ARRAY.index(b"3")]))
    assert [item.record for item in good] == ROWS[:3]
    assert (bad.where, bad.position, bad.record) == ("line 15", 3, None)
    assert "the rest of the file is not read" in bad.reason
    *good, bad = collection_files.read(write(tmp_path / "b.json", ARRAY[:-1]))
    assert [item.record for item in good] == ROWS
    assert bad.reason == "the array has no end"
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(LINES)[:-12])
    assert list(collection_files.read(tmp_path / "c.jsonl.gz"))[-1].reason.startswith("damaged as")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    write(tmp_path / "d.parquet", (tmp_path / "d.parquet").read_bytes()[:-20])
    (bad,) = collection_files.read(tmp_path / "d.parquet")
    assert (bad.where, bad.reason[:25]) == ("row 1", "damaged as a Parquet file")


def test_files_of_a_folder(tmp_path):
    for name in ("b.jsonl", "a/2.json", ".cache/x.json", "README.md", "a/.x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = [str(path.relative_to(tmp_path)) for path in collection_files.find(tmp_path)]
    assert found == ["a/2.json", "b.jsonl"]
    (tmp_path / "b.parquet").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="perhaps the same rows twice"):
        collection_files.find(tmp_path)
    with pytest.raises(InputError, match="no .jsonl, .json or .parquet file"):
        collection_files.find(tmp_path / "empty")
    with pytest.raises(InputError, match="no folder; give that"):
        collection_files.find(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("data/VAL.json", "validation"),
        ("validation/part_1.json", "validation"),
        ("dev.json", "validation"),
        ("train/test-0.json", "test"),
        ("trained.json", None),
        ("device/contest.json", None),
    ],
)
def test_split_that_a_name_says(name, split):
    assert collection_files.split_in(name) == split
