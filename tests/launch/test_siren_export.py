"""The script on a run that was fitted: files that draw its pictures, and one line for bad input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxfleet
import jaxinr
from experiments.siren import grid as siren_grid
from launch import flagdefs, siren_export

SCRIPT = Path(flagdefs.__file__).parent / "siren_export.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Four networks of two tiny pictures, fitted with coordinates other than the default."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    for seed, name in enumerate(("dawn", "dusk")):
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(home / "photos" / f"{name}.png")
    config = siren_grid.GridConfig(
        photos=f"folder:{home / 'photos'}",
        image_size=("12",),
        layer_size=("4", "6"),
        num_layers=("2",),
        num_iters=("20",),
        coordinates="centers",
    )
    siren_grid.run(config, home / "run")
    return home / "run"


def run(*args, cwd):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *args], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_files_draw_the_picture_that_was_fitted(finished, tmp_path):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    flags = ["--best_per_image", "--format=json", "--output=networks"]
    done = run(f"--run_dir={finished}", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 networks written to networks, listed in networks/index.csv.\n"
    assert len(list((tmp_path / "networks").iterdir())) == 3
    after = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert after == before

    frame = jaxfleet.open(finished).to_pandas()
    for image_id, rows in frame.groupby("image_id"):
        best = rows.loc[rows["best_psnr_db"].idxmax()]
        (path,) = (tmp_path / "networks").glob(f"{image_id}_*.json")
        assert path.name == f"{image_id}_2x{best['layer_size']}_trial{best['trial_id']}.json"
        content = json.loads(path.read_text())
        facts = content["hyperparameters"]
        assert facts["best_psnr_db"] == best["best_psnr_db"]
        trial = jaxinr.Trial(**{
            name: facts[name] for name in ("layer_size", "num_layers", "w0_initial", "w0")
        })  # fmt: skip
        size = (facts["image_height"], facts["image_width"])
        params = jaxinr.from_torch(content["weights"])
        picture = jaxinr.render(params, trial, size, coordinates=facts["coordinates"])
        photo = np.array(Image.open(finished.parent / "photos" / f"{image_id}.png"))
        psnr_db = -10 * np.log10(np.mean((np.float64(picture) - photo / 255) ** 2))
        assert psnr_db == pytest.approx(facts["best_psnr_db"], abs=1e-3)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--run_dir=nowhere"], "nowhere holds no manifest.json; give the directory of a run."),
        (["--format=onnx"], "expected one of torch, npz, safetensors, json"),
        (["--image_id=down"], "--image_id=down: no finished network; did you mean dawn?"),
        (["--trial_id=-1"], "--trial_id=-1: expected an integer of at least 0"),
        (["--max_files=3"], "4 networks would be 4 files; choose with --best_per_image"),
        (["--best"], "best"),
        (["everything"], "'everything' is not a flag: write --name=value"),
        (["--output=notes"], "--output=notes: not empty and no export of this run"),
        (["--output=notes/thesis.tex"], "--output=notes/thesis.tex: File exists; give another"),
    ],
    ids=str,
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    finished, tmp_path, monkeypatch, capsys, args, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("mine")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), f"--run_dir={finished}", *args])
    with pytest.raises(SystemExit) as stop:
        flagdefs.run(siren_export.CONFIG, siren_export.siren_export.run)
    output, errors = capsys.readouterr()
    assert message in errors
    assert (stop.value.code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("siren_export: ")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["thesis.tex"]
    assert not (finished / "export").exists()
