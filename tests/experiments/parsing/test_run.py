"""Model parsing end to end: what is trained, kept, tested and refused."""

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest

from experiments.parsing import run as parsing_run
from experiments.parsing import tasks as parsing_tasks
from experiments.parsing.config import ParsingConfig
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxsr.attribution import files as classifier_files
from jaxsr.attribution import methods as attribution
from jaxsr.datasets import picture_sets
from jaxsr.datasets.crops import tiles
from tests.experiments import picture_rows

SIDE, CROP = 36, 32
SPLIT = {"dawn": "train", "dusk": "train", "haze": "validation", "moon": "test", "noon": "test"}
SCALES, LOSSES, ARCHITECTURES = (2, 4), ("l1", "vgg_adv"), ("edsr", "swinir")
ORIGINS = (("A", 1), ("A", 3), ("B", 1))


@dataclasses.dataclass(frozen=True)
class Colours:
    """A classifier by the nearest mean colour."""

    classes: tuple[str, ...]
    crop_px: int
    means: np.ndarray
    method: str = "spectrum"

    def log_scores(self, crops):
        return np.log(self.probabilities(crops)).astype(np.float32)

    def probabilities(self, crops):
        apart = np.square(self.embedding(crops)[:, None] - self.means).sum(axis=-1)
        likely = np.exp(-(apart - apart.min(axis=1, keepdims=True)) / 50)
        return (likely + 1e-9) / (likely + 1e-9).sum(axis=1, keepdims=True)

    def embedding(self, crops):
        return crops.mean(axis=(1, 2)).astype(np.float32)

    def to_arrays(self):
        return {"means": self.means}, {}


@pytest.fixture
def trained(monkeypatch):
    """Fits by colour; the trainings from now on: [(classes, pictures, validation pictures)]."""
    calls = []

    def fit(method, pictures, labels, classes, *, crop_px, seed, validation, progress, **options):
        del method, seed, options
        progress(0.5)
        colours = np.array([picture.mean(axis=(0, 1)) for picture in pictures])
        means = [colours[labels == k].mean(axis=0) for k in range(len(classes))]
        calls.append((classes, len(pictures), 0 if validation is None else len(validation[0])))
        return Colours(tuple(classes), crop_px, np.array(means, np.float32))

    def from_arrays(arrays, facts):
        return Colours(tuple(facts["classes"]), facts["crop_px"], arrays["means"])

    monkeypatch.setattr(attribution, "extract_features", lambda *args, **options: None)
    monkeypatch.setattr(attribution, "fit", fit)
    monkeypatch.setattr(attribution, "from_arrays", from_arrays)
    return calls


