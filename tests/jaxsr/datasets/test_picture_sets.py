"""Pictures of a folder: the index read back, crops, and the TFDS builder; no TensorFlow."""

import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxfleet import rundir
from jaxfleet.errors import InputError
from jaxsr import super_resolved
from jaxsr.datasets import picture_sets

PICTURES = {  # image_id -> split, height, width
    "dawn": ("train", 12, 9),
    "dusk": ("test", 8, 10),
    "noon": ("train", 10, 10),
}
NETWORKS = {"a-x2": 2, "b-x4": 4}


def pixels_of(network, image_id):
    _, height, width = PICTURES[image_id]
    draw = np.random.default_rng([len(network), *map(ord, network + image_id)])
    return draw.integers(0, 256, (height, width, 3)).astype(np.uint8)


def row(folder, network, image_id):
    split, height, width = PICTURES[image_id]
    file = picture_sets.file_of(network, image_id)
    return {
        "network": network,
        "kind": "network",
        "image_id": image_id,
        "split": split,
        "file": file,
        "height": height,
        "width": width,
        "architecture": "edsr",
        "overrides": '{"num_blocks": 2}',
        "scale": NETWORKS[network],
        "loss": "l1",
        "training_set": "A",
        "seed": 3,
        "num_iters": 10,
        "parameters": 99,
        "psnr_y_db": float("nan") if image_id == "dusk" else 30.5,
        "source": "runs/zoo",
        "network_checksum": "n",
        "photo_checksum": "p",
        "file_checksum": rundir.checksum((folder / file).read_bytes()),
    }


@pytest.fixture
def folder(tmp_path):
    run_dir = tmp_path / "run"
    for network in NETWORKS:
        (run_dir / "images" / network).mkdir(parents=True)
        for image_id in PICTURES:
            picture = Image.fromarray(pixels_of(network, image_id))
            picture.save(run_dir / picture_sets.file_of(network, image_id))
    (run_dir / "index").mkdir()
    for network in reversed(NETWORKS):
        rows = [row(run_dir, network, image_id) for image_id in reversed(PICTURES)]
        picture_sets.write_rows(run_dir, network, rows)
    return run_dir


def test_the_index_has_every_column_sorted_by_network_and_photograph(folder):
    pictures = picture_sets.open(str(folder))
    assert list(pictures.index) == list(picture_sets.COLUMNS)
    assert len(pictures) == 6
    assert pictures.index["network"].tolist() == 3 * ["a-x2"] + 3 * ["b-x4"]
    assert pictures.index["image_id"].tolist() == 2 * list(PICTURES)
    assert pictures.index["psnr_y_db"].isna().tolist() == 2 * [False, True, False]
    whole = pd.read_parquet(folder / "index")
    assert len(whole) == 6
    assert pictures.index["scale"].dtype == whole["scale"].dtype == np.int64


def test_rows_come_back_as_they_were_written(folder):
    rows = picture_sets.read_rows(folder, "a-x2")
    assert rows == [pytest.approx(row(folder, "a-x2", name), nan_ok=True) for name in PICTURES]
    assert picture_sets.read_rows(folder, "unknown") == []


def test_pictures_are_those_of_the_rows(folder):
    pictures = picture_sets.open(folder).only(scale=4)
    for number, image_id in enumerate(PICTURES):
        np.testing.assert_array_equal(pictures.picture(number), pixels_of("b-x4", image_id))


