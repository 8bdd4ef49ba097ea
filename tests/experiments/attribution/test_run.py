"""Runs of attribution: trained, tested, taken up again, refused, and by a method that is real."""

import functools
import inspect
import json
import sys
import types

import numpy as np
import pandas as pd
import pytest

from experiments.attribution import files as attribution_files
from experiments.attribution import parts as attribution_parts
from experiments.attribution import report as attribution_report
from experiments.attribution import run as attribution_run
from experiments.attribution.config import AttributionConfig
from jaxfleet import storage
from jaxfleet.errors import InputError, InUseError
from jaxsr.attribution import convnext as attribution_convnext
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution.classifier import PixelClassifier
from jaxsr.attribution.table import TABLE, Method
from jaxsr.datasets import picture_sets
from jaxsr.datasets.crops import tiles
from tests.experiments import picture_rows

CROP_PX, HEIGHT, WIDTH = 16, 34, 50
NETWORKS = {  # kind, architecture, scale, loss, seed; grey level that it adds
    "edsr-A-x2-l1-s1": ("network", "edsr", 2, "l1", 1, 10),
    "edsr-A-x2-l1-s2": ("network", "edsr", 2, "l1", 2, 40),
    "nlsn-A-x4-vgg_adv-s1": ("network", "nlsn", 4, "vgg_adv", 1, 80),
    "original": ("original", "", 1, "", 0, 120),
}
PHOTOS = {"dawn": "train", "dusk": "train", "noon": "validation", "eve": "test", "rain": "test"}


def write_pictures(folder, splits=PHOTOS):
    """A folder as launch/sr_images.py leaves it."""
    for number, (network, facts) in enumerate(NETWORKS.items()):
        kind, architecture, scale, loss, seed, level = facts
        stated = {"kind": kind, "architecture": architecture, "scale": scale, "loss": loss}
        stated |= {"training_set": "A" if architecture else "", "seed": seed}
        rows = []
        for place, (image_id, split) in enumerate(splits.items()):
            noise = np.random.default_rng([number, place]).integers(0, 9, (HEIGHT, WIDTH, 3))
            pixels = (noise + level).astype(np.uint8)
            psnr = np.inf if kind == "original" else 30.0 + place
            rows.append(
                picture_rows.add(folder, network, image_id, split, pixels, psnr_y_db=psnr, **stated)
            )
        picture_sets.write_rows(folder, network, rows)
    return folder


class Levels(PixelClassifier):
    """A classifier by mean grey level; with no slope it answers the first class always."""

    def __init__(self, method, classes, crop_px, means, slope):
        self.method, self.classes, self.crop_px = method, tuple(classes), crop_px
        self.means, self.slope = means, slope

    def embedding_of(self, crops):
        return crops.reshape(len(crops), -1, 3).mean(axis=1).astype(np.float32)

    def log_scores_of(self, crops):
        scores = -self.slope * np.abs(self.embedding_of(crops).mean(axis=1)[:, None] - self.means)
        return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)

    def to_arrays(self):
        return {"means": self.means}, {"slope": self.slope}


@pytest.fixture(autouse=True)
def fits(monkeypatch):
    """Puts classifiers of `Levels` in place of dct and prnu; lists those fitted from now on."""
    fitted = []

    def fit(method, slope, pictures, labels, classes, *, crop_px, seed, progress, **_):
        fitted.append(f"{method}-{seed}")
        levels = np.array([picture.mean() for picture in pictures])
        progress(1.0)
        means = np.array([levels[labels == k].mean() for k in range(len(classes))], np.float32)
        return Levels(method, classes, crop_px, means, slope)

    def from_arrays(arrays, facts):
        return Levels(
            *(facts[name] for name in ("method", "classes", "crop_px")),
            **arrays,
            slope=facts["slope"],
        )

    module = types.ModuleType("levels")
    module.fit_dct = lambda *args, **options: fit("dct", 0.2, *args, **options)
    module.fit_prnu = lambda *args, **options: fit("prnu", 0.0, *args, **options)
    module.from_arrays = from_arrays
    monkeypatch.setitem(sys.modules, "levels", module)
    monkeypatch.setitem(TABLE, "dct", Method("levels:fit_dct"))
    monkeypatch.setitem(TABLE, "prnu", Method("levels:fit_prnu"))
    return fitted


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def config_of(pictures, **flags):
    given = {"crop_px": CROP_PX, "classes": picture_sets.KINDS, "method": ("dct", "prnu")}
    return AttributionConfig(**{"pictures": str(pictures), "tsne": False, **given, **flags})


