import errno
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxfleet
from jaxfleet import store
from jaxfleet.errors import InputError

PLAN = {"layer_size": ("8", "16"), "w0": 30.0, "pictures": 2}
SCHEMA = pa.schema(
    [
        ("trial_id", pa.int64()),
        ("psnr_db", pa.float64()),
        ("layer_size", pa.int64()),
        ("num_layers", pa.int64()),
        ("weights", pa.list_(pa.float32())),
    ]
)


def opened(run_dir, plan=PLAN):
    return store.Store(run_dir, plan, SCHEMA, network={"inputs": 2, "outputs": 3})


def row(trial_id):
    """Of a network with 2 layers of 4 units, whose weights count up from its trial_id."""
    count = 4 * 3 + 4 * 5 + 3 * 5
    return {
        "trial_id": trial_id,
        "psnr_db": 20.0 + trial_id,
        "layer_size": 4,
        "num_layers": 2,
        "weights": trial_id + np.arange(count, dtype=np.float32),
    }


def flush(results, *trial_ids):
    results.add([row(trial_id) for trial_id in trial_ids])
    results.flush()


@pytest.fixture
def run_dir(tmp_path):
    """A run of three parts, with trials 5 and 3; 1; 4 and 2."""
    results = opened(tmp_path / "run")
    flush(results, 5, 3)
    flush(results, 1)
    flush(results, 4, 2)
    results.flush()  # nothing to write
    results.close()
    return tmp_path / "run"


def part(run_dir, number):
    return run_dir / "parts" / f"part-{number:05}.parquet"


def reopened(run_dir):
    results = opened(run_dir)
    results.close()
    return results


def files(run_dir):
    return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------- writing and reading


def test_pandas_reads_the_parts_in_one_line(run_dir):
    assert sorted(pd.read_parquet(run_dir / "parts")["trial_id"]) == [1, 2, 3, 4, 5]


def test_checksums_in_the_manifest_are_those_of_the_parts(run_dir):
    parts = json.loads((run_dir / "manifest.json").read_text())["parts"]
    assert {path.name for path in (run_dir / "parts").iterdir()} == set(parts)
    for name, entry in parts.items():
        data = (run_dir / "parts" / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)
    assert [entry["rows"] for entry in parts.values()] == [2, 1, 2]


def test_table(run_dir):
    table = jaxfleet.open(run_dir)
    assert len(table) == 5
    assert table.to_pandas()["trial_id"].tolist() == [1, 2, 3, 4, 5]
    assert list(table.to_pandas().columns) == SCHEMA.names
    good = table.to_pandas(["psnr_db"], filters=[("psnr_db", ">", 22.5)])
    assert good.to_dict("list") == {"psnr_db": [23.0, 24.0, 25.0]}


def test_weights_of_a_row_or_a_trial_id(run_dir):
    table = jaxfleet.open(str(run_dir))
    for _, line in table.to_pandas().iterrows():
        layers = table.weights(line)
        shapes = [(layer["weight"].shape, layer["bias"].shape) for layer in layers]
        assert shapes == [((4, 2), (4,)), ((4, 4), (4,)), ((3, 4), (3,))]
        np.testing.assert_array_equal(store.flatten(layers), row(line["trial_id"])["weights"])
        for trial_id in (int(line["trial_id"]), np.int64(line["trial_id"])):
            again = store.flatten(table.weights(trial_id))
            np.testing.assert_array_equal(again, row(line["trial_id"])["weights"])
    with pytest.raises(InputError, match="no row with trial_id 9"):
        table.weights(9)


@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_table_names_the_part_that_cannot_be_read(run_dir, harm):
    path = part(run_dir, 1)
    path.unlink() if harm == "deleted" else path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"part-00001\.parquet: damaged or missing; repeat the"):
        jaxfleet.open(run_dir).to_pandas()
    reopened(run_dir)
    with pytest.raises(pa.ArrowInvalid, match="No match"):  # a mistake of the caller is no damage
        jaxfleet.open(run_dir).to_pandas(filters=[("psnr", ">", 3)])


def test_open_refuses_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match="holds no manifest.json; give the directory of a run"):
        jaxfleet.open(tmp_path)


def test_run_without_rows(tmp_path):
    results = opened(tmp_path)
    assert len(jaxfleet.open(tmp_path)) == 0
    with pytest.raises(InputError, match="no finished networks yet"):
        jaxfleet.open(tmp_path).to_pandas()
    results.close()


