import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxfleet
from jaxfleet.errors import InputError
from jaxfleet.results import store, table
from tests.jaxfleet.rows import SCHEMA, flush, row


@pytest.fixture
def run_dir(tmp_path):
    """A run of three parts, with trials 5 and 3; 1; 4 and 2."""
    results = store.Store(tmp_path / "run", {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    flush(results, 5, 3)
    flush(results, 1)
    flush(results, 4, 2)
    results.close()
    return tmp_path / "run"


def test_rows_are_sorted_and_weights_left_out_unless_asked_for(run_dir):
    found = jaxfleet.open(run_dir)
    assert len(found) == 5
    assert found.trial_ids.tolist() == [1, 2, 3, 4, 5]
    assert found.to_pandas()["trial_id"].tolist() == [1, 2, 3, 4, 5]
    assert list(found.to_pandas().columns) == SCHEMA.names[:-1]
    assert list(found.to_pandas(["weights", "psnr_db"]).columns) == ["weights", "psnr_db"]
    good = found.to_pandas(["psnr_db"], filters=[("psnr_db", ">", 22.5)])
    assert good.to_dict("list") == {"psnr_db": [23.0, 24.0, 25.0]}


def test_weights_of_a_row_or_a_trial_id(run_dir):
    found = jaxfleet.open(str(run_dir))
    for columns in (None, SCHEMA.names):
        for _, line in found.to_pandas(columns).iterrows():
            layers = found.weights(line)
            shapes = [(layer["weight"].shape, layer["bias"].shape) for layer in layers]
            assert shapes == [((4, 2), (4,)), ((4, 4), (4,)), ((3, 4), (3,))]
            expected = row(line["trial_id"])["weights"]
            np.testing.assert_array_equal(table.flatten(layers), expected)
            for trial_id in (int(line["trial_id"]), np.int64(line["trial_id"])):
                again = table.flatten(found.weights(trial_id))
                np.testing.assert_array_equal(again, expected)
    with pytest.raises(InputError, match="no row with trial_id 9"):
        found.weights(9)


def test_weights_are_found_in_any_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROWS_PER_GROUP", 3)
    results = store.Store(tmp_path, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    flush(results, *range(20, 10, -1))
    results.close()
    found = jaxfleet.open(tmp_path)
    for trial_id in found.trial_ids:
        flat = table.flatten(found.weights(trial_id))
        np.testing.assert_array_equal(flat, row(trial_id)["weights"])


@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_table_names_the_part_that_cannot_be_read(run_dir, harm):
    found = jaxfleet.open(run_dir)
    path = sorted((run_dir / "parts").iterdir())[1]
    path.unlink() if harm == "deleted" else path.write_bytes(path.read_bytes()[:-50])
    for ask in (found.to_pandas, lambda: len(found)):
        with pytest.raises(InputError, match=rf"{path.name}: damaged or missing; repeat the"):
            ask()


def test_mistake_of_the_caller_is_no_damage(run_dir):
    with pytest.raises(pa.ArrowInvalid, match="No match"):
        jaxfleet.open(run_dir).to_pandas(filters=[("psnr", ">", 3)])


def test_open_refuses_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match="holds no manifest.json; give the directory of a run"):
        jaxfleet.open(tmp_path)


def test_run_without_rows(tmp_path):
    store.Store(tmp_path, {}, SCHEMA, network={}).close()
    assert len(jaxfleet.open(tmp_path)) == 0
    with pytest.raises(InputError, match="no finished networks yet"):
        jaxfleet.open(tmp_path).to_pandas()


@given(st.lists(st.integers(1, 7), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_flat_weights_come_back(sizes, seed):
    shapes = list(zip(sizes, sizes[1:], strict=False))
    flat = np.random.default_rng(seed).normal(size=sum(o * (i + 1) for i, o in shapes))
    layers = table.unflatten(flat.astype(np.float32), sizes)
    assert [layer["weight"].shape for layer in layers] == [(o, i) for i, o in shapes]
    np.testing.assert_array_equal(table.flatten(layers), flat.astype(np.float32))


def test_flat_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match=r"\[2, 4, 3\] need 27 weights; got \(26,\)"):
        table.unflatten(np.zeros(26, np.float32), [2, 4, 3])


def test_batches_have_every_row_once_and_only_those_asked_for(run_dir, monkeypatch):
    monkeypatch.setattr(store, "ROWS_PER_GROUP", 3)
    results = store.Store(run_dir, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    flush(results, 9, 3, 10, 2, 8, 7, 11)  # 3 and 2 were there before
    results.close()
    found = jaxfleet.open(run_dir)
    frames = list(found.batches(["trial_id", "weights"]))
    assert max(map(len, frames)) <= 3
    lines = [line for frame in frames for line in frame.to_dict("records")]
    assert sorted(line["trial_id"] for line in lines) == found.trial_ids.tolist()
    for line in lines:
        np.testing.assert_array_equal(line["weights"], row(line["trial_id"])["weights"])
    some = list(found.batches(["psnr_db"], np.array([2, 7, 99])))
    assert sorted(value for frame in some for value in frame["psnr_db"]) == [22.0, 27.0]
    assert all(list(frame) == ["psnr_db"] for frame in some)
    assert list(found.batches(["psnr_db"], np.array([], int))) == []


def test_batches_name_the_part_that_cannot_be_read(run_dir):
    found = jaxfleet.open(run_dir)
    batches = found.batches(["psnr_db"])
    assert len(next(batches)) == 1
    for path in (run_dir / "parts").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="damaged or missing; repeat the"):
        list(batches)


@pytest.mark.parametrize("read", [0, 1, 2])
def test_batches_go_on_in_parts_that_are_merged_meanwhile(run_dir, read):
    """A run that ends while its table is read gives each network once."""
    batches = jaxfleet.open(run_dir).batches(["trial_id"])
    found = [next(batches) for _ in range(read)]
    results = store.Store(run_dir, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    results.merge()
    results.close()
    found += batches
    assert sorted(pd.concat(found)["trial_id"]) == [1, 2, 3, 4, 5]


def test_a_run_that_an_earlier_release_began_lacks_nothing(run_dir):
    schema = SCHEMA.insert(2, pa.field("ssim", pa.float64()))
    results = store.Store(run_dir, {}, schema, network={"inputs": 2, "outputs": 3})
    results.add([{**row(6), "ssim": 0.5}])
    results.flush()
    for _ in range(2):
        found = jaxfleet.open(run_dir)
        assert sorted(found.columns) == sorted(schema.names)
        np.testing.assert_array_equal(found.to_pandas()["ssim"], [np.nan] * 5 + [0.5])
        assert found.to_pandas(["ssim"], [("trial_id", ">", 4)])["ssim"].isna().tolist() == [1, 0]
        results.merge()
    results.close()


def test_parts_that_are_merged_meanwhile_are_found(run_dir):
    fresh, filled, asked = (jaxfleet.open(run_dir) for _ in range(3))
    assert len(filled) == 5
    results = store.Store(run_dir, {}, SCHEMA, network={"inputs": 2, "outputs": 3})
    results.merge()
    results.close()
    assert len(list((run_dir / "parts").iterdir())) == 1
    assert len(fresh) == 5
    assert asked.to_pandas(["psnr_db"])["psnr_db"].tolist() == [21.0, 22.0, 23.0, 24.0, 25.0]
    np.testing.assert_array_equal(table.flatten(filled.weights(4)), row(4)["weights"])


# ---------------------------------------------------------------------------- columns of later

LATER = SCHEMA.append(pa.field("network", pa.string()))
LATER = LATER.append(pa.field(table.SHAPES, pa.list_(pa.int32())))


@pytest.mark.parametrize("is_merged", [False, True])
def test_a_run_that_a_later_version_goes_on_with_reads_new_columns_as_null(run_dir, is_merged):
    later = store.Store(run_dir, {}, LATER, network={"inputs": 2, "outputs": 3})
    assert later.done == {1, 2, 3, 4, 5}
    # A layer of 4 units, two rows for each, as complex weights are stored: not by the old rule.
    shapes = [(4, 2), (8, 4), (3, 8)]
    weights = np.arange(4 * 3 + 8 * 5 + 3 * 9, dtype=np.float32)
    new = {**row(6), "network": "wire", table.SHAPES: np.ravel(shapes), "weights": weights}
    later.add([new])
    later.flush()
    if is_merged:
        later.merge()
    later.close()
    found = jaxfleet.open(run_dir)
    assert found.columns == LATER.names
    kinds = found.to_pandas(["trial_id", "network"])
    assert kinds["network"].isna().tolist() == [True] * 5 + [False]
    assert kinds["network"].iloc[5] == "wire"
    assert [layer["weight"].shape for layer in found.weights(6)] == shapes
    np.testing.assert_array_equal(table.flatten(found.weights(6)), weights)
    np.testing.assert_array_equal(table.flatten(found.weights(5)), row(5)["weights"])
    # Of a row that names no shapes, they are read from the table.
    frame = found.to_pandas(["trial_id", "layer_size", "num_layers", "weights"])
    (last,) = [one for _, one in frame.iterrows() if one["trial_id"] == 6]
    assert [layer["weight"].shape for layer in found.weights(last)] == shapes
    for _, one in found.to_pandas(found.columns).iterrows():  # null, however pandas writes it
        assert len(found.weights(one)) == 3


def test_shapes_that_do_not_fit_the_weights_are_refused():
    with pytest.raises(ValueError, match=r"\(out, in\) \[\(4, 2\)\] need 12 weights; got \(11,\)"):
        table.unflatten_layers(np.zeros(11, np.float32), [(4, 2)])
