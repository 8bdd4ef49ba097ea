"""The TFDS builder on a run directory and on published files; no TensorFlow."""

import importlib.resources
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from experiments.siren import grid as siren_grid
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.pixels import psnr_8bit_db, to_uint8
from jaxfleet.results import store
from jaxinr import coin_collection
from jaxinr.collection import schema as collection
from jaxinr.render import render
from jaxinr.torch_names import from_torch
from jaxinr.trial import Trial

SPLITS = ("train", "test", "train", "validation", "test", "train")


def row(trial_id):
    trial = Trial(
        num_layers=1 + trial_id % 3, layer_size=4, seed=trial_id, w0_initial=5.5, learning_rate=0.5
    )
    draw = np.random.default_rng(trial_id)
    return {
        **{name: getattr(trial, name) for name in ("num_layers", "layer_size", "seed")},
        **{name: getattr(trial, name) for name in ("w0_initial", "num_iters", "parameters")},
        **{name: getattr(trial, name) for name in ("w0", "learning_rate")},
        "trial_id": trial_id,
        "image_id": str(trial_id),
        "split": SPLITS[trial_id],
        "image_height": 8,
        "image_width": 8,
        "hp_bpp": trial.bits_per_pixel(8, 8),
        "fp_bpp": trial.bits_per_pixel(8, 8, bits=32),
        "psnr_8bit_db": 20.0 + trial_id,
        "iteration_history": np.arange(trial_id, dtype=np.int32) * 10,
        "psnr_history": np.float32(draw.uniform(10, 20, trial_id)),
        "weights": np.float32(draw.normal(size=trial.parameters)),
    }


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    results = store.Store(folder, {}, siren_grid.schema(), network={"inputs": 2, "outputs": 3})
    for trial_id in (5, 3, 0, 1, 4, 2):
        results.add([row(trial_id)])
        if trial_id in (3, 4):
            results.flush()
    lost = {**row(0), "trial_id": 6, "psnr_8bit_db": np.nan}
    results.add([lost])
    results.flush()
    results.close()
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The same rows as published files: validation named so, and others whose names say nothing."""
    folder = tmp_path_factory.mktemp("published")
    texts = [collection.as_json(collection.to_published(row(i), whole_ids=True)) for i in range(6)]
    (folder / "validation.json").write_text(texts[3])
    (folder / "others.jsonl").write_text("\n".join(texts[:3] + texts[4:]))
    return folder


def prepared(data_dir, source=None, **options):
    builder = tfds.builder("coin_collection", source=source, data_dir=str(data_dir))
    builder.download_and_prepare(file_format="array_record", **options)
    return builder


def check(example, trial_id):
    expected = row(trial_id)
    assert example["config"]["image_id"].decode() == str(trial_id)
    names = {*collection.CONFIG, *collection.ADDED} - {"image_id"}
    numbers = {name: example["config"][name] for name in names}
    assert numbers == {name: expected.get(name, 8) for name in numbers}
    np.testing.assert_array_equal(example["weights"], expected["weights"])
    np.testing.assert_array_equal(example["psnr_history"], expected["psnr_history"])
    np.testing.assert_array_equal(example["iteration_history"], expected["iteration_history"])
    best = np.maximum.accumulate(expected["psnr_history"])
    np.testing.assert_array_equal(example["best_psnr_history"], best)
    assert example["fp_psnr"] == 20.0 + trial_id
    assert (example["hp_bpp"], example["fp_bpp"]) == (expected["hp_bpp"], expected["fp_bpp"])


def test_reads_a_run_in_its_splits(run_dir, tmp_path):
    builder = prepared(tmp_path, run_dir)
    assert list(builder.info.splits) == ["train", "validation", "test"]
    for split in builder.info.splits:
        examples = list(builder.as_data_source(split))
        ids = [int(example["config"]["image_id"]) for example in examples]
        assert ids == [i for i in range(6) if SPLITS[i] == split]
        for example in examples:
            check(example, int(example["config"]["image_id"]))
    assert "tensorflow" not in sys.modules


def test_reads_published_files_of_the_manual_folder(published, tmp_path):
    config = tfds.download.DownloadConfig(manual_dir=str(published))
    builder = prepared(tmp_path, download_config=config)
    expected = {split: [] for split in collection.SPLITS}
    for i in range(6):
        expected["validation" if i == 3 else collection.split_of(str(i))].append(i)
    for split, ids in expected.items():
        count = builder.info.splits[split].num_examples if split in builder.info.splits else 0
        assert count == len(ids)
        examples = list(builder.as_data_source(split)) if count else []
        found = {int(example["config"]["image_id"]): example for example in examples}
        assert sorted(found) == ids
        for trial_id, example in found.items():
            check(example, trial_id)


def test_only_the_splits_that_names_say(published, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "test.json").write_text((published / "validation.json").read_text())
    builder = prepared(tmp_path / "data", str(tmp_path / "files"))
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {"test": 1}


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_damaged_row_is_named(published, tmp_path, harm):
    text = (published / "validation.json").read_text()
    if harm == "changed":
        record = json.loads(text)
        record["config"]["layer_size"] = 5
        text = json.dumps(record)
    else:
        text = text[:-4]
    (tmp_path / "train.jsonl").write_text(f"{text}\n")
    with pytest.raises(InputError, match=r"train\.jsonl, line 1: (no JSON|best_model is not of)"):
        prepared(tmp_path / "data", tmp_path)


def test_features_are_the_published_columns():
    names = coin_collection.CoinCollection(source=".", data_dir=".").info.features
    assert [*names] == [*collection.COLUMNS[:-1], "weights"]


def test_installed_sample_holds_networks_of_the_quality_that_it_says(tmp_path):
    folder = Path(str(importlib.resources.files("jaxinr") / "data" / "sample"))
    (path,) = folder.glob("parquet/validation-*.parquet")
    for record in pq.read_table(path).slice(length=5).to_pylist():
        row = collection.from_published(record)
        side = row["image_height"]
        pixels = {one.image_id: one.pixels for one in photos.load("packaged", image_size=side)}
        weights = {name: array for name, array in record["best_model"].items() if array is not None}
        params = from_torch({name: np.float32(array) for name, array in weights.items()})
        drawn = to_uint8(render(params, Trial.from_row(row), (side, side)))
        psnr_db = psnr_8bit_db(drawn, pixels[row["image_id"]])
        assert psnr_db == pytest.approx(record["fp_psnr"], abs=0.01)
    assert len(prepared(tmp_path, folder).as_data_source("validation")) == 132
