"""Calibration of a judge on logits that were drawn, and what is counted of its answers."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import scipy.special

from experiments.judge import calibrate, learn, measures
from experiments.judge.config import LearnConfig
from jaxfleet.errors import InputError
from jaxsr.fingerprints.evidence import is_of_colour
from jaxsr.gallery import grouping
from jaxsr.gallery import judge as judging
from jaxsr.gallery import state as states
from jaxsr.gallery.core import Gallery
from jaxsr.gallery.judge import Judge
from jaxsr.gallery.scales import BINS

NAMES = ("bicubic", "n1", "n2", "original")
FAMILIES = ("bicubic", "N", "N", "original")
KINDS = ("interpolation", "network", "network", "original")
COUNT = 400  # pictures of each class


@pytest.fixture(scope="module")
def drawn():
    """Rows of two splits, and logits that favour the truth."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        [
            {"name": name, "kind": kind, "family": family, "split": split, "state": "none"}
            for name, kind, family in zip(NAMES, KINDS, FAMILIES, strict=True)
            for split in ("validation", "test")
            for _ in range(COUNT)
        ]
    )
    rows["kind_of_state"], rows["side_px"] = "lossless", 256
    rows["image_id"] = [f"photograph_{number}" for number in range(len(rows))]
    rows["log_scale"] = np.where(rows["kind"] == "original", 0.0, np.log(2.0))
    rows["is_resized"] = np.arange(len(rows)) % 4 == 0
    rows["is_sharpened"] = np.arange(len(rows)) % 3 == 0
    rows["seen_quality"], rows["is_cut"] = 90.0, np.arange(len(rows)) % 49 == 0
    labels = rows["name"].map(NAMES.index).to_numpy()
    groups = rows["kind"].map(learn.GROUPS.index).to_numpy()
    bins = np.rint(rows["log_scale"] / np.log(1.1)).astype(int).to_numpy()

    def logits(truth, count, gain):
        return gain * np.eye(count)[truth] + draw.normal(size=(len(truth), count))

    done = rows[["is_resized", "is_sharpened"]].to_numpy()
    seen = {
        "traces": 10.0 * done + draw.normal(size=done.shape),
        "class": logits(labels, len(NAMES), 3.0) - 50.0,
        "group": logits(groups, 3, 4.0),
        "scale_bins": logits(bins, len(BINS), 6.0),
    }
    unseen = {
        "traces": 6.0 * done + draw.normal(size=done.shape),
        "class": draw.normal(size=(len(rows), len(NAMES))) - 50.0,
        "group": logits(groups, 3, 2.0),
        "scale_bins": logits(bins, len(BINS), 5.0),
    }
    return rows, seen, unseen


@pytest.fixture(scope="module")
def measured(drawn):
    judge = Judge(NAMES, FAMILIES, KINDS, {"log_scales": np.log([1.0, 2.0, 2.0, 1.0])}, {})
    return measures.measure(calibrate.calibrated(judge, *drawn), *drawn)


def test_rates_that_were_asked_for_hold_on_other_pictures(measured):
    column = measured[1]["256"]["none"]
    noise = 3 * np.sqrt(0.03 / COUNT)
    assert column["photographs called enlarged by a network"] < calibrate.PLAIN_RATE + noise
    assert column["networks' pictures called not enlarged"] < calibrate.NO_RATE["lossless"] + noise
    assert column["families left out: counted as known"] < calibrate.UNKNOWN_RATE + noise
    rates = measured[0].calibrations["lossless"].error_rates
    for name in ("resized", "sharpened"):
        assert rates[name][1] / rates[name][2] < calibrate.TRACE_RATE + noise
    assert 0.31 < column["all pictures called sharpened"] < 0.35
    assert 0.2 < column["networks' pictures called made smaller afterwards"] < 0.26
    assert column["enlargement within 10 %, where printed"] > 0.93
    assert column["networks' pictures called enlarged by a network"] > 0.5
    assert column["calibration error of the group"] < 0.05


