"""The report made again: of a finished run, a killed one, and one whose photographs are gone."""

import shutil

import numpy as np
import pytest
from PIL import Image

from experiments import siren_grid
from jaxfleet.errors import InputError
from launch import flagdefs, report


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two networks fitted to two tiny pictures of a folder that lies beside the run."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    for seed, name in enumerate(("dawn", "dusk")):
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(home / "photos" / f"{name}.png")
    config = siren_grid.GridConfig(
        photos=f"folder:{home / 'photos'}",
        image_size=12,
        layer_size=("4",),
        num_layers=("1",),
        num_iters=("20",),
    )
    siren_grid.run(config, home / "run")
    (home / "run" / "flags.txt").write_text(flagdefs.flags_text(config))
    return home


@pytest.fixture
def run_dir(finished, tmp_path):
    return shutil.copytree(finished / "run", tmp_path / "run")


def test_page_comes_back_as_it_was(run_dir):
    page = (run_dir / "report.html").read_text()
    names = {path.name for path in (run_dir / "figures").iterdir()}
    (run_dir / "report.html").unlink()
    shutil.rmtree(run_dir / "figures")
    answer = report.main(report.ReportConfig(), run_dir)
    assert answer == f"Look at {run_dir / 'report.html'}"
    assert (run_dir / "report.html").read_text() == page
    assert {path.name for path in (run_dir / "figures").iterdir()} == names


def test_run_that_was_killed(run_dir):
    for name in ("DONE", "report.html", "progress.jsonl"):
        (run_dir / name).unlink()
    report.main(report.ReportConfig(), run_dir)
    assert "dawn" in (run_dir / "report.html").read_text()
    assert not (run_dir / "DONE").exists()


def test_photographs_that_are_gone_or_others_now(finished, run_dir, tmp_path, capsys):
    report.main(report.ReportConfig(photos=f"folder:{tmp_path / 'none'}"), run_dir)
    page = (run_dir / "report.html").read_text()
    assert "2 photographs left out" in capsys.readouterr().err
    assert "dawn" in page
    assert "reconstruction" not in page
    shutil.copytree(finished / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "dusk.png").rename(tmp_path / "photos" / "noon.png")
    report.main(report.ReportConfig(photos=f"folder:{tmp_path / 'photos'}"), run_dir)
    assert "1 photographs left out" in capsys.readouterr().err
    assert "reconstruction" in (run_dir / "report.html").read_text()


def test_directories_without_a_run_are_refused(run_dir, tmp_path):
    with pytest.raises(InputError, match=r"none holds no manifest\.json; give the directory"):
        report.main(report.ReportConfig(), tmp_path / "none")
    (run_dir / "flags.txt").unlink()
    with pytest.raises(InputError, match=r"flags\.txt: No such file"):
        report.main(report.ReportConfig(), run_dir)
