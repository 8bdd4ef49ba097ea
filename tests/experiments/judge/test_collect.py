"""Evidence: which photographs and states, and what several run directories hold together."""

import json

import numpy as np
import pytest

from experiments.judge import collect
from experiments.judge.config import CollectConfig
from jaxfleet.errors import InputError

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
    first, second = ([one for one, _, _ in collect._pictures(NETWORK, k)] for k in (0, 1))
    assert len(first) == len(set(first)) == 22 + 9
    assert not set(first) & set(second)
    assert {f"test{k}" for k in range(5)} <= set(first)


def test_what_a_network_enlarges_is_small_and_what_stays_is_whole(photographs):
    sizes = [{low.shape for _, _, low in collect._pictures(one, 0)} for one in (NETWORK, PLAIN)]
    assert sizes == [{(128, 128, 3)}, {(256, 256, 3)}]


def test_states_are_drawn_to_learn_from_and_those_of_the_table_otherwise():
    assert tuple(collect._states("test", "a", NETWORK, 3)) == collect.TESTED
    drawn = list(collect._states("train", "a", NETWORK, 3))
    assert (len(drawn), drawn[0]) == (4, "none")
    assert list(collect._states("train", "a", NETWORK, 5))[:4] == drawn


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
    assert picture.shape[0] == factor * low.shape[0] >= collect.SIDE_PX


def test_the_factor_of_an_interpolation_is_kept(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "TESTED", ("none",))
    config = CollectConfig(classes=("nearest",), plain_share=0.05, states=0)
    (nearest,) = collect.list_makers(config)
    (tmp_path / collect.PARTS).mkdir()
    collect._make_part(nearest, config, tmp_path)
    rows, _ = collect.read([tmp_path])
    assert len(rows) == 8  # 4 to learn from, 4 for tests
    assert rows["enlargement"].between(1.19, 4.0).all()
    assert rows["enlargement"].isin(collect.FACTORS).sum() >= 4


def part(folder, name, states, value):
    (folder / collect.PARTS).mkdir(parents=True, exist_ok=True)
    rows = [{"name": name, "image_id": "a", "state": state} for state in states]
    features = np.full((len(states), 3), value, np.float16)
    np.savez(folder / collect.PARTS / f"{name}.npz", rows=json.dumps(rows), features=features)


def test_several_runs_are_read_together_and_a_picture_counts_once(tmp_path):
    part(tmp_path / "one", "x", ["none", "jpeg:90"], 1)
    part(tmp_path / "two", "x", ["jpeg:90", "jpeg:75"], 2)
    part(tmp_path / "two", "y", ["none"], 3)
    rows, features = collect.read([tmp_path / "one", tmp_path / "two"])
    found = {
        tuple(row): value for row, value in zip(rows.values.tolist(), features[:, 0], strict=True)
    }
    assert found == {
        ("x", "a", "none"): 1,
        ("x", "a", "jpeg:90"): 1,
        ("x", "a", "jpeg:75"): 2,
        ("y", "a", "none"): 3,
    }
    with pytest.raises(InputError, match="sr_evidence"):
        collect.read([tmp_path])
