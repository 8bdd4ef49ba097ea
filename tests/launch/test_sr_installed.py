"""The script without ncnn: what it offers, how it fails, and its labels as a flagfile."""

import numpy as np
import pytest
from PIL import Image

from experiments.pictures.config import ImagesConfig
from experiments.pictures.installed import run as installed_run
from experiments.pictures.installed.networks import NETWORKS
from launch import flagdefs
from launch import sr_installed as script_module

NAME = "realcugan-se-x3"
FLAGS = ("--photos=folder:photos", f"--network={NAME}")


@pytest.fixture
def script(script_of, tmp_path):
    """The script, photographs, and a package with one network's files."""
    network = NETWORKS[NAME]
    file = tmp_path / "site" / network.folder / network.file
    file.parent.mkdir(parents=True)
    for ending in (".param", ".bin"):
        file.with_name(file.name + ending).write_text("a network")
    (tmp_path / "site" / network.folder / "__init__.py").touch()
    (tmp_path / "photos").mkdir()
    for name in ("dawn", "dusk"):
        pixels = np.random.default_rng(ord(name[1])).integers(0, 256, (40, 36, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path / "site"))
        yield script_of(script_module, installed_run.run)


def test_labels_are_a_flagfile_of_sr_images(script, tmp_path, monkeypatch):
    def repeats(network, threads):
        inside = slice(network.margin, -network.margin)
        return lambda given: given[:, inside, inside].repeat(3, 1).repeat(3, 2)

    monkeypatch.setattr(installed_run, "load", repeats)
    code, said, error = script(*FLAGS, "--run_dir=out")
    assert code == 0, error
    assert "2 photographs enlarged by 1 network" in said
    assert "2/2 pictures" in error
    config, _ = flagdefs.parse(ImagesConfig, ["--flagfile=out/labelled.flags"])
    folder = tmp_path / "out" / NAME
    assert config.labelled == (f"{NAME}={folder} architecture=upcunet scale=3",)
    assert script("--flagfile=out/flags.txt", "--run_dir=out")[:2] == (0, said)


def test_a_dry_run_leaves_nothing(script, tmp_path):
    code, said, _ = script(*FLAGS, "--run_dir=out", "--dry_run")
    assert code == 0
    assert "2 pictures of 1 networks, 2 to be made" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--network=esrgan",), "expected one of span-ch48-x2, "),
        ((*FLAGS, "--photos=folder:nowhere"), "There is no folder 'nowhere'"),
        ((*FLAGS, "--run_dir=photos/dawn.png"), "--run_dir=photos/dawn.png: "),
    ],
)
def test_bad_input_is_one_line(script, args, message):
    code, said, error = script(*args)
    assert (code, said) == (2, "")
    assert message in error
    assert error.startswith("sr_installed: ")
    assert error.count("\n") == 1
