"""The regret of recommendations: its grid, and fits that are really made."""

import numpy as np
import pytest

import jaxinr
from experiments.forecaster import regret
from jaxinr.forecaster.forecast import DEPTHS
from jaxinr.forecaster.trained import packaged

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)


def test_grid_is_the_widest_network_of_each_depth():
    found = regret.candidates(48, 48, 2.0, packaged(), 1000)
    depths = {trial.num_layers: trial for trial in found}
    high = 2.0 ** packaged().reach.high
    assert list(depths) == [depth for depth in DEPTHS if depth <= round(high[1])]
    assert len(found) == len(depths) * len(regret.W0_INITIALS)
    for depth, trial in depths.items():
        assert trial.bits_per_pixel(48, 48) <= 2.0
        wider = jaxinr.Trial(layer_size=trial.layer_size + 1, num_layers=depth)
        is_widest = trial.layer_size == round(high[0])
        assert is_widest or wider.bits_per_pixel(48, 48) > 2.0


def test_regret_is_what_fits_say():
    """At two bits a pixel of so small a picture there is one network, of one layer."""
    with pytest.warns(jaxinr.ForecastWarning, match="side 16"):
        rows = regret.measure(
            [IMAGE], ["noise"], packaged(), 30, bits_per_pixel=[2.0], seeds=2, progress=False
        )
    row = rows.iloc[0]
    assert (row["best_num_layers"], row["best_layer_size"]) == (1, 4)
    assert (row["recommended_num_layers"], row["recommended_layer_size"]) == (1, 4)
    assert row["regret_db"] == pytest.approx(row["best_db"] - row["recommended_db"])
    trials = [
        jaxinr.Trial(
            layer_size=4,
            num_layers=1,
            w0_initial=row["recommended_w0_initial"],
            learning_rate=1e-3,
            num_iters=30,
            seed=seed,
        )
        for seed in range(2)
    ]
    again = jaxinr.fit([IMAGE, IMAGE], trials).best_psnr_db.mean()
    assert row["recommended_db"] == pytest.approx(again, abs=1e-3)
