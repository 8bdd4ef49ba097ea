"""The script that trains a zoo: what it says to bad input, and real processes that are killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxfleet
from experiments.zoo import run as zoo_run
from launch import flagdefs
from launch import sr_zoo as script_module

LAUNCH = Path(flagdefs.__file__).parent
# Settings of a batch system that these tests may themselves run under.
BATCH = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "TPU_WORKER_ID", "NUM_SHARDS")
ZOO = (
    "--architecture=tiny=srvgg num_features=4 num_convs=1",
    "--scale=2",
    "--loss=l1",
    "--training_set=A=folder:good",
    "--seed=1",
    "--seed=2",
    "--batch_size=1",
    "--crop_px=16",
    "--benchmark=Two=folder:good",
    "--log_every=10",
)


@pytest.fixture
def script(script_of):
    return script_of(script_module, zoo_run.run)


def draw_pictures(folder):
    """Makes folders of a picture each: good, and too small to be measured."""
    rng = np.random.default_rng(0)
    for name, rows, columns in (("good", 10, 12), ("small", 4, 12)):
        (folder / name).mkdir()
        shades = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        Image.fromarray(shades.repeat(4, axis=0).repeat(4, axis=1)).save(folder / name / "a.png")


@pytest.fixture
def pictures(tmp_path):
    draw_pictures(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("mine")
    (tmp_path / "weights.npz").write_bytes(b"no archive")


BAD = [
    (["--architecture=edsrr"], "No network is called 'edsrr'; there are edsr, "),
    (["--architecture=edsr num_feat=8"], "--architecture=edsr: edsr has no num_feat; it takes "),
    (
        ["--architecture=edsr rngs=1"],
        "--architecture=edsr: edsr has no rngs; it takes num_features",
    ),
    (["--architecture=edsr num_blocks"], "write KEY=VALUE, such as num_blocks=4"),
    (["--architecture=tiny=srvgg"], "--architecture: two are called tiny"),
    (["--architecture="], "There is no network to train: --architecture"),
    (["--architecture= "], "No network is called ''; there are edsr, "),
    (["--scale=0"], "--scale=0: expected an integer of at least 1"),
    (["--scale=3"], "crop_px is 16. Use a multiple of the scale, 3."),
    (["--loss=l2"], "Unknown loss 'l2'. Use one of: l1, vgg_adv, resnet_adv."),
    (["--loss=", "--loss=vgg_adv", "--crop_px=32", "--pretraining=l1"], "add --loss=l1"),
    (["--loss=vgg_adv"], "crop_px is 16: the discriminator of vgg_adv takes crops of 32, 64"),
    (["--loss=vgg_adv", "--crop_px=32"], "--vgg_weights=FILE names them"),
    (["--loss=resnet_adv", "--crop_px=32"], "--resnet_weights=FILE names them"),
    (["--loss=vgg_adv", "--crop_px=32", "--vgg_weights=none.npz"], "none.npz"),
    (["--loss=vgg_adv", "--crop_px=32", "--vgg_weights=weights.npz"], "weights.npz"),
    (["--training_set=folder:good"], "'folder:good' names no training set"),
    (["--training_set=A=folder:good"], "--training_set: two are called A"),
    (["--training_set=B=folder:good fraction=2"], "fraction of 'B' is 2.0"),
    (["--training_set=B=folder:nowhere"], "no folder 'nowhere'"),
    (["--training_set=B=folder:good reduce_by=3"], "'a' of 'B' has 16 x 13 pixels, fewer than a"),
    (["--crop_px=48"], "'a' of 'A' has 48 x 40 pixels, fewer than a crop of 48"),
    (["--seed=-1"], "--seed=-1: expected an integer from 0 to 2147483647"),
    (["--num_iters=0"], "--num_iters=0: expected an integer of at least 1"),
    (["--batch_size=0"], "--batch_size=0: expected an integer of at least 1"),
    (["--learning_rate=0"], "--learning_rate=0: expected a number of at least 1e-12"),
    (["--schedule=step"], "--schedule=step: expected one of constant, cosine"),
    (["--ema_decay=1.5"], "--ema_decay=1.5: expected a number from 0 to 1"),
    (["--dtype=float16"], "--dtype=float16: expected one of float32, bfloat16"),
    (["--pretraining=l2"], "--pretraining=l2: expected one of none, l1"),
    (["--benchmark="], "--benchmark is empty; name a set"),
    (["--benchmark=Set5"], "'Set5' names no benchmark set; write NAME=SOURCE"),
    (["--benchmark=Two=folder:small"], "--benchmark: two are called Two"),
    (["--benchmark=S=folder:small"], "a of S is 48 x 16 pixels, too few to measure at x2"),
    (["--benchmark=S=folder:nowhere"], "no folder 'nowhere'"),
    (["--strategy=loop"], "--strategy=loop: expected one of auto, single, unrolled, vmap"),
    (["--strategy=single", "--fleet_group=2"], "A group of 2 networks is not single"),
    (["--shard=0"], "--shard and --num_shards belong together"),
    (["--shard=2", "--num_shards=2"], "--shard=2 of --num_shards=2: shards count from 0"),
    (["--run_dir=notes"], "--run_dir=notes: not empty (thesis.tex) and no run"),
]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(("args", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_gets_one_line_and_code_2(script, tmp_path, monkeypatch, args, message):
    for name in BATCH:
        monkeypatch.delenv(name, raising=False)
    code, stdout, stderr = script(*ZOO, "--run_dir=run", *args)
    assert message in stderr
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith("sr_zoo: ")
    assert not list(tmp_path.rglob("*.safetensors"))
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["thesis.tex"]


# ---------------------------------------------------------------------------- real processes


def start(folder, run_dir, *flags):
    kept = {name: value for name, value in os.environ.items() if name not in BATCH}
    return subprocess.Popen(
        [sys.executable, str(LAUNCH / "sr_zoo.py"), *ZOO, f"--run_dir={run_dir}", *flags],
        cwd=folder,
        env={
            **kept,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": "2",
            "PYTHONPATH": str(LAUNCH.parent),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    stdout, stderr = process.communicate(timeout=900)
    return process.returncode, stdout, stderr


def weights_of(run_dir):
    return {path.name: path.read_bytes() for path in (run_dir / "networks").iterdir()}


def kept(run_dir):
    """Whether a checkpoint is whole."""
    return [path for path in run_dir.glob("checkpoints/*/*") if path.name.isdigit()]


# Long enough that several segments lie between the first checkpoint and the end.
LONG = ("--num_iters=4000", "--validate_every=2000", "--checkpoint_minutes=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of pictures, and of the run `whole` that nothing interrupted."""
    path = tmp_path_factory.mktemp("zoo")
    draw_pictures(path)
    code, answer, error = end(start(path, "whole", *LONG))
    assert code == 0, error
    assert answer == "2 networks. Look at whole/report.html\n"
    return path


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_killed_and_resumed_equals_uninterrupted(folder, how):
    run_dir = folder / how.name
    killed = start(folder, how.name, *LONG)
    deadline = time.monotonic() + 600
    while not kept(run_dir):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(how)
    code, answer, error = end(killed)
    assert (code, answer) == (143 if how == signal.SIGTERM else -9, "")
    if how == signal.SIGTERM:
        assert error.splitlines()[-1] == "sr_zoo: terminated; repeat the command to go on."
    assert not (run_dir / "DONE").exists()
    code, _, error = end(start(folder, how.name, *LONG))
    assert code == 0, error
    assert "tiny-x2-l1: 2 networks taken up again." in error
    assert weights_of(run_dir) == weights_of(folder / "whole")
    assert (run_dir / "DONE").exists()
    assert not list(run_dir.glob("checkpoints*"))
    one, other = (
        jaxfleet.open(path).to_pandas().drop(columns="seconds").sort_values("trial_id")
        for path in (folder / "whole", run_dir)
    )
    pd.testing.assert_frame_equal(
        one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True
    )


@pytest.mark.slow
def test_quickstart_end_to_end(tmp_path):
    flagfile = LAUNCH / "flagfiles" / "sr_zoo" / "quickstart.flags"
    done = subprocess.run(
        [sys.executable, str(LAUNCH / "sr_zoo.py"), f"--flagfile={flagfile}", "--num_iters=30"],
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(LAUNCH.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_dir = tmp_path / "runs" / "sr_quickstart"
    assert done.stdout == "4 networks. Look at runs/sr_quickstart/report.html\n"
    assert "4/4 networks" in done.stderr
    assert len(weights_of(run_dir)) == 4
    page = (run_dir / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)  # self-contained
    assert {"flags.txt", "manifest.json", "DONE", "evaluation.parquet"} <= {
        path.name for path in run_dir.iterdir()
    }
