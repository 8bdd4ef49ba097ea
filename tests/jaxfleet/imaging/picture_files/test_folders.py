"""What a folder of pictures holds, and what is left out of it: the table of the docs."""

import os

import numpy as np
import pytest
from PIL import Image

from jaxfleet.errors import InputError
from jaxfleet.imaging import photos, picture_files
from jaxfleet.imaging.picture_files import folders, headers

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)


def picture(path):
    Image.fromarray(PIXELS).save(path, "PNG")


def linked(path):
    picture(path.parent.parent / "elsewhere.png")
    path.symlink_to(path.parent.parent / "elsewhere.png")


# In words, name of the entry, what makes it, why it is left out.
CASES = (
    ("picture file of a known ending", "a.png", picture, ""),
    ("ending in capitals", "b.JPG", picture, ""),
    ("link to a picture", "c.tiff", linked, ""),
    ("link to nothing", "d.png", lambda path: path.symlink_to("nothing.png"), "links to nothing"),
    ("link to itself", "l.png", lambda path: path.symlink_to("l.png"), "links to nothing"),
    ("link to nothing, of any name", "m", lambda path: path.symlink_to("no"), "links to nothing"),
    ("subfolder, whatever its name", "e.png", lambda path: path.mkdir(), "subfolders"),
    ("pipe", "f.png", os.mkfifo, "not regular files"),
    ("HEIC without pillow-heif", "g.HEIC", picture, headers.HEIF_ADVICE),
    ("file of another kind", "h.txt", picture, "files of other kinds"),
    ("hidden picture", "._a.jpg", picture, "hidden files"),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """All of them in one folder, without pillow-heif."""
    monkeypatch.setattr(headers, "has_heif", lambda: False)
    (tmp_path / "it").mkdir()
    for _, name, make, _ in CASES:
        make(tmp_path / "it" / name)
    folders.tell.cache_clear()
    return tmp_path / "it"


def test_each_entry_is_taken_or_left_out_with_the_reason(folder):
    listing = picture_files.list_folder(folder, "it")
    assert [path.name for path in listing.taken] == [name for _, name, _, why in CASES if not why]
    for _, name, _, why in CASES:
        assert (name in listing.left_out.get(why, ())) == bool(why)
    assert sum(map(len, listing.left_out.values())) == sum(bool(why) for *_, why in CASES)


def test_the_table_of_the_docs(documented):
    rows = [(what, f"left out: {why}" if why else "read") for what, _, _, why in CASES]
    documented("Folders", ("Entry", "Outcome"), rows)


def test_what_is_left_out_is_said_once_with_counts(folder, caplog):
    for _ in range(2):
        loaded = photos.load(f"folder:{folder}")
    assert [photo.image_id for photo in loaded] == ["a", "b", "c"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        f"folder:{folder}: left out hidden files: 1 (._a.jpg); links to nothing: 3 (d.png, l.png, "
        "m); subfolders: 1 (e.png); not regular files: 1 (f.png); HEIC, which needs pillow-heif "
        "(pip install 'jaxfleet[heic]'): 1 (g.HEIC); files of other kinds: 1 (h.txt)"
    )


def test_conversions_are_said_by_source_with_names(tmp_path, caplog):
    folders.tell.cache_clear()
    for index in range(5):
        Image.fromarray(PIXELS[..., 0]).save(tmp_path / f"grey{index}.png")
    Image.fromarray(PIXELS).save(tmp_path / "colour.png")
    photos.load(f"folder:{tmp_path}")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"folder:{tmp_path}: grey as colour (5: grey0, grey1, grey2 and 2 more)"


def test_a_folder_without_pictures_says_what_it_has(tmp_path):
    picture(tmp_path / "notes.txt")
    (tmp_path / "more").mkdir()
    with pytest.raises(InputError, match=r"left out subfolders: 1 \(more\); files of oth"):
        picture_files.list_folder(tmp_path, "it")


def test_a_name_that_is_no_utf8_makes_an_image_id_that_is(tmp_path):
    picture(tmp_path / os.fsdecode(b"caf\xe9.png"))
    (photo,) = photos.load(f"folder:{tmp_path}")
    assert photo.image_id == r"caf\xe9"
