"""Robustness end to end: what is fitted, tested, kept, made again and refused."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from experiments.attribution import files as attribution_files
from experiments.attribution import parts as attribution_parts
from experiments.robustness import report as robustness_report
from experiments.robustness import run as robustness_run
from experiments.robustness.config import RobustnessConfig
from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.datasets import perturbations, picture_sets
from jaxsr.datasets.crops import tiles

CROP = 32
CHANGES = ("blur:1", "blur:2", "noise:1", "resize:0.5", "resize:2", "resize:0.9+jpeg:75")


@pytest.fixture
def config(made_up_pictures, quick_attribution, tmp_path):
    """Flags of a run on the classifiers of two seeds, which learnt the made-up networks."""
    train = picture_sets.open(made_up_pictures).only(split="train")
    classes = tuple(train.index["network"].unique())
    labels = pd.Index(classes).get_indexer(train.index["network"])
    pictures = [train.picture(row) for row in range(len(train))]
    folder = tmp_path / "attribution"
    with rundir.held(folder, attribution_files.KIND, {"source": str(made_up_pictures)}):
        (folder / "models").mkdir()
    for seed in (0, 1):
        fitted = attribution.fit(
            "spectrum", pictures, labels, classes, crop_px=CROP, seed=seed, validation=None
        )
        path = folder / "models" / f"spectrum-{seed}.safetensors"
        classifier_files.save(fitted, path, {"seed": seed, "temperature": 2.0})
    quick_attribution.clear()
    return RobustnessConfig(attribution=str(folder), perturb=CHANGES)


def means_of(run_dir):
    table = pd.DataFrame(json.loads((run_dir / "results.json").read_text()))
    return table.groupby(["learned", "perturbation"])["accuracy"].mean()


def test_what_blur_takes_away_is_missed_and_files_are_left(config, tmp_path):
    said = robustness_run.run(config, tmp_path / "run")
    assert "7 perturbations, 2 classifiers" in said
    accuracy = means_of(tmp_path / "run")["clean"]
    assert accuracy["none"] == 1.0
    assert accuracy["noise:1"] == 1.0
    assert accuracy["blur:2"] < 0.7
    assert accuracy["resize:2"] < 1.0
    names = {path.name for path in (tmp_path / "run").iterdir() if path.name[0] != "."}
    assert names == {
        *("DONE", "manifest.json", "results.json", "report.html", "figures", "parts"),
        "crops.parquet",
    }
    parts = sorted(path.name for path in (tmp_path / "run/parts/spectrum-0").iterdir())
    assert parts == [
        *("blur_1.parquet", "blur_2.parquet", "noise_1.parquet", "none.parquet"),
        *("resize_0.5.parquet", "resize_0.9-jpeg_75.parquet", "resize_2.parquet"),
    ]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "resize:0.9+jpeg:75" in page
    assert "mirrored" in page
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"robustness_blur", "robustness_resize"}


@pytest.mark.usefixtures("no_figures")
def test_rows_are_those_of_a_loop_over_pictures(config, made_up_pictures, tmp_path):
    robustness_run.run(config, tmp_path / "run")
    tests = picture_sets.open(made_up_pictures).only(split="test")
    one = robustness_run.read_classifiers(tmp_path / "attribution")[0]
    for name, file in (("noise:1", "noise_1"), ("resize:2", "resize_2")):
        rows = pd.read_parquet(tmp_path / f"run/parts/spectrum-0/{file}.parquet")
        expected = []
        for row, (network, image_id) in tests.index[["network", "image_id"]].iterrows():
            rng = perturbations.generator(0, name, network, image_id)
            changed = perturbations.parse(name)(tests.picture(row), rng)
            for tile in tiles(changed, CROP):
                log_scores = one.classifier.log_scores(tile[None])[0].astype(float)
                shares = np.exp((log_scores - log_scores.max()) / 2.0)  # temperature 2
                best = one.classifier.classes[shares.argmax()]
                expected.append((network, image_id, best, 1.0 / shares.sum()))
        columns = ["network", "image_id", "predicted", "probability"]
        pd.testing.assert_frame_equal(
            rows[columns], pd.DataFrame(expected, columns=columns), check_dtype=False, rtol=1e-4
        )
        assert not rows["is_filled"].any()
        assert len(rows) == (9 if name == "resize:2" else 1) * len(tests)


@pytest.mark.usefixtures("no_figures")
def test_what_became_smaller_than_a_crop_is_told(config, tmp_path):
    robustness_run.run(config, tmp_path / "run")
    table = pd.DataFrame(json.loads((tmp_path / "run" / "results.json").read_text()))
    filled = table.groupby("perturbation")["filled"].mean()
    assert filled["resize:0.5"] == 1.0
    assert filled.drop("resize:0.5").max() == 0.0


@pytest.mark.usefixtures("no_figures")
def test_classifiers_that_learn_from_perturbed_pictures_are_tested_beside(
    config, quick_attribution, tmp_path
):
    train_on = RobustnessConfig(
        attribution=config.attribution, perturb=("blur:2",), train_on=("blur:2", "noise:1")
    )
    robustness_run.run(train_on, tmp_path / "run")
    assert [count for _, count in quick_attribution] == [72, 72]  # each picture twice
    models = sorted(path.stem for path in (tmp_path / "run" / "models").iterdir())
    assert models == ["spectrum-0-perturbed", "spectrum-1-perturbed"]
    facts = classifier_files.facts_of(tmp_path / "run/models/spectrum-0-perturbed.safetensors")
    assert facts["train_on"] == ["blur:2", "noise:1"]
    assert math.isfinite(facts["temperature"])
    assert set(means_of(tmp_path / "run").index) == {
        (learned, name) for learned in ("clean", "perturbed") for name in ("none", "blur:2")
    }
    robustness_run.run(train_on, tmp_path / "run")
    assert len(quick_attribution) == 2  # those of the run directory served


@pytest.mark.usefixtures("no_figures")
def test_a_second_run_makes_what_is_missing_damaged_or_of_other_inputs(
    config, tmp_path, monkeypatch
):
    run_dir = tmp_path / "run"
    robustness_run.run(config, run_dir)
    first = means_of(run_dir)
    made = []
    predict = robustness_run.predict

    def counted(one, pictures, perturbation, seed):
        made.append((one.name, perturbation.name))
        return predict(one, pictures, perturbation, seed)

    monkeypatch.setattr(robustness_run, "predict", counted)
    robustness_run.run(config, run_dir)
    assert made == []
    (run_dir / "parts/spectrum-0/noise_1.parquet").unlink()
    (run_dir / "parts/spectrum-1/blur_1.parquet").write_bytes(b"half")
    robustness_run.run(config, run_dir)
    assert made == [("spectrum-1", "blur:1"), ("spectrum-0", "noise:1")]
    pd.testing.assert_series_equal(means_of(run_dir), first)
    made.clear()
    robustness_run.run(
        RobustnessConfig(attribution=config.attribution, perturb=("noise:1",), seed=5), run_dir
    )
    assert [name for _, name in made] == ["none", "none", "noise:1", "noise:1"]


def test_a_dry_run_and_a_limit_of_photographs(config, tmp_path, foreign):
    flags = {"attribution": config.attribution, "perturb": CHANGES, "max_images": 1}
    said = robustness_run.run(RobustnessConfig(**flags, dry_run=True), tmp_path / "run")
    assert said == "2 classifiers, 7 perturbations of 9 test pictures"
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="and no run; give another folder"):
        robustness_run.run(RobustnessConfig(**flags, dry_run=True), foreign)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"method": ("dct",)}, "has no classifiers of --method"),
        ({"attribution": "nowhere"}, "nowhere has no classifiers"),
        ({"pictures": "nowhere"}, "nowhere holds no pictures"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_made(config, tmp_path, flags, message):
    given = {"attribution": config.attribution, "perturb": ("blur:1",), **flags}
    with pytest.raises(InputError, match=message):
        robustness_run.run(RobustnessConfig(**given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pictures_without_one_of_the_classes_are_refused(config, made_up_pictures, tmp_path):
    shutil.copytree(made_up_pictures, tmp_path / "fewer")
    next((tmp_path / "fewer" / "index").iterdir()).unlink()
    flags = RobustnessConfig(attribution=config.attribution, pictures=str(tmp_path / "fewer"))
    with pytest.raises(InputError, match="has no picture of .*give the folder"):
        robustness_run.run(flags, tmp_path / "run")


@pytest.mark.usefixtures("no_figures", "quick_attribution")
def test_an_classifier_that_is_fitted_again_has_the_options_of_the_one_beside(
    config, tmp_path, monkeypatch
):
    options = {"period": 12, "max_lag": 1}
    for path in (tmp_path / "attribution" / "models").iterdir():
        classifier = classifier_files.load(path)
        classifier_files.save(classifier, path, {"seed": 0, "options": options})
    fit, told = attribution.fit, []

    def noted(*args, period, max_lag, **rest):
        told.append({"period": period, "max_lag": max_lag})
        return fit(*args, **rest)

    monkeypatch.setattr(attribution, "fit", noted)
    flags = RobustnessConfig(
        attribution=config.attribution, perturb=("blur:1",), train_on=("blur:1",)
    )
    robustness_run.run(flags, tmp_path / "run")
    assert told == [options]  # both classifiers say seed 0: the second one's is there
    (path,) = (tmp_path / "run" / "models").iterdir()
    assert classifier_files.facts_of(path)["options"] == options


@pytest.mark.usefixtures("no_figures", "quick_attribution")
def test_the_table_that_the_page_names_has_the_rows_of_the_last_command_alone(config, tmp_path):
    for changes in (("blur:1", "noise:1"), ("blur:2",)):
        flags = RobustnessConfig(attribution=config.attribution, perturb=changes)
        robustness_run.run(flags, tmp_path / "run")
    rows = pd.read_parquet(tmp_path / "run" / "crops.parquet")
    assert set(rows["perturbation"]) == {"none", "blur:2"}


@pytest.mark.parametrize("flag", ["perturb", "train_on"])
def test_a_bad_perturbation_names_its_flag(flag):
    with pytest.raises(InputError, match=f"--{flag}: 'gif:3' is no perturbation"):
        RobustnessConfig(**{flag: ("gif:3",)})


def test_another_folder_is_left_alone(config, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(InputError, match="letter.* and no run; give another"):
        robustness_run.run(config, tmp_path / "mine")


def test_the_table_has_means_and_deviations_over_seeds():
    rows = [
        ("spectrum", seed, "clean", "none", right, 0.9, 1, 0.0)
        for seed, right in ((0, 0.8), (1, 0.6))
    ]
    columns = ["method", "seed", "learned", "perturbation"]
    columns += ["accuracy", "probability", "crops", "filled"]
    shown, headings = robustness_report.summary(pd.DataFrame(rows, columns=columns))
    assert shown["spectrum"].tolist() == ["70.0 ± 10.0"]
    assert list(headings) == ["perturbation", "spectrum (%)", "spectrum, how sure"]


def test_a_picture_is_changed_alike_each_time_it_is_asked_for(made_up_pictures):
    pictures = picture_sets.open(made_up_pictures)
    noise = perturbations.parse("noise:5")
    changed = attribution_parts.Perturbed(pictures, [(0, noise), (1, noise), (0, noise)], 50)
    np.testing.assert_array_equal(changed[0], changed[2])
    assert (changed[0] != changed[1]).any()
    assert changed[0].shape == (50, 50, 3)
    assert len(changed[1:]) == 2
    np.testing.assert_array_equal(changed[1:][1], changed[0])
