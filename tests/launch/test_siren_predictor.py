"""A real process that trains the forecaster, killed in the middle and taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.forecaster.test_train import make_table

ROOT = Path(__file__).parents[2]
FLAGS = ("--members=2 --steps=300 --batch_fits=64 --width=16 --checkpoint_minutes=0").split()


def start(table, run_dir, *flags):
    script = str(ROOT / "launch" / "siren_predictor.py")
    return subprocess.Popen(
        [sys.executable, script, f"--collections={table}", *FLAGS, f"--run_dir={run_dir}", *flags],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, how):
    table = tmp_path / "table"
    table.mkdir()
    make_table().save(table)
    whole = start(table, tmp_path / "whole")
    assert whole.communicate(timeout=300)[0].startswith("RMSE ")
    killed = start(table, tmp_path / "killed")
    deadline = time.monotonic() + 200
    while not list((tmp_path / "killed").glob("checkpoints/[3-9]")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(how)
    killed.communicate(timeout=60)
    assert killed.returncode == (143 if how == signal.SIGTERM else -9)
    assert not (tmp_path / "killed" / "DONE").exists()
    again = start(table, tmp_path / "killed")
    out, error = again.communicate(timeout=300)
    assert again.returncode == 0, error
    files = [tmp_path / name / "forecaster.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_unknown_collection_is_one_line(tmp_path):
    process = start(tmp_path / "absent", tmp_path / "run")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "absent" in error
