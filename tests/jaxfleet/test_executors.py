import contextlib
import io
import socket
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jaxfleet import executors, storage, trainer
from jaxfleet.errors import InputError
from jaxfleet.progress import Progress, Underway
from jaxfleet.results.store import Store

SCHEMA = pa.schema(
    [("trial_id", pa.int64()), ("psnr_db", pa.float64()), ("losses", pa.list_(pa.float32()))]
)
FIRST_ID = 100


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def run(bowls, tmp_path, monkeypatch):
    """Runs the eleven bowls as one bucket, every segment a log interval; returns the log."""
    monkeypatch.setattr(trainer, "SEGMENT_SECONDS", 0.0)

    def call(*, rows_until_killed=1000, flush_seconds=0.0, first_id=FIRST_ID, **options):
        monkeypatch.setattr(executors, "FLUSH_SECONDS", flush_seconds)
        rows = iter(range(rows_until_killed))

        def row(finished):
            if next(rows, None) is None:
                raise Killed
            losses = finished.losses
            return {"trial_id": first_id + finished.job, "psnr_db": 0.0, "losses": losses}

        ids = first_id + np.arange(11)
        work = executors.Work("bucket", ids, lambda skip: bowls.trainer(skip=skip, **options), row)
        results, log = Store(tmp_path, {}, SCHEMA, network={}), io.StringIO()
        try:
            with Progress(11, 1.0, stream=log) as display:
                executors.run_here([work], results, display, checkpoint_minutes=0)
        except Killed:
            pass
        finally:
            results.close()
        return log.getvalue()

    return call


@pytest.fixture
def assert_complete(bowls, tmp_path):
    """Asserts that the table holds every job once, as trained without interruption."""

    def check():
        frame = pd.read_parquet(tmp_path / "parts").sort_values("trial_id")
        assert frame["trial_id"].tolist() == [FIRST_ID + job for job in range(11)]
        for job, losses in enumerate(frame["losses"]):
            np.testing.assert_array_equal(losses, bowls.done[job].losses)
        assert not list((tmp_path / "checkpoints").glob("*"))

    return check


@pytest.mark.parametrize("rows", [0, 2, 10])
def test_killed_run_goes_on_to_the_same_table(run, assert_complete, tmp_path, rows):
    run(rows_until_killed=rows)
    assert (tmp_path / "checkpoints").exists()
    assert "fits taken up again" in run()
    assert_complete()
    assert run() == ""  # nothing left to do


def test_rows_not_flushed_at_the_kill_are_made_again(run, assert_complete):
    run(rows_until_killed=4, flush_seconds=1e9)
    run(flush_seconds=1e9)
    assert_complete()


def test_checkpoint_of_another_number_of_slots_is_left_alone(run, assert_complete):
    run(rows_until_killed=5)
    assert run(slots_per_shard=6).count("bucket: the checkpoint is damaged or of another") == 1
    assert_complete()


def test_checkpoint_of_other_jobs_is_left_alone(run, tmp_path):
    run(rows_until_killed=5)
    assert "its fits begin again" in run(first_id=200)
    frame = pd.read_parquet(tmp_path / "parts")
    assert sorted(frame["trial_id"][frame["trial_id"] >= 200]) == [200 + job for job in range(11)]


def test_damaged_checkpoint_is_left_alone(run, assert_complete, tmp_path):
    run(rows_until_killed=5)
    for path in (tmp_path / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert "its fits begin again" in run()
    assert_complete()


class Counting:
    """A trainer of three jobs, of which a segment finishes one; what it holds is which are left."""

    work_done = segment_seconds = 1.0

    def __init__(self, skip):
        self.left = [job for job in range(3) if job not in skip]

    @property
    def training(self):
        return np.ones(len(self.left), bool)

    def step(self):
        return [self.left.pop(0)] if self.left else None

    def losses(self):
        return np.zeros(0)

    def underway(self):
        return [Underway(0, 1, 1.0) for _ in self.left]

    def snapshot(self):
        return {"left": np.array(self.left)}

    def restore(self, snapshot, done):
        self.left = snapshot["left"].tolist()
        return True


def test_another_kind_of_trainer_is_run_and_its_own_column_shown(tmp_path):
    schema = pa.schema([("trial_id", pa.int64()), ("psnr_y_db", pa.float64())])

    def run(last):
        def row(job):
            if job > last:
                raise Killed
            return {"trial_id": job, "psnr_y_db": 30.0 + job}

        work = executors.Work("all", np.arange(3), Counting, row, shown="psnr_y_db")
        results, log = Store(tmp_path, {}, schema, network={}), io.StringIO()
        with contextlib.suppress(Killed), Progress(3, 3.0, stream=log, unit="networks") as display:
            executors.run_here([work], results, display, checkpoint_minutes=0)
        results.close()
        return log.getvalue()

    assert "1/3 networks" in run(last=0)
    log = run(last=2)
    assert "all: 2 networks taken up again." in log
    assert "mean PSNR so far 31.50 dB" in log  # of the second and third
    assert sorted(pd.read_parquet(tmp_path / "parts")["psnr_y_db"]) == [30.0, 31.0, 32.0]


def test_checkpoints_of_all_cuts_are_cleared_but_those_in_use(tmp_path):
    names = ("checkpoints", "checkpoints-00001-of-00003", "checkpoints-00000-of-00002")
    others = ("checkpoints-old", "parts")
    for name in (*names, *others):
        (tmp_path / name / "bucket-000").mkdir(parents=True)
    with storage.locked(tmp_path, ".lock-00000-of-00002", "--run_dir"):
        executors.clear_checkpoints(tmp_path)
        left = {names[2], *others}
        assert set(storage.names(tmp_path)) == left
    executors.clear_checkpoints(tmp_path)
    assert set(storage.names(tmp_path)) == set(others)


# ---------------------------------------------------------------------------- Ray


def on_ray(address):
    executors.run_on_ray(print, 1, lambda: None, address=address, cpus=1, gpus=0)


@pytest.fixture
def closed_port():
    """A port of this machine at which nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # and no listen
        yield holder.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_ray_cluster_that_is_not_there_is_refused_at_once(closed_port, scheme):
    pytest.importorskip("ray")
    address = f"{scheme}127.0.0.1:{closed_port}"
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        on_ray(address)
    assert time.monotonic() - start < 120  # the import of Ray, mostly
    assert str(caught.value) == (
        f"--ray_address={address}: no cluster answers at {address} (Connection refused). Start one "
        "with `ray start --head`, give the address that it prints, or leave the flag out for one "
        "on this machine."
    )


@pytest.mark.parametrize("address", ["nowhere.invalid:6379", "127.0.0.1:99999"])
def test_ray_address_that_there_cannot_be_is_refused(address):
    pytest.importorskip("ray")
    with pytest.raises(
        InputError, match=f"--ray_address={address}: no cluster answers at {address}"
    ):
        on_ray(address)


def test_ray_host_that_does_not_answer_is_given_up(closed_port, monkeypatch):
    pytest.importorskip("ray")

    def connect(address, timeout):
        assert timeout == executors.CONNECT_SECONDS
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(InputError, match=r"no cluster answers at 127.* \(timed out\)"):
        on_ray(f"127.0.0.1:{closed_port}")


def test_ray_cluster_of_the_environment_that_is_gone_is_refused(closed_port, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port}")
    with pytest.raises(InputError, match=f"ray_address=auto: no .* at 127.0.0.1:{closed_port} "):
        on_ray("auto")
