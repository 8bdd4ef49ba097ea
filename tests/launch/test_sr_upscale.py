"""The script: what it prints, what it writes, and what it says to bad input."""

import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from safetensors import numpy as safetensors
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

import jaxsr
from jaxfleet.imaging import photos
from jaxsr.datasets import degrade
from launch import sr_upscale

SIZE = {"num_features": 4, "num_blocks": 1}


@pytest.fixture
def script(script_of):
    return script_of(sr_upscale, sr_upscale.main)


def chunk(kind, data):
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def deep_png(pixels):
    """A PNG of 16-bit colour, which Pillow reads and does not write: [H, W, 3] uint16."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of all kinds and networks; nothing is written here."""
    path = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:24, :20] / 8.0
    waves = np.stack([np.sin(x + y), np.cos(x - y / 2), np.sin(y)], axis=-1)
    pixels = np.round(127.5 + 120 * waves).astype(np.uint8)
    colours = Image.fromarray(pixels)
    colours.save(path / "colour.png")
    kinds = path / "kinds"
    kinds.mkdir()
    Image.fromarray(degrade.bicubic_reduce(pixels, 2)).save(path / "reduced.png")
    colours.save(kinds / "colour.jpg", quality=95)
    colours.convert("L").save(kinds / "grey.png")
    colours.convert("CMYK").save(kinds / "print.jpg")
    clear = colours.convert("RGBA")
    clear.putpixel((3, 3), (1, 2, 3, 100))
    clear.save(kinds / "clear.png")
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 999).save(kinds / "deep.png")
    (kinds / "deep_colour.png").write_bytes(deep_png(pixels.astype(np.uint16) * 257))
    (kinds / "notes.txt").write_text("mine")

    (path / "notes.txt").write_text("mine")
    (path / "empty").mkdir()
    data = (path / "colour.png").read_bytes()
    (path / "cut.png").write_bytes(data[: len(data) // 2])
    (path / "twice").mkdir()
    colours.save(path / "twice" / "a.png")
    colours.save(path / "twice" / "a.jpg")

    network = jaxsr.build("edsr", scale=2, **SIZE)
    file = path / "edsr.safetensors"
    jaxsr.save(network, file, architecture="edsr", scale=2, overrides=SIZE)
    (path / "cut.safetensors").write_bytes(file.read_bytes()[:-9])
    safetensors.save_file(safetensors.load_file(file), path / "published.safetensors")
    return path


def read(path):
    return np.asarray(Image.open(path))


def test_a_picture_is_enlarged_into_the_current_folder(script, folder, tmp_path):
    model, picture = folder / "edsr.safetensors", folder / "colour.png"
    code, said, error = script(f"--model={model}", f"--input={picture}")
    assert (code, error) == (0, "")
    line = r"\S+colour.png: 20 x 24 to 40 x 48 pixels, \d+\.\d s, wrote colour_x2.png\n"
    assert re.fullmatch(line, said)
    expected = jaxsr.upscale(jaxsr.load(model), photos.read(picture))
    np.testing.assert_array_equal(read(tmp_path / "colour_x2.png"), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["colour_x2.png"]

    code, _, error = script(f"--model={model}", f"--input={picture}")
    assert (code, "colour_x2.png is there already; --overwrite" in error) == (2, True)
    again = (f"--model={model}", f"--input={picture}", "--overwrite", "--self_ensemble")
    assert script(*again)[0] == 0
    expected = jaxsr.upscale(jaxsr.load(model), photos.read(picture), self_ensemble=True)
    np.testing.assert_array_equal(read(tmp_path / "colour_x2.png"), expected)


def test_all_pictures_of_a_folder_and_what_is_changed_in_them(script, folder, tmp_path):
    flags = ("--model=bicubic", "--scale=3", "--output=large")
    code, said, _ = script(*flags, f"--input={folder / 'kinds'}")
    assert code == 0
    notes = dict(re.findall(r"(\w+\.\w+)(?: \((.*)\))?: ", said))
    assert notes == {
        "clear.png": "transparency laid on white",
        "colour.jpg": "",
        "deep.png": "16 bits taken as 8, grey as colour",
        "deep_colour.png": "16 bits taken as 8",
        "grey.png": "grey as colour",
        "print.jpg": "CMYK as red, green, blue",
    }
    written = sorted(path.name for path in (tmp_path / "large").iterdir())
    assert written == sorted(f"{name.split('.')[0]}_x3.png" for name in notes)
    for name in notes:
        low = photos.read(folder / "kinds" / name)
        large = read(tmp_path / "large" / f"{name.split('.')[0]}_x3.png")
        expected = photos.resized(low, 3 * low.shape[0], 3 * low.shape[1])
        np.testing.assert_array_equal(large, expected)


def test_a_published_file_is_told_what_it_is(script, shared_data, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    weights = shared_data / "weights" / "IMDN_x4.pth"
    butterfly = shared_data / "sr" / "Set5" / "LR_bicubic" / "X4" / "butterflyx4.png"
    truth = shared_data / "sr" / "Set5" / "HR" / "butterfly.png"
    flags = (f"--model={weights}", "--architecture=imdn", "--scale=4", f"--input={butterfly}")
    code, said, _ = script(*flags, f"--reference={truth}", "--output=large.png")
    assert code == 0
    psnr_db, ssim, bicubic_db, bicubic_ssim = quality_in(said)
    assert psnr_db > bicubic_db + 4
    assert ssim > bicubic_ssim + 0.08
    assert bicubic_db == pytest.approx(22.10, abs=0.01)  # what papers report for this picture


def quality_in(text):
    pattern = r"^  PSNR-Y (\S+) dB, SSIM (\S+); bicubic PSNR-Y (\S+) dB, SSIM (\S+)$"
    return [float(value) for value in re.search(pattern, text, re.MULTILINE).groups()]


def test_the_truth_gives_psnr_and_ssim_of_luma(script, folder, tmp_path):
    truth = folder / "colour.png"
    flags = (f"--model={folder / 'edsr.safetensors'}", f"--input={folder / 'reduced.png'}")
    code, said, _ = script(*flags, f"--reference={truth}", "--output=mine.png")
    assert code == 0
    said = quality_in(said)
    target = read(truth)
    low = read(folder / "reduced.png")
    for decoded, (psnr_db, ssim) in (
        (read(tmp_path / "mine.png"), said[:2]),
        (photos.resized(low, 24, 20), said[2:]),
    ):
        pair = [rgb2ycbcr(pixels)[2:-2, 2:-2, 0] for pixels in (decoded, target)]
        mse = np.mean((pair[0] - pair[1]) ** 2)
        assert psnr_db == pytest.approx(10 * np.log10(255**2 / mse), abs=0.006)
        expected = structural_similarity(
            *pair, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim == pytest.approx(expected, abs=1e-4)


NET, BICUBIC = "--model=edsr.safetensors", ("--model=bicubic", "--scale=2")
BAD = [
    ([], "--model=FILE is missing"),
    ([NET], "--input=PATH names a picture or a folder"),
    (["--model=bicubic", "--input=colour.png"], "--model=bicubic takes --scale"),
    ([NET, "--input=colour.png", "--architecture=edsr"], "--architecture and --scale belong"),
    (["--model=no.safetensors", "--input=colour.png"], "no.safetensors: No such file"),
    (
        ["--model=edsr-A-x44", "--input=colour.png"],
        "edsr-A-x44: no such file, and no network that comes with jaxsr; the nearest are edsr-A-x4",
    ),
    (["--model=cut.safetensors", "--input=colour.png"], "cut.safetensors is damaged"),
    (["--model=notes.txt", "--input=colour.png"], "A published file needs to be told its"),
    (["--model=published.safetensors", "--input=colour.png"], "holds no network of ours"),
    ([NET, "--input=colour.png", "--scale=3"], "edsr.safetensors is a network of scale 2"),
    (
        [NET, "--input=colour.png", "--architecture=edsrr", "--scale=2"],
        "No network is called 'edsrr'; there are edsr, edsr_baseline",
    ),
    (
        ["--model=published.safetensors", "--input=colour.png", "--architecture=rlfn", "--scale=2"],
        "The weights do not fit this RLFN. missing: ",
    ),
    (["--model=x.pth", "--input=colour.png", "--architecture=edsr", "--scale=2"], "at x.pth"),
    (["--model=bicubic", "--scale=999", "--input=colour.png"], "an integer from 1 to 16"),
    ([NET, "--input=none.png"], "'none.png' cannot be read"),
    ([NET, "--input=notes.txt"], "'notes.txt' is not a picture that Pillow knows"),
    ([NET, "--input=cut.png"], "'cut.png' cannot be read"),
    ([NET, "--input=empty"], "--input=empty holds no .png, .jpg"),
    ([NET, "--input=twice"], "Two pictures would become a_x2.png; rename"),
    ([NET, "--input=twice", "--output=x.png"], "--output=x.png: name a folder"),
    ([NET, "--input=colour.png", "--output=x.jpg"], "pictures are written as .png"),
    ([NET, "--input=colour.png", "--output=no/x.png"], "there is no folder no"),
    ([NET, "--input=colour.png", "--output=notes.txt/a"], "--output=notes.txt/a: Not a directory"),
    ([NET, "--input=colour.png", "--output=colour.png", "--overwrite"], "colour.png is read, and"),
    ([NET, "--input=colour.png", "--tile=63"], "expected an integer of at least 64"),
    (
        [NET, "--input=colour.png", "--reference=reduced.png"],
        "reduced.png is 10 x 12 pixels; colour",
    ),
    ([NET, "--input=twice", "--output=.", "--reference=colour.png"], "Two pictures would become"),
    (
        [*BICUBIC, "--input=kinds", "--output=.", "--reference=colour.png"],
        "--reference goes with one",
    ),
]


@pytest.mark.parametrize(("args", "message"), BAD)
def test_bad_input_is_one_line_and_leaves_nothing(script, folder, monkeypatch, args, message):
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    code, said, error = script(*args)
    assert code == 2, error
    assert message in error
    assert error.startswith("sr_upscale: ")
    assert error.count("\n") == 1
    assert said == ""
    assert sorted(folder.rglob("*")) == before


def test_a_truth_that_ssim_cannot_look_at_is_refused(script, folder, tmp_path):
    Image.new("RGB", (6, 6)).save(tmp_path / "low.png")
    Image.new("RGB", (13, 12)).save(tmp_path / "high.png")  # a column more than a multiple
    flags = (f"--model={folder / 'edsr.safetensors'}", "--input=low.png", "--reference=high.png")
    code, _, error = script(*flags)
    assert (code, "high.png is too small to compare: 12 x 12" in error) == (2, True)


def test_interruption_keeps_what_is_done(script, folder, tmp_path, monkeypatch):
    enlarge = jaxsr.upscale
    seen = []

    def stop_at_second(*args, **settings):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return enlarge(*args, **settings)

    monkeypatch.setattr(jaxsr, "upscale", stop_at_second)
    flags = (f"--model={folder / 'edsr.safetensors'}", f"--input={folder / 'kinds'}")
    code, said, error = script(*flags)
    assert code == 130
    assert "interrupted" in error
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clear_x2.png"]
