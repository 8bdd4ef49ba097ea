"""Parts of the pixels against all of them, on a picture that takes a moment."""

import numpy as np
import pytest

from experiments.benchmarks import stochastic
from jaxinr.trial import Trial


def test_averages_are_those_of_squares():
    picture = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    found = stochastic.averaged(picture, 2)
    assert found.shape == (2, 2, 3)
    assert found[1, 0, 2] == pytest.approx(picture[2:4, :2, 2].mean() / 255)


def test_both_ways_come_to_one_psnr():
    rows, columns = np.mgrid[:64, :96]
    picture = np.stack([rows * 2, columns, 255 - rows - columns], axis=-1).astype(np.uint8)
    (row,) = stochastic.measure(
        picture,
        networks=[Trial(num_layers=2, layer_size=8)],
        learning_rates=(1e-5, 3e-3),
        num_iters=150,
        pixels_per_update=768,
    )
    assert (row["full_rate"], row["rate"]) == (3e-3, 3e-3)
    assert row["psnr_db"] >= row["full_psnr_db"] - stochastic.WITHIN_DB > 20
    assert row["ratio"] == pytest.approx(row["full_seconds"] / row["seconds"])


def test_a_way_that_does_not_come_so_far_has_no_numbers():
    rows, columns = np.mgrid[:64, :96]
    picture = np.stack([rows * 2, columns, 255 - rows - columns], axis=-1).astype(np.uint8)
    (row,) = stochastic.measure(
        picture,
        networks=[Trial(num_layers=1, layer_size=4)],
        learning_rates=(1e-2,),
        num_iters=40,
        pixels_per_update=1,
    )
    assert np.isnan(row["ratio"])
    assert np.isnan(row["seconds"])
