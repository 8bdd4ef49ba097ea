"""The report made again: of a finished run, a killed one, and one whose photographs are gone."""

import shutil

import numpy as np
import pytest
from PIL import Image

import jaxfleet
from experiments.siren import grid as siren_grid
from experiments.siren import import_collection
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxinr.collection import schema as collection
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
        image_size=("12",),
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
    answer = report.main(report.CONFIG(), run_dir)
    assert answer == f"Look at {run_dir / 'report.html'}"
    assert (run_dir / "report.html").read_text() == page
    assert {path.name for path in (run_dir / "figures").iterdir()} == names


def test_a_run_whose_command_makes_its_report_is_named(tmp_path):
    with rundir.held(tmp_path, "sr_parsing"):
        pass
    with pytest.raises(InputError, match=r"is of launch/sr_parsing.py; repeat its command"):
        report.main(report.CONFIG(), tmp_path)


def test_run_that_was_killed(run_dir):
    for name in ("DONE", "report.html", "progress.jsonl"):
        (run_dir / name).unlink()
    report.main(report.CONFIG(), run_dir)
    assert "dawn" in (run_dir / "report.html").read_text()
    assert not (run_dir / "DONE").exists()


def test_photographs_that_are_gone_or_others_now(finished, run_dir, tmp_path, capsys):
    report.main(report.CONFIG(photos=f"folder:{tmp_path / 'none'}"), run_dir)
    page = (run_dir / "report.html").read_text()
    assert "2 photographs left out" in capsys.readouterr().err
    assert "dawn" in page
    assert "reconstruction" not in page
    shutil.copytree(finished / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "dusk.png").rename(tmp_path / "photos" / "noon.png")
    report.main(report.CONFIG(photos=f"folder:{tmp_path / 'photos'}"), run_dir)
    assert "1 photograph left out" in capsys.readouterr().err
    assert "reconstruction" in (run_dir / "report.html").read_text()


@pytest.fixture
def imported(finished, tmp_path):
    """The run of `finished`, as if it came from the published collection."""
    rows = jaxfleet.open(finished / "run").to_pandas(siren_grid.schema().names)
    published = map(collection.to_published, rows.to_dict("records"))
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "train.jsonl").write_text(
        "\n".join(map(collection.as_json, published))
    )
    config = import_collection.ImportConfig(input=str(tmp_path / "published"))
    import_collection.run(config, tmp_path / "imported")
    return tmp_path / "imported"


def test_imported_run_without_its_photographs(imported, capsys):
    answer = report.main(report.CONFIG(), imported)
    assert answer == f"Look at {imported / 'report.html'}"
    assert capsys.readouterr().err == (
        "2 photographs left out: --photos=... says where they are.\n"
    )
    page = (imported / "report.html").read_text()
    assert "SIRENs of a published collection" in page
    assert "The photographs are not at hand" in page
    assert "dusk" in page
    assert "reconstruction" not in page
    assert ">device<" not in page  # nobody noted on what they were fitted


def test_imported_run_with_its_photographs(finished, imported, capsys):
    report.main(report.CONFIG(photos=f"folder:{finished / 'photos'}"), imported)
    assert capsys.readouterr().err == ""
    page = (imported / "report.html").read_text()
    assert page.count("reconstruction</figcaption>") == 2
    assert "not at hand" not in page
    names = {path.name.split("_")[-1] for path in (imported / "figures").glob("pictures_*")}
    assert names == {"dawn.png", "dusk.png"}


def test_directories_without_a_run_are_refused(run_dir, tmp_path):
    with pytest.raises(InputError, match=r"none holds no manifest\.json; give the directory"):
        report.main(report.CONFIG(), tmp_path / "none")
    (run_dir / "flags.txt").unlink()
    with pytest.raises(InputError, match=r"flags\.txt: No such file"):
        report.main(report.CONFIG(), run_dir)
