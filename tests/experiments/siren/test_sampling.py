"""Grids and samples of trials, photograph by photograph."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

import jaxinr
from experiments.siren.grid import GridConfig, make_jobs, split_of
from jaxfleet.errors import InputError
from jaxfleet.imaging.photos import Photo


def photo(name, height=8, width=8):
    return Photo(name, np.zeros((height, width, 3), np.uint8))


PHOTOS = [photo("a"), photo("b", 16, 20)]


def test_grid_goes_photograph_by_photograph_and_seeds_fastest():
    config = GridConfig(layer_size=("8", "4"), seed=("0", "1"))
    jobs = make_jobs(config, PHOTOS)
    assert [job.trial_id for job in jobs] == list(range(8))
    order = [(job.photo, job.trial.layer_size, job.trial.seed) for job in jobs]
    assert order == [(p, w, s) for p in (0, 1) for w in (8, 4) for s in (0, 1)]
    assert jobs[0].trial == jaxinr.Trial(layer_size=8)
    assert make_jobs(config, PHOTOS) == jobs


def test_random_sample_is_the_same_each_time_and_spreads_over_photographs():
    config = GridConfig(
        sampling="random", num_trials=200, w0=("log:1:100",), layer_size=("choice:4,8",)
    )
    jobs = make_jobs(config, PHOTOS)
    assert make_jobs(config, PHOTOS) == jobs
    assert make_jobs(dataclasses.replace(config, sampling_seed=1), PHOTOS) != jobs
    assert len(jobs) == 200
    assert 60 < sum(job.photo for job in jobs) < 140
    assert {job.trial.layer_size for job in jobs} == {4, 8}
    assert len({job.trial.w0 for job in jobs}) == 200


@pytest.mark.parametrize("sampling", [{}, {"sampling": "random", "num_trials": 50}])
def test_bits_per_pixel_are_limited_on_each_photograph(sampling):
    # Parameters of 2 layers of w units: 3w + w(w + 1) + 3(w + 1); 67 and 179 for 5 and 10.
    config = GridConfig(
        layer_size=("5", "10"), num_layers=("2",), max_bits_per_pixel=16 * 63 / 64, **sampling
    )
    jobs = make_jobs(config, PHOTOS)
    assert {(job.photo, job.trial.layer_size) for job in jobs} == {(0, 5), (1, 5), (1, 10)}
    limited = dataclasses.replace(config, max_bits_per_pixel=0.1)
    with pytest.raises(InputError, match="max_bits_per_pixel leaves no|1000 passes the filters"):
        make_jobs(limited, PHOTOS)


def test_sampling_and_its_number_belong_together():
    for values in ({"sampling": "random"}, {"num_trials": 3}):
        with pytest.raises(InputError, match="--sampling=random and --num_trials=N belong"):
            GridConfig(**values)


def test_split_is_decided_by_the_name_for_ever():
    found = [split_of(name) for name in ("kodim01", "kodim02", "astronaut")]
    assert found == ["train", "test", "validation"]
    counts = Counter(split_of(f"photo {i}") for i in range(10_000))
    assert abs(counts["train"] - 8000) < 160
    assert abs(counts["validation"] - counts["test"]) < 180
