"""The script on a network and photographs: what it prints, what it writes, how it fails."""

import numpy as np
import pytest
from PIL import Image

import jaxsr
from experiments.pictures import run as pictures_run
from jaxsr.datasets import picture_sets
from launch import sr_images as script_module

SIZE = {"num_features": 3, "num_convs": 1}


@pytest.fixture
def script(script_of, tmp_path):
    model = jaxsr.build("srvgg", scale=2, **SIZE)
    jaxsr.save(model, "net.safetensors", architecture="srvgg", scale=2, overrides=SIZE)
    (tmp_path / "photos").mkdir()
    for name in ("dawn", "dusk"):
        pixels = np.random.default_rng(ord(name[1])).integers(0, 256, (40, 36, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    return script_of(script_module, pictures_run.run)


FLAGS = ("--photos=folder:photos", "--network=net.safetensors", "--include_bicubic")


def test_pictures_are_made_and_the_flags_kept(script, tmp_path):
    code, said, error = script(*FLAGS, "--run_dir=out", "--crop_px=24")
    assert code == 0, error
    assert "4 pictures of 2 classes" in said
    assert "4/4 pictures" in error
    assert "--crop_px=24" in (tmp_path / "out" / "flags.txt").read_text()
    pictures = picture_sets.open("out")
    assert pictures.index["network"].unique().tolist() == ["bicubic-x2", "net"]
    assert pictures.crops(24).shape == (4, 24, 24, 3)
    again = script("--flagfile=out/flags.txt", "--run_dir=out")
    assert again[:2] == (0, said)
    assert (tmp_path / "out" / "DONE").exists()


def test_a_dry_run_leaves_nothing(script, tmp_path):
    code, said, _ = script(*FLAGS, "--run_dir=out", "--dry_run")
    assert code == 0
    assert "4 pictures, 0 of them there" in said
    assert not (tmp_path / "out").exists()
    code, said, error = script(*FLAGS, "--run_dir=photos", "--dry_run")
    assert (code, said) == (2, "")
    assert "--run_dir=photos: not empty (dawn.png) and no run; give another folder" in error
    (tmp_path / "file").write_text("")
    assert "--run_dir=file/out: Not a dir" in script(*FLAGS, "--run_dir=file/out", "--dry_run")[2]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--photos=folder:photos",), "No class is given"),
        ((*FLAGS, "--max_images=1"), "would have one picture, dawn"),
        ((*FLAGS, "--crop_px=25"), "--crop_px=25: networks of scale 2 need a multiple"),
        (
            (*FLAGS, "--run_dir=photos"),
            "--run_dir=photos: not empty (dawn.png) and no run; give another folder",
        ),
    ],
)
def test_bad_input_is_one_line_and_makes_no_picture(script, tmp_path, args, message):
    before = {path for path in tmp_path.rglob("*.png")}
    code, said, error = script(*args)
    assert (code, said) == (2, "")
    assert message in error
    assert error.startswith("sr_images: ")
    assert error.count("\n") == 1
    assert {path for path in tmp_path.rglob("*.png")} == before