def pixels_of(facts, image_id):
    """Scale makes it red, loss green, the training set blue; noise is stronger with one network."""
    draw = np.random.default_rng([ord(letter) for letter in image_id])
    colour = [45 * facts["scale"], 40 + 150 * (facts["loss"] == "l1")]
    colour.append(40 + 150 * (facts["training_set"] == "A"))
    noise = draw.integers(-9, 10, (SIDE, SIDE, 3)) * (1 + (facts["architecture"] == "edsr"))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def add_network(run_dir, network, facts, checksum=None, splits=SPLIT):
    facts = facts | {"network_checksum": checksum or network}
    rows = [
        picture_rows.add(run_dir, network, image_id, split, pixels_of(facts, image_id), **facts)
        for image_id, split in splits.items()
    ]
    picture_sets.write_rows(run_dir, network, rows)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The pictures of 24 networks of five photographs, with other classes beside them."""
    run_dir = tmp_path_factory.mktemp("pictures") / "run"
    for architecture, scale, loss, (training_set, seed) in itertools.product(
        ARCHITECTURES, SCALES, LOSSES, ORIGINS
    ):
        facts = {"architecture": architecture, "scale": scale, "loss": loss}
        facts |= {"training_set": training_set, "seed": seed}
        name = f"{architecture}-{training_set}-x{scale}-{loss}-s{seed}"
        add_network(run_dir, name, facts)
    facts = {"architecture": "bicubic", "scale": 2, "loss": "", "training_set": "", "seed": 0}
    add_network(run_dir, "bicubic-x2", facts)
    rows = picture_sets.read_rows(run_dir, "bicubic-x2")
    picture_sets.write_rows(run_dir, "bicubic-x2", [{**row, "kind": "bicubic"} for row in rows])
    return run_dir


@pytest.fixture(scope="session")
def published(tmp_path_factory, pictures):
    """Pictures of a network from elsewhere, and of one that is among the first ones."""
    run_dir = tmp_path_factory.mktemp("published") / "run"
    facts = {"architecture": "imdn", "scale": 4, "loss": "l1", "training_set": "", "seed": 0}
    add_network(run_dir, "IMDN", facts)
    same = picture_sets.open(pictures).index["network_checksum"].iloc[-1]
    add_network(run_dir, "copy", {**facts, "architecture": "edsr"}, same)
    return run_dir


def config_of(pictures, **flags):
    return ParsingConfig(**{"pictures": str(pictures), "crop_px": CROP, "seed": (0,), **flags})


def predictions_of(run_dir):
    frame = pd.read_parquet(run_dir / "predictions")
    return frame.sort_values(["predicted", "held_out", "seed", "network", "image_id"])


def files_of(run_dir):
    return {path.relative_to(run_dir): path.read_bytes() for path in run_dir.rglob("*.parquet")}


def test_the_files_of_a_run_and_what_they_say(pictures, trained, tmp_path):
    said = parsing_run.run(config_of(pictures, seed=(0, 1)), tmp_path)
    # Held out: seed 3, training set B, swinir, vgg_adv, l1. Of scale 5, loss 3, architecture 4,
    # training set 3, each with two seeds.
    assert len(trained) == 30
    assert said.startswith("30 parsers")
    for name in ("report.html", "results.json", "manifest.json", "predictions.parquet", "DONE"):
        assert (tmp_path / name).exists(), name
    results = json.loads((tmp_path / "results.json").read_text())
    found = {(row["predicted"], row["held_out"]): row for row in results["accuracies"]}
    assert len(found) == 15
    for held_out in ("seed=3", "training_set=B", "architecture=swinir", "loss=l1"):
        assert found["scale", held_out]["percent"] == 100.0
    assert found["scale", "seed=3"]["networks"] == 8
    assert found["scale", "seed=3"]["pictures"] == 16
    assert found["loss", "seed=3"] == {
        **found["scale", "seed=3"],
        **{"predicted": "loss", "chance_percent": 50.0},
    }
    assert found["architecture", "seed=3"]["percent"] < 100.0  # colour does not show it
    page = (tmp_path / "report.html").read_text()
    for text in ("74.2 ± 1.3", "100.0 ± 0.0", "without training set B (flickr2k)"):
        assert text in page
    classifier = classifier_files.load(tmp_path / "models" / "loss-without-seed-3-s1.safetensors")
    assert classifier.classes == LOSSES


@pytest.mark.usefixtures("no_figures")
def test_predictions_have_a_row_for_each_tested_picture(pictures, trained, tmp_path):
    parsing_run.run(config_of(pictures, predict=("scale",), hold_out=("seed=3",)), tmp_path)
    frame = predictions_of(tmp_path)
    assert len(frame) == 16
    assert set(frame["image_id"]) == {"moon", "noon"}
    assert all(name.endswith("-s3") for name in frame["network"])
    assert (frame["answer"] == frame["value"]).all()
    np.testing.assert_allclose(np.stack(frame["probabilities"]).sum(axis=1), 1.0, rtol=1e-5)
    assert frame["values"].map(list).tolist() == [["2", "4"]] * 16


@pytest.mark.usefixtures("no_figures")
def test_nothing_of_a_tested_network_is_learned_from_or_validated_on(pictures, trained, tmp_path):
    tasks = parsing_tasks.make(config_of(pictures))
    for task in tasks:
        seen = pd.concat([task.train.index, task.validation.index])
        assert not set(seen["network"]) & set(task.test.index["network"])
        assert set(task.train.index["split"]) == {"train"}
        assert set(task.validation.index["split"]) == {"validation"}
        assert set(task.test.index["split"]) == {"test"}
        assert "bicubic-x2" not in set(seen["network"])
    parsing_run.run(config_of(pictures, predict=("scale",), hold_out=("seed=3",)), tmp_path)
    assert trained == [(("2", "4"), 32, 16)]


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_was_stopped_goes_on_and_ends_the_same(pictures, trained, tmp_path, monkeypatch):
    config = config_of(pictures, predict=("scale", "loss"))
    parsing_run.run(config, tmp_path / "whole")
    count = len(trained)
    parse = parsing_run.parse

    def stop(task, classifier):
        if len(trained) == count + 3:
            raise KeyboardInterrupt
        return parse(task, classifier)

    with monkeypatch.context() as patch:
        patch.setattr(parsing_run, "parse", stop)
        with pytest.raises(KeyboardInterrupt):
            parsing_run.run(config, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "DONE").exists()
    parsing_run.run(config, tmp_path / "stopped")
    assert len(trained) == 2 * count  # the third is read from its file
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    for name in ("results.json", "report.html"):
        assert (tmp_path / "stopped" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_what_is_there_is_not_trained_again(pictures, trained, tmp_path):
    config = config_of(pictures, predict=("scale",), hold_out=("seed=3",))
    parsing_run.run(config, tmp_path)
    parsing_run.run(config, tmp_path)
    assert len(trained) == 1
    parsing_run.run(dataclasses.replace(config, seed=(0, 1)), tmp_path)
    assert len(trained) == 2
    parsing_run.run(dataclasses.replace(config, method="dct"), tmp_path)
    assert len(trained) == 3


@pytest.mark.usefixtures("no_figures")
def test_other_pictures_are_learned_from_anew(pictures, trained, tmp_path):
    changed = tmp_path / "changed"
    facts = {"architecture": "edsr", "loss": "l1", "training_set": "A"}
    for number, scale in enumerate((2, 4, 2, 4)):
        add_network(changed, f"n{number}", {**facts, "scale": scale, "seed": 1 + number // 2})
    config = config_of(changed, predict=("scale",), hold_out=("seed=2",))
    parsing_run.run(config, tmp_path / "run")
    add_network(changed, "n1", {**facts, "scale": 3, "seed": 1})
    parsing_run.run(config, tmp_path / "run")
    assert [classes for classes, *_ in trained] == [("2", "4"), ("2", "3")]
    assert set(predictions_of(tmp_path / "run")["network"]) == {"n2"}  # nobody knows scale 4 now


@pytest.mark.usefixtures("no_figures")
def test_parsers_through_networks_share_their_classifiers(pictures, trained, tmp_path):
    config = config_of(pictures, parser="networks", predict=("scale", "loss", "training_set"))
    parsing_run.run(config, tmp_path)
    # Five subsets, and for training sets three of them without seed 3.
    assert len(trained) == 8
    assert trained[0][0] == tuple(sorted(trained[0][0]))
    assert len(trained[0][0]) == 16
    frame = predictions_of(tmp_path)
    assert (frame["answer"] == frame["value"])[frame["held_out"] == "seed=3"].all()
    np.testing.assert_allclose(np.stack(frame["probabilities"]).sum(axis=1), 1.0, rtol=1e-5)


def test_a_value_has_the_probability_of_all_networks_that_have_it():
    draw = np.random.default_rng(0).dirichlet(np.ones(5), 7)
    places_of = np.array([1, 0, 1, 2, 0])
    found = parsing_run.value_log_scores(np.log(draw), places_of, 3)
    expected = np.stack([draw[:, [1, 4]].sum(1), draw[:, [0, 2]].sum(1), draw[:, 3]], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


@pytest.mark.usefixtures("no_figures")
def test_parsers_of_all_networks_are_applied_elsewhere(pictures, published, trained, tmp_path):
    config = config_of(
        pictures, also_on=str(published), predict=("scale", "loss"), hold_out=("seed=3",)
    )
    parsing_run.run(config, tmp_path)
    assert [count for _, count, _ in trained] == [32, 32, 48, 48]
    frame = predictions_of(tmp_path)
    others = frame[frame["held_out"] == ""]
    assert set(others["network"]) == {"IMDN"}  # the copy is of a network that was learned from
    assert set(others["image_id"]) == {"moon", "noon"}
    assert others.groupby("predicted")["answer"].unique().map(list).to_dict() == {
        "loss": ["l1"],
        "scale": ["4"],
    }
    assert "IMDN" in (tmp_path / "report.html").read_text()


def test_a_dry_run_lists_the_parsers_and_leaves_nothing(pictures, trained, tmp_path, foreign):
    said = parsing_run.run(config_of(pictures, dry_run=True), tmp_path / "run")
    assert said.startswith("15 parsers of 15 trainings\nscale without seed=3, seed 0: 2 values, 16")
    assert not trained
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="and no run; give another folder"):
        parsing_run.run(config_of(pictures, dry_run=True), foreign)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"pictures": ""}, "--pictures names no folder"),
        (
            {"crop_px": SIDE + 1},
            rf"\.png has a side of {SIDE} pixels, less than a crop of {SIDE + 1}",
        ),
        ({"hold_out": ("seed=2",)}, "--hold_out=seed=2: the networks have seed 1, 3"),
        ({"predict": ("loss",), "hold_out": ("loss=l1",)}, "There is nothing to predict"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(pictures, tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        parsing_run.run(config_of(**{"pictures": pictures, **flags}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_networks_that_were_learned_from_are_no_networks_from_elsewhere(pictures, tmp_path):
    with pytest.raises(InputError, match="has the networks of --pictures alone"):
        parsing_run.run(config_of(pictures, also_on=str(pictures)), tmp_path / "run")


def test_a_folder_of_something_else_is_left_alone(pictures, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty \(letter.txt\) and no run; give another"):
        parsing_run.run(config_of(pictures), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("name", ["models/scale-without-seed-3-s0.safetensors", "predictions"])
@pytest.mark.usefixtures("no_figures")
def test_a_damaged_file_is_named_or_made_again(pictures, trained, tmp_path, name):
    config = config_of(pictures, predict=("scale",), hold_out=("seed=3",))
    parsing_run.run(config, tmp_path)
    predictions = tmp_path / "predictions" / "scale-without-seed-3-s0.parquet"
    before = predictions.read_bytes()
    if name == "predictions":
        predictions.write_bytes(b"PAR1")
    else:
        (tmp_path / name).write_bytes(b"none")
        predictions.unlink()
        with pytest.raises(InputError, match="scale-without-seed-3-s0.*remove it and fit it again"):
            parsing_run.run(config, tmp_path)
        (tmp_path / name).unlink()
    parsing_run.run(config, tmp_path)
    assert predictions.read_bytes() == before


@pytest.mark.usefixtures("no_figures")
def test_the_table_that_the_page_names_has_the_rows_of_the_last_command_alone(
    pictures, trained, tmp_path
):
    for hold_out in ("seed=3", "training_set=B"):
        config = config_of(pictures, predict=("scale",), hold_out=(hold_out,))
        parsing_run.run(config, tmp_path)
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    assert set(frame["held_out"]) == {"training_set=B"}


@pytest.mark.usefixtures("no_figures")
def test_what_a_kernel_sees_of_validation_pictures_is_computed_once(
    pictures, tmp_path, monkeypatch
):
    extracted = []
    extract_with = attribution.extract_with

    def noted(function, pictures, **options):
        extracted.append(len(pictures))
        return extract_with(function, pictures, **options)

    monkeypatch.setattr(attribution, "extract_with", noted)
    config = config_of(pictures, method="kernel", predict=("scale", "loss"), hold_out=("seed=3",))
    parsing_run.run(config, tmp_path)
    index = picture_sets.open(pictures).index
    networks = index[index["kind"] == "network"]  # the picture of another class is not parsed
    used = networks[(networks["split"] != "test") & (networks["seed"] != 3)]
    assert extracted == [len(used)]


@pytest.mark.usefixtures("no_figures")
def test_parsers_that_share_features_are_those_that_learned_alone(pictures, tmp_path, monkeypatch):
    config = config_of(pictures, method="dct", predict=("scale", "loss"), hold_out=("seed=3",))
    parsing_run.run(config, tmp_path / "shared")
    monkeypatch.setattr(parsing_run, "share", lambda *args, **options: None)
    parsing_run.run(config, tmp_path / "alone")
    assert files_of(tmp_path / "shared") == files_of(tmp_path / "alone")


@pytest.mark.usefixtures("no_figures", "trained")
def test_all_squares_of_a_picture_are_independent_evidence(pictures, tmp_path):
    config = config_of(pictures, predict=("loss",), hold_out=("seed=3",), crop_px=16)
    parsing_run.run(dataclasses.replace(config, tested="picture"), tmp_path)
    classifier = classifier_files.load(tmp_path / "models" / "loss-without-seed-3-s0.safetensors")
    frame = predictions_of(tmp_path)
    assert len(frame) == 16
    for row in frame.itertuples():
        crops = tiles(photos.read(pictures / picture_sets.file_of(row.network, row.image_id)), 16)
        assert len(crops) == 4
        expected = np.exp(attribution.combine(classifier.log_scores(crops)))
        np.testing.assert_allclose(row.probabilities, expected, rtol=1e-5)
    parsing_run.run(config, tmp_path)  # the middle alone: tested again, not trained
    alone = np.stack(predictions_of(tmp_path)["probabilities"])
    assert not np.array_equal(alone, np.stack(frame["probabilities"]))


@pytest.mark.usefixtures("no_figures")
def test_spectra_tell_the_architecture_of_networks_that_were_never_seen(pictures, tmp_path):
    config = config_of(pictures, method="dct", predict=("architecture",), hold_out=("seed=3",))
    parsing_run.run(config, tmp_path)
    frame = predictions_of(tmp_path)
    assert len(frame) == 16
    assert (frame["answer"] == frame["value"]).all()
