"""Published rows: made by hand as the collection's page shows them, and as ours."""

import copy
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxfleet.results.table import flatten
from jaxinr.collection import schema as collection
from jaxinr.torch_names import from_torch


def published(layers=3, units=4, **changes):
    """A row as a JSON reader gives it; its config has the published row's names and kinds."""
    shapes = [(units, 2), *[(units, units)] * (layers - 1), (3, units)]
    names = [f"net.{i}.linear" for i in range(layers)] + ["last_layer.linear"]
    draw = np.random.default_rng(layers)
    model = {}
    for name, shape in zip(names, shapes, strict=True):
        model[f"{name}.weight"] = draw.normal(size=shape).astype(np.float32).tolist()
        model[f"{name}.bias"] = draw.normal(size=shape[0]).astype(np.float32).tolist()
    parameters = sum(out * (inputs + 1) for out, inputs in shapes)
    return {
        "config": {
            "num_iters": 20000,
            "seed": 791605,
            "image_id": 415,
            "image_size": 12,
            "layer_size": units,
            "num_layers": layers,
            "w0_initial": 4.7525,
        },
        "iteration_history": [0, 10, 20, 30],
        "psnr_history": [10.0, 12.5, 12.25, 14.0],
        "best_psnr_history": [10.0, 12.5, 12.5, 14.0],
        "hp_bpp": 16 * parameters / 144,
        "fp_bpp": 32 * parameters / 144,
        "fp_psnr": 14.25,
        "best_model": model,
        **changes,
    }


def as_lists(record):
    return json.loads(collection.as_json(record))


def test_published_row_comes_back_as_it_was():
    record = published()
    row = collection.from_published(record)
    again = as_lists(collection.to_published(row, whole_ids=True))
    assert list(again) == list(collection.COLUMNS)
    record["config"] |= {"w0": 30.0, "learning_rate": 2e-4}  # COIN's, which we add
    assert list(again["config"]) == list(record["config"])
    assert json.dumps(again["config"]) == json.dumps(record["config"])  # 415 is no text
    weights, expected = again.pop("best_model"), record.pop("best_model")
    assert again == record
    assert list(weights) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(np.float32(weights[name]), np.float32(expected[name]))


def test_what_the_table_says_of_a_published_row():
    row = collection.from_published(published())
    assert row["image_id"] == "415"
    assert (row["image_height"], row["image_width"]) == (12, 12)
    assert (row["w0"], row["learning_rate"], row["status"]) == (30.0, 2e-4, "done")
    assert (row["psnr_db"], row["best_psnr_db"], row["psnr_8bit_db"]) == (14.0, 14.0, 14.25)
    assert row["best_iteration"] == 30
    assert math.isnan(row["ssim"])
    assert math.isnan(row["seconds"])
    assert row["parameters"] == 4 * 3 + 2 * 4 * 5 + 3 * 5 == len(row["weights"])
    expected = flatten(from_torch(published()["best_model"]))
    np.testing.assert_array_equal(row["weights"], expected)


def test_width_is_what_the_bits_per_pixel_imply():
    record = published()
    record["hp_bpp"] /= 2
    row = collection.from_published(record)
    assert (row["image_height"], row["image_width"]) == (12, 24)
    record["hp_bpp"] *= 0.9  # fits no width: taken as it is, of a square
    row = collection.from_published(record)
    assert (row["image_height"], row["image_width"], row["hp_bpp"]) == (12, 12, record["hp_bpp"])


def test_a_config_that_says_more_is_believed():
    record = published()
    record["config"] |= {"w0": 20.0, "learning_rate": 1e-3}
    row = collection.from_published(record, w0=25.0, learning_rate=1e-4)
    assert (row["w0"], row["learning_rate"]) == (20.0, 1e-3)
    row = collection.from_published(published(), w0=25.0, learning_rate=1e-4)
    assert (row["w0"], row["learning_rate"]) == (25.0, 1e-4)


def test_readers_that_give_nulls_arrays_and_floats_are_understood():
    record = published(layers=2)
    expected = collection.from_published(record)
    model = {name: np.array(value) for name, value in record["best_model"].items()}
    model["net.0.linear.weight"] = np.array([*map(np.array, model["net.0.linear.weight"])], object)
    model["net.7.linear.weight"] = None
    config = {**record["config"], "image_id": 415.0, "seed": np.int64(791605), "num_layers": 2.0}
    again = collection.from_published({**record, "config": config, "best_model": model})
    np.testing.assert_equal(again, expected)


