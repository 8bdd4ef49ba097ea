"""A run as files of the published schema, which other programs load, and back as a run."""

import dataclasses
import gzip
import json
import warnings

import numpy as np
import pandas
import pytest

import jaxfleet
from experiments.siren import export as siren_export
from experiments.siren import grid as siren_grid
from experiments.siren import import_collection, write_collection
from experiments.siren.export import ExportConfig
from experiments.siren.import_collection import ImportConfig
from jaxfleet import executors
from jaxfleet.errors import InputError
from jaxfleet.results import store
from jaxinr import to_torch
from jaxinr.collection import schema as collection
from jaxinr.trial import Trial

NETWORK = {"inputs": 2, "outputs": 3}
SPLITS = {"dawn": "train", "dusk": "validation", "noon": "test"}
NETWORKS = 13


def row(trial_id, names=tuple(SPLITS)):
    """Of one of three pictures, one of which is 8 x 10; histories and depths vary."""
    image_id = names[trial_id % 3]
    trial = Trial(
        num_layers=1 + trial_id % 4,
        layer_size=3 + trial_id % 5,
        seed=trial_id,
        w0_initial=4.75,
        w0=25.0,
        learning_rate=3e-3,
    )
    draw = np.random.default_rng(trial_id)
    return {
        **dataclasses.asdict(trial),
        "trial_id": trial_id,
        "image_id": image_id,
        "split": SPLITS[tuple(SPLITS)[trial_id % 3]],
        "image_height": 8,
        "image_width": 10 if trial_id % 3 else 8,
        "status": "done",
        "parameters": trial.parameters,
        "hp_bpp": trial.bits_per_pixel(8, 10 if trial_id % 3 else 8),
        "fp_bpp": trial.bits_per_pixel(8, 10 if trial_id % 3 else 8, bits=32),
        "best_psnr_db": 20.5 + trial_id,
        "psnr_8bit_db": 20.0 + trial_id,
        "ssim": 0.5,
        "iteration_history": np.arange(5, dtype=np.int32) * 10,
        "psnr_history": np.float32(draw.uniform(10, 20, 5)),
        "weights": np.float32(draw.normal(size=trial.parameters)),
    }


def make_run(run_dir, rows, *, facts=None, done=True):
    plan = {"coordinates": "coin", **(facts or {})}
    results = store.Store(run_dir, plan, siren_grid.schema(), network=NETWORK)
    for start in range(0, len(rows), 3):
        results.add(rows[start : start + 3])
        results.flush()
    results.close()
    if done:
        (run_dir / "DONE").touch()
    return run_dir


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), [row(i) for i in reversed(range(NETWORKS))])


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    """Four rows a file."""
    folder = tmp_path_factory.mktemp("exported") / "collection"
    config = ExportConfig(format="coin_collection", output=str(folder), rows_per_file=4)
    answer = siren_export.run(config, run_dir)
    assert answer == (
        f"13 networks (5 train, 4 validation, 4 test) written to {folder}, see {folder}/README.md."
    )
    return folder


def of_json(folder, split):
    lines = []
    for path in sorted((folder / "json").glob(f"{split}-*.jsonl.gz")):
        lines += gzip.decompress(path.read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines]


def check(record, network=None):
    """A published row against the row of the table that it was made of."""
    expected = row(record["config"]["seed"]) if network is None else network
    names = {"image_size": "image_height"}
    both = collection.CONFIG + collection.ADDED
    config = {name: expected[names.get(name, name)] for name in both}
    assert record["config"] == config
    assert list(record["iteration_history"]) == expected["iteration_history"].tolist()
    np.testing.assert_array_equal(np.float32(record["psnr_history"]), expected["psnr_history"])
    best = np.maximum.accumulate(expected["psnr_history"])
    np.testing.assert_array_equal(np.float32(record["best_psnr_history"]), best)
    assert record["fp_psnr"] == expected["psnr_8bit_db"]
    assert (record["hp_bpp"], record["fp_bpp"]) == (expected["hp_bpp"], expected["fp_bpp"])
    model = {name: v for name, v in record["best_model"].items() if v is not None}
    again = collection.from_published({**record, "best_model": model})
    np.testing.assert_array_equal(again["weights"], expected["weights"])
    return record["config"]["seed"]


def seeds(split):
    return [i for i in range(NETWORKS) if row(i)["split"] == split]


# ---------------------------------------------------------------------------- export


def test_json_lines_have_the_published_rows(exported):
    for split in collection.SPLITS:
        records = of_json(exported, split)
        assert sorted(check(record) for record in records) == seeds(split)
        assert all(list(record) == list(collection.COLUMNS) for record in records)
        for record in records:
            assert len(record["best_model"]) == 2 * (record["config"]["num_layers"] + 1)


