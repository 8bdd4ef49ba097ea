"""Open sets end to end: the splits, what is fitted, measured, kept and refused."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments.attribution import sharing as attribution_sharing
from experiments.open_set import run as open_set_run
from experiments.open_set.config import OpenSetConfig
from jaxfleet.errors import InputError
from jaxsr.attribution import open_set
from jaxsr.datasets import picture_sets

UNSEEN = ("seed=3", "architecture=each")


@pytest.fixture
def config(made_up_pictures, quick_attribution):
    """Flags of a run; fits are quick."""
    return OpenSetConfig(pictures=str(made_up_pictures), crop_px=32, unseen=UNSEEN)


def test_each_value_is_kept_away_in_turn(made_up_pictures):
    pictures = picture_sets.open(made_up_pictures)
    splits = open_set_run.make_splits(pictures, ("seed=3", "architecture=each", "scale=each"))
    assert [split.unseen for split in splits] == [
        *("seed=3", "architecture=edsr", "architecture=rcan", "architecture=rdn"),
    ]
    assert splits[0].unknown == ("edsr-A-x2-l1-s3", "rcan-A-x2-l1-s3", "rdn-A-x2-l1-s3")
    for split in splits:
        assert sorted(split.known + split.unknown) == sorted(pictures.index["network"].unique())


def test_unknown_networks_never_teach_and_are_told_from_the_known(
    config, quick_attribution, tmp_path
):
    said = open_set_run.run(config, tmp_path / "run")
    assert "4 classifiers on 4 open sets" in said
    assert [len(classes) for classes, _ in quick_attribution] == [6, 6, 6, 6]
    assert not any(name.endswith("s3") for name in quick_attribution[0][0])
    rows = pd.read_parquet(tmp_path / "run" / "parts")
    of_seed = rows[rows["unseen"] == "seed=3"]
    assert of_seed["is_known"].tolist() == (~of_seed["network"].str.endswith("s3")).tolist()
    assert of_seed[~of_seed["is_known"]]["split"].unique().tolist() == ["test"]
    assert not of_seed[~of_seed["is_known"]]["is_correct"].any()
    table = pd.DataFrame(json.loads((tmp_path / "run" / "results.json").read_text()))
    assert len(table) == 4 * len(open_set_run.SCORES)
    assert (table["accuracy"] == 1.0).all()
    far = table[(table["unseen"] == "seed=3") & (table["score"] == "mahalanobis")].iloc[0]
    assert far["auroc"] == far["oscr"] == far["tnr"] == far["refused"] == 1.0
    assert far["answered"] > 0.7
    page = (tmp_path / "run" / "report.html").read_text()
    assert "relative mahalanobis" in page
    assert {path.stem for path in (tmp_path / "run" / "figures").iterdir()} == {
        *("curves_seed", "scores_seed", "curves_architecture", "scores_architecture"),
    }
    assert (tmp_path / "run" / "DONE").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_second_run_fits_only_what_is_missing(made_up_pictures, quick_attribution, tmp_path):
    config = OpenSetConfig(pictures=str(made_up_pictures), crop_px=32, unseen=("seed=3", "seed=1"))
    open_set_run.run(config, tmp_path / "run")
    first = (tmp_path / "run" / "results.json").read_text()
    quick_attribution.clear()
    (tmp_path / "run/parts/seed-3/linear-0.parquet").unlink()
    open_set_run.run(config, tmp_path / "run")
    assert len(quick_attribution) == 1
    assert (tmp_path / "run" / "results.json").read_text() == first


@pytest.mark.usefixtures("no_figures", "quick_attribution")
def test_the_table_that_the_page_names_has_the_rows_of_the_last_command_alone(
    made_up_pictures, tmp_path
):
    for unseen in ("seed=3", "seed=1"):
        flags = OpenSetConfig(pictures=str(made_up_pictures), crop_px=32, unseen=(unseen,))
        open_set_run.run(flags, tmp_path / "run")
    rows = pd.read_parquet(tmp_path / "run" / "crops.parquet")
    assert set(rows["unseen"]) == {"seed=1"}


def test_features_that_are_shared_give_what_pictures_give(made_up_pictures):
    pictures = picture_sets.open(made_up_pictures).only(architecture="edsr")
    (split,) = open_set_run.make_splits(pictures, ("seed=3",))
    shared = attribution_sharing.share("linear", pictures, crop_px=16)
    ours = open_set_run.score(split, "linear", 0, 16, shared)
    expected = open_set_run.score(split, "linear", 0, 16)
    pd.testing.assert_frame_equal(ours, expected, rtol=1e-3, atol=1e-3)


def test_measures_by_hand():
    rows = pd.DataFrame(
        {
            "unseen": "seed=3",
            "method": "spectrum",
            "seed": 0,
            "split": 4 * ["validation"] + 6 * ["test"],
            "is_known": 8 * [True] + 2 * [False],
            "is_correct": [True, True, True, True, True, True, False, True, False, False],
            **{
                name: [0.2, 0.6, 0.7, 0.8, 0.9, 0.8, 0.7, 0.1, 0.5, 0.65]
                for name in open_set_run.SCORES
            },
        }
    )
    measured = open_set_run.measure(rows, 0.75).iloc[0]
    assert measured["accuracy"] == 0.75
    assert measured["auroc"] == 0.75
    assert measured["oscr"] == pytest.approx(0.5)
    assert measured["tnr"] == 1.0  # threshold 0.7
    assert measured["answered"] == 0.75  # threshold 0.6, of the validation
    assert measured["refused"] == 0.5
    alone = open_set_run.measure(rows[rows["split"] == "test"], 0.75).iloc[0]
    assert np.isnan(alone["refused"])
    assert alone["auroc"] == 0.75


@pytest.mark.usefixtures("no_figures")
def test_several_seeds_give_deviations_and_the_same_scores_here(
    made_up_pictures, quick_attribution, tmp_path
):
    flags = {"pictures": str(made_up_pictures), "crop_px": 32, "unseen": ("seed=3",)}
    open_set_run.run(OpenSetConfig(**flags, seed=(0, 1)), tmp_path / "run")
    table = pd.DataFrame(json.loads((tmp_path / "run" / "results.json").read_text()))
    one, other = (table[table["seed"] == seed].drop(columns="seed") for seed in (0, 1))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))
    assert "± 0.0" in (tmp_path / "run" / "report.html").read_text()


def test_a_dry_run_says_what_would_be_done(config, tmp_path, foreign):
    flags = OpenSetConfig(pictures=config.pictures, crop_px=32, unseen=UNSEEN, dry_run=True)
    lines = open_set_run.run(flags, tmp_path / "run").splitlines()
    assert lines[0] == "seed=3: 6 known networks, 3 unknown"
    assert lines[-1] == "4 classifiers to fit"
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="and no run; give another folder"):
        open_set_run.run(flags, foreign)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"unseen": ("seed=9",)}, "0 networks have it and 9 do not.*Values are 1, 3"),
        ({"unseen": ("scale=2",)}, "9 networks have it and 0 do not"),
        ({"unseen": ("scale=each",)}, "no value can be kept away"),
        ({"crop_px": 64}, "has a side of 40 pixels"),
        ({"pictures": "nowhere"}, "nowhere holds no pictures"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_made(config, tmp_path, flags, message):
    given = {"pictures": config.pictures, "crop_px": 32, **flags}
    with pytest.raises(InputError, match=message):
        open_set_run.run(OpenSetConfig(**given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"unseen": ("colour=red",)}, "--unseen=colour=red: write COLUMN=VALUE"),
        ({"unseen": ("seed",)}, "--unseen=seed: write"),
        ({"unseen": ()}, "--unseen has no value; give at least one"),
        ({"method": ()}, "--method has no value; give at least one"),
    ],
)
def test_flags_that_leave_nothing_to_do_are_refused(flags, message):
    with pytest.raises(InputError, match=message):
        OpenSetConfig(**flags)


def test_the_share_that_the_threshold_leaves_is_the_wanted_one(made_up_pictures, quick_attribution):
    (split,) = open_set_run.make_splits(picture_sets.open(made_up_pictures), ("seed=3",))
    rows = open_set_run.score(split, "spectrum", 0, 32)
    own = rows[rows["split"] == "validation"]
    assert len(own) == 4 * len(split.known)
    for name in open_set_run.SCORES:
        threshold = open_set.threshold_at_tpr(own[name].to_numpy())
        assert (own[name] >= threshold).mean() >= 0.95


def test_every_method_that_shares_features_is_scored_by_them(made_up_pictures):
    pictures = picture_sets.open(made_up_pictures)
    (split,) = open_set_run.make_splits(pictures, ("seed=3",))
    shared = attribution_sharing.share("kernel", pictures, crop_px=32)
    one, other = (open_set_run.score(split, "kernel", 0, 32, own) for own in (shared, None))
    told = ["split", "network", "image_id", "is_known"]
    pd.testing.assert_frame_equal(one[told], other[told])
    assert (one["predicted"] == other["predicted"]).mean() > 0.9
    np.testing.assert_allclose(one["probability"], other["probability"], atol=0.05)
