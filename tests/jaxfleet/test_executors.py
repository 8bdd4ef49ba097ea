import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jaxfleet import executors, trainer
from jaxfleet.progress import Progress
from jaxfleet.store import Store

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
