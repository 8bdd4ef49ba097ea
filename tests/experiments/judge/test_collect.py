"""Evidence: which photographs and states, and what several run directories hold together."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.judge import collect, tested
from experiments.judge.config import CollectConfig
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos

NETWORK = collect.Maker("n", "network", "N", 2, "1", lambda: None)
PLAIN = collect.Maker("original", "original", "original", 1, "1", lambda: None, share=0.01)


@pytest.fixture
def photographs(monkeypatch):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (300, 280, 3), dtype=np.uint8)
    some = {f"{split}{k}": (split, pixels) for split in ("train", "test") for k in range(60)}
    monkeypatch.setattr(collect, "_PHOTOS", some)
    monkeypatch.setattr(collect, "_TEST_ONLY", {f"test{k}" for k in range(5)})


def test_batches_are_of_other_photographs(photographs):
    first, second = (
        [one for one, *_ in collect._pictures(NETWORK, CollectConfig(batch=k))] for k in (0, 1)
    )
    assert len(first) == len(set(first)) == 22 + 9
    assert not set(first) & set(second)
    assert {f"test{k}" for k in range(5)} <= set(first)


def test_one_in_four_to_learn_from_is_large_and_all_others_where_photographs_are(photographs):
    usual, small = CollectConfig(large_px=448), CollectConfig(large_px=256)

    def found(one, config):
        pictures = collect._pictures(one, config)
        return {(split, side, low.shape[:2]) for _, split, side, low in pictures}

    both = {("train", 256, (128, 128)), ("train", 448, (224, 224)), ("test", 448, (224, 224))}
    assert found(NETWORK, usual) == both
    assert {side for _, side, _ in found(NETWORK, small)} == {256}
    # What stays as it is, is as large as the photograph, of 300 x 280 pixels.
    assert {x for x in found(PLAIN, usual) if x[0] == "test"} == {("test", 448, (300, 280))}
    assert {x for x in found(PLAIN, small) if x[0] == "test"} == {("test", 256, (256, 256))}
    tall = dataclasses.replace(NETWORK, scale=1)  # asks for more than there is
    assert {side for _, side, _ in found(tall, usual)} == {256}


def test_only_pictures_for_some_uses_are_made_where_that_is_asked(photographs):
    config = CollectConfig(splits=("test",))
    assert {split for _, split, *_ in collect._pictures(NETWORK, config)} == {"test"}


def test_the_middle_of_a_picture_keeps_its_grid():
    picture = np.arange(448 * 448 * 3).reshape(448, 448, 3)
    np.testing.assert_array_equal(collect.middle(picture, 256), picture[96:352, 96:352])
    assert collect.middle(picture[:200], 256).shape == (200, 256, 3)


class Chosen:
    """A generator that draws one factor."""

    def __init__(self, factor):
        self.factor = factor

    def uniform(self, low, high):
        return low

    def choice(self, factors):
        assert self.factor in factors
        return self.factor


@pytest.mark.parametrize("factor", [1.2, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0])
def test_an_interpolation_is_by_its_factor_exactly(factor):
    (bicubic,) = collect.list_makers(CollectConfig(classes=("bicubic",)))
    low, picture = bicubic.load()(np.zeros((256, 256, 3), np.uint8), Chosen(factor))
    assert picture.shape[0] == factor * low.shape[0] >= tested.SMALL_PX


def test_the_factor_of_an_interpolation_is_kept(photographs, tmp_path, monkeypatch):
    config = CollectConfig(classes=("nearest",), plain_share=0.07, states=0, tested=("none",))
    (nearest,) = collect.list_makers(config)
    (tmp_path / collect.PARTS).mkdir()
    collect._make_part(nearest, config, tmp_path)
    rows, _ = collect.read([tmp_path])
    # 8 to learn from, and 4 for tests, which count as large and as small.
    assert rows.groupby(["split", "image_id"]).ngroups == 12
    tests = rows[rows["split"] == "test"]
    assert sorted(tests["side_px"]) == [256] * 4 + [448] * 4
    assert tests.groupby("image_id")["enlargement"].nunique().eq(1).all()
    assert (tests.loc[tests["side_px"] == 256, "pixels"] == 256**2).all()
    assert rows["enlargement"].between(1.19, 4.0).all()
    assert rows["enlargement"].isin(collect.FACTORS).sum() >= 4


def test_it_is_kept_what_the_pixels_say_of_a_jpeg(tmp_path, monkeypatch):
    photograph = photos.load("packaged")[0].pixels
    monkeypatch.setattr(collect, "_PHOTOS", {"a": ("test", photograph)})
    states = ("none", "jpeg:90", "jpeg:90+crop:0.9")
    config = CollectConfig(classes=("original",), tested=states, large_px=256)
    (original,) = collect.list_makers(config)
    (tmp_path / collect.PARTS).mkdir()
    collect._make_part(original, config, tmp_path)
    rows = collect.read([tmp_path])[0].set_index("state")
    assert np.isnan(rows.loc["none", "seen_quality"])
    assert not rows.loc["none", "is_cut"]
    assert rows.loc["jpeg:90", ["seen_quality", "is_cut"]].tolist() == [90, False]
    assert rows.loc["jpeg:90+crop:0.9", ["seen_quality", "is_cut"]].tolist() == [90, True]


def part(folder, name, states, value):
    (folder / collect.PARTS).mkdir(parents=True, exist_ok=True)
    rows = [{"name": name, "image_id": "a", "side_px": 256, "state": x} for x in states]
    features = np.full((len(states), 3), value, np.float16)
    np.savez(folder / collect.PARTS / f"{name}.npz", rows=json.dumps(rows), features=features)


def test_several_runs_are_read_together_and_a_picture_counts_once(tmp_path):
    part(tmp_path / "one", "x", ["none", "jpeg:90"], 1)
    part(tmp_path / "two", "x", ["jpeg:90", "jpeg:75"], 2)
    part(tmp_path / "two", "y", ["none"], 3)
    rows, features = collect.read([tmp_path / "one", tmp_path / "two"])
    found = {
        tuple(row): value
        for row, value in zip(rows.values[:, :4].tolist(), features[:, 0], strict=True)
    }
    assert found == {
        ("x", "a", 256, "none"): 1,
        ("x", "a", 256, "jpeg:90"): 1,
        ("x", "a", 256, "jpeg:75"): 2,
        ("y", "a", 256, "none"): 3,
    }
    with pytest.raises(InputError, match="sr_evidence"):
        collect.read([tmp_path])


def test_evidence_of_an_earlier_version_is_refused(tmp_path):
    part(tmp_path, "x", ["none"], 1)
    (tmp_path / "old" / collect.PARTS).mkdir(parents=True)
    rows = json.dumps([{"name": "y", "image_id": "a", "state": "none"}])
    np.savez(tmp_path / "old" / collect.PARTS / "y.npz", rows=rows, features=np.zeros((1, 3)))
    assert len(collect.read([tmp_path])[0]) == 1
    with pytest.raises(InputError, match="earlier version"):
        collect.read([tmp_path, tmp_path / "old"])


def test_photographs_that_are_too_small_for_any_picture_are_named(tmp_path, monkeypatch):
    small = {"one": ("test", np.zeros((64, 64, 3), np.uint8))}
    monkeypatch.setattr(collect, "_PHOTOS", small)
    plain = dataclasses.replace(PLAIN, load=collect._Plain())
    with pytest.raises(InputError, match="original: no photograph of test gives a picture of 96"):
        collect._make_part(plain, CollectConfig(photos="x", splits=("test",)), tmp_path)
    assert not list(tmp_path.iterdir())
