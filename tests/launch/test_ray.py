"""The grid on a Ray cluster: real workers and nodes, some of which are lost on the way."""

import os
import re
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

ray = pytest.importorskip("ray")

# Ray leaves sockets and processes to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ONE_CORE = {"JAX_NUM_CPU_DEVICES": "1"}
ON_RAY = ("--executor=ray", "--num_shards=3", "--ray_cpus=1")


@pytest.fixture(scope="module")
def grid(grid_of, tmp_path_factory):
    """A grid whose uninterrupted run had one core, as each task has."""
    path = tmp_path_factory.mktemp("alone") / "run"
    made = grid_of(path)
    ended = made.call(path, **ONE_CORE)
    assert ended.code == 0, ended.stderr
    return made


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def cluster():
    """Two nodes of one CPU each, on this machine; gives the cluster and the one to be lost."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster, lost
    cluster.shutdown()


def assert_complete(grid, run_dir, ended):
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith(f"{grid.fits} fits, mean best PSNR ")
    for line in ended.stderr.splitlines():  # progress, and nothing of Ray's
        assert re.match(rf"\d+/{grid.fits} fits", line), ended.stderr
    assert {"DONE", "report.html"} < {path.name for path in run_dir.iterdir()}
    grid.equals_whole(run_dir)
    suffixes = {path.name[4:19] for path in (run_dir / "parts").iterdir()}
    assert suffixes == {f"-{index:05}-of-00003" for index in range(3)}
    trials = pd.read_parquet(run_dir / "parts", columns=["trial_id"])["trial_id"]
    assert trials.is_unique


def saved(run_dir):
    """Shards with a whole checkpoint, as suffixes of their files."""
    paths = run_dir.glob("checkpoints-*/bucket-*/*")
    return {path.parts[-3].removeprefix("checkpoints") for path in paths if path.name.isdigit()}


def worker_of(run_dir, suffix):
    """The process that has the lock of a shard."""
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(path) == str(run_dir / f".lock{suffix}"):
                return int(path.parts[2])
        except OSError:  # it ended meanwhile
            continue
    return None


def test_worker_that_is_killed_is_replaced(grid, run_dir):
    process = grid.start(run_dir, *ON_RAY)
    grid.wait_until(lambda: saved(run_dir), process)
    suffix = min(saved(run_dir))
    pid = worker_of(run_dir, suffix)
    assert pid not in (None, process.pid)
    os.kill(pid, signal.SIGKILL)
    ended = grid.end(process)
    assert_complete(grid, run_dir, ended)


def test_node_that_is_lost_is_made_up_for(grid, run_dir, cluster):
    nodes, lost = cluster
    process = grid.start(run_dir, *ON_RAY, f"--ray_address={nodes.address}")
    grid.wait_until(lambda: len(saved(run_dir)) > 1, process)
    nodes.remove_node(lost, allow_graceful=False)
    assert_complete(grid, run_dir, grid.end(process))


def test_terminated_cluster_run_goes_on(grid, run_dir):
    process = grid.start(run_dir, *ON_RAY)
    grid.wait_until(lambda: saved(run_dir), process)
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    ended = grid.end(process)
    assert time.monotonic() - start < 120
    assert (ended.code, ended.stdout) == (143, "")
    assert ended.stderr.splitlines()[-1] == "siren_grid: terminated; repeat the command to go on."
    assert not (run_dir / "DONE").exists()
    assert saved(run_dir)
    assert_complete(grid, run_dir, grid.call(run_dir, *ON_RAY))


def test_what_a_task_refuses_is_one_line(grid, run_dir):
    assert grid.call(run_dir, *grid.shard(0, 3)).code == 0
    ended = grid.call(run_dir, *ON_RAY, "--log_every=7")
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "belongs to another plan (log_every was 5 is 7)" in ended.stderr
