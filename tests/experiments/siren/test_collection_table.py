"""A collection is checked against its plan, and its table is read by other programs."""

import dataclasses
import json
import warnings

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

import jaxfleet
from experiments.siren import collection_table, completeness, import_collection
from experiments.siren import export as siren_export
from experiments.siren import grid as siren_grid
from experiments.siren.collection_table import TableConfig
from experiments.siren.export import ExportConfig
from experiments.siren.import_collection import ImportConfig
from jaxfleet import storage
from jaxfleet.errors import InputError, InUseError
from jaxfleet.results import store
from jaxinr import coin_collection
from jaxinr.collection import schema as collection
from jaxinr.trial import Trial

NETWORK = {"inputs": 2, "outputs": 3}
PLAN = {
    **{"coordinates": "coin", "log_every": 10, "sampling": "random", "keep_weights": False},
    **{"num_trials": 8, "num_repeats": 4},
}
AT = np.array([0, 10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 130], np.int32)
KEPT = [0, 10, 20, 40, 80, 130]
SPLITS = {"dawn": "train", "dusk": "validation", "noon": "test"}


def row(trial_id):
    image_id = list(SPLITS)[trial_id % 3]
    trial = Trial(
        num_layers=1 + trial_id % 4,
        layer_size=3 + trial_id % 5,
        num_iters=130,
        seed=900_000 + trial_id,
        w0_initial=4.75 + trial_id / 7,
        learning_rate=1e-3 / (1 + trial_id),
    )
    side = 8 + trial_id % 2
    draw = np.random.default_rng(trial_id)
    return {
        **dataclasses.asdict(trial),
        "trial_id": trial_id,
        "image_id": image_id,
        "split": SPLITS[image_id],
        "image_height": side,
        "image_width": side,
        "status": "done",
        "parameters": trial.parameters,
        "hp_bpp": trial.bits_per_pixel(side, side),
        "fp_bpp": trial.bits_per_pixel(side, side, bits=32),
        "best_psnr_db": 20.5 + trial_id / 3,
        "psnr_8bit_db": 20.0 + trial_id / 3,
        "iteration_history": AT,
        "psnr_history": np.float32(draw.uniform(10, 20, len(AT))),
    }


def make_run(run_dir, parts, plan=PLAN, weights=False):
    results = store.Store(run_dir, plan, siren_grid.schema(), network=NETWORK)
    for part in parts:
        rows = [row(i) for i in part]
        for one in rows:
            one["weights"] = np.zeros(one["parameters"] if weights else 0, np.float32)
        results.add(rows)
        results.flush()
    results.close()
    return run_dir


def log(run_dir, *sittings):
    lines = [json.dumps(dict(zip(("seconds", "pixel_steps", "time"), sample, strict=True)))
             for sitting in sittings for sample in sitting]  # fmt: skip
    (run_dir / "progress.jsonl").write_text("\n".join(lines) + '\n{"seconds": 3')


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = make_run(tmp_path_factory.mktemp("run"), [range(5), range(5, 12)])
    steps = 130 * (6 * 64 + 6 * 81)
    first = [(1.0, 1000.0, 101.0), (40.0, 0.75 * steps, 140.0)]
    # 60 s later the second one begins, and it makes a tenth of all again.
    log(path, first, [(2.0, 500.0, 202.0), (60.0, 0.35 * steps, 260.0)])
    return path


def test_complete_run_is_told_with_its_rates(run_dir):
    found = completeness.check(run_dir)
    assert found.complete
    assert (found.rows, found.planned, found.repeated, found.diverged) == (12, 12, 0, 0)
    assert (found.sittings, found.working_s, found.away_s) == (2, 100.0, 60.0)
    assert found.made == pytest.approx(1.1 * found.kept)
    text, complete = collection_table.run(TableConfig(), run_dir)
    assert complete
    assert text.splitlines() == [
        "12 of 12 networks, 0 of them diverged.",
        "0 missing, 0 rows twice, 0 of no plan.",
        "432 networks an hour, 1.13e+03 pixel-steps/s over 1:40 of training in 2 sittings.",
        "Interrupted for 1:00, 37.5% of the time; 9.09% of the pixel-steps were made again or are "
        "of networks in training.",
    ]


def test_what_is_lost_or_there_twice_is_named(tmp_path):
    found = completeness.check(make_run(tmp_path / "run", [[0, 1, 4], [4, 5, 12]]))
    assert not found.complete
    assert found.missing.tolist() == [2, 3, 6, 7, 8, 9, 10, 11]
    assert (found.repeated, found.foreign.tolist(), found.sittings) == (1, [12], 0)
    assert str(found).splitlines() == [
        "5 of 12 networks, 0 of them diverged.",
        "8 missing (trial_id 2, 3, 6, 7, 8 and 3 more), 1 rows twice, 1 of no plan (trial_id 12).",
    ]