@pytest.mark.usefixtures("no_figures")
def test_a_run_leaves_classifiers_predictions_features_tables_and_a_page(pictures, tmp_path, fits):
    run_dir = tmp_path / "run"
    said = attribution_run.run(config_of(pictures, seed=(0, 1)), run_dir)
    assert "dct: 100.0 ± 0.0 % of 48 crops, by chance 25 %" in said
    assert "prnu: 25.0 ± 0.0 %" in said
    assert fits == ["dct-0", "dct-1", "prnu-0", "prnu-1"]
    assert sorted(path.name for path in (run_dir / "models").iterdir()) == [
        f"{name}.safetensors" for name in fits
    ]
    classifier = classifier_files.load(run_dir / "models" / "dct-1.safetensors")
    assert classifier.classes == tuple(NETWORKS)
    frame = pd.read_parquet(run_dir / "predictions.parquet")
    assert len(frame) == 4 * 4 * 2 * 6  # classifiers, networks, photographs, tiles of 34 x 50
    assert set(frame["image_id"]) == {"eve", "rain"}
    dct = frame[frame["method"] == "dct"]
    assert (dct["predicted"] == dct["network"]).all()
    scores = np.stack(frame["log_scores"])
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1.0, rtol=1e-5)
    features = attribution_files.read_features(run_dir)
    assert features["dct-0"].shape == (8, 3)
    results = json.loads((run_dir / "results.json").read_text())
    by_scale = {
        (row["method"], row["group"]): row["accuracy"]
        for row in results["by_factor"]
        if row["table"] == "scale"
    }
    assert by_scale["dct", "4"] == 1.0
    assert by_scale["prnu", "2"] == 0.5  # always its first class
    page = (run_dir / "report.html").read_text()
    assert "Seeds told apart" in page
    assert "99.2 ± 0.2" in page  # the paper's, of vgg_adv
    assert (run_dir / "DONE").exists()


@pytest.mark.usefixtures("no_figures")
def test_what_is_there_is_not_made_again_and_methods_may_be_added(pictures, tmp_path, fits):
    run_dir = tmp_path / "run"
    attribution_run.run(config_of(pictures, method=("dct",)), run_dir)
    before = (run_dir / "predictions.parquet").read_bytes()
    attribution_run.run(config_of(pictures, method=("dct",)), run_dir)
    assert (run_dir / "predictions.parquet").read_bytes() == before
    attribution_run.run(config_of(pictures), run_dir)
    assert fits == ["dct-0", "prnu-0"]
    assert set(pd.read_parquet(run_dir / "predictions.parquet")["method"]) == {"dct", "prnu"}


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_is_killed_goes_on_with_the_classifiers_that_it_has(
    pictures, tmp_path, fits, monkeypatch
):
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    attribution_run.run(config_of(pictures), whole)
    predict, calls = attribution_run._predict, []

    def killed(task, classifier, *args):
        calls.append(classifier.method)
        if classifier.method == "prnu":
            raise KeyboardInterrupt
        return predict(task, classifier, *args)

    with monkeypatch.context() as patch:
        patch.setattr(attribution_run, "_predict", killed)
        with pytest.raises(KeyboardInterrupt):
            attribution_run.run(config_of(pictures), run_dir)
    assert calls == ["dct", "prnu"]
    assert not (run_dir / "DONE").exists()
    fits.clear()
    attribution_run.run(config_of(pictures), run_dir)
    assert fits == []
    one, other = (attribution_files.read_predictions(path) for path in (whole, run_dir))
    pd.testing.assert_frame_equal(one.frame, other.frame)
    np.testing.assert_array_equal(one.log_scores, other.log_scores)


@pytest.mark.usefixtures("no_figures")
def test_the_temperature_is_that_of_the_validation_photographs(pictures, tmp_path):
    attribution_run.run(config_of(pictures, method=("dct",)), tmp_path / "run")
    frame = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    facts = classifier_files.facts_of(tmp_path / "run" / "models" / "dct-0.safetensors")
    assert set(frame["temperature"]) == {facts["temperature"]}
    assert facts["validation_crops"] == 24
    assert facts["temperature"] < 1  # always right, and not sure enough
    assert (frame["probability"] > np.exp(np.stack(frame["log_scores"]).max(axis=1))).all()


@pytest.mark.usefixtures("no_figures")
def test_without_validation_photographs_probabilities_stay(tmp_path):
    splits = {"dawn": "train", "dusk": "test"}
    pictures = write_pictures(tmp_path / "pictures", splits)
    attribution_run.run(config_of(pictures), tmp_path / "run")
    frame = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert set(frame["temperature"]) == {1.0}


