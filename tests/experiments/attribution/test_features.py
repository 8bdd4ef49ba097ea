"""What is looked at in pictures and features: against scipy, and cases worked by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage

from experiments.attribution import features
from jaxfleet.errors import InputError


def test_acutance_is_the_variance_of_scipys_laplacian_of_luma():
    crops = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3)).astype(np.uint8)
    luma = crops.astype(np.float64) @ [65.481, 128.553, 24.966] / 255 + 16
    expected = [scipy.ndimage.laplace(one)[1:-1, 1:-1].var() for one in luma]
    np.testing.assert_allclose(features.acutance(crops), expected, rtol=1e-4)


def test_a_ramp_has_no_acutance():
    ramp = np.broadcast_to(np.arange(16, dtype=np.uint8)[None, :, None], (1, 16, 16, 3))
    assert features.acutance(ramp)[0] < 1e-6


def test_the_first_photographs_of_each_class_are_chosen():
    index = pd.DataFrame({"network": list("aaabbb"), "image_id": list("zxyyzx")})
    assert features.chosen_rows(index, 2).tolist() == [1, 2, 3, 5]
    assert features.chosen_rows(index, 9).tolist() == list(range(6))


def test_the_smallest_seed_of_each_method_stands_for_it():
    arrays = dict.fromkeys(["dct-12", "dct-3", "prnu-0", "network", "dct-3-tsne"], np.zeros(1))
    assert features.first_seeds(arrays) == {"dct": "dct-3", "prnu": "prnu-0"}


CLASSES = pd.DataFrame(
    {
        "network": list("abcd"),
        "scale": [2, 2, 4, 4],
        "loss": ["l1", "l1", "l1", "vgg_adv"],
        "architecture": ["edsr", "edsr", "edsr", "rdn"],
        "training_set": "A",
        "overrides": "{}",
    }
)


def test_ratios_are_averaged_over_what_pairs_have_in_common():
    ratios = np.eye(4)
    for (i, j), value in {(0, 1): 0.8, (0, 2): 0.4, (1, 2): 0.6, (2, 3): 0.1}.items():
        ratios[i, j] = ratios[j, i] = value
    ratios[0, 3] = ratios[3, 0] = np.nan
    found = features.ratio_table(ratios, CLASSES).set_index("pairs")
    assert found.loc["all", "count"] == 5
    assert found.loc["all", "ratio"] == pytest.approx((0.8 + 0.4 + 0.6 + 0.1 + 0.0) / 5)
    assert found.loc["same scale", "ratio"] == pytest.approx(0.45)
    assert found.loc["same loss", "ratio"] == pytest.approx(0.6)
    assert found.loc["same but for the seed", "count"] == 1


def test_ratios_of_a_method_are_means_over_its_seeds():
    draw = np.random.default_rng(1)
    arrays = {"network": np.repeat(list("abcd"), 3)}
    arrays |= {f"dct-{seed}": draw.normal(size=(12, 5)).astype(np.float32) for seed in (0, 1)}
    both = features.mean_ratios(arrays, CLASSES, "dct")
    alone = [
        features.mean_ratios(
            {k: v for k, v in arrays.items() if k != f"dct-{seed}"}, CLASSES, "dct"
        )
        for seed in (0, 1)
    ]
    for kind in features.RATIOS:
        np.testing.assert_allclose(both[kind], (alone[0][kind] + alone[1][kind]) / 2, rtol=1e-12)
    table = features.ratio_tables(arrays, CLASSES)
    assert list(table) == ["method", "pairs", "count", "paper", "code"]
    assert features.ratio_tables({}, CLASSES).empty


@pytest.mark.slow
def test_tsne_keeps_clusters_apart():
    pytest.importorskip("sklearn")
    centres = np.repeat(np.eye(3, 60), 10, axis=0)
    points = centres + 0.01 * np.random.default_rng(2).normal(size=centres.shape)
    plane = features.tsne(points.astype(np.float32))
    assert plane.shape == (30, 2)
    distances = np.linalg.norm(plane[:, None] - plane, axis=-1) + np.diag(np.full(30, np.inf))
    assert np.all(distances.argmin(axis=1) // 10 == np.arange(30) // 10)


def test_without_scikit_learn_tsne_says_so(monkeypatch):
    monkeypatch.setattr(features, "has_tsne", lambda: False)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        features.tsne(np.zeros((5, 2), np.float32))