def test_run_without_rows_is_incomplete(tmp_path):
    found = completeness.check(make_run(tmp_path / "run", []))
    assert (found.complete, found.rows, len(found.missing)) == (False, 0, 12)


@pytest.fixture(scope="module")
def folder(run_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "table"
    text, _ = collection_table.run(TableConfig(output=str(path)), run_dir)
    assert text.splitlines()[-1].startswith(
        f"12 networks added to {path}, which has 12 of 12, none twice, in 0.0 MB"
    )
    return path


def same(record):
    """Asserts that a published row says what the run's row says, as precisely as it promises."""
    expected = row(record["trial_id"])
    assert record["config"]["seed"] == 900_000 + record["trial_id"]
    names = {"image_size": "image_height"}
    for name, value in record["config"].items():
        wanted = expected[names.get(name, name)]
        assert value == (np.float32(wanted) if isinstance(wanted, float) else wanted), name
    assert list(record["iteration_history"]) == KEPT
    history = expected["psnr_history"][np.isin(AT, KEPT)]
    np.testing.assert_allclose(record["psnr_history"], history, atol=1 / 256, rtol=0)
    best = np.maximum.accumulate(np.asarray(record["psnr_history"]))
    np.testing.assert_array_equal(record["best_psnr_history"], best)
    assert abs(record["fp_psnr"] - expected["psnr_8bit_db"]) <= 1 / 2048
    assert (record["hp_bpp"], record["fp_bpp"]) == (expected["hp_bpp"], expected["fp_bpp"])
    return expected["trial_id"]


def test_pandas_and_duckdb_read_the_table(folder):
    frame = pandas.read_parquet(folder / "parquet")
    assert sorted(same(record) for record in frame.to_dict("records")) == list(range(12))
    columns = [name for name in collection.COLUMNS if name != "best_model"]
    assert list(frame) == ["trial_id", *columns, "status"]
    duckdb = pytest.importorskip("duckdb")
    answer = duckdb.sql(
        "select config.seed, config.learning_rate, psnr_history, iteration_history[-1], status "
        f"from '{folder}/parquet/*.parquet' where config.image_id = 'dusk' order by 1"
    ).fetchall()
    assert [line[0] - 900_000 for line in answer] == [1, 4, 7, 10]
    assert {line[3:] for line in answer} == {(130, "done")}
    records = {r["config"]["seed"]: r for r in frame.to_dict("records")}
    for seed, learning_rate, history, *_ in answer:
        assert np.float32(learning_rate) == records[seed]["config"]["learning_rate"]
        np.testing.assert_array_equal(np.float32(history), records[seed]["psnr_history"])


def test_hugging_face_datasets_read_the_table(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in found.items()} == {
        "train": 4, "validation": 4, "test": 4,
    }  # fmt: skip
    assert sorted(same(record) for rows in found.values() for record in rows) == list(range(12))


def test_tfds_and_the_import_read_the_table(folder, tmp_path):
    files = folder / "parquet"
    builder = coin_collection.CoinCollection(source=files, data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare(file_format="array_record")
    (first, *_), rows = builder.as_data_source("test"), builder.info.splits
    assert rows["test"].num_examples == 4
    assert first["weights"].shape == (0,)
    assert first["iteration_history"].tolist() == KEPT
    import_collection.run(ImportConfig(input=str(files)), tmp_path / "run")
    frame = jaxfleet.open(tmp_path / "run").to_pandas()
    assert sorted(frame["seed"] - 900_000) == list(range(12))
    assert frame["entropy_bpp"].isna().all()
    rates = {one["seed"]: one["learning_rate"] for one in map(row, range(12))}
    np.testing.assert_allclose(frame["learning_rate"], frame["seed"].map(rates), rtol=1e-7)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_again_changes_nothing_and_other_folders_are_refused(run_dir, folder, tmp_path):
    before = contents(folder)
    text, complete = collection_table.run(TableConfig(output=str(folder)), run_dir)
    assert (contents(folder), complete) == (before, True)
    assert text.splitlines()[-1].startswith(f"0 networks added to {folder}, which has 12 of 12")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and no collection of this run; give another"):
        collection_table.run(TableConfig(output=str(tmp_path)), run_dir)
    with pytest.raises(InputError, match="its table keeps no weights; launch/collection_table.py"):
        siren_export.run(ExportConfig(format="coin_collection"), run_dir)


def test_runs_of_several_machines_grow_one_table(tmp_path):
    """Each machine fitted a part of the plan, some networks twice; nothing is lost or rewritten."""
    output = tmp_path / "table"
    wanted = {"first": ([range(5)], 5, 5), "second": ([[4, 5, 6], range(7, 12)], 7, 12)}
    kept = {}
    for name, (parts, added, there) in wanted.items():
        made = make_run(tmp_path / name, parts)
        text, complete = collection_table.run(TableConfig(output=str(output)), made)
        assert f"{added} networks added to {output}, which has {there} of 12" in text
        assert complete == (there == 12)
        assert kept.items() <= contents(output / "parquet").items()
        kept = contents(output / "parquet")
    assert sorted(kept) == sorted(f"{s}-0000{k}.parquet" for s in SPLITS.values() for k in (0, 1))
    frame = pandas.read_parquet(output / "parquet")
    assert sorted(same(record) for record in frame.to_dict("records")) == list(range(12))
    assert "train 4, validation 4, test 4" in (output / "README.md").read_text()


def test_shards_of_a_grid_grow_one_table(tmp_path):
    """A grid's plan does not say how many networks it has: its photographs do."""
    plan = {name: value for name, value in PLAN.items() if name not in ("sampling", "num_trials")}
    output = tmp_path / "table"
    for name, part, there, whole in (("b", range(5, 12), 7, False), ("a", range(5), 12, True)):
        made = make_run(tmp_path / name, [part], plan)
        text, complete = collection_table.run(TableConfig(output=str(output)), made)
        assert f"{len(part)} networks added to {output}, which has {there}, none twice" in text
        assert complete == whole


def test_a_kill_between_two_files_loses_and_doubles_nothing(run_dir, tmp_path, monkeypatch):
    output, write = tmp_path / "table", collection_table._write
    with monkeypatch.context() as patch:
        patch.setattr(collection_table, "_write", lambda path, rows: write(path, rows) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collection_table.run(TableConfig(output=str(output)), run_dir)
    assert len(contents(output / "parquet")) == 1
    text, complete = collection_table.run(TableConfig(output=str(output)), run_dir)
    assert complete
    assert "8 networks added" in text
    frame = pandas.read_parquet(output / "parquet")
    assert sorted(same(record) for record in frame.to_dict("records")) == list(range(12))
    assert "train 4, validation 4, test 4" in (output / "README.md").read_text()


def test_two_processes_do_not_add_to_one_table_at_once(run_dir, folder):
    before = contents(folder)
    with (
        storage.locked(folder, "collection.json", "--output"),
        pytest.raises(InUseError, match="another process is writing to it"),
    ):
        collection_table.run(TableConfig(output=str(folder)), run_dir)
    assert contents(folder) == before


def test_neither_a_table_nor_an_export_takes_the_folder_of_the_other(tmp_path):
    made = make_run(tmp_path / "run", [range(12)], PLAN | {"keep_weights": True}, weights=True)
    asked = {
        "table": (collection_table, TableConfig, {}),
        "export": (siren_export, ExportConfig, {"format": "coin_collection"}),
    }
    for name, (script, config, flags) in asked.items():
        script.run(config(output=str(tmp_path / name), **flags), made)
    before = {name: contents(tmp_path / name) for name in asked}
    for name, other in (("table", "export"), ("export", "table")):
        script, config, flags = asked[other]
        with pytest.raises(InputError, match=f"holds the files of launch/.*{name}.*; give another"):
            script.run(config(output=str(tmp_path / name), **flags), made)
        assert contents(tmp_path / name) == before[name]


@pytest.mark.parametrize(
    ("script", "config"), [(collection_table, TableConfig), (siren_export, ExportConfig)]
)
def test_no_folder_is_made_that_is_called_like_a_url(script, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = make_run(tmp_path / "run", [range(12)], PLAN | {"keep_weights": True}, weights=True)
    with pytest.raises(InputError, match="http://server/table: give a local folder"):
        script.run(config(output="http://server/table"), made)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_table_with_a_network_twice_or_a_broken_file_is_named(run_dir, tmp_path):
    output = tmp_path / "table"
    collection_table.run(TableConfig(output=str(output)), run_dir)
    own = output / "parquet" / "test-00000.parquet"
    (output / "parquet" / "test-00001.parquet").write_bytes(own.read_bytes())
    with pytest.raises(InputError, match=r"4 networks there twice \(trial_id 2, .*remove one of"):
        collection_table.run(TableConfig(output=str(output)), run_dir)
    (output / "parquet" / "test-00001.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="test-00001.parquet: .*; restore the file, or give"):
        collection_table.run(TableConfig(output=str(output)), run_dir)


def test_a_row_takes_few_bytes(tmp_path):
    """As many rows as tell the size of 300,000: random numbers do not compress further."""
    draw, count = np.random.default_rng(0), 20_000
    rows = pandas.DataFrame([row(i % 12) for i in range(count)])
    for name, low, high in (("w0_initial", 1, 5), ("learning_rate", -9, -5)):
        rows[name] = np.exp(draw.uniform(low, high, count))
    rows["seed"] = draw.integers(0, 10**6, count)
    rows["psnr_8bit_db"] = draw.normal(25, 5, count)
    curves = 12 + np.cumsum(np.abs(draw.normal(0, 1, (count, len(AT)))), axis=1)
    rows["psnr_history"] = list(np.float32(curves))
    path = tmp_path / "rows.parquet"
    collection_table._write(path, collection_table.as_arrow(rows, 10))
    assert path.stat().st_size < 40 * count
    assert pq.read_metadata(path).num_rows == count
