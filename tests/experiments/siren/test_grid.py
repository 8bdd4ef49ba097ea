import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxfleet
import jaxinr
from experiments.siren import grid as siren_grid
from experiments.siren.grid import GridConfig, make_jobs, split_of
from jaxfleet import trainer
from jaxfleet.errors import InputError
from launch import flagdefs
from tests.experiments.siren.test_sampling import photo

LAUNCH = Path(flagdefs.__file__).parent


# ---------------------------------------------------------------------------- a run

# Short fits finish in the first segments, so that a kill finds parts as well as fits in flight.
CONFIG = {
    "image_size": ("12",),
    "layer_size": ("4", "6"),
    "num_layers": ("2",),
    "w0_initial": ("10", "30"),
    "learning_rate": ("1e-3", "2e-3"),
    "num_iters": ("24", "100000"),
    "log_every": 5,
    "weight_bits": 6,
}
COLUMNS = {
    "trial_id": "int64",
    "image_id": "str",
    "split": "str",
    "image_height": "int64",
    "image_width": "int64",
    "network": "str",
    "layer_size": "int64",
    "num_layers": "int64",
    "w0_initial": "float64",
    "w0": "float64",
    "first_bias_scale": "float64",
    "sigma": "float64",
    "omega0": "float64",
    "s0": "float64",
    "num_frequencies": "float64",  # null throughout: of another kind of network
    "learning_rate": "float64",
    "learning_rate_decay": "float64",
    "num_iters": "int64",
    "seed": "int64",
    "pixels_per_update": "int64",
    "status": "str",
    "parameters": "int64",
    "hp_bpp": "float64",
    "fp_bpp": "float64",
    "weight_bits": "int64",
    "quantised_bpp": "float64",
    "entropy_bpp": "float64",
    "psnr_quantised_db": "float64",
    "psnr_db": "float64",
    "best_psnr_db": "float64",
    "psnr_8bit_db": "float64",
    "ssim": "float64",
    "best_iteration": "int64",
    "iteration_history": "object",
    "psnr_history": "object",
    "seconds": "float64",
    "layer_shapes": "object",
    "weights": "object",
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of two pictures of smooth colours."""
    folder = tmp_path_factory.mktemp("pictures")
    row, column = np.mgrid[0:20, 0:16] / 20
    for name, tone in (("dawn", 0.2), ("dusk", 0.7)):
        colours = np.stack([row, column, np.full_like(row, tone)], axis=-1)
        Image.fromarray(np.round(255 * colours).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def config(pictures):
    return GridConfig(photos=f"folder:{pictures}", **CONFIG)


@pytest.fixture(scope="module")
def run_dir(config, tmp_path_factory):
    """The directory of an uninterrupted run."""
    path = tmp_path_factory.mktemp("runs") / "grid"
    answer = siren_grid.run(config, path)
    assert re.fullmatch(
        rf"32 fits, mean best PSNR \d+\.\d\d dB. Look at {path}/report.html", answer
    )
    return path


@pytest.fixture(scope="module")
def table(run_dir):
    return jaxfleet.open(run_dir)


def names(run_dir):
    return {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}


def test_run_leaves_these_files(run_dir):
    left = names(run_dir)
    figures = {name for name in left if re.fullmatch(r"figures/\w+\.png", name)}
    parts = {name for name in left if re.fullmatch(r"parts/part-[0-9a-f]{16}\.parquet", name)}
    assert len(figures) > 3
    assert parts
    assert left - figures - parts == {
        ".lock",
        "DONE",
        "manifest.json",
        "progress.jsonl",
        "report.html",
    }


def test_columns_are_those_of_the_design(table):
    frame = table.to_pandas(siren_grid.schema().names)
    assert list(frame.columns) == list(COLUMNS)
    for name, kind in COLUMNS.items():
        found = "str" if pd.api.types.is_string_dtype(frame[name]) else str(frame[name].dtype)
        assert found == kind, name
    for name, kind in (
        ("iteration_history", np.int32),
        ("psnr_history", np.float32),
        ("weights", np.float32),
    ):
        assert {values.dtype for values in frame[name]} == {np.dtype(kind)}


def test_rows_are_the_jobs(table, config):
    frame = table.to_pandas(siren_grid.schema().names)
    assert len(frame) == len(table) == 32
    assert frame["trial_id"].tolist() == list(range(32))
    expected = [jaxinr.Trial.from_row(line) for _, line in frame.iterrows()]
    jobs = make_jobs(config, [photo("dawn", 12, 12), photo("dusk", 12, 12)])
    assert [job.trial for job in jobs] == expected
    assert frame["image_id"].tolist() == ["dawn"] * 16 + ["dusk"] * 16
    assert (frame["split"] == frame["image_id"].map(split_of)).all()
    assert (frame["weights"].map(len) == frame["parameters"]).all()
    np.testing.assert_allclose(frame["hp_bpp"], frame["parameters"] * 16 / 144)
    np.testing.assert_allclose(frame["fp_bpp"], frame["parameters"] * 32 / 144)
    assert (frame["weight_bits"] == 6).all()
    np.testing.assert_allclose(frame["quantised_bpp"], frame["parameters"] * 6 / 144)
    assert (frame["status"] == "done").all()
    assert (frame["seconds"] > 0).all()


def test_psnr_is_that_of_the_stored_weights(table, config):
    targets = {
        one.image_id: one.pixels / 255
        for one in siren_grid.sources.load(config.photos, image_size=12)
    }
    for _, line in table.to_pandas().iloc[::3].iterrows():
        trial = jaxinr.Trial.from_row(line)
        picture = jaxinr.render(table.weights(line), trial, (12, 12)).astype(np.float64)
        target = targets[line["image_id"]]
        psnr = -10 * np.log10(np.mean((picture - target) ** 2))
        np.testing.assert_allclose(line["best_psnr_db"], psnr, atol=1e-3)
        decoded = np.round(np.clip(picture, 0, 1) * 255) / 255
        with np.errstate(divide="ignore"):  # one that is exact in 8 bits has infinitely many dB
            psnr = -10 * np.log10(np.mean((decoded - target) ** 2))
        np.testing.assert_allclose(line["psnr_8bit_db"], psnr, atol=2e-2)


def test_entropy_is_that_of_the_stored_weights_at_six_bits(table):
    for _, line in table.to_pandas().iterrows():
        bits = 0.0
        for layer in table.weights(line):
            for array in layer.values():  # 31 is the outermost code of 6 bits
                codes = Counter(np.rint(array / (np.abs(array).max() / 31)).ravel().tolist())
                bits += sum(n * np.log2(array.size / n) for n in codes.values())
        # A weight that lies between two codes may be rounded the other way.
        np.testing.assert_allclose(line["entropy_bpp"], bits / 144, atol=4 / 144)
        assert 0 < line["entropy_bpp"] < line["quantised_bpp"]


def test_quantised_quality_is_of_weights_at_their_own_bits(table, config):
    loaded = siren_grid.sources.load(config.photos, image_size=12)
    targets = {one.image_id: one.pixels / 255 for one in loaded}
    for _, line in table.to_pandas().iterrows():
        layers = [
            {kind: 31 * array / np.abs(array).max() for kind, array in layer.items()}
            for layer in table.weights(line)
        ]
        coarse = tuple(
            {
                kind: (np.rint(codes) * np.abs(whole[kind]).max() / 31).astype(np.float32)
                for kind, codes in layer.items()
            }
            for layer, whole in zip(layers, table.weights(line), strict=True)
        )
        trial = jaxinr.Trial.from_row(line)
        picture = jaxinr.render(coarse, trial, (12, 12))
        psnr = -10 * np.log10(np.mean((picture - targets[line["image_id"]]) ** 2))
        np.testing.assert_allclose(line["psnr_quantised_db"], psnr, atol=0.3)  # a code either way
    frame = table.to_pandas()
    assert (frame["psnr_quantised_db"] - frame["best_psnr_db"]).median() < 0


def test_row_of_a_network_that_never_had_a_finite_loss():
    job = siren_grid.FitJob(0, 0, jaxinr.Trial(layer_size=4, num_layers=1))
    shapes = job.trial.layer_shapes
    lost = tuple({"weight": np.full(s, np.nan), "bias": np.zeros(s[0])} for s in shapes)
    finished = trainer.Finished(
        0, "diverged", lost, np.zeros((64, 3), np.uint8), np.nan, np.inf, 0, np.zeros(1),
        np.full(1, np.nan), 1.0,
    )  # fmt: skip
    line = siren_grid.make_row(job, photo("a"), finished, weight_bits=8)
    assert set(line) == set(siren_grid.schema().names)
    assert line["quantised_bpp"] == 27 * 8 / 64
    assert np.isnan(line["entropy_bpp"])
    assert np.isnan(line["psnr_quantised_db"])


def test_quality_of_a_network_that_is_far_off_is_a_number():
    trial = jaxinr.Trial(layer_size=4, num_layers=1)
    far = tuple(
        {"weight": np.zeros(s, np.float32), "bias": np.full(s[0], 1e30, np.float32)}
        for s in trial.layer_shapes
    )
    finished = trainer.Finished(
        0, "done", far, np.zeros((64, 3), np.uint8), -600.0, 1e60, 0, np.zeros(1), np.zeros(1), 1.0
    )
    line = siren_grid.make_row(siren_grid.FitJob(0, 0, trial), photo("a"), finished, weight_bits=8)
    np.testing.assert_allclose(line["psnr_quantised_db"], -600, atol=1)


def test_histories_end_with_the_training(table):
    for _, line in table.to_pandas().iterrows():
        at = line["iteration_history"]
        assert at.tolist() == [*range(0, line["num_iters"], 5), line["num_iters"]]
        assert line["psnr_history"][-1] == np.float32(line["psnr_db"])
        best = line["best_psnr_db"]
        assert best >= line["psnr_history"].max() - 1e-5
        if line["best_iteration"] in at:
            np.testing.assert_allclose(
                line["psnr_history"][at == line["best_iteration"]], best, rtol=1e-6
            )


def test_second_call_fits_nothing(run_dir, config, capsys):
    config = dataclasses.replace(config, learning_rate=("0.001", ".002"))  # the same numbers
    before = {path: path.stat().st_mtime_ns for path in (run_dir / "parts").iterdir()}
    manifest = (run_dir / "manifest.json").read_bytes()
    log = (run_dir / "progress.jsonl").read_bytes()
    assert siren_grid.run(config, run_dir).startswith("32 fits, ")
    assert {path: path.stat().st_mtime_ns for path in (run_dir / "parts").iterdir()} == before
    assert (run_dir / "manifest.json").read_bytes() == manifest
    assert (run_dir / "progress.jsonl").read_bytes() == log
    assert capsys.readouterr().err == ""


def test_changed_flag_is_refused_with_both_values(run_dir, config):
    before = names(run_dir)
    changed = dataclasses.replace(config, w0=("15",), log_every=7)
    with pytest.raises(InputError, match=r'w0 was "30" is "15", log_every was 5 is 7'):
        siren_grid.run(changed, run_dir)
    assert names(run_dir) == before
    assert "DONE" in before


def test_run_of_the_former_columns_is_refused_and_says_why(run_dir, config, tmp_path):
    former = shutil.copytree(run_dir, tmp_path / "former")
    manifest = json.loads((former / "manifest.json").read_text())
    del manifest["plan"]["weight_bits"]
    (former / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"\(weight_bits is new, 6\); give another --run_dir"):
        siren_grid.run(config, former)
    assert names(former) == names(run_dir)


def test_changed_picture_is_refused(run_dir, config, pictures, tmp_path):
    for path in pictures.iterdir():
        Image.open(path).rotate(180).save(tmp_path / path.name)
    with pytest.raises(InputError, match="picture_digest was .* is "):
        siren_grid.run(dataclasses.replace(config, photos=f"folder:{tmp_path}"), run_dir)


def test_place_of_the_pictures_may_change(run_dir, config, pictures, tmp_path):
    for path in pictures.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    siren_grid.run(dataclasses.replace(config, photos=f"folder:{tmp_path}"), run_dir)


def test_dry_run_tells_the_plan_and_leaves_nothing(config, tmp_path, foreign):
    text = siren_grid.run(dataclasses.replace(config, dry_run=True), tmp_path / "grid")
    assert not (tmp_path / "grid").exists()
    assert "32 networks in 1 bucket on 2 x cpu" in text
    flops = 12 * 12 * 16 / 2 * 100_024 * sum(6 * (w * w + 5 * w) - 4 * w for w in (4, 6))
    assert f"{flops / 1e15:.4g} PFLOP" in text
    assert re.search(r"about \d+:\d\d in all, 0:02 of it compilation", text)
    with pytest.raises(InputError, match="and no run; give another folder"):
        siren_grid.run(dataclasses.replace(config, dry_run=True), foreign)


def test_picture_too_large_to_tell_its_pixels_apart(monkeypatch, config, tmp_path):
    monkeypatch.setattr(siren_grid, "MAX_PIXELS", 100)
    with pytest.raises(InputError, match="dawn has 12 x 12 pixels.*; give an --image_size below"):
        siren_grid.run(config, tmp_path / "grid")


# ---------------------------------------------------------------------------- kills


@pytest.fixture
def script(config, tmp_path):
    """Starts the run as a user does; checkpoints after every segment."""

    def start(run_dir):
        command = [
            sys.executable,
            str(LAUNCH / "siren_grid.py"),
            *flagdefs.flags_text(config).split(),
        ]
        return subprocess.Popen(
            [*command, "--checkpoint_minutes=0", f"--run_dir={run_dir}"],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def kill(process, run_dir):
    """Kills a run, halted while one looks, when it has finished some fits and a checkpoint."""
    ready = False
    while process.poll() is None and not ready:
        process.send_signal(signal.SIGSTOP)
        kept = any(path.name.isdigit() for path in run_dir.glob("checkpoints/bucket-000/*"))
        ready = kept and len(jaxfleet.open(run_dir)) > 0
        process.send_signal(signal.SIGKILL if ready else signal.SIGCONT)
        time.sleep(0.02)
    process.communicate(timeout=60)


def terminate(process):
    """Ends a run as soon as it has taken up what was in flight; returns its stderr."""
    lines = []
    while not (lines and "taken up again" in lines[-1]):
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGTERM)
    lines += process.stderr.readlines()
    process.communicate(timeout=60)
    return "".join(lines)


@pytest.mark.slow
def test_killed_run_ends_with_the_same_table(script, run_dir, tmp_path):
    broken = tmp_path / "broken"
    process = script(broken)
    kill(process, broken)
    assert process.returncode == -signal.SIGKILL
    assert 0 < len(jaxfleet.open(broken)) < 32

    process = script(broken)
    stderr = terminate(process)
    assert process.returncode == 143, stderr
    assert re.search(r"bucket-000: \d+ fits taken up again", stderr)
    assert stderr.splitlines()[-1].startswith("siren_grid: terminated; repeat the command")
    assert not (broken / "DONE").exists()

    damaged = min((broken / "parts").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-100])
    process = script(broken)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert f"{damaged.name} was damaged or missing; its fits are made again." in stderr
    assert re.search(r"bucket-000: \d+ fits taken up again", stderr)
    assert stdout.startswith("32 fits, ")
    assert not (broken / "checkpoints").exists()
    assert names(broken) - names(run_dir) >= {"flags.txt", f"corrupt/{damaged.name}"}

    columns = siren_grid.schema().names
    one, other = (jaxfleet.open(path).to_pandas(columns) for path in (run_dir, broken))
    pd.testing.assert_frame_equal(
        one.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True
    )
