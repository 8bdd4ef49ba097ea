"""The scripts around the published collection: export, import, and one line for damage."""

import gzip
import sys

import numpy as np
import pytest

import jaxfleet
from experiments.benchmarks.simulation import run as simulation
from experiments.siren import export, import_collection
from jaxinr.collection import schema as collection
from jaxinr.trial import Trial
from launch import collection_import, flagdefs, fleet_simulation, siren_export

RUNS = {
    collection_import: import_collection.run,
    fleet_simulation: simulation.run,
    siren_export: export.run,
}


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs a script in a folder of its own; returns exit code, output, errors."""

    def call(script, *args):
        monkeypatch.chdir(tmp_path)
        name = script.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [f"launch/{name}.py", *args])
        with pytest.raises(SystemExit) as stop:
            flagdefs.run(script.CONFIG, RUNS[script])
        return stop.value.code, *capsys.readouterr()

    return call


def line(seed):
    trial = Trial(layer_size=3, num_layers=1 + seed, seed=seed, w0_initial=4.75)
    row = {
        **{name: getattr(trial, name) for name in ("layer_size", "num_layers", "seed")},
        **{name: getattr(trial, name) for name in ("num_iters", "w0_initial", "w0")},
        "learning_rate": 3e-3,
        "image_id": "415",
        "image_height": 12,
        "iteration_history": [0, 10],
        "psnr_history": [8.0, 9.0],
        "hp_bpp": trial.bits_per_pixel(12, 12),
        "fp_bpp": trial.bits_per_pixel(12, 12, bits=32),
        "psnr_8bit_db": 9.5,
        "weights": np.random.default_rng(seed).normal(size=trial.parameters),
    }
    return collection.as_json(collection.to_published(row, whole_ids=True))


def test_published_rows_come_in_and_go_out(run, tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "train.jsonl"
    path.write_text(f"{line(0)}\n{line(1)[:-1]}\n{line(2)}\n")
    args = ["--input=in", "--run_dir=run"]
    code, output, errors = run(collection_import, *args)
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("collection_import: in/train.jsonl, line 2: no JSON (")
    assert len(jaxfleet.open(tmp_path / "run")) == 2
    path.write_text("\n".join(line(i) for i in range(3)))
    done = (0, "3 networks of 1 file imported to run.\n", "")
    assert run(collection_import, *args) == done
    assert run(collection_import, f"--flagfile={tmp_path}/run/flags.txt", "--run_dir=run") == done

    args = ["--run_dir=run", "--format=coin_collection", "--output=out"]
    code, output, errors = run(siren_export, *args)
    text = "3 networks (3 train) written to out, see out/README.md.\n"
    assert (code, output, errors) == (0, text, "")
    (found,) = (tmp_path / "out" / "json").glob("*.gz")
    assert sorted(gzip.decompress(found.read_bytes()).decode().splitlines()) == sorted(
        map(line, range(3))
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--input is missing: give the folder of the collection's files."),
        (["--input=nowhere"], "nowhere: no folder; give that of the collection's files."),
        (["--input=."], ".: no .jsonl, .json or .parquet file; give another folder."),
        (["--w0=0"], "--w0=0: expected a number of at least 0.001"),
    ],
)
def test_bad_input_gets_one_line(run, args, message):
    code, output, errors = run(collection_import, *args)
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert message in errors


def test_simulation_prints_its_table(run, tmp_path):
    args = ["--num_workers=3", "--num_trials=30", "--shares_per_worker=", "--shares_per_worker=2"]
    code, output, errors = run(fleet_simulation, *args, "--run_dir=sim")
    assert (code, errors) == (0, "")
    assert output.strip() == (tmp_path / "sim" / "simulation.md").read_text().strip()
    assert (tmp_path / "sim" / "flags.txt").exists()
