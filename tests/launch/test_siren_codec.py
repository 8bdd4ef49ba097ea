"""The script: what it prints, what it writes, and what it says to bad input."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.siren import codec as siren_codec
from jaxfleet import resumable
from jaxfleet.checkpoints import Checkpoints
from jaxinr.kernels import host
from launch import flagdefs
from launch import siren_codec as siren_codec_script

LAUNCH = Path(flagdefs.__file__).parent
QUICK = ("--num_iters=300", "--refine_iters=10", "--learning_rate=3e-3")


@pytest.fixture
def script(script_of):
    return script_of(siren_codec_script, siren_codec.run)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of all kinds; nothing is written here."""
    path = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:24, :20] / 8.0
    waves = np.stack([np.sin(x + y), np.cos(x - y / 2), np.sin(y)], axis=-1)
    colours = Image.fromarray(np.round(127.5 + 120 * waves).astype(np.uint8))
    colours.save(path / "colour.png")
    colours.convert("L").save(path / "grey.png")
    colours.convert("P").save(path / "palette.png")
    colours.convert("RGBA").save(path / "opaque.png")
    clear = colours.convert("RGBA")
    clear.putpixel((3, 3), (1, 2, 3, 100))
    clear.save(path / "clear.png")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path / "deep.png")
    data = (path / "colour.png").read_bytes()
    (path / "cut.png").write_bytes(data[: len(data) // 2])
    (path / "notes.txt").write_text("mine")
    return path


def psnr_in(text):
    return re.search(r"^PSNR (\S+) dB", text, re.MULTILINE)[1]


def test_there_and_back(script, folder, tmp_path):
    picture = folder / "colour.png"
    code, said, progress = script(
        f"--input={picture}", "--output=it.srn", "--bits_per_pixel=3", *QUICK
    )
    assert code == 0
    size = (tmp_path / "it.srn").stat().st_size
    assert size <= 180
    assert f"{size} bytes, {size * 8 / 480:.4f} bits per pixel" in said
    assert "20 x 24 pixels, colour, centers coordinates" in said
    assert re.search(r"JPEG needs at least \S+ bits per pixel \(", said)
    assert "12/12 trainings, " in progress  # two networks: three stages, and three of five layers
    assert float(psnr_in(said)) > 18

    # In a process of its own, so that nothing but the file can carry the picture over.
    back = subprocess.run(
        [
            sys.executable, LAUNCH / "siren_codec.py", "--mode=decode", "--input=it.srn",
            "--output=back.png", f"--reference={picture}",
        ],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert psnr_in(back) == psnr_in(said)
    pair = [siren_codec.read_picture(path)[0] for path in (tmp_path / "back.png", picture)]
    error = pair[0].astype(float) - pair[1]
    assert f"{10 * np.log10(255**2 / np.mean(error**2)):.4f}" == psnr_in(said)

    code, info, _ = script("--mode=info", "--input=it.srn")
    assert code == 0
    assert info.strip() in said

    code, said, _ = script("--mode=decode", "--input=it.srn", "--output=large.png", "--height=48")
    assert code == 0
    assert "40 x 48 pixels" in said
    assert siren_codec.read_picture(tmp_path / "large.png")[0].shape == (48, 40, 3)

    code, _, error = script("--mode=decode", "--input=it.srn", "--output=back.png")
    assert (code, "--output=back.png is there already; --overwrite" in error) == (2, True)
    again = ("--mode=decode", "--input=it.srn", "--output=back.png", "--overwrite")
    code, _, error = script(*again, f"--reference={picture}", "--height=48")
    assert (code, "--reference=" in error) == (2, True)
    assert script(*again)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"it.srn", "back.png", "large.png"}


def test_grey_is_kept(script, folder, tmp_path):
    flags = ("--num_layers=2", "--layer_size=8", "--num_iters=5", "--refine_iters=0")
    code, said, _ = script(f"--input={folder / 'grey.png'}", "--output=it.srn", *flags)
    assert code == 0
    assert "20 x 24 pixels, grey" in said
    assert "JPEG" not in said
    code, back, _ = script(
        "--mode=decode", "--input=it.srn", "--output=it.png", f"--reference={folder / 'grey.png'}"
    )
    assert psnr_in(back) == psnr_in(said)
    assert siren_codec.read_picture(tmp_path / "it.png")[0].shape == (24, 20)


def test_pictures_are_read_as_they_are(folder):
    colours, note = siren_codec.read_picture(folder / "colour.png")
    assert (colours.shape, note) == ((24, 20, 3), [])
    opaque, note = siren_codec.read_picture(folder / "opaque.png")
    np.testing.assert_array_equal(opaque, colours)
    assert "opaque throughout, is left out" in note[0]
    assert siren_codec.read_picture(folder / "grey.png")[0].shape == (24, 20)
    assert siren_codec.read_picture(folder / "palette.png")[0].shape == (24, 20, 3)


def test_turned_photographs_are_set_upright(folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    with Image.open(folder / "colour.png") as picture:
        picture.save(tmp_path / "turned.png", exif=exif)
    assert siren_codec.read_picture(tmp_path / "turned.png")[0].shape == (20, 24, 3)


ENCODE, DECODE = ("--output=x.srn", "--bits_per_pixel=3"), ("--mode=decode", "--output=x.png")
BAD = [
    ([], "--input=FILE is missing"),
    (["--input=colour.png"], "--output=FILE is missing"),
    (["--input=colour.png", "--output=x.srn"], "give --bits_per_pixel, or --num_layers and"),
    (["--input=colour.png", *ENCODE, "--layer_size=3"], "belong together"),
    (["--input=colour.png", *ENCODE, "--layer_size=3", "--num_layers=2"], "give --bits_per_pixel"),
    (["--input=colour.png", "--output=a/b.srn", "--bits_per_pixel=3"], "there is no folder a"),
    (["--input=colour.png", "--output=x.srn", "--bits_per_pixel=0.5"], "allows 30 bytes; the"),
    (["--input=colour.png", "--output=.", "--bits_per_pixel=3"], "--output=. is a folder; name"),
    (["--input=colour.png", "--output=x.srn", "--bits_per_pixel=-1"], "must be positive"),
    (["--input=colour.png", *ENCODE, "--layer_size=257"], "expected an integer from 1 to 256"),
    (["--input=none.png", *ENCODE], "'none.png' cannot be read (No such file or directory)"),
    (["--input=notes.txt", *ENCODE], "'notes.txt' is not a picture that Pillow knows"),
    (["--input=cut.png", *ENCODE], "'cut.png' cannot be read (OSError: image file is truncated"),
    (["--input=clear.png", *ENCODE], "clear.png is transparent, which is not kept"),
    (["--input=deep.png", *ENCODE], "deep.png has more than 8 bits per channel"),
    (["--input=colour.png", *DECODE], "siren_codec: colour.png: this is no SIREN picture"),
    (["--input=none.srn", *DECODE], "'none.srn' cannot be read (No such file"),
    (["--mode=decode", "--input=x.srn", "--output=x.jpg"], "pictures are written as .png"),
    (
        ["--mode=info", "--input=notes.txt"],
        "notes.txt: the file is too short to be a SIREN picture. Give",
    ),
    (["--mode=info", "--input=."], "'.' cannot be read (Is a directory)"),
    (["--mode=draw"], "expected one of encode, decode, info"),
]


@pytest.mark.parametrize(("args", "message"), BAD)
def test_bad_input_is_one_line_and_leaves_nothing(script, folder, monkeypatch, args, message):
    before = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    code, said, error = script(*args)
    assert code == 2
    assert message in error
    assert error.startswith("siren_codec: ")
    assert error.count("\n") == 1
    assert said == ""
    assert sorted(folder.iterdir()) == before


def test_interrupted_encoding_leaves_nothing(script, folder, tmp_path, monkeypatch):
    def stop(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(siren_codec.codec.stages, "fit", stop)
    code, _, error = script(f"--input={folder / 'colour.png'}", *ENCODE)
    assert code == 130
    assert "interrupted" in error
    assert not list(tmp_path.iterdir())


def test_an_encoding_that_was_interrupted_goes_on(script, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(host, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr("jaxinr.kernels.network.TURN_FLOPS", 1e6)
    save = Checkpoints.save

    def interrupted(self, tree):
        save(self, tree)
        signal.raise_signal(signal.SIGINT)

    name = f"{'n' * 251}.srn"  # as long as a name may be
    flags = ("--num_layers=2", "--layer_size=8", "--num_iters=40", "--refine_iters=8")
    encode = f"--input={folder / 'colour.png'}", *flags
    assert script(*encode, "--output=whole.srn")[0] == 0
    monkeypatch.setattr(Checkpoints, "save", interrupted)
    code, _, said = script(*encode, f"--output={name}")
    assert (code, "interrupted; repeat the command to go on." in said) == (130, True)
    assert siren_codec.checkpoint_of(tmp_path / name).is_dir()
    monkeypatch.setattr(Checkpoints, "save", save)
    code, _, said = script(*encode, f"--output={name}")
    assert (code, "Goes on from " in said) == (0, True)
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole.srn").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {name, "whole.srn"}
