"""File names of all kinds, from a folder of photographs to a table and a file beside them."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)

# In words, name of the file without its ending, image_id if it is another.
CASES = (
    ("spaces and quotes", "my 'old' \"photo\"", None),
    ("letters of any script, emoji", "café 猫 🐈", None),
    ("commas, equals signs, percent signs, brackets", "a,b=c%d#e[1]", None),
    ("several dots", "scan.v2.final", None),
    ("a name of 255 bytes", "x" * 251, None),
    ("bytes that are not UTF-8", os.fsdecode(b"caf\xe9"), r"caf\xe9"),
    ("a line break", "two\nlines", None),
    ("a leading dash", "-o", None),
)


@pytest.mark.parametrize(("name", "image_id"), [case[1:] for case in CASES])
def test_names_reach_tables_and_files(tmp_path, name, image_id):
    path = tmp_path / f"{name}.png"
    with path.open("wb") as file:
        Image.fromarray(PIXELS).save(file, "PNG")
    (photo,) = photos.load(f"folder:{tmp_path}")
    assert photo.image_id == (image_id or name)
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    np.testing.assert_array_equal(photos.read(path), PIXELS)
    storage.write_atomically(path, b"new")  # with a temporary name that is not longer
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"new"
    pq.write_table(pa.table({"image_id": [photo.image_id]}), tmp_path / "table")
    assert pq.read_table(tmp_path / "table")["image_id"].to_pylist() == [photo.image_id]


def test_names_that_differ_in_the_ending_alone_are_refused(tmp_path):
    for ending in ("png", "jpg"):
        Image.fromarray(PIXELS).save(tmp_path / f"a.{ending}")
    with pytest.raises(InputError, match="would both be image_id 'a'. Rename or remove one"):
        photos.load(f"folder:{tmp_path}")


def test_the_table_of_the_docs(documented):
    rows = [
        (what, f"read; called `{image_id}` in tables" if image_id else "read")
        for what, _, image_id in CASES
    ]
    rows.append(("two that differ in the ending alone", "refused: rename or remove one"))
    documented("Names of files", ("Name", "Outcome"), rows)