def test_error_rates_are_counts_of_the_test_pictures(measured):
    judge, table = measured
    said, wrong, of = judge.calibrations["lossless"].error_rates["network group"]
    called = COUNT * table["256"]["none"]["interpolations called enlarged by a network"]
    assert said == (
        f"photographs and {called:.0f} of {COUNT} interpolations called enlarged by a network"
    )
    assert of == COUNT
    assert wrong / of == table["256"]["none"]["photographs called enlarged by a network"]


def test_a_threshold_lets_no_more_than_a_share_pass():
    values = np.arange(100) / 100
    for rate, passing in ((0.0, 0), (0.01, 1), (0.5, 50)):
        assert np.sum(values >= calibrate._beyond(values, rate)) == passing
    assert calibrate._beyond(np.array([]), 0.1) == judging.NEVER


def test_answers_are_given_from_where_a_share_of_them_is_right():
    chances = np.linspace(1, 0, 101)
    right = chances > 0.5
    least = calibrate._sure(chances, right, 0.9)
    assert np.mean(right[chances >= least]) >= 0.9
    assert np.mean(right[chances >= least - 0.02]) < 0.9
    assert calibrate._sure(chances, np.zeros(101, bool), 0.9) == judging.NEVER


def test_a_mixing_finds_what_tells_the_group():
    draw = np.random.default_rng(1)
    groups = draw.integers(0, 3, 600)
    told = np.concatenate(
        [draw.normal(size=(600, 3)), np.eye(3)[groups], np.ones((600, 1))], axis=1
    )
    mixing = np.array(calibrate._fit_mixing(told, groups))
    assert ((told @ mixing).argmax(axis=1) == groups).all()
    assert np.abs(mixing[:3]).max() < 0.1 * np.abs(mixing[3:6]).max()


def test_the_temperature_and_its_growth_are_found_again():
    draw = np.random.default_rng(2)
    nearness = -draw.uniform(20, 60, (6000, 5)) * draw.choice([1.0, 4.0], (6000, 1))
    scores = grouping.class_scores(nearness, 3.0, 1.0)
    labels = (scores + draw.gumbel(size=scores.shape)).argmax(axis=1)
    temperature, growth = calibrate._fit_growth(nearness, labels)
    assert temperature == pytest.approx(3.0, rel=0.1)
    assert growth == pytest.approx(1.0, abs=0.15)


