"""The study of initial weights: its estimators, its networks, end to end."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import jaxinr
from experiments.seeds import analysis, run
from experiments.seeds.config import SeedsConfig
from jaxfleet.errors import InputError
from jaxinr import siren
from jaxinr.trial import Trial

TINY = SeedsConfig(
    max_images=2,
    image_size=8,
    layer_size=(2, 3),
    num_layers=2,
    num_iters=10,
    first_draws=3,
    other_draws=2,
)


def test_components_are_those_of_drawn_effects():
    draw = np.random.default_rng(0)
    first, others = draw.normal(0, 2, (40, 30, 1)), draw.normal(0, 1, (40, 1, 20))
    db = 25 + first + others + draw.normal(0, 0.5, (40, 30, 20))
    found = analysis.components(db)
    np.testing.assert_allclose(found, [4, 1, 0.25], rtol=0.15)
    assert found.deviation_db == pytest.approx(np.sqrt(5.25), rel=0.05)
    swapped = analysis.components(db.swapaxes(1, 2))
    np.testing.assert_allclose(swapped, [found.others, found.first, found.together], rtol=1e-9)


def test_components_worked_out_by_hand():
    # Mean 5; rows 2 and 8, of variance 18; columns 3 and 7, of variance 8; what is left is 1 or -1.
    found = analysis.components(np.array([[[1.0, 3.0], [5.0, 11.0]]]))
    assert found == pytest.approx((18 - 4 / 2, 8 - 4 / 2, 4))


def test_first_layers_that_are_good_everywhere_agree():
    effect = np.array([3.0, -1.0, -2.0])
    db = 20 + effect[None, :, None] + np.zeros((3, 3, 2))
    effects = analysis.effects(db + np.arange(3)[:, None, None])
    np.testing.assert_allclose(effects, np.tile(effect, (3, 1)))
    assert analysis.agreement(effects) == pytest.approx(1)
    assert analysis.agreement(np.stack([effect, -effect])) == pytest.approx(-1)
    assert np.isnan(analysis.agreement(effects[:1]))
    assert analysis.rank_correlation(np.array([9.0, 8.0, 1.0]), effects) == pytest.approx(1)


def test_frequency_is_a_geometric_mean_in_cycles_per_side():
    # A unit of weight [1, 0] and w0_initial pi turns once while the coordinate goes from -1 to 1.
    assert analysis.frequency(np.array([[1.0, 0.0]]), np.pi) == pytest.approx(1)
    assert analysis.frequency(np.array([[3.0, 4.0], [0.0, 20.0]]), np.pi) == pytest.approx(10)


def test_layers_are_drawn_apart():
    trial = Trial(layer_size=3, num_layers=2)
    found = run.initial(trial, [4, 5], [6, 7])[3]
    one, other = (siren.init(dataclasses.replace(trial, seed=seed)) for seed in (5, 7))
    for layer, expected in zip(found, (one[0], other[1], other[2]), strict=True):
        np.testing.assert_array_equal(layer["weight"], expected["weight"])
        np.testing.assert_array_equal(layer["bias"], expected["bias"])
    first, others = run.seeds_of(dataclasses.replace(TINY, seed=4))
    assert (list(first), list(others)) == ([4, 5, 6], [7, 8])


def test_end_to_end_and_again(tmp_path, monkeypatch):
    answer = run.run(TINY, tmp_path)
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["layer_size"].tolist() == [2, 3]
    shares = table[["first_share", "others_share", "together_share"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1)
    rows = pd.read_parquet(tmp_path / "seeds.parquet")
    assert len(rows) == 2 * 2 * 3 * 2
    for name in ("report.html", "figures/shares.png", "figures/frequency.png", "DONE"):
        assert (tmp_path / name).exists()
    monkeypatch.setattr(jaxinr, "fit", None)  # nothing is fitted twice
    assert run.run(TINY, tmp_path) == answer
    plan = run.run(dataclasses.replace(TINY, dry_run=True), tmp_path)
    assert plan == "24 networks, 3 x 2 for each of 2 photographs and 2 widths"


def test_photographs_that_are_fitted_exactly_are_left_out():
    one = {"layer_size": 2, "others": 0, "best_psnr_db": 20.0}
    rows = pd.DataFrame([{**one, "image_id": name, "first": i} for name in "ab" for i in (0, 1)])
    rows.loc[3, "best_psnr_db"] = np.inf
    assert run.by_draw(rows).shape == (1, 2, 1)
    with pytest.raises(InputError, match="fit every photograph exactly"):
        run.by_draw(rows[rows["image_id"] == "b"])
