"""Pictures of a zoo: what is refused before anything is made."""

import shutil

import pytest
from PIL import Image

from experiments.pictures import run as pictures_run
from experiments.pictures.config import ImagesConfig
from experiments.zoo.evaluate import network_path
from jaxfleet.errors import InputError
from jaxsr.files import networks as network_files


@pytest.fixture
def home(little_zoo, tmp_path):
    return shutil.copytree(little_zoo.path, tmp_path / "home")


def make(home, name, **flags):
    given = {"include_bicubic": True, "include_originals": True, "zoo": (str(home / "zoo"),)}
    config = ImagesConfig(**{"photos": f"folder:{home / 'photos'}", **given, **flags})
    return pictures_run.run(config, home / name)


BAD = [
    ({"zoo": (), "include_originals": False}, "No class is given; name --zoo, --network or"),
    ({"zoo": ("HOME/photos",)}, r"holds no manifest\.json"),
    ({"photos": "folder:HOME/empty"}, "holds no .png"),
    ({"max_images": 1}, "Class bicubic-x2 would have one picture, dawn; give at least 2"),
    ({"labelled": ("one=HOME/one",)}, "Class one would have one picture, a; give at least 2"),
    ({"labelled": ("none=HOME/empty",)}, "holds no .png"),
    ({"labelled": ("HOME/one",)}, "write NAME=FOLDER"),
    ({"labelled": ("a=HOME/one size=3",)}, "'size' is not known; there are architecture"),
    ({"labelled": ("a=HOME/one scale=two",)}, "two is no number for scale"),
    ({"labelled": ("original=HOME/photos",)}, "Two classes are called original; rename one"),
    ({"zoo": 2 * ("HOME/zoo",)}, "Two classes are called tiny-A-x2-l1-s1; rename one"),
    ({"network": ("HOME/none.safetensors",)}, "none.safetensors: No such file"),
    ({"network": ("a=HOME/no.pth architecture=edsr scale=2",)}, "no.pth: No such file"),
    ({"network": ("a=HOME/bad.npz scale=2",)}, r"needs architecture=A and scale=N"),
    ({"network": ("a=HOME/bad.npz architecture=edsrr scale=2",)}, "No network is called 'edsrr'"),
    ({"network": ("a=HOME/bad.npz architecture=edsr scale=2 depth=1",)}, "edsr has no depth"),
    ({"network": ("a=HOME/bad.npz architecture=imdn scale=2",)}, "bad.npz.*damaged"),
    ({"crop_px": 50}, "--crop_px=50: networks of scale 4 need a multiple of it, at least 24"),
    ({"crop_px": 20}, "--crop_px=20: networks of scale 4 need a multiple of it, at least 24"),
    ({"crop_px": 72}, "dawn of --photos is 75 x 70 pixels, smaller than --crop_px=72"),
    ({"labelled": ("s=HOME/tiny scale=4",)}, "t of s would be too small to measure; give .* 24 "),
    ({"photos": "folder:HOME/tiny"}, "t of --photos is 20 x 20 pixels, too few to measure at x4"),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_what_cannot_be_used_is_said_before_anything_is_written(home, flags, message):
    for name in ("empty", "one", "tiny"):
        (home / name).mkdir()
    Image.new("RGB", (64, 64)).save(home / "one" / "a.png")
    for name in ("t", "u"):
        Image.new("RGB", (20, 20)).save(home / "tiny" / f"{name}.png")
    (home / "bad.npz").write_bytes(b"PK")
    flags = {
        name: value.replace("HOME", str(home))
        if isinstance(value, str)
        else tuple(text.replace("HOME", str(home)) for text in value)
        if isinstance(value, tuple)
        else value
        for name, value in flags.items()
    }
    with pytest.raises(InputError, match=message) as caught:
        make(home, "new", **flags)
    assert "\n" not in str(caught.value)
    assert not list((home / "new").glob("images/*/*"))


def test_a_damaged_network_is_found_before_anything_is_made(home):
    path = network_path(home / "zoo", "tiny-A-x4-vgg_adv-s1")
    network_files.read(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"x4-vgg_adv-s1\.safetensors"):
        make(home, "new")
    assert not list((home / "new").glob("images/*/*"))
