"""Networks of a zoo on benchmark sets: what is measured, kept, and measured again."""

import shutil

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxsr
from experiments.report import page
from experiments.zoo import evaluate as zoo_evaluate
from experiments.zoo import run as zoo_run
from experiments.zoo import tables as zoo_tables
from experiments.zoo.evaluate import evaluate, network_path
from jaxfleet.errors import InputError
from jaxfleet.results.store import Store
from jaxsr import evaluation
from jaxsr.files import networks as network_files


@pytest.fixture(scope="module")
def finished(little_zoo, tmp_path_factory):
    """Three networks, one that diverged and one whose file is lost; and a set of two pictures."""
    home = tmp_path_factory.mktemp("zoo")
    rows = [
        little_zoo.row(0, 2, "l1", 1),
        little_zoo.row(1, 2, "l1", 2),
        little_zoo.row(2, 4, "vgg_adv", 1),
        little_zoo.row(3, 2, "vgg_adv", 1, "diverged"),
        little_zoo.row(4, 2, "resnet_adv", 1),
    ]
    store = Store(home / "run", {}, zoo_run.schema(), network={})
    store.add(rows)
    store.flush()
    store.close()
    (home / "run" / "networks").mkdir()
    for one in rows[:3]:
        little_zoo.save(network_path(home / "run", one["network"]), one["scale"], one["seed"])
    (home / "photos").mkdir()
    for number, name in enumerate(("dawn", "dusk")):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 28, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(home / "photos" / f"{name}.png")
    evaluate(home / "run", [f"Two=folder:{home / 'photos'}"])
    return home


@pytest.fixture
def home(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "zoo")


@pytest.fixture
def measured(monkeypatch):
    """The names of what is measured from now on: [(set, image_id), ...]."""
    names = []
    measure = evaluation.measure

    def counted(network, benchmark_set, *features):
        rows = measure(network, benchmark_set, *features)
        names.extend((row["set"], row["image_id"]) for row in rows)
        return rows

    monkeypatch.setattr(evaluation, "measure", counted)
    return names


def again(home, *others, **options):
    return evaluate(home / "run", [f"Two=folder:{home / 'photos'}", *others], **options)


def test_rows_of_every_network_and_of_bicubic_on_every_picture(home):
    rows = zoo_evaluate.read(home / "run")
    assert list(rows) == list(zoo_evaluate.COLUMNS)
    names = [
        "bicubic-x2",
        "tiny-A-x2-l1-s1",
        "tiny-A-x2-l1-s2",
        "bicubic-x4",
        "tiny-A-x4-vgg_adv-s1",
    ]
    assert rows["network"].tolist() == [name for name in names for _ in range(2)]
    assert rows["image_id"].tolist() == 5 * ["dawn", "dusk"]
    last = rows.iloc[-1]
    facts = ["tiny", 4, "vgg_adv", "A", 1, "Two"]
    assert [*last[[*zoo_evaluate.FACTS, "set"]]] == facts
    assert rows["vgg_distance"].isna().all()
    assert np.isfinite(rows[["psnr_y_db", "ssim_y", "psnr_db", "sharpness_db"]]).all(axis=None)


def test_values_are_those_of_the_network_by_itself(home):
    rows = zoo_evaluate.read(home / "run").set_index(["network", "image_id"])
    path = network_path(home / "run", "tiny-A-x2-l1-s2")
    one = evaluation.load_set("Two", f"folder:{home / 'photos'}", 2)
    for expected in evaluation.measure(jax.jit(jaxsr.load(path)), one):
        own = rows.loc["tiny-A-x2-l1-s2", expected["image_id"]]
        for name in ("psnr_y_db", "ssim_y", "psnr_db", "sharpness_db"):
            np.testing.assert_allclose(own[name], expected[name], rtol=1e-5)


def test_what_is_there_is_not_measured_again(home, measured, capsys):
    before = zoo_evaluate.read(home / "run")
    pd.testing.assert_frame_equal(again(home).drop(columns="source"), before.drop(columns="source"))
    assert measured == []
    assert capsys.readouterr().err == ""


