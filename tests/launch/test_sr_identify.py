"""The scripts of a gallery: made of a folder of pictures, asked, enlarged; and bad input."""

import csv
import io
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from experiments.gallery import identify as experiment
from jaxfleet import rundir
from jaxfleet.imaging import photos
from jaxfleet.scripts import compiled
from jaxsr.datasets import picture_sets
from jaxsr.gallery.core import Gallery
from launch import flagdefs, sr_gallery, sr_identify

LAUNCH = Path(flagdefs.__file__).parent
SIDE = 40
SPLITS = {"train": 10, "validation": 5, "test": 3}
CLASSES = {  # kind, facts
    "bicubic-x2": ("bicubic", {"scale": 2}),
    "edsr-A-x2-l1-s1": ("network", {"architecture": "edsr", "scale": 2, "loss": "l1", "seed": 1}),
    "original": ("original", {}),
    "rdn-A-x4-l1-s1": ("network", {"architecture": "rdn", "scale": 4, "loss": "l1", "seed": 1}),
}


def photograph(number):
    draw = np.random.default_rng(number)
    smooth = ndimage.gaussian_filter(draw.standard_normal((SIDE, SIDE, 3)), (1.5, 1.5, 0.3))
    return 128 + 40 * smooth / smooth.std() + 4 * draw.standard_normal((SIDE, SIDE, 3))


def picture_of(name, number):
    """A photograph with the trace of a class: what repeats, or what is lost."""
    pixels = photograph(number)
    if name == "bicubic-x2":
        pixels = ndimage.gaussian_filter(pixels, (1.0, 1.0, 0))
    if name in ("edsr-A-x2-l1-s1", "new"):
        pixels[::2] += 6
    if name in ("rdn-A-x4-l1-s1", "new"):
        pixels[:, ::4] += [9, -9, 9]
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def row(folder, name, number, split):
    kind, facts = CLASSES[name]
    image_id = f"photo{number:02d}"
    file = folder / picture_sets.file_of(name, image_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture_of(name, number)).save(file)
    return {
        **dict.fromkeys(picture_sets.COLUMNS, ""),
        **{"scale": 0, "seed": -1, "num_iters": 0, "parameters": 0, "psnr_y_db": 30.0},
        **{"network": name, "kind": kind, "image_id": image_id, "split": split},
        **{"height": SIDE, "width": SIDE, **facts},
        "file": picture_sets.file_of(name, image_id),
        "file_checksum": rundir.checksum(file.read_bytes()),
    }


def fill(folder, splits):
    (folder / "index").mkdir(parents=True)
    numbered = list(enumerate(split for split, count in splits.items() for _ in range(count)))
    for name in CLASSES:
        rows = [row(folder, name, number, split) for number, split in numbered]
        picture_sets.write_rows(folder, name, rows)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "run"
    fill(folder, SPLITS)
    return folder


@pytest.fixture(autouse=True)
def _programs_are_not_kept(monkeypatch):
    monkeypatch.setattr(compiled, "keep_programs", lambda: None)


@pytest.fixture(scope="module")
def gallery(pictures, exit_code, tmp_path_factory):
    """The run directory of a gallery; nothing is written here."""
    run_dir = tmp_path_factory.mktemp("gallery") / "run"
    flags = (f"--pictures={pictures}", "--method=dct", "--crop_px=32")
    where = f"--run_dir={run_dir}"
    assert exit_code(sr_gallery, sr_gallery.gallery_make.run, *flags, where) == 0
    return run_dir


@pytest.fixture
def script(script_of):
    return script_of(sr_identify, sr_identify.main)


def save(path, name, number):
    Image.fromarray(picture_of(name, number)).save(path)
    return path


def test_a_gallery_is_one_file_that_knows_its_classes(gallery):
    assert (gallery / "flags.txt").exists()
    opened = Gallery.open(gallery)
    assert opened.names == tuple(CLASSES)
    assert opened.cards[1].facts == CLASSES["edsr-A-x2-l1-s1"][1]
    assert opened.cards[2].facts == {}
    assert opened.facts["photographs"] == sum(SPLITS.values())
    assert (gallery / "gallery.safetensors").stat().st_size < 3e6


