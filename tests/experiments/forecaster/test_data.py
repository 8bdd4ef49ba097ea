"""Collections become one compact table: thinned histories, splits, photographs found again."""

import dataclasses
import errno

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import jaxfleet
from experiments.forecaster import data as forecaster_data
from experiments.forecaster import jpeg
from experiments.siren import collection_table
from experiments.siren import grid as siren_grid
from experiments.siren.collection_table import TableConfig
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxinr.collection.schema import split_of
from jaxinr.forecaster import descriptors


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """48 fits on twelve pictures: random networks of one or two layers, 60 iterations."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 256, (14, 14, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(home / "photos" / f"picture{seed}.png")
    config = siren_grid.GridConfig(
        photos=f"folder:{home / 'photos'}",
        image_size=("14",),
        sampling="random",
        num_trials=48,
        layer_size=("uniform:4:6",),
        num_layers=("choice:1,2",),
        w0_initial=("log:3:100",),
        learning_rate=("1e-3",),
        num_iters=("60",),
        seed=("uniform:0:999999",),
    )
    siren_grid.run(config, home / "run")
    return home


@pytest.fixture(scope="module")
def table(collection):
    return forecaster_data.load([collection / "run"], f"folder:{collection / 'photos'}")


def test_rows_are_those_of_the_collection(collection, table):
    rows = jaxfleet.open(collection / "run").to_pandas()
    frame = table.frame.merge(rows, on=["image_id", "seed", "w0_initial"], suffixes=("", "_run"))
    assert len(table) == len(frame) == 48
    assert np.array_equal(frame["best_psnr_db"], frame["best_psnr_db_run"].astype(np.float32))
    assert all(frame["split"] == frame["image_id"].map(split_of))


def test_histories_are_thinned_to_the_best_so_far(collection, table):
    rows = jaxfleet.open(collection / "run").to_pandas()
    place = {key: i for i, key in enumerate(zip(rows["image_id"], rows["seed"], strict=True))}
    assert table.iterations.shape == (48, forecaster_data.TIMES)
    assert (np.diff(table.iterations) >= 0).all()
    assert (np.diff(table.best_db) >= 0).all()
    for row in range(0, 48, 7):
        key = table.frame.loc[row, "image_id"], table.frame.loc[row, "seed"]
        whole = rows.iloc[place[key]]
        for time, best in zip(table.iterations[row, :-1], table.best_db[row, :-1], strict=True):
            seen = whole["psnr_history"][whole["iteration_history"] <= time]
            assert best == pytest.approx(seen.max(), abs=6e-3)
        assert table.iterations[row, -1] == 60


def test_at_the_end_stands_the_best_of_the_fit_up_to_the_floor(table, tmp_path):
    """The first fit went on to where only rounding is left."""
    frame = table.frame.copy()
    frame.loc[0, "best_psnr_db"] = 80.0
    dataclasses.replace(table, frame=frame).save(tmp_path)
    again = forecaster_data.load([tmp_path], "")
    assert again.truth_db[0] == descriptors.FLOOR_DB
    assert np.array_equal(again.truth_db[1:], table.frame["best_psnr_db"][1:])
    assert again.frame["best_psnr_db"][0] == 80.0


def test_pictures_are_those_that_were_fitted(collection, table):
    for row in (0, 20, 47):
        image_id, picture = table.frame.loc[row, ["image_id", "picture"]]
        with Image.open(collection / "photos" / f"{image_id}.png") as opened:
            pixels = np.asarray(opened)
        assert table.described[picture] == pytest.approx(descriptors.describe(pixels), abs=6e-3)
        assert table.jpeg[picture] == pytest.approx(jpeg.measure(pixels), abs=6e-3)


def test_no_photograph_is_in_two_splits_and_no_size_half_held_out(table):
    assert (table.frame.groupby("image_id")["split"].nunique() == 1).all()
    sizes = table.frame.groupby(["num_layers", "layer_size"])["is_new_size"]
    assert (sizes.nunique() == 1).all()


def test_saved_table_needs_neither_run_nor_photographs(table, tmp_path):
    table.save(tmp_path)
    again = forecaster_data.load([tmp_path], "")
    assert np.array_equal(again.described, table.described)
    assert np.array_equal(again.jpeg, table.jpeg)
    assert np.array_equal(again.best_db, table.best_db)
    assert again.frame.equals(table.frame)


def test_collections_add_up_and_share_pictures_and_fits(table, tmp_path):
    """The second has half of the fits of the first, and as many with seeds of their own."""
    for name, seed in (("one", 0), ("two", 500)):
        frame = table.frame.copy()
        frame.loc[24:, "seed"] += seed
        (tmp_path / name).mkdir()
        dataclasses.replace(table, frame=frame).save(tmp_path / name)
    both = forecaster_data.load([tmp_path / "one", tmp_path / "two"], "")
    assert len(both) == 48 + 24
    assert len(both.described) == len(table.described)


def test_published_table_is_read_as_the_run_that_it_was_made_of(collection, table, tmp_path):
    folder = tmp_path / "table"
    collection_table.run(TableConfig(output=str(folder)), collection / "run")
    photos = f"folder:{collection / 'photos'}"
    with pytest.raises(InputError, match="table needs its photographs"):
        forecaster_data.load([folder], "")
    found = forecaster_data.load([folder], photos)
    assert len(found) == len(table) == 48
    mine, other = (one.frame.sort_values(["image_id", "seed"]) for one in (table, found))
    exact = ["image_id", "split", "image_height", "image_width", "layer_size", "num_layers"]
    exact += ["num_iters", "seed", "parameters"]
    assert other[exact].astype(object).values.tolist() == mine[exact].astype(object).values.tolist()
    for name in ("w0_initial", "w0", "learning_rate", "hp_bpp"):
        np.testing.assert_allclose(other[name], mine[name], rtol=1e-6)
    known, read = table.truth_db[mine.index], found.truth_db[other.index]
    assert (read <= known + 1 / 128).all()  # the best may have come between two entries
    assert np.abs(read - known).max() < 0.5
    assert (np.diff(found.best_db) >= 0).all()
    found.save(tmp_path)
    (tmp_path / "pictures.parquet").rename(folder / "pictures.parquet")
    again = forecaster_data.load([folder, collection / "run"], photos)
    assert len(again) == 48
    assert np.array_equal(again.described, found.described)


def test_a_full_disk_leaves_the_tables_that_were_there(table, tmp_path, monkeypatch):
    table.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_sync", full)
    with pytest.raises(OSError, match=r"No space left.*fits\.parquet"):
        dataclasses.replace(table, frame=table.frame.assign(seed=7)).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_collection_that_needs_photographs_is_the_one_that_is_named(
    collection, table, tmp_path
):
    table.save(tmp_path)
    folders = [tmp_path, collection / "run"]  # the first has what it needs
    (tmp_path / "pictures.parquet").rename(tmp_path / "aside")
    with pytest.raises(InputError, match=r"pictures\.parquet: damaged or missing"):
        forecaster_data.load(folders, "")
    (tmp_path / "aside").rename(tmp_path / "pictures.parquet")
    fits, pictures = (tmp_path / name for name in ("fits.parquet", "pictures.parquet"))
    assert len(forecaster_data.load([tmp_path], "")) == 48
    other = tmp_path / "other"
    other.mkdir()
    frame = pd.read_parquet(fits)
    frame.assign(image_id="x" + frame["image_id"]).to_parquet(other / fits.name)
    (other / pictures.name).write_bytes(pictures.read_bytes())
    with pytest.raises(InputError, match="other needs its photographs"):
        forecaster_data.load([tmp_path, other], "")


def test_missing_photographs_are_named(collection, tmp_path):
    with pytest.raises(InputError, match="needs its photographs"):
        forecaster_data.load([collection / "run"], "")
    with Image.open(collection / "photos" / "picture3.png") as opened:
        opened.save(tmp_path / "picture3.png")
    with pytest.raises(InputError, match=r"has no picture\d+ of 14 x 14 pixels"):
        forecaster_data.load([collection / "run"], f"folder:{tmp_path}")


def test_table_of_another_version_is_described_anew(collection, table, tmp_path):
    table.save(tmp_path)
    path = tmp_path / forecaster_data.PICTURES
    pictures = forecaster_data.pq.read_table(path).drop(["constant_db"])
    forecaster_data.pq.write_table(pictures, path)
    with pytest.raises(InputError, match="needs its photographs"):
        forecaster_data.load([tmp_path], "")
    again = forecaster_data.load([tmp_path], f"folder:{collection / 'photos'}")
    assert np.array_equal(again.described, table.described)


def test_common_architectures_are_never_held_out(table):
    frame = table.frame.assign(num_layers=1, layer_size=4)
    assert not forecaster_data._held_out(frame).any()
    many = frame.assign(layer_size=np.arange(len(frame)) + 100, num_layers=7)
    many = forecaster_data.pd.concat([many] * 10, ignore_index=True)
    many["layer_size"] = np.arange(len(many)) + 100
    assert 0.04 < forecaster_data._held_out(many).mean() < 0.2


def test_fits_for_training_are_chosen_rows(table):
    mask = table.split("train")
    fits = table.training_fits(mask)
    assert len(fits.rows) == mask.sum()
    assert (fits.rows[:, -2:] == 14).all()
    assert (fits.weights > 0).all()
    assert dataclasses.is_dataclass(fits)