@given(st.lists(st.integers(1, 7), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_flat_weights_come_back(sizes, seed):
    shapes = list(zip(sizes, sizes[1:], strict=False))
    flat = np.random.default_rng(seed).normal(size=sum(o * (i + 1) for i, o in shapes))
    layers = store.unflatten(flat.astype(np.float32), sizes)
    assert [layer["weight"].shape for layer in layers] == [(o, i) for i, o in shapes]
    np.testing.assert_array_equal(store.flatten(layers), flat.astype(np.float32))


def test_flat_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match=r"\[2, 4, 3\] need 27 weights; got \(26,\)"):
        store.unflatten(np.zeros(26, np.float32), [2, 4, 3])


# ---------------------------------------------------------------------------- taking up again


def test_run_is_taken_up_where_it_was(run_dir):
    results = opened(run_dir)
    assert (results.done, results.set_aside) == ({1, 2, 3, 4, 5}, [])
    results.note(wall_seconds=2.5)
    flush(results, 6)
    results.close()
    assert reopened(run_dir).manifest["wall_seconds"] == 2.5
    assert len(jaxfleet.open(run_dir)) == 6


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_damaged_part_is_set_aside_and_its_trials_are_to_be_redone(run_dir, damage):
    path = part(run_dir, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data if damage == "flip" else data[:-9])
    if damage == "lose":
        path.unlink()
    results = opened(run_dir)
    assert results.set_aside == ["part-00001.parquet"]
    assert results.done == {2, 3, 4, 5}
    assert (run_dir / "corrupt" / path.name).exists() == (damage != "lose")
    flush(results, 1)
    results.close()
    assert jaxfleet.open(run_dir).to_pandas()["trial_id"].tolist() == [1, 2, 3, 4, 5]


def test_part_that_the_manifest_does_not_know_is_moved_out_of_the_table(run_dir):
    part(run_dir, 3).write_bytes(part(run_dir, 0).read_bytes())  # killed between the two writes
    (run_dir / "parts" / ".part-00004.parquet.1.tmp").write_bytes(b"half")
    results = opened(run_dir)
    assert (results.done, results.set_aside) == ({1, 2, 3, 4, 5}, [])
    assert len(list((run_dir / "parts").iterdir())) == 3
    flush(results, 6)
    results.close()
    assert len(pd.read_parquet(run_dir / "parts")) == 6


@pytest.mark.parametrize("text", ["", '{"format": 1, "plan', "[]", "{}"])
def test_damaged_manifest_is_refused_and_nothing_touched(run_dir, text):
    (run_dir / "manifest.json").write_text(text)
    before = files(run_dir)
    for attempt in (opened, jaxfleet.open):
        with pytest.raises(InputError, match=r"manifest.json: damaged, or not of a run; put it"):
            attempt(run_dir)
    assert files(run_dir) == before


def test_manifest_of_a_later_format_is_refused(run_dir):
    path = run_dir / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(InputError, match="format 2, this version reads 1"):
        opened(run_dir)


def test_other_plan_is_refused_with_names_and_both_values(run_dir):
    before = files(run_dir)
    plan = {"layer_size": ("8",), "pictures": 2, "w0": 10.0}
    with pytest.raises(InputError) as caught:
        opened(run_dir, plan)
    assert str(caught.value) == (
        f"--run_dir={run_dir} belongs to another plan (layer_size was ["
        '"8", "16"] is ["8"], w0 was 30.0 is 10.0); give another --run_dir, '
        "or the flags in its flags.txt."
    )
    assert files(run_dir) == before
    reopened(run_dir)  # the refused one has let go of the directory


def test_plan_of_another_version_is_refused_with_what_is_new_and_gone(run_dir):
    plan = {"layer_size": ("8", "16"), "pictures": 2, "seed": 1}
    with pytest.raises(InputError) as caught:
        opened(run_dir, plan)
    assert str(caught.value) == (
        f"--run_dir={run_dir} belongs to another plan (w0 is gone, was 30.0, seed is new, 1); "
        "another version of this program began it, see git_commit in its manifest.json. Finish it "
        "with that one, or give another --run_dir."
    )


def test_difference_of_long_values_stays_readable(tmp_path):
    opened(tmp_path, {"seed": list(range(1000))}).close()
    with pytest.raises(InputError, match=r"seed was \[0, 1.*\.\.\. is 0\)") as caught:
        opened(tmp_path, {"seed": 0})
    assert len(str(caught.value)) < 300


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("42")
    with pytest.raises(InputError, match=r"not empty \(thesis.tex\) and no run; give another"):
        opened(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_folder_with_only_flags_is_taken(tmp_path):
    (tmp_path / "flags.txt").touch()
    (tmp_path / ".DS_Store").touch()
    opened(tmp_path).close()


def test_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--run_dir=.*/file/run: Not a directory; give another"):
        opened(tmp_path / "file" / "run")


def test_second_writer_is_refused(run_dir):
    results = opened(run_dir)
    code = f"""
import pathlib, pyarrow
from jaxfleet import store
store.Store(pathlib.Path({str(run_dir)!r}), {{}}, pyarrow.schema([]), network={{}})
"""
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert re.search(
        r"InputError: --run_dir=.*: another process is writing to it; wait", other.stderr
    )
    assert len(jaxfleet.open(run_dir)) == 5  # reading is for everyone
    results.close()
    reopened(run_dir)


# ---------------------------------------------------------------------------- full disk


def no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "rename", "manifest"])
def test_full_disk_names_the_file_and_leaves_what_was_whole(run_dir, monkeypatch, call):
    results = opened(run_dir)
    before = files(run_dir)
    results.add([row(6)])
    synced = []

    def second_sync_fails(handle):
        synced.append(handle)
        if len(synced) > 2:  # the part, its folder, then the manifest
            no_space()

    with monkeypatch.context() as patch:
        if call == "rename":
            patch.setattr(store.Path, "replace", no_space)
        else:
            patch.setattr(os, "fsync", no_space if call == "write" else second_sync_fails)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            results.flush()
    wanted = run_dir / "manifest.json" if call == "manifest" else part(run_dir, 3)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(wanted))
    after = files(run_dir)
    assert {path: after[path] for path in before} == before
    assert not [path for path in after if path.name.endswith(".tmp")]
    results.close()

    results = opened(run_dir)
    assert results.done == {1, 2, 3, 4, 5}
    flush(results, 6)
    results.close()
    assert sorted(pd.read_parquet(run_dir / "parts")["trial_id"]) == [1, 2, 3, 4, 5, 6]


def test_os_error_without_a_name_gets_one(tmp_path):
    for error, name in (
        (OSError(errno.ENOSPC, "full"), str(tmp_path)),
        (OSError(errno.ENOSPC, "full", "a.log"), "a.log"),
        (OSError("the link broke"), None),
    ):
        with pytest.raises(OSError, match="full|link") as caught, store.naming(tmp_path):
            raise error
        assert caught.value.filename == name