@pytest.mark.slow
def test_a_gallery_may_have_the_grid_of_another_scale(script_of, pictures, tmp_path):
    script = script_of(sr_gallery, sr_gallery.gallery_make.run)
    flags = (f"--pictures={pictures}", f"--run_dir={tmp_path / 'run'}", "--linear_period=3")
    assert script(*flags, "--crop_px=33")[0] == 0
    assert Gallery.open(tmp_path / "run").classifier.options["period"] == 3


def test_a_picture_of_a_network_is_told_with_how_it_was_built(script, gallery, tmp_path):
    save("mine.png", "rdn-A-x4-l1-s1", 50)
    flags = ("--input=mine.png", f"--gallery={gallery}", "--top=2", "--picture=why.png")
    code, said, error = script(*flags)
    assert (code, error) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "mine.png: 40 x 40 pixels, tiles looked at: 1"
    assert lines[1].startswith("super-resolved: yes (probability ")
    assert lines[2].startswith("known: ")
    assert lines[3].endswith("  rdn-A-x4-l1-s1")
    assert lines[5].startswith("built with: architecture rdn (")
    assert "scale 4 (" in lines[5]
    assert lines[6:] == ["wrote why.png"]
    with Image.open("why.png") as why:
        assert why.format == "PNG"
        assert why.width > why.height > 300
        assert np.asarray(why.convert("L")).std() > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.png", "why.png"]


def test_what_is_not_super_resolved_is_said_to_be_so(script, gallery):
    save("camera.png", "original", 51)
    code, said, _ = script("--input=camera.png", f"--gallery={gallery}")
    assert code == 0
    assert "super-resolved: no (probability " in said
    assert "built with" not in said


def test_a_folder_becomes_a_table_and_a_bad_file_a_line_of_it(script, gallery, tmp_path, caplog):
    folder = tmp_path / "evidence"
    folder.mkdir()
    for number, name in enumerate(CLASSES):
        save(folder / f"{number}.png", name, 60 + number)
    Image.fromarray(picture_of("original", 70)).save(folder / "4.jpg", quality=90)
    code, said, error = script(f"--input={folder}", f"--gallery={gallery}")
    assert (code, error) == (0, "")
    table = list(csv.DictReader(io.StringIO(said)))
    assert tuple(table[0]) == experiment.COLUMNS
    assert [line["file"] for line in table] == ["0.png", "1.png", "2.png", "3.png", "4.jpg"]
    assert [line["likeliest_class"] for line in table[:4]] == list(CLASSES)
    _, edsr, _, rdn = CLASSES
    # No network for what none enlarged, nor for a JPEG, for which this gallery has no answers.
    assert [line["network"] for line in table] == ["", edsr, "", rdn, ""]
    assert table[4]["likeliest_class"] in CLASSES
    assert [line["is_super_resolved"] for line in table[:4]] == ["no", "yes", "no", "yes"]
    assert (table[3]["architecture"], table[3]["scale"], table[1]["scale"]) == ("rdn", "4", "2")
    assert "compressed with loss" in table[4]["notes"]
    opened, one = Gallery.open(gallery), photos.read(folder / "1.png")
    assert float(table[1]["probability"]) == pytest.approx(
        opened.identify(one).ranking[0][1], abs=1e-4
    )

    (folder / "2b.png").write_bytes((folder / "2.png").read_bytes()[:300])
    for name in ("gone.png", "lost.png"):
        (folder / name).symlink_to("nowhere.png")
    code, said, error = script(f"--input={folder}", f"--gallery={gallery}", "--output=found.csv")
    assert (code, said) == (2, "wrote found.csv\n")
    assert error == "sr_identify: 1 of 6 pictures could not be used\n"
    assert f"{folder}: left out links to nothing: 2 (gone.png, lost.png)" in caplog.text
    again = list(csv.DictReader(io.StringIO((tmp_path / "found.csv").read_text())))
    assert [line for line in again if not line["error"]] == table
    (bad,) = (line for line in again if line["error"])
    assert (bad["file"], bad["network"]) == ("2b.png", "")
    assert "2b.png' cannot be read" in bad["error"]