def test_a_network_whose_file_changed_is_measured_again(home, little_zoo, measured, capsys):
    before = zoo_evaluate.read(home / "run")
    little_zoo.save(network_path(home / "run", "tiny-A-x2-l1-s2"), 2, seed=77)
    after = again(home)
    assert measured == [("Two", "dawn"), ("Two", "dusk")]
    changed = (before["psnr_y_db"] != after["psnr_y_db"]).to_numpy()
    assert before["network"][changed].tolist() == 2 * ["tiny-A-x2-l1-s2"]
    assert "4 of 5: tiny-A-x2-l1-s2, PSNR-Y" in capsys.readouterr().err


def test_an_evaluation_that_was_killed_goes_on(home, measured, monkeypatch):
    (home / "run" / zoo_evaluate.FILE).unlink()
    complete = zoo_evaluate.network_of

    def killed(entry):
        if entry.name == "tiny-A-x2-l1-s2":
            raise KeyboardInterrupt
        return complete(entry)

    monkeypatch.setattr(zoo_evaluate, "network_of", killed)
    with pytest.raises(KeyboardInterrupt):
        again(home)
    assert len(measured) == 6  # bicubic at two scales, and one network
    monkeypatch.setattr(zoo_evaluate, "network_of", complete)
    rows = again(home)
    assert len(measured) == 10
    assert len(rows) == 10


def test_a_picture_that_changed_or_came_is_measured_and_one_that_went_is_dropped(home, measured):
    photos = home / "photos"
    (photos / "dawn.png").replace(photos / "noon.png")
    with Image.open(photos / "dusk.png") as picture:
        mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(photos / "dusk.png")
    rows = again(home)
    assert set(rows["image_id"]) == {"dusk", "noon"}
    assert len(measured) == len(rows) == 10


def test_other_sets_stay_and_sources_may_move(home, measured):
    shutil.copytree(home / "photos", home / "moved")
    rows = evaluate(home / "run", [f"Two=folder:{home / 'moved'}"])
    assert set(rows["source"]) == {f"folder:{home / 'moved'}"}
    assert measured == []
    rows = evaluate(home / "run", [f"Other=folder:{home / 'photos'}"])
    assert rows["set"].value_counts().to_dict() == {"Two": 10, "Other": 10}
    assert {name for name, _ in measured} == {"Other"}


def test_distances_are_added_when_weights_are_given(home, measured, monkeypatch, tmp_path):
    weights = tmp_path / "vgg.npz"
    weights.write_bytes(b"any")
    monkeypatch.setattr(zoo_evaluate.feature_networks, "load_vgg19", lambda path: f"of {path}")
    truths = "features_of_truths"
    monkeypatch.setattr(evaluation, truths, lambda network, some: (network, some.name))
    counted = evaluation.measure

    def with_distance(network, benchmark_set, features, true_features):
        assert features == f"of {weights}"
        assert true_features == (features, benchmark_set.name)
        return [{**row, "vgg_distance": 2.5} for row in counted(network, benchmark_set)]

    monkeypatch.setattr(evaluation, "measure", with_distance)
    assert (again(home, vgg_weights=str(weights))["vgg_distance"] == 2.5).all()
    assert len(measured) == 10
    assert (again(home, vgg_weights=str(weights))["vgg_distance"] == 2.5).all()
    assert (again(home)["vgg_distance"] == 2.5).all()
    assert len(measured) == 10
    weights.write_bytes(b"others")
    again(home, vgg_weights=str(weights))
    assert len(measured) == 20


def test_networks_of_one_kind_share_one_program(home, caplog):
    entries = zoo_evaluate.list_networks(home / "run")
    first, second = (
        zoo_evaluate.network_of(entry) for entry in entries if entry.name.startswith("tiny-A-x2")
    )
    low = np.random.default_rng(0).random((1, 9, 8, 3), np.float32)
    with jax.log_compiles():
        one = first(low)
        assert "Compiling" in caplog.text
        caplog.clear()
        other = second(low)
    assert "Compiling" not in caplog.text
    assert not np.array_equal(one, other)