def test_files_are_cut_and_nothing_else_is_left(exported):
    names = sorted(
        str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()
    )
    stems = ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"]
    stems.append("validation-00000-of-00001")
    files = [f"json/{stem}.jsonl.gz" for stem in stems] + [f"parquet/{s}.parquet" for s in stems]
    assert names == ["README.md", "collection.json", "json/README.md", *files]
    assert json.loads((exported / "collection.json").read_text())["rows"] == {
        "train": 5, "validation": 4, "test": 4,
    }  # fmt: skip
    assert all(f"| `{name}`" in (exported / "README.md").read_text() for name in ("config",))


@pytest.mark.parametrize("form", ["", "json"])
def test_hugging_face_datasets_load_it(exported, tmp_path, form, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        found = datasets.load_dataset(str(exported / form), cache_dir=str(tmp_path))
    assert list(found) == list(collection.SPLITS)
    for split, rows in found.items():
        assert rows.column_names == list(collection.COLUMNS)
        assert sorted(check(record) for record in rows) == seeds(split)


def test_pandas_loads_it(exported):
    frame = pandas.read_parquet(exported / "parquet")
    assert list(frame) == list(collection.COLUMNS)
    assert sorted(check(record) for record in frame.to_dict("records")) == list(range(NETWORKS))
    lines = pandas.read_json(exported / "json/test-00000-of-00001.jsonl.gz", lines=True)
    assert sorted(check(record) for record in lines.to_dict("records")) == seeds("test")


def test_duckdb_loads_it(exported):
    duckdb = pytest.importorskip("duckdb")
    question = "select config.seed, fp_psnr, len(psnr_history) from '{}' order by 1"
    for files in ("parquet/*.parquet", "json/*.jsonl.gz"):
        answer = duckdb.sql(question.format(exported / files)).fetchall()
        assert answer == [(i, 20.0 + i, 5) for i in range(NETWORKS)]
    weights = duckdb.sql(
        f"select best_model['net.0.linear.bias'] from '{exported}/parquet/*.parquet' "
        "where config.seed = 7"
    ).fetchall()
    params = jaxfleet.results.table.unflatten(row(7)["weights"], [2, 5, 5, 5, 5, 3])
    np.testing.assert_array_equal(np.float32(weights[0][0]), to_torch(params)["net.0.linear.bias"])


def test_again_is_the_same_and_less_replaces_more(run_dir, tmp_path):
    config = ExportConfig(format="coin_collection", output=str(tmp_path / "out"), rows_per_file=2)
    siren_export.run(config, run_dir)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    siren_export.run(config, run_dir)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    siren_export.run(dataclasses.replace(config, image_id=("dusk",), best_per_image=True), run_dir)
    left = {path.name for path in (tmp_path / "out").rglob("validation-*")}
    assert left == {f"validation-00000-of-00001{end}" for end in (".jsonl.gz", ".parquet")}
    assert not list((tmp_path / "out").rglob("train-*"))
    (record,) = of_json(tmp_path / "out", "validation")
    assert check(record) == 10


def test_selection_and_networks_without_weights(tmp_path):
    lost = {**row(1), "psnr_8bit_db": np.nan, "weights": np.full(row(1)["parameters"], np.nan)}
    run_dir = make_run(tmp_path / "run", [row(0), lost, row(2)], done=False)
    answer = siren_export.run(ExportConfig(format="coin_collection", max_files=1), run_dir)
    assert answer.startswith("2 networks (1 train, 1 test) written to")
    assert "1 left out: diverged" in answer
    assert answer.endswith("The run is not finished; repeat the command for the rest.")
    make_run(run_dir, [{**lost, "trial_id": 3}])  # the run went on; the folder is the run's
    assert "2 left out" in siren_export.run(ExportConfig(format="coin_collection"), run_dir)


def test_foreign_folders_and_flags_are_refused(run_dir, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and no collection of this run; give another"):
        siren_export.run(ExportConfig(format="coin_collection", output=str(tmp_path)), run_dir)
    other = make_run(tmp_path / "other", [row(0)], facts={"w0": 1})
    out = str(tmp_path / "out")
    siren_export.run(ExportConfig(format="coin_collection", output=out), other)
    with pytest.raises(InputError, match="no collection of this run"):
        siren_export.run(ExportConfig(format="coin_collection", output=out), run_dir)
    with pytest.raises(InputError, match="not empty and no export of this run"):
        siren_export.run(ExportConfig(format="json", output=out), other)
    with pytest.raises(InputError, match="--rows_per_file belongs to --format=coin_collection"):
        ExportConfig(rows_per_file=3)


def test_export_that_fails_leaves_no_half_files(run_dir, tmp_path, monkeypatch):
    def full(records, schema):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(collection, "as_arrow", full)
    with pytest.raises(OSError, match="No space"):
        siren_export.run(
            ExportConfig(format="coin_collection", output=str(tmp_path / "o")), run_dir
        )
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["collection.json"]


# ---------------------------------------------------------------------------- import

SAME = (
    "image_id split image_height image_width layer_size num_layers w0_initial w0 learning_rate "
    "num_iters seed status parameters hp_bpp fp_bpp psnr_8bit_db"
).split()


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_what_was_exported_comes_back(exported, tmp_path, form):
    answer = import_collection.run(ImportConfig(input=str(exported / form)), tmp_path)
    assert answer == f"13 networks of 4 files imported to {tmp_path}."
    found = jaxfleet.open(tmp_path)
    assert found.manifest["network"] == NETWORK
    rows = found.to_pandas([*siren_grid.schema().names])
    for one in rows.to_dict("records"):
        expected = row(one["seed"])
        assert {name: one[name] for name in SAME} == {name: expected[name] for name in SAME}
        for name in ("weights", "psnr_history", "iteration_history"):
            np.testing.assert_array_equal(one[name], expected[name])
        assert one["best_psnr_db"] == expected["psnr_history"].max()
        assert one["quantised_bpp"] == expected["hp_bpp"] / 2
        assert 0 < one["entropy_bpp"] <= one["quantised_bpp"]
        assert np.isnan(one["ssim"])
    assert sorted(rows["seed"]) == list(range(NETWORKS))
    # and out again: the same rows
    siren_export.run(ExportConfig(format="coin_collection", output=str(tmp_path / "2")), tmp_path)
    for split in collection.SPLITS:
        assert sorted(check(one) for one in of_json(tmp_path / "2", split)) == seeds(split)


def lines(count, start=0):
    numbers = [{**row(i), "image_id": str(i)} for i in range(start, start + count)]
    return [collection.as_json(collection.to_published(one, whole_ids=True)) for one in numbers]


def test_numbers_stay_numbers_and_the_split_follows_from_the_picture(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "all.jsonl").write_text("\n".join(lines(9)))
    import_collection.run(ImportConfig(input=str(tmp_path / "in")), tmp_path / "run")
    rows = jaxfleet.open(tmp_path / "run").to_pandas()
    assert rows["split"].tolist() == [collection.split_of(str(i)) for i in range(9)]
    siren_export.run(ExportConfig(format="coin_collection"), tmp_path / "run")
    records = [one for s in collection.SPLITS for one in of_json(tmp_path / "run" / "export", s)]
    assert sorted(one["config"]["image_id"] for one in records) == list(range(9))


def test_damaged_lines_are_named_and_mended_ones_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "FLUSH_BYTES", 1)
    folder, run_dir = tmp_path / "in", tmp_path / "run"
    folder.mkdir()
    good = lines(8)
    bad = [
        *good[:2],
        good[2][:-9],
        *good[3:5],
        good[5].replace('"layer_size"', '"size"'),
        *good[6:],
    ]
    (folder / "a.jsonl").write_text("\n".join(bad))
    (folder / "b.jsonl").write_text("\n".join(lines(2, start=8)))
    config = ImportConfig(input=str(folder))
    with pytest.raises(InputError) as caught:
        import_collection.run(config, run_dir)
    message = str(caught.value)
    assert f"{folder}/a.jsonl, line 3: no JSON (" in message
    assert f"; {folder}/a.jsonl, line 6: no layer_size. The other 8 networks are in" in message
    assert "\n" not in message
    assert not (run_dir / "DONE").exists()
    bad[2], bad[5] = good[2], ""  # one mended, one given up
    (folder / "a.jsonl").write_text("\n".join(bad))
    read = []
    make_row = import_collection.make_row
    monkeypatch.setattr(
        import_collection, "make_row", lambda *args: read.append(args[2]) or make_row(*args)
    )
    answer = import_collection.run(config, run_dir)
    assert answer == f"9 networks of 2 files imported to {run_dir}."
    assert read == [2]  # all others were there already
    ids = jaxfleet.open(run_dir).trial_ids.tolist()
    assert ids == [0, 1, 2, 3, 4, 6, 7, 10_000_000, 10_000_001]
    assert (run_dir / "DONE").exists()


def test_other_files_and_flags_are_another_plan(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines(2)))
    config = ImportConfig(input=str(tmp_path / "in"))
    import_collection.run(config, tmp_path / "run")
    with pytest.raises(InputError, match="belongs to another plan .*w0 was 30.0 is 25.0"):
        import_collection.run(dataclasses.replace(config, w0=25.0), tmp_path / "run")
    (tmp_path / "in" / "b.jsonl").write_text("")
    with pytest.raises(InputError, match="belongs to another plan"):
        import_collection.run(config, tmp_path / "run")
    with pytest.raises(InputError, match="--input is missing"):
        import_collection.run(ImportConfig(), tmp_path / "run")


def test_rows_per_file_is_what_the_help_says():
    assert write_collection.ROWS_PER_FILE == 4096