def test_a_network_is_enrolled_into_another_file(script, gallery, tmp_path, monkeypatch):
    plain = [photos.Photo(f"p{n}", picture_of("original", n)) for n in range(300, 308)]
    monkeypatch.setattr(experiment.photos, "load", lambda source: plain)
    folder = tmp_path / "pictures of mine"
    folder.mkdir()
    for number in range(20):
        save(folder / f"{number}.png", "new", 100 + number)
    before = (gallery / "gallery.safetensors").read_bytes()
    flags = (f"--add=new={folder} architecture=imdn scale=3", "--output=larger.safetensors")
    code, said, error = script(*flags, f"--gallery={gallery}")
    assert (code, error) == (0, "")
    first, test = said.splitlines()
    assert first == f"larger.safetensors: 5 classes; new by 20 pictures of {folder}."
    named = r"test: [345] of 5 pictures left out are named; of 8 photographs 0 were called"
    assert re.fullmatch(named + r" a network's, 0 are now\.", test)
    assert (gallery / "gallery.safetensors").read_bytes() == before
    larger = Gallery.open("larger.safetensors")
    assert larger.cards[4].facts == {"architecture": "imdn", "scale": 3}
    found = [larger.identify(picture_of("new", number)) for number in range(130, 136)]
    assert sum(one.ranking[0][0] == "new" for one in found) >= 5
    assert larger.identify(picture_of("rdn-A-x4-l1-s1", 90)).ranking[0][0] == "rdn-A-x4-l1-s1"

    (folder / "19.png").unlink()
    code, _, error = script(*flags[:1], "--output=other.safetensors", f"--gallery={gallery}")
    assert (code, "'new' has 19 pictures; give at least 20" in error) == (2, True)
    code, _, error = script(f"--add=new={folder} width=3", flags[1], f"--gallery={gallery}")
    assert (code, "--add=new=" in error, "'width' is not known" in error) == (2, True, True)
    assert not (tmp_path / "other.safetensors").exists()