def test_that_a_picture_was_cut_is_wrong_where_a_jpeg_was_not(drawn, measured):
    rows, seen, _ = drawn
    states = np.where(np.arange(len(rows)) % 2, "jpeg:90", "jpeg:90+crop:0.9")
    known = measures.answered(measured[0], rows.assign(state=states), seen)
    assert known["said_cropped"].tolist() == rows["is_cut"].tolist()
    _, wrong, of = measures.error_rates(known)["cropped"]
    assert (wrong, of) == (rows["is_cut"][1::2].sum(), len(rows) // 2)


def test_predictions_of_strangers_have_a_column_for_each_class_that_is_known_to_others():
    names, size = ("a", "b", "c"), 9
    draw = np.random.default_rng(3)

    def judge_of(some):
        shapes = {
            **{"mean": (size,), "scale": (size,), "w1": (size, 4), "b1": (4,), "w2": (4, 4)},
            **{"b2": (4,), "group": (4, 3), "scale_bins": (4, len(BINS))},
            **{"project": (5, size, 2), "offset": (5, 2), "centres": (5, len(some), 2)},
            **{"spread": (5, len(some), 1, 2), "traces": (5, size, 2), "traces_offset": (5, 2)},
        }
        arrays = {name: draw.uniform(-0.6, 0.6, shape) for name, shape in shapes.items()}
        return Judge(some, some, ("network",) * len(some), arrays, {})

    rows = pd.DataFrame(
        {"family": ["a", "b", "b"], "split": "test", "kind_of_state": ["lossless", "webp", "webp"]}
    )
    data = learn.Data(rows, draw.normal(size=(3, size)).astype(np.float16))
    without = [judge_of(("b", "c")), judge_of(("c", "a"))]
    found = learn.predict_unseen(names, without, data, {"a": 0, "b": 1})
    assert (
        np.isneginf(found["class"]).tolist() == [[True, False, False]] + [[False, True, False]] * 2
    )
    own = without[1].logits(data.given[1:].astype(np.float32), "webp")
    np.testing.assert_array_equal(found["class"][1:, [2, 0]], own["class"])
    np.testing.assert_array_equal(found["group"][1:], own["group"])


def test_folds_hold_whole_families_and_about_as_many_networks():
    rows = pd.DataFrame(
        [
            {"kind": "network", "family": family, "name": f"{family}{k}"}
            for family, count in {"a": 4, "b": 3, "c": 3, "d": 1, "e": 1}.items()
            for k in range(count)
        ]
    )
    folds = learn.fold_of(rows)
    totals = np.bincount([folds[family] for family in rows["family"]])
    assert totals.tolist() == [4, 4, 4]


def test_what_is_not_learnt_from_is_asked_about_once_more_as_grey():
    size = len(is_of_colour()) + judging.NUM_TOLD
    rows = pd.DataFrame(
        {
            "split": ["train", "validation", "test"],
            "state": ["none", "jpeg:90", "jpeg:30"],
            "kind_of_state": ["lossless", states.STATE_KINDS[2], ""],
        }
    )
    data = learn.with_grey(learn.Data(rows, np.ones((3, size), np.float16)))
    assert data.rows["state"].tolist() == ["none", "jpeg:90", "jpeg:30", "jpeg:90, grey"]
    assert data.rows["kind_of_state"].iloc[3] == states.STATE_KINDS[2] + states.GREY
    assert np.isnan(data.given[3]).sum() == is_of_colour().sum() + 1
    assert not np.isnan(data.given[:3]).any()


def test_names_are_sure_of_what_lies_near_and_not_of_strangers():
    rng = np.random.default_rng(0)

    def told(distance, count):
        inputs = rng.normal(size=(count, 6))
        inputs[:, 1], inputs[:, 5] = distance + 0.3 * rng.normal(size=count), 1.0
        return inputs

    near, strange = told(3.0, 400), told(5.0, 400)
    near[:, 0] += 2.0
    right = np.stack([near[:, 0] + rng.logistic(size=400) > 1.0, np.ones(400, bool)], axis=1)
    weights = np.array(calibrate._fit_naming(near, strange, right, np.ones(400, bool)))
    chances = [scipy.special.expit(one @ weights) for one in (near, strange)]
    # Among those that are known the first is calibrated; family and network count strangers too.
    assert chances[0][:, 0].mean() == pytest.approx(right[:, 0].mean(), abs=0.02)
    assert chances[0][:, 2].mean() > 0.9
    assert chances[1][:, 1:].max(axis=1).mean() < 0.1


@pytest.mark.parametrize(
    ("kind", "splits", "told"),
    [
        ("original", ("train", "validation", "test"), "no network's pictures"),
        ("network", ("train",), "no picture for test and validation"),
    ],
)
def test_evidence_that_does_not_suffice_is_refused(tmp_path, monkeypatch, kind, splits, told):
    rows = pd.DataFrame([{"name": "a", "kind": kind, "family": "A", "split": s} for s in splits])
    monkeypatch.setattr(learn, "load", lambda folders: learn.Data(rows, np.zeros((len(rows), 1))))
    with pytest.raises(InputError, match=told):
        learn.run(LearnConfig(), tmp_path / "judge")
    assert not (tmp_path / "judge").exists()


def test_a_gallery_that_is_not_there_is_refused_before_anything_is_fitted(tmp_path, monkeypatch):
    rows = pd.DataFrame(
        [
            {"name": name, "kind": "network", "family": name, "split": split}
            for name in ("a", "b")
            for split in ("train", "validation", "test")
        ]
    )
    monkeypatch.setattr(learn, "load", lambda folders: learn.Data(rows, np.zeros((len(rows), 1))))
    config = LearnConfig(gallery=str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match=r"none\.safetensors: there is no gallery"):
        learn.run(config, tmp_path / "judge")
    assert not (tmp_path / "judge").exists()


def test_folds_are_numbered_from_0_where_families_are_few():
    rows = pd.DataFrame({"name": ["a", "b"], "kind": "network", "family": ["A", "B"]})
    assert sorted(learn.fold_of(rows).values()) == [0, 1]


def test_a_judge_is_fitted_again_to_other_evidence_or_by_other_flags(tmp_path, monkeypatch):
    fitted = []

    def train(key, inputs, targets, num_bins, **settings):
        fitted.append(settings["epochs"])
        names = ("w1", "b1", "w2", "b2", "group", "scale")
        return {name: np.full(1, len(fitted), np.float32) for name in names}

    monkeypatch.setattr(learn.training, "train", train)
    monkeypatch.setattr(learn, "shown", lambda some, names: {})
    monkeypatch.setattr(learn.discriminants, "fit", lambda *given: {})
    rows = pd.DataFrame({"name": NAMES, "kind": KINDS, "family": FAMILIES, "split": "train"})
    rows = rows.assign(kind_of_state="lossless", log_scale=0.0, enlargement=1.0)
    rows = rows.assign(is_resized=False, is_sharpened=False)
    data = learn.Data(rows, np.arange(8, dtype=np.float16).reshape(4, 2))
    other = learn.Data(rows, data.given + 1)
    path, usual = tmp_path / "judge.npz", LearnConfig()

    def number(data, config):
        return float(learn._fitted(path, data, (), config).arrays["w1"][0])

    assert [number(data, usual), number(data, usual)] == [1, 1]
    assert number(other, usual) == 2
    assert number(data, LearnConfig(seed=1)) == 3
    assert number(data, LearnConfig(epochs=3)) == 4
    assert fitted[-1] == 3
    np.savez(path, names="[]")  # as older versions wrote it
    assert number(data, usual) == 5


def test_a_gallery_is_measured_by_size_on_pictures_of_the_classes_it_knows(tmp_path, monkeypatch):
    base = Gallery.open()
    known = [*zip(base.judge.names, base.judge.families, base.judge.kinds, strict=True)]
    names = ("original", "bicubic", "esrgan-x4", "imdn-x2", "imdn-x4", "span-ch48-x4")
    rows = pd.DataFrame(
        [
            {"name": name, "family": family, "kind": kind, "side_px": side}
            for name, family, kind in (*known, ("mine", "mine", "network"))
            for side in (256, 448)
            for _ in range(3)
            if name in (*names, "mine")
        ]
    )
    rows = rows.assign(split="test", state="none", kind_of_state="lossless", log_scale=0.0)
    rows = rows.assign(is_resized=False, is_sharpened=False, seen_quality=np.nan, is_cut=None)
    draw = np.random.default_rng(4)
    mean, scale = (base.judge.arrays[name].astype(np.float32) for name in ("mean", "scale"))
    given = mean + 0.1 * scale * draw.normal(size=(len(rows), len(mean)))
    data = learn.Data(rows, given.astype(np.float16))
    monkeypatch.setattr(learn, "load", lambda folders: data)
    monkeypatch.setattr(learn.training, "train", None)  # nothing is fitted
    learn.run(LearnConfig(measure_only=True), tmp_path / "judge")
    table = json.loads((tmp_path / "judge" / "table.json").read_text())
    assert list(table) == ["256", "448"]
    for columns in table.values():
        assert columns["none"]["pictures"] == 3 * len(names)  # without the class nobody knows
    assert not (tmp_path / "judge" / "gallery.safetensors").exists()
    with pytest.raises(InputError, match="no judge"):
        learn.measured(dataclasses.replace(base, judge=None), data)
    mine = data.only((rows["name"] == "mine").to_numpy())
    with pytest.raises(InputError, match="no network's pictures"):
        learn.measured(base, mine)


def test_a_photograph_of_several_pictures_counts_once_against_a_threshold():
    photographs = pd.Series([*"aaabcdefghij"])
    values = np.array([0.9, 0.95, 0.8, 0.7, *np.linspace(0.1, 0.4, 8)])
    highest = calibrate._highest(values, photographs)
    assert len(highest) == 10
    assert highest.max() == 0.95
    assert calibrate._beyond(highest, 0.1) == pytest.approx(0.7)  # one of ten may be beyond
    assert calibrate._beyond(values, 0.1) == pytest.approx(0.9)