def test_filters_choose_classes(pictures):
    task = attribution_run.make_task(
        config_of(pictures, classes=("network",), where=("scale=2", "seed=1", "seed=2"))
    )
    assert task.names == ("edsr-A-x2-l1-s1", "edsr-A-x2-l1-s2")
    of_kind = attribution_run.make_task(config_of(pictures, where=("kind=network",)))
    assert of_kind.names == tuple(NETWORKS)[:3]
    assert task.count("test") == 2 * 2 * 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"where": ("scale",)}, "--where=scale: write COLUMN=VALUE"),
        ({"where": ("colour=red",)}, "columns are network"),
        ({"where": ("scale=two",)}, "--where=scale=two: two is no whole number"),
        ({"where": (f"seed={10**30}",)}, "--where=seed=10+: 10+ is no whole number"),
        ({"where": ("psnr_y_db=much",)}, "--where=psnr_y_db=much: much is no number"),
        ({"where": ("psnr_y_db=1e9",)}, "no picture with psnr_y_db"),
        ({"classes": ("network",), "where": ("kind=original",)}, "no picture with kind"),
        ({"where": ("scale=3",)}, "no picture with"),
        ({"where": ("scale=4",)}, "1 class is left"),
        ({"crop_px": 35}, "dawn.png has a side of 34 pixels, less than a crop of 35"),
        ({"where": ("split=train",)}, "has no test photograph of edsr-A-x2-l1-s1"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_before_anything_is_made(
    pictures, tmp_path, flags, message
):
    with pytest.raises(InputError, match=message):
        attribution_run.run(config_of(pictures, **flags), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_directory_is_of_one_set_of_pictures_and_one_side_of_crops(pictures, tmp_path):
    run_dir = tmp_path / "run"
    attribution_run.run(config_of(pictures, method=("prnu",)), run_dir)
    for flags, message in [
        ({"crop_px": 17}, "crop_px was 16 is 17"),
        ({"where": ("scale=2",)}, "pictures was .* is "),
    ]:
        with pytest.raises(InputError, match=message):
            attribution_run.run(config_of(pictures, **flags), run_dir)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="letter.txt"):
        attribution_run.run(config_of(pictures), tmp_path / "other")


def test_a_run_that_another_process_holds_is_left_as_it_is(pictures, tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with (
        storage.locked(run_dir, ".lock", "--run_dir"),
        pytest.raises(InUseError, match="another process is writing to it"),
    ):
        attribution_run.run(config_of(pictures), run_dir)
    assert storage.names(run_dir) == []


@pytest.mark.usefixtures("no_figures")
def test_a_command_that_failed_may_be_corrected_but_not_what_was_fitted(
    pictures, tmp_path, fits, monkeypatch
):
    run_dir, missing = tmp_path / "run", str(tmp_path / "none.safetensors")
    convnext = {"method": ("convnext",), "epochs": 3}
    with pytest.raises(InputError, match="--convnext_weights=.*none.safetensors: there is no such"):
        attribution_run.run(config_of(pictures, **convnext, convnext_weights=missing), run_dir)
    folders = []

    @functools.wraps(attribution_convnext.fit)  # which has its options
    def fit(*args, learning_rate, checkpoint, **options):
        folders.append(checkpoint)
        checkpoint.mkdir()
        if learning_rate == 9.0:
            raise InputError("the training diverges; lower --learning_rate")
        options = {name: options[name] for name in ("crop_px", "seed", "progress")}
        return sys.modules["levels"].fit_dct(*args, **options)

    sys.modules["levels"].fit = fit
    monkeypatch.setitem(TABLE, "convnext", Method("levels:fit"))
    with pytest.raises(InputError, match="diverges"):
        attribution_run.run(config_of(pictures, **convnext, learning_rate=9.0), run_dir)
    attribution_run.run(config_of(pictures, **convnext, learning_rate=1e-3), run_dir)
    assert len(set(folders)) == 2  # the state of the first is not met again
    assert storage.names(run_dir / "checkpoints") == []
    with pytest.raises(InputError, match=r"other options \(learning_rate was 0.001 is 0.1\)"):
        attribution_run.run(config_of(pictures, **convnext, learning_rate=0.1), run_dir)
    (run_dir / "models" / "convnext-0.safetensors").unlink()  # the remedy that it names
    attribution_run.run(config_of(pictures, **convnext, learning_rate=0.1), run_dir)
    options = classifier_files.facts_of(run_dir / "models" / "convnext-0.safetensors")["options"]
    assert options["learning_rate"] == 0.1
    assert len(pd.read_parquet(run_dir / "predictions.parquet")) == 4 * 2 * 6


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["predictions.parquet", "features.npz"])
def test_a_damaged_file_that_is_removed_is_made_again(pictures, tmp_path, fits, name):
    run_dir = tmp_path / "run"
    config = config_of(pictures, tsne=False)
    attribution_run.run(config, run_dir)
    features, rows = (
        attribution_files.read_features(run_dir),
        attribution_files.read_predictions(run_dir).frame,
    )
    (run_dir / name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{name}: damaged .*; remove it and repeat the command"):
        attribution_run.run(config, run_dir)
    (run_dir / name).unlink()
    attribution_run.run(config, run_dir)
    assert fits == ["dct-0", "prnu-0"]  # nothing was fitted again
    pd.testing.assert_frame_equal(attribution_files.read_predictions(run_dir).frame, rows)
    found = attribution_files.read_features(run_dir)
    assert found.keys() == features.keys()
    for key, array in features.items():
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.usefixtures("no_figures")
def test_the_number_of_features_may_change(pictures, tmp_path, fits):
    run_dir = tmp_path / "run"
    for count, rows in ((1, 4), (2, 8)):
        attribution_run.run(config_of(pictures, features_per_class=count), run_dir)
        features = attribution_files.read_features(run_dir)
        assert {len(array) for array in features.values()} == {rows}
    assert fits == ["dct-0", "prnu-0"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["manifest.json", "predictions.parquet", "features.npz"])
def test_a_damaged_file_is_named(pictures, tmp_path, name):
    run_dir = tmp_path / "run"
    attribution_run.run(config_of(pictures, method=("prnu",)), run_dir)
    (run_dir / name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{name}: damaged"):
        attribution_report.write(run_dir)


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(pictures, tmp_path, fits, foreign):
    said = attribution_run.run(config_of(pictures, dry_run=True), tmp_path / "run")
    assert "4 classes; pictures: 8 train, 4 validation, 8 test" in said
    assert "2 classifiers: dct-0, prnu-0" in said
    assert "48 crops of 16 pixels" in said
    assert fits == []
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="and no run; give another folder"):
        attribution_run.run(config_of(pictures, dry_run=True), foreign)


def test_options_of_convnext_are_those_of_its_fit():
    signature = inspect.signature(attribution_convnext.fit).parameters
    options = AttributionConfig(convnext_weights="imagenet.safetensors").options("convnext")
    assert options["weights"] == "imagenet.safetensors"
    assert set(options) < set(signature)
    defaults = AttributionConfig().options("convnext")
    assert defaults == {name: signature[name].default for name in options}
    assert AttributionConfig().options("dct") == {}
    assert AttributionConfig().options("linear") == {}  # as manifests have it that are there
    assert AttributionConfig(linear_period=12, crop_px=240).options("linear") == {"period": 12}


def test_crops_of_several_batches_are_those_of_pictures_one_by_one(pictures, monkeypatch):
    task = attribution_run.make_task(config_of(pictures))
    found, labels = task.labelled("test")
    classifier = Levels("dct", task.names, CROP_PX, np.array([10, 40, 80, 120.0]), 0.2)
    monkeypatch.setattr(attribution_parts, "BATCH", 7)
    sizes = []
    rows, scores = attribution_run.evaluate(classifier, found, on_batch=sizes.append)
    assert sizes == [7] * 6 + [6]
    one_by_one = [classifier.log_scores(tiles(one, CROP_PX)) for one in found]
    np.testing.assert_allclose(scores, np.concatenate(one_by_one), rtol=1e-6)
    assert rows["tile"].tolist() == list(range(6)) * len(labels)


@pytest.mark.slow
def test_a_real_method_and_tsne_from_pictures_to_a_page(pictures, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    module = Method("jaxsr.attribution.discriminant:fit", "jaxsr.attribution.features:DCT")
    monkeypatch.setitem(TABLE, "dct", module)
    run_dir = tmp_path / "run"
    attribution_run.run(config_of(pictures, method=("dct",), tsne=True, crop_px=32), run_dir)
    features = attribution_files.read_features(run_dir)
    assert features["dct-0-tsne"].shape == (8, 2)
    assert {path.name for path in (run_dir / "figures").iterdir()} == {
        *("acutance.png", "psnr_y_db.png", "votes.png", "class_distances.png"),
        *("confusion_dct.png", "tsne_architecture.png", "tsne_loss.png", "tsne_scale.png"),
    }
