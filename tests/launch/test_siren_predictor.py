"""A real process that trains the forecaster, killed in the middle and taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.forecaster.test_train import save_table

ROOT = Path(__file__).parents[2]
# A checkpoint after each step, so that dozens are to come when a kill is due.
FLAGS = ("--members=2 --steps=60 --batch_fits=64 --width=16 --checkpoint_minutes=0").split()


def start(table, run_dir, *flags):
    script = str(ROOT / "launch" / "siren_predictor.py")
    return subprocess.Popen(
        [sys.executable, script, f"--collections={table}", *FLAGS, f"--run_dir={run_dir}", *flags],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out


table = pytest.fixture(scope="module")(save_table)


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    """Run directory of an uninterrupted training."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    assert ended(start(table, run_dir)).startswith("RMSE ")
    return run_dir


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed_equals_uninterrupted(table, whole, tmp_path, how):
    killed = start(table, tmp_path)
    deadline = time.monotonic() + 600
    kept = tmp_path / "checkpoints"
    while not any(path.name.isdigit() and int(path.name) > 2 for path in kept.glob("*")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(how)
    killed.communicate(timeout=300)
    assert killed.returncode == (143 if how == signal.SIGTERM else -9)
    assert not (tmp_path / "DONE").exists()
    ended(start(table, tmp_path))
    one, other = (folder / "forecaster.safetensors" for folder in (whole, tmp_path))
    assert one.read_bytes() == other.read_bytes()


def test_unknown_collection_is_one_line(tmp_path):
    process = start(tmp_path / "absent", tmp_path / "run")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "absent" in error