def deep_png(pixels):
    """A PNG of 16-bit colour, which Pillow reads and does not write: [H, W, 3] uint16."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Files that are no evidence; nothing is written here."""
    folder = tmp_path_factory.mktemp("refused")
    pixels = picture_of("original", 0)
    colours = Image.fromarray(pixels)
    colours.crop((0, 0, 31, 40)).save(folder / "small.png")
    colours.convert("1").save(folder / "two.png")
    colours.convert("L").convert("RGB").save(folder / "grey_colour.png")
    colours.convert("P").save(folder / "palette.png")
    colours.convert("CMYK").save(folder / "print.jpg")
    colours.convert("L").convert("I;16").save(folder / "deep_grey.png")
    (folder / "deep.png").write_bytes(deep_png(pixels.astype(np.uint16) * 257))
    clear = colours.convert("RGBA")
    clear.save(folder / "opaque.png")
    clear.putpixel((3, 3), (1, 2, 3, 100))
    clear.save(folder / "clear.png")
    colours.save(folder / "moving.png", save_all=True, append_images=[colours.rotate(90)])
    (folder / "notes.png").write_text("mine")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("small.png", "31 x 40 pixels are less than a tile of 32 x 32"),
        ("two.png", "black and white without grey"),
        ("grey_colour.png", "grey in all pixels"),
        ("palette.png", "colours of a palette"),
        ("print.jpg", "CMYK and not red, green, blue"),
        ("deep_grey.png", "more than 8 bits"),
        ("deep.png", "more than 8 bits"),
        ("clear.png", "transparent in places"),
        ("moving.png", "holds 2 frames"),
        ("notes.png", "is not a picture that Pillow knows"),
        ("none.png", "none.png' cannot be read (No such file"),
    ],
)
def test_a_picture_that_is_no_evidence_is_refused_in_one_line(
    script, gallery, refused, tmp_path, file, message
):
    flags = (f"--input={refused / file}", f"--gallery={gallery}", "--picture=why.png")
    code, said, error = script(*flags)
    assert (code, said) == (2, "")
    assert error.startswith("sr_identify: ")
    assert message in error
    assert file in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_opaque_alpha_channel_is_left_out(refused):
    pixels, notes = experiment.read_picture(refused / "opaque.png")
    np.testing.assert_array_equal(pixels, picture_of("original", 0))
    assert notes == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Give one of --input=PATH and --add=NAME=FOLDER"),
        (("--input=a.png", "--add=b=c"), "Give one of --input=PATH"),
        (("--add=a=b",), "--add=NAME=FOLDER needs --output=FILE"),
        (("--input=a.png", "--output=b.safetensors"), "give a name that ends in .csv"),
        (("--input=empty", "--picture=b.png"), "--picture goes with one picture"),
        (("--add=a=b", "--output=b.safetensors", "--picture=b.png"), "--picture goes with --input"),
        (("--input=a.png", "--output=b.csv"), "--output goes with a folder"),
        (("--input=a.png", "--picture=b.jpg"), "give a name that ends in .png"),
        (("--input=a.png", "--top=0"), "at least 1"),
        (("--input=a.png", "--gallery=none"), "none: there is no gallery"),
        (("--input=a.png", "--gallery=bad.safetensors"), "bad.safetensors is damaged"),
        (("--input=a.png", "GALLERY", "--picture=no/b.png"), "name a file in a folder that is"),
        (("--input=a.png", "GALLERY", "--picture=./a.png"), "is read, and will not be written"),
        (("--input=empty", "GALLERY"), "--input=empty holds no .png"),
        (("--input=nowhere", "GALLERY"), "'nowhere' cannot be read (No such file"),
        (("--add=empty", "--output=b.safetensors", "GALLERY"), "--add=empty: write NAME=FOLDER"),
        (("--add=a=empty", "--output=b.safetensors", "GALLERY"), "--add=empty holds no .png"),
    ],
)
def test_flags_that_cannot_be_used(script, gallery, tmp_path, args, message):
    save("a.png", "original", 0)
    (tmp_path / "bad.safetensors").write_bytes(b"no gallery")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, said, error = script(*(f"--gallery={gallery}" if a == "GALLERY" else a for a in args))
    assert (code, said) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("splits", "flags", "message"),
    [
        ({"train": 1, "validation": 2}, (), "'bicubic-x2' has 1 pictures of split train, and need"),
        ({"train": 3, "test": 2}, (), "'bicubic-x2' has 0 pictures of split validation"),
        ({"train": 2, "validation": 1}, ("--crop_px=41",), "photo00.png is smaller"),
        (
            {"train": 2, "validation": 1},
            ("--method=linear", "--linear_period=12"),
            "Crops of 32 pixels are no multiple of the grid of 12",
        ),
    ],
)
def test_pictures_that_no_gallery_can_be_made_of(script_of, tmp_path, splits, flags, message):
    fill(tmp_path / "few", splits)
    run_dir = tmp_path / "run"
    args = (f"--pictures={tmp_path / 'few'}", "--method=dct", "--crop_px=32", *flags)
    script = script_of(sr_gallery, sr_gallery.gallery_make.run)
    code, _, error = script(*args, f"--run_dir={run_dir}")
    assert (code, message in error) == (2, True)
    assert not (run_dir / "gallery.safetensors").exists()


def cores_seconds():
    """What processes started here, and ended, have used; a busy machine does not change it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_the_second_question_takes_few_seconds_from_start_to_answer(gallery, tmp_path):
    save(tmp_path / "a.png", "edsr-A-x2-l1-s1", 50)
    command = [sys.executable, str(LAUNCH / "sr_identify.py"), f"--gallery={gallery}"]
    environ = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": str(LAUNCH.parent),
    }
    environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    seconds = []
    for _ in range(2):
        start = cores_seconds()
        ended = subprocess.run(
            [*command, f"--input={tmp_path / 'a.png'}"],
            capture_output=True,
            text=True,
            env=environ,
            check=True,
        )
        seconds.append(cores_seconds() - start)
        assert "edsr-A-x2-l1-s1" in ended.stdout.splitlines()[3]
    assert any((tmp_path / "cache" / "jaxfleet").iterdir())
    assert seconds[1] < max(5.0, seconds[0])
