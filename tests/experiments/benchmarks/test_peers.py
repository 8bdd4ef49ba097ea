import types

import numpy as np
import pytest

from experiments.benchmarks import peers


def test_windows_are_the_same_each_time_and_of_all_photographs():
    found = peers.windows(40)
    assert all(window.shape == (32, 32, 3) and window.dtype == np.uint8 for window in found)
    for one, other in zip(found, peers.windows(40), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({window.tobytes() for window in found}) == 40


def test_rows_hold_published_times_beside_ours():
    calls = []

    def fit(pictures, trials, **options):
        calls.append((len(pictures), {trial.seed for trial in trials}, options))
        psnr_db = np.append(np.full(len(trials) - 1, 31.0), np.inf)
        return types.SimpleNamespace(best_psnr_db=psnr_db, status=["target"] * len(trials))

    few = peers.with_fits(3)
    assert peers.with_fits(None) == [*peers.PEERS]
    first, second = peers.measure(few, fit)
    assert first["published_fits_per_hour"] == pytest.approx(419.5, abs=0.1)
    assert second["published_fits_per_hour"] == pytest.approx(121, abs=0.1)
    assert first["mean_psnr_db"] == 31.0
    assert first["reached_target"] == 3
    assert first["ratio"] == first["fits_per_hour"] / first["published_fits_per_hour"]
    assert [call[0] for call in calls] == [2, 3, 2, 3]
    assert calls[1][2] == few[0].options