def test_crops_begin_on_the_grid_in_the_order_asked_for(folder):
    pictures = picture_sets.open(folder)
    crops = pictures.crops(4, [5, 0])
    assert (crops.shape, crops.dtype) == ((2, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(crops[0], pixels_of("b-x4", "noon")[:4, :4])  # a grid of 24
    np.testing.assert_array_equal(crops[1], pixels_of("a-x2", "dawn")[:4, :4])
    assert len(pictures.crops(8)) == 6
    with pytest.raises(InputError, match=r"dusk\.png is 10 x 8 pixels, smaller than a crop of 9"):
        pictures.crops(9)


def test_pictures_are_a_sequence_that_reads_what_is_asked_for(folder):
    pictures = picture_sets.Pictures(picture_sets.open(folder).only(network="b-x4"))
    assert len(pictures) == 3
    for pixels, image_id in zip(pictures, PICTURES, strict=True):
        np.testing.assert_array_equal(pixels, pixels_of("b-x4", image_id))
    np.testing.assert_array_equal(pictures[-1], pixels_of("b-x4", "noon"))
    backwards = pictures[:0:-1]
    assert len(backwards) == 2
    np.testing.assert_array_equal(backwards[1], pixels_of("b-x4", "dusk"))
    with pytest.raises(IndexError):
        pictures[3]
    (folder / picture_sets.file_of("b-x4", "dusk")).unlink()
    assert len(pictures[1:]) == 2  # nothing is read yet
    with pytest.raises(InputError, match=r"dusk\.png: missing or changed"):
        pictures[1:][0]


def test_restriction_to_values_of_columns(folder):
    pictures = picture_sets.open(folder)
    train = pictures.only(split="train", network=["a-x2", "c"])
    assert train.index["image_id"].tolist() == ["dawn", "noon"]
    assert train.index.index.tolist() == [0, 1]
    assert len(train.only(image_id="noon")) == 1
    with pytest.raises(InputError, match="no picture with split validation; ask for another"):
        pictures.only(split="validation")
    with pytest.raises(InputError, match="No column is called size; there are network, kind"):
        pictures.only(size=3)


def test_what_is_missing_or_damaged_is_named(folder, tmp_path):
    pictures = picture_sets.open(folder)
    (folder / picture_sets.file_of("a-x2", "dawn")).unlink()
    Image.new("RGB", (10, 8)).save(folder / picture_sets.file_of("a-x2", "dusk"))
    for number, name in enumerate(("dawn", "dusk")):
        with pytest.raises(InputError, match=rf"{name}\.png: missing or changed; repeat"):
            pictures.picture(number)
    with pytest.raises(InputError, match="holds no pictures; give the folder of"):
        picture_sets.open(tmp_path)
    path = folder / "index" / "a-x2.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"a-x2\.parquet: damaged .*; remove it and repeat"):
        picture_sets.open(folder)


def prepared(data_dir, source=None, **options):
    builder = tfds.builder("super_resolved", source=source, data_dir=str(data_dir))
    builder.download_and_prepare(file_format="array_record", **options)
    return builder


def test_builder_reads_the_folder_in_its_splits(folder, tmp_path):
    builder = prepared(tmp_path / "data", folder)
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        "train": 4,
        "test": 2,
    }
    examples = list(builder.as_data_source("train"))
    pairs = [(name, image_id) for name in NETWORKS for image_id in ("dawn", "noon")]
    for example, (network, image_id) in zip(examples, pairs, strict=True):
        np.testing.assert_array_equal(example["image"], pixels_of(network, image_id))
        expected = row(folder, network, image_id)
        for name in set(super_resolved.SuperResolved.COLUMNS):
            value = example[name].decode() if isinstance(example[name], bytes) else example[name]
            assert value == expected[name], name
    assert "tensorflow" not in sys.modules


def test_builder_reads_the_manual_folder(folder, tmp_path):
    config = tfds.download.DownloadConfig(manual_dir=str(folder))
    builder = prepared(tmp_path / "data", download_config=config)
    assert builder.info.splits["test"].num_examples == 2


def test_builder_refuses_a_folder_with_a_changed_picture(folder, tmp_path):
    Image.new("RGB", (9, 12)).save(folder / picture_sets.file_of("a-x2", "dawn"))
    with pytest.raises(InputError, match=r"dawn\.png: missing or changed"):
        prepared(tmp_path / "data", folder)
