"""Scripts in this process; and real ones of launch/siren_grid.py on a tiny grid, to be killed."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import jaxfleet
from experiments.siren import grid as siren_grid
from launch import flagdefs

ROOT = Path(__file__).parents[2]
# Long and short fits, so that a kill finds finished ones as well as some in training.
GRID = (
    "--max_images=2 --image_size=12 --layer_size=4 --layer_size=6 --num_layers=1 --num_layers=2 "
    "--w0_initial=10 --w0_initial=30 --seed=0 --seed=1 --learning_rate=1e-3 --num_iters=24 "
    "--num_iters=3000 --log_every=5 --checkpoint_minutes=0 --kernel=xla"
).split()
FITS = 64
# Settings of a batch system that these tests may themselves run under.
BATCH = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "TPU_WORKER_ID", "NUM_SHARDS")


@pytest.fixture(scope="session")
def exit_code():
    """Runs the main of a module of launch with `args`, in this process; returns the exit code."""

    def call(module, main, *args):
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [module.__file__, *args])
            with pytest.raises(SystemExit) as stop:
                flagdefs.run(module.CONFIG, main)
        signal.signal(signal.SIGTERM, handler)
        return stop.value.code

    return call


@pytest.fixture
def script_of(exit_code, monkeypatch, tmp_path, capsys):
    """Makes a function of a module of launch and its main, that runs it in `tmp_path`.

    It takes the arguments, and returns the exit code, standard output and error.
    """
    monkeypatch.chdir(tmp_path)

    def make(module, main):
        def script(*args):
            capsys.readouterr()
            code = exit_code(module, main, *args)
            return code, *capsys.readouterr()

        return script

    return make


@dataclasses.dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


@dataclasses.dataclass
class Grid:
    """Starts processes of one grid, and compares what they leave with an uninterrupted run."""

    whole: Path
    fits = FITS
    running: list[subprocess.Popen] = dataclasses.field(default_factory=list)

    @staticmethod
    def shard(index, count):
        return f"--shard={index}", f"--num_shards={count}"

    def start(self, run_dir, *flags, **environ):
        kept = {name: value for name, value in os.environ.items() if name not in BATCH}
        process = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "launch" / "siren_grid.py"),
                *GRID,
                f"--run_dir={run_dir}",
                *flags,
            ],
            env={**kept, "JAX_NUM_CPU_DEVICES": "2", "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def call(self, run_dir, *flags, **environ):
        return self.end(self.start(run_dir, *flags, **environ))

    def end(self, process):
        stdout, stderr = process.communicate(timeout=900)
        return Ended(process.returncode, stdout, stderr)

    def wait_until(self, condition: Callable[[], object], process):
        """Waits for something that comes before the end of the process."""
        end = time.monotonic() + 600
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.005)

    def wait_until_in_training(self, run_dir, process, suffix=""):
        """Waits until some fits are done and others in a checkpoint, both new."""

        def state():
            parts = set((run_dir / "parts").glob(f"part{suffix}-*.parquet"))
            kept = (run_dir / f"checkpoints{suffix}").glob("bucket-*/*")
            return parts, {path for path in kept if path.name.isdigit()}

        before = state()
        self.wait_until(lambda: all(x - y for x, y in zip(state(), before, strict=True)), process)

    def equals_whole(self, run_dir):
        columns = siren_grid.schema().names
        one, other = (jaxfleet.open(path).to_pandas(columns) for path in (self.whole, run_dir))
        assert one["trial_id"].tolist() == list(range(FITS))
        pd.testing.assert_frame_equal(
            one.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True
        )


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The directory of an uninterrupted run of one process."""
    path = tmp_path_factory.mktemp("whole") / "run"
    ended = Grid(path).call(path)
    assert ended.code == 0, ended.stderr
    return path


@pytest.fixture(scope="session")
def grid_of():
    """Makes a `Grid`, given the directory of its uninterrupted run; ends its processes."""
    grids = []

    def make(path):
        grids.append(Grid(path))
        return grids[-1]

    yield make
    for process in itertools.chain(*(made.running for made in grids)):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture
def grid(grid_of, whole):
    return grid_of(whole)
