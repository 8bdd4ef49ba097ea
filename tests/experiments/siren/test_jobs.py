"""Runs in places and plans that `test_siren_grid` has not: object stores, repeated networks."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxfleet
import jaxinr
from experiments.siren import grid as siren_grid
from experiments.siren import jobs as siren_jobs
from experiments.siren.grid import GridConfig, make_jobs, make_works
from jaxfleet import executors, storage
from jaxfleet.errors import InputError
from jaxfleet.imaging.photos import Photo
from jaxinr.kernels import host
from launch import _flagfiles, report

# ---------------------------------------------------------------------------- one architecture

PHOTOS = [Photo(name, np.zeros((8, 8, 3), np.uint8)) for name in "abc"]
SAMPLE = GridConfig(
    sampling="random",
    num_trials=30,
    num_repeats=40,
    layer_size=("uniform:4:9",),
    num_layers=("choice:1,2",),
    w0_initial=("log:3:100",),
    seed=("uniform:0:999999",),
    learning_rate=("log:1e-4:1e-3",),
    repeat_layer_size=11,
    repeat_num_layers=3,
    repeat_w0_initial=("25",),
)


def test_repeated_networks_come_after_the_sample_which_stays_as_it_is():
    jobs = make_jobs(SAMPLE, PHOTOS)
    assert [job.trial_id for job in jobs] == list(range(70))
    assert make_jobs(SAMPLE, PHOTOS) == jobs
    assert make_jobs(dataclasses.replace(SAMPLE, num_repeats=0), PHOTOS) == jobs[:30]
    assert make_jobs(dataclasses.replace(SAMPLE, num_repeats=50), PHOTOS)[:70] == jobs
    other = make_jobs(dataclasses.replace(SAMPLE, sampling_seed=1), PHOTOS)
    assert not {job.trial for job in other} & {job.trial for job in jobs}


def test_repeated_networks_differ_in_all_but_their_architecture():
    trials = make_jobs(SAMPLE, PHOTOS)[30:]
    shapes = {(job.trial.layer_size, job.trial.num_layers, job.trial.w0_initial) for job in trials}
    assert shapes == {(11, 3, 25.0)}
    assert {job.photo for job in trials} == {0, 1, 2}
    assert len({job.trial.seed for job in trials}) == 40
    assert len({job.trial.learning_rate for job in trials}) == 40
    # Their draws are not those of the sample once more.
    assert not {job.trial.seed for job in trials} & {
        job.trial.seed for job in make_jobs(SAMPLE, PHOTOS)[:30]
    }


def test_repeats_belong_to_a_sample():
    with pytest.raises(InputError, match="--num_repeats needs --sampling=random"):
        GridConfig(num_repeats=3)


# ---------------------------------------------------------------------------- kernel and products


def test_kernel_and_products_reach_the_programs():
    config = dataclasses.replace(SAMPLE, kernel="pallas", products="tf32")
    programs = [
        bucket.program for bucket, _ in make_works(config, PHOTOS, make_jobs(config, PHOTOS))
    ]
    assert {(one.kernel, one.products, one.width) for one in programs} == {("pallas", "tf32", 16)}


def test_kernel_and_products_define_a_run_only_where_they_are_not_the_first_choice():
    facts = siren_jobs._facts(SAMPLE, PHOTOS)
    assert not {"kernel", "products"} & set(facts)  # as in runs of before there was a choice
    other = siren_jobs._facts(
        dataclasses.replace(SAMPLE, kernel="xla", products="bfloat16"), PHOTOS
    )
    assert other == facts | {"kernel": "xla", "products": "bfloat16"}


# ---------------------------------------------------------------------------- object stores


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    row, column = np.mgrid[0:12, 0:12] / 12
    colours = np.stack([row, column, row * column], axis=-1)
    Image.fromarray(np.round(255 * colours).astype(np.uint8)).save(folder / "dawn.png")
    return GridConfig(
        photos=f"folder:{folder}",
        image_size=("12",),
        layer_size=("4", "6"),
        num_layers=("2",),
        learning_rate=("1e-3",),
        num_iters=("24", "60000"),
        seed=("0", "1"),
        log_every=5,
        checkpoint_minutes=0.0,
    )


@pytest.fixture(scope="module", autouse=True)
def _short_segments():
    """Fits of a second have many segments, so that a stop finds some in training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "SEGMENT_SECONDS", 0.0)
        patch.setattr("jaxinr.kernels.network.TURN_FLOPS", 2e8)
        yield


@pytest.fixture(scope="module")
def local(config, tmp_path_factory):
    """The table of the same run on a disk."""
    run_dir = tmp_path_factory.mktemp("local") / "run"
    siren_grid.run(config, run_dir)
    return rows_of(run_dir)


def rows_of(run_dir):
    return jaxfleet.open(run_dir).to_pandas(siren_grid.schema().names).drop(columns="seconds")


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_run_in_an_object_store(config, local, bucket, monkeypatch):
    url = f"{bucket}/grid"
    run_dir = storage.location(url)
    save = executors.Checkpoints.save

    def save_and_stop(self, tree):
        save(self, tree)
        if storage.names(run_dir / "parts"):
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(executors.Checkpoints, "save", save_and_stop)
        with pytest.raises(Stopped):
            siren_grid.run(config, run_dir)
    assert storage.names(run_dir) == ["checkpoints", "manifest.json", "parts"]
    assert 0 < len(jaxfleet.open(url)) < 8

    notes = []
    monkeypatch.setattr(siren_grid.Progress, "note", lambda self, text: notes.append(text))
    answer = siren_grid.run(config, run_dir)
    assert re.fullmatch(rf"8 fits, mean best PSNR \d+\.\d\d dB. Look at {url}/report.html", answer)
    assert any(re.fullmatch(r"bucket-000: \d+ fits taken up again.", note) for note in notes)
    assert set(storage.names(run_dir)) == {
        "DONE",
        "figures",
        "manifest.json",
        "parts",
        "report.html",
    }
    pd.testing.assert_frame_equal(rows_of(url), local, check_exact=True)
    table = jaxfleet.open(url)
    trial = jaxinr.Trial.from_row(table.to_pandas().iloc[0])
    shapes = [layer["weight"].shape for layer in table.weights(0)]
    assert shapes == trial.layer_shapes

    before = storage.names(run_dir / "parts")
    assert siren_grid.run(config, run_dir) == answer
    assert storage.names(run_dir / "parts") == before


@pytest.mark.slow
def test_shards_in_an_object_store(config, local, bucket):
    url = f"{bucket}/shards"
    answers = [
        siren_grid.run(
            dataclasses.replace(config, shard=index, num_shards=2), storage.location(url)
        )
        for index in range(2)
    ]
    assert answers[0].startswith("Shard 0 of 2: its ")
    assert answers[1].startswith("8 fits, ")
    pd.testing.assert_frame_equal(rows_of(url), local, check_exact=True)


def test_training_starts_without_what_only_reports_need():
    script = "import sys, experiments.siren.grid; print({'pandas', 'matplotlib'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_report_of_a_run_in_an_object_store(config, bucket):
    run_dir = storage.location(f"{bucket}/reported")
    config = dataclasses.replace(config, num_iters=("24",))
    _flagfiles.save(run_dir, report.flagdefs.flags_text(config))
    siren_grid.run(config, run_dir)
    (run_dir / "report.html").unlink()
    assert report.main(report.CONFIG(), run_dir) == f"Look at {run_dir}/report.html"
    assert "<img" in (run_dir / "report.html").read_text()