def test_means_and_gains_are_over_the_pictures_of_a_set():
    facts = {"scale": 2, "loss": "", "training_set": "", "seed": 0, "set": "S"}
    values = {"ssim_y": 0.5, "psnr_db": 1.0, "sharpness_db": 0.0, "vgg_distance": np.nan}
    rows = [
        {"network": name, "architecture": kind, "image_id": image, "psnr_y_db": db}
        for name, kind, image, db in (
            ("bicubic-x2", "bicubic", "a", 30.0),
            ("bicubic-x2", "bicubic", "b", 20.0),
            ("n", "edsr", "a", 33.0),
            ("n", "edsr", "b", 21.0),
            ("half", "edsr", "b", 19.0),
        )
    ]
    means = zoo_evaluate.set_means(pd.DataFrame([{**facts, **values, **row} for row in rows]))
    found = means.set_index("network")[["psnr_y_db", "gain_db", "pictures"]]
    assert found.loc["n"].tolist() == [27.0, 2.0, 2]
    assert found.loc["bicubic-x2"].tolist() == [25.0, 0.0, 2]
    assert found.loc["half"].tolist() == [19.0, -1.0, 1]  # against the same picture alone


def test_a_flat_picture_poisons_no_mean():
    facts = {"scale": 2, "loss": "", "training_set": "", "seed": 0, "set": "S"}
    values = {"ssim_y": 1.0, "psnr_db": 1.0, "vgg_distance": np.nan}
    rows = [
        {"network": name, "architecture": kind, "image_id": image, "psnr_y_db": db}
        | {"sharpness_db": np.nan if image == "flat" else -1.0}
        for name, kind, image, db in (
            ("bicubic-x2", "bicubic", "a", 30.0),
            ("bicubic-x2", "bicubic", "flat", np.inf),
            ("n", "edsr", "a", 33.0),
            ("n", "edsr", "flat", 50.0),  # -inf dB over bicubic, if that were a number
            ("m", "edsr", "a", 31.0),
            ("m", "edsr", "flat", np.inf),
            ("o", "edsr", "flat", np.inf),
        )
    ]
    means = zoo_evaluate.set_means(pd.DataFrame([{**facts, **values, **row} for row in rows]))
    found = means.set_index("network")[["psnr_y_db", "gain_db", "sharpness_db", "exact"]]
    assert found.loc["bicubic-x2"].tolist() == [30.0, 0.0, -1.0, 1]
    assert found.loc["n"].tolist() == [41.5, 3.0, -1.0, 0]
    assert found.loc["m"].tolist() == [31.0, 1.0, -1.0, 1]
    np.testing.assert_array_equal(found.loc["o"], [np.inf, np.nan, np.nan, 1])
    summary, columns = zoo_tables.summary(means)
    assert ("S exact", "{}") in columns.values()
    cells = page.table(summary, columns)
    assert "inf" not in cells
    assert "nan" not in cells


def test_what_cannot_be_evaluated_is_said(home):
    run_dir = home / "run"
    with pytest.raises(InputError, match="No benchmark set is given"):
        evaluate(run_dir, [])
    with pytest.raises(InputError, match="Two benchmark sets have one name"):
        evaluate(run_dir, ["A=packaged", "A=folder:x"])
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        evaluate(home, ["A=packaged"])
    path = network_path(run_dir, "tiny-A-x2-l1-s1")
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    with pytest.raises(InputError, match=r"tiny-A-x2-l1-s1\.safetensors"):
        again(home)
    network_files.from_bytes(data, "whole")
    (run_dir / zoo_evaluate.FILE).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"evaluation\.parquet: damaged .*; remove it"):
        zoo_evaluate.read(run_dir)
    shutil.rmtree(run_dir / "networks")
    with pytest.raises(InputError, match="holds no trained networks"):
        again(home)