def harmed(change):
    record = copy.deepcopy(published())
    change(record)
    return record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("hp_bpp"), "no hp_bpp"),
        (lambda r: r["config"].pop("seed"), "no seed"),
        (lambda r: r.update(config="{}"), "config holds no names"),
        (lambda r: r["config"].update(layer_size=0), "layer_size must be in"),
        (lambda r: r["config"].update(layer_size=4.5), "4.5 is no whole number"),
        (lambda r: r["config"].update(num_layers=4), "is not of 4 layers of 4 units"),
        (lambda r: r["config"].update(w0_initial="deep"), "deep"),
        (lambda r: r["config"].update(image_size=0), "image_size is 0"),
        (lambda r: r["psnr_history"].pop(), "differ in length"),
        (lambda r: r["best_model"].pop("last_layer.linear.bias"), "missing"),
        (lambda r: r["best_model"]["net.0.linear.bias"].pop(), r"net.0.linear.weight \[4, 2\] for"),
        (lambda r: r["best_model"]["net.0.linear.weight"][0].pop(), "inhomogeneous"),
        (lambda r: r["best_model"]["net.0.linear.bias"].__setitem__(0, None), "not finite"),
        (lambda r: r.update(best_model=None), "no best_model"),
    ],
)
def test_damaged_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        collection.from_published(harmed(change))


@given(st.lists(st.floats(width=32), max_size=20))
def test_json_gives_float32_back_and_null_for_what_is_unknown(values):
    record = collection.to_published(collection.from_published(published()))
    record["psnr_history"] = np.array(values, np.float32)
    again = as_lists(record)["psnr_history"]
    known = [not np.isnan(value) for value in record["psnr_history"]]
    assert [value is not None for value in again] == known
    assert all(isinstance(value, float) for value in again if value is not None)
    np.testing.assert_array_equal(
        np.float32([value for value in again if value is not None]), record["psnr_history"][known]
    )


psnrs = st.floats(0, 200, width=32) | st.sampled_from([math.inf, math.nan])


@given(st.lists(psnrs, min_size=1, max_size=8), psnrs, st.integers(1, 3))
def test_both_formats_give_the_same_rows_again(history, decoded_db, layers):
    row = collection.from_published(published(layers=layers))
    row["psnr_history"] = np.array(history, np.float32)
    row["iteration_history"] = 10 * np.arange(len(history), dtype=np.int32)
    row["psnr_8bit_db"] = decoded_db
    record = collection.to_published(row, whole_ids=True)
    line = as_lists(record)
    (cells,) = collection.as_arrow([record], collection.arrow_schema(3, whole_ids=True)).to_pylist()
    assert list(cells) == list(line)
    for name in ("psnr_history", "best_psnr_history", "fp_psnr"):
        nulls, others = (np.equal(one[name], None) for one in (line, cells))
        np.testing.assert_array_equal(nulls, others)
    first, second = (collection.from_published(one) for one in (line, cells))
    np.testing.assert_equal(first, second)
    known = np.array(history, np.float32)[~np.isnan(history)]
    np.testing.assert_array_equal(first["psnr_history"], row["psnr_history"])
    np.testing.assert_equal(first["psnr_8bit_db"], decoded_db)
    np.testing.assert_equal(first["best_psnr_db"], float(known.max()) if len(known) else math.nan)
    ends_unknown = bool(len(known)) and math.isnan(history[-1])
    assert first["status"] == ("diverged" if ends_unknown else "done")


def test_an_import_makes_up_no_number():
    unknown = [None] * 4
    row = collection.from_published(published(psnr_history=unknown, best_psnr_history=unknown))
    assert math.isnan(row["best_psnr_db"])  # not the 14.25 dB of the 8-bit picture
    assert math.isnan(row["psnr_db"])
    assert row["best_iteration"] is None
    assert row["psnr_8bit_db"] == 14.25


def test_best_history_is_the_running_maximum_beside_what_is_unknown():
    row = collection.from_published(published())
    row["psnr_history"] = np.float32([np.nan, 3.0, np.nan, 2.0])
    best = collection.to_published(row)["best_psnr_history"]
    np.testing.assert_array_equal(best, np.float32([np.nan, 3.0, 3.0, 3.0]))


def test_arrow_has_the_same_rows_and_null_for_missing_layers():
    records = [
        collection.to_published(collection.from_published(published(layers=n)), whole_ids=True)
        for n in (1, 3)
    ]
    schema = collection.arrow_schema(3, whole_ids=True)
    found = collection.as_arrow(records, schema)
    assert found.schema == schema
    for one, record in zip(found.to_pylist(), records, strict=True):
        expected = as_lists(record)
        model = {name: v for name, v in one.pop("best_model").items() if v is not None}
        assert list(model) == [name for name in schema.field("best_model").type.names
                               if name in expected["best_model"]]  # fmt: skip
        for name, value in expected.pop("best_model").items():
            np.testing.assert_array_equal(np.float32(model[name]), np.float32(value))
        assert one == expected
    assert schema.field("config").type.field("image_id").type == pa.int64()


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["415", "0"], True), (["415", "kodim01"], False), (["007"], False), (["1.5"], False)],
)
def test_names_that_are_whole_numbers(names, expected):
    assert collection.are_whole(names) == expected


def test_splits_are_of_pictures_and_have_their_shares():
    splits = [collection.split_of(str(i)) for i in range(5000)]
    assert splits.count("train") / 5000 == pytest.approx(0.8, abs=0.02)
    assert splits.count("test") / 5000 == pytest.approx(0.1, abs=0.02)
    assert set(splits) == set(collection.SPLITS)
