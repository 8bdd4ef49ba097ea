import dataclasses

import numpy as np
import pytest

from experiments.benchmarks.accelerator import agreement
from experiments.benchmarks.accelerator import run as accelerator_benchmark
from experiments.benchmarks.config import BenchmarkConfig
from experiments.siren import grid as siren_grid
from experiments.siren.config import GridConfig
from jaxfleet.errors import InputError

PLAN = GridConfig(
    max_images=2,
    image_size=("12",),
    layer_size=("4",),
    num_layers=("1",),
    learning_rate=("1e-3",),
    num_iters=("20",),
    seed=("0", "1", "2", "3"),
    num_shards=2,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One half of a plan twice, the other half, and a half of another plan."""
    folder = tmp_path_factory.mktemp("runs")
    shares = {"first": (PLAN, 0), "second": (PLAN, 0), "rest": (PLAN, 1)}
    shares["other"] = (dataclasses.replace(PLAN, seed=("4", "5", "6", "7")), 0)
    for name, (config, shard) in shares.items():
        siren_grid.run(dataclasses.replace(config, shard=shard), folder / name)
    return folder


@pytest.mark.slow
def test_a_plan_fitted_twice_agrees(runs):
    config = BenchmarkConfig(
        part=("agreement",), first_run=str(runs / "first"), second_run=str(runs / "second")
    )
    text = accelerator_benchmark.run(config, runs)
    assert "PSNR of 4 networks: the same; the mean differs by +0.0000 dB" in text
    assert (runs / "agreement.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "message"),
    [("rest", "fewer than two networks in common"), ("other", "not of one plan: seed differs")],
)
def test_runs_that_cannot_be_compared_are_refused(runs, second, message):
    with pytest.raises(InputError, match=message):
        agreement.of_runs(runs / "first", runs / second)


def test_agreement_needs_two_runs():
    with pytest.raises(InputError, match="needs --first_run and --second_run"):
        BenchmarkConfig(part=("agreement",), first_run="runs/gpu")


def test_noise_agrees_and_an_offset_does_not():
    draw = np.random.default_rng(0)
    first = draw.normal(30, 5, 400)
    row = agreement.compare(first, first + draw.normal(0, 0.2, 400))
    assert row["standard_error_db"] == pytest.approx(0.01, rel=0.1)  # 0.2 over sqrt(400)
    assert agreement.verdict([row]).startswith("PSNR of 400 networks: the same")
    row = agreement.compare(first, first + draw.normal(0.1, 0.2, 400))
    assert row["mean_difference_db"] == pytest.approx(0.1, abs=0.03)
    assert "NOT the same" in agreement.verdict([row])
    assert row["ks_p_value"] > 0.5  # the distributions alone would not tell


def test_distances_by_hand():
    nan = float("nan")
    row = agreement.compare(np.array([30.0, 31, nan, 32]), np.array([30.1, 31, 30, 31.1]))
    assert (row["networks"], row["diverged"]) == (4, 1)
    assert row["mean_difference_db"] == pytest.approx(-0.8 / 3)
    assert row["median_distance_db"] == pytest.approx(0.1)
    assert row["largest_distance_db"] == pytest.approx(0.9)
    assert row["within_half_db"] == pytest.approx(2 / 3)
