import errno
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import jaxfleet
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.results import store
from jaxfleet.shards import Shard
from tests.jaxfleet.rows import SCHEMA, flush, row

PLAN = {"layer_size": ("8", "16"), "w0": 30.0, "pictures": 2}


def opened(run_dir, plan=PLAN, **options):
    return store.Store(run_dir, plan, SCHEMA, network={"inputs": 2, "outputs": 3}, **options)


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


def part(run_dir, *trial_ids):
    """The part that holds these trials."""
    for path in (run_dir / "parts").iterdir():
        if pq.read_table(path)["trial_id"].to_pylist() == [*trial_ids]:
            return path
    raise LookupError(trial_ids)


def reopened(run_dir):
    results = opened(run_dir)
    results.close()
    return results


def files(run_dir):
    return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------- writing and reading


def test_pandas_reads_the_parts_in_one_line(run_dir):
    assert sorted(pd.read_parquet(run_dir / "parts")["trial_id"]) == [1, 2, 3, 4, 5]


def test_parts_are_named_by_their_checksum(run_dir):
    assert len(list((run_dir / "parts").iterdir())) == 3
    for path in (run_dir / "parts").iterdir():
        digest = subprocess.check_output(["sha256sum", path], text=True)
        assert path.name == f"part-{digest[:16]}.parquet"


# ---------------------------------------------------------------------------- taking up again


def test_run_is_taken_up_where_it_was(run_dir):
    results = opened(run_dir)
    assert (results.done, results.set_aside) == ({1, 2, 3, 4, 5}, [])
    flush(results, 6)
    results.close()
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
    assert results.set_aside == ([] if damage == "lose" else [path.name])
    assert results.done == {2, 3, 4, 5}
    assert (run_dir / "corrupt" / path.name).exists() == (damage != "lose")
    flush(results, 1)
    results.close()
    assert jaxfleet.open(run_dir).to_pandas()["trial_id"].tolist() == [1, 2, 3, 4, 5]


def test_what_is_no_part_is_moved_out_of_the_table(run_dir):
    whole = part(run_dir, 1)
    whole.with_name("part-0123456789abcdef.parquet").write_bytes(whole.read_bytes())
    whole.with_name("copy of part.parquet").write_bytes(whole.read_bytes())
    results = opened(run_dir)
    assert results.done == {1, 2, 3, 4, 5}
    assert results.set_aside == ["copy of part.parquet", "part-0123456789abcdef.parquet"]
    assert len(list((run_dir / "parts").iterdir())) == 3
    flush(results, 6)
    results.close()
    assert len(pd.read_parquet(run_dir / "parts")) == 6


def test_the_half_of_a_part_that_a_kill_leaves_is_removed(run_dir, monkeypatch):
    results = opened(run_dir)
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            flush(results, 6)
    results.close()
    hidden = [path for path in (run_dir / "parts").iterdir() if path.name.startswith(".")]
    assert [path.suffix for path in hidden] == [".tmp"]
    results = opened(run_dir)
    assert not hidden[0].exists()
    assert results.done == {1, 2, 3, 4, 5}
    results.close()


# ---------------------------------------------------------------------------- several writers


def test_shards_write_side_by_side(tmp_path):
    writers = [opened(tmp_path, shard=Shard(index, 3)) for index in range(3)]
    for index, results in enumerate(writers):
        flush(results, 10 + index)
        assert results.done == {10 + index}
        results.close()
    assert jaxfleet.open(tmp_path).trial_ids.tolist() == [10, 11, 12]
    again = opened(tmp_path, shard=Shard(1, 3))
    assert again.done == {11}  # the others have other trials
    again.close()


def test_another_cut_knows_what_all_shards_have_done(tmp_path):
    for index in range(3):
        results = opened(tmp_path, shard=Shard(index, 3))
        flush(results, 10 + index)
        results.close()
    for shard in (Shard(), Shard(1, 2)):
        results = opened(tmp_path, shard=shard)
        assert results.done == {10, 11, 12}
        results.close()


@pytest.mark.parametrize("damage", ["flip", "cut"])
@pytest.mark.parametrize(
    ("owner", "mend"), [(Shard(0, 2), "--shard=0 --num_shards=2"), (Shard(), "no --shard")]
)
def test_damaged_part_of_another_cut_is_refused_and_left_alone(tmp_path, owner, mend, damage):
    results = opened(tmp_path, shard=owner)
    flush(results, 1)
    results.close()
    path = part(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data if damage == "flip" else data[:-9])
    before = files(tmp_path / "parts")
    for shard in {Shard(), Shard(0, 3)} - {owner}:
        with pytest.raises(InputError) as caught:
            opened(tmp_path, shard=shard)
        assert str(caught.value) == (
            f"{path}: damaged. Repeat the command with {mend}, which fits its networks again, or "
            "remove the file to have them fitted by this one."
        )
        assert files(tmp_path / "parts") == before
    for shard in (owner, Shard(0, 3)):  # it is mended, and nothing stands in the way of others
        results = opened(tmp_path, shard=shard)
        assert results.set_aside == ([path.name] if shard == owner else [])
        assert results.done == set()
        results.close()


def test_shard_leaves_the_damaged_parts_of_its_neighbours_alone(tmp_path):
    results = opened(tmp_path, shard=Shard(0, 2))
    flush(results, 1)
    results.close()
    path = part(tmp_path, 1)
    path.write_bytes(b"damaged")
    for shard, aside in ((Shard(1, 2), []), (Shard(0, 2), [path.name])):
        results = opened(tmp_path, shard=shard)
        assert (results.done, results.set_aside) == (set(), aside)
        results.close()


def test_same_shard_twice_is_refused(tmp_path):
    first = opened(tmp_path, shard=Shard(0, 2))
    with pytest.raises(InputError, match="another process is writing to it"):
        opened(tmp_path, shard=Shard(0, 2))
    first.close()


def test_trial_that_was_written_twice_stands_once_in_the_table(run_dir):
    results = opened(run_dir, shard=Shard(0, 2))  # as where there are no locks
    results.add([row(3), row(4)])
    results.flush()
    results.close()
    table = jaxfleet.open(run_dir)
    assert len(table) == 5
    assert table.to_pandas()["trial_id"].tolist() == [1, 2, 3, 4, 5]


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
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    with pytest.raises(InputError, match="format 3, this version reads 2"):
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
        "give another --run_dir, or the flags in its flags.txt, to the version of this program "
        "that began it: git_commit in its manifest.json."
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
from jaxfleet.results import store
store.Store(pathlib.Path({str(run_dir)!r}), {{}}, pyarrow.schema([]), network={{}})
"""
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert re.search(
        r"InUseError: --run_dir=.*: another process is writing to it; wait", other.stderr
    )
    assert len(jaxfleet.open(run_dir)) == 5  # reading is for everyone
    results.close()
    reopened(run_dir)


# ---------------------------------------------------------------------------- full disk


def no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "rename"])
def test_full_disk_names_the_file_and_leaves_what_was_whole(run_dir, monkeypatch, call):
    results = opened(run_dir)
    before = files(run_dir)
    results.add([row(6)])
    with monkeypatch.context() as patch:
        if call == "rename":
            patch.setattr(storage.Path, "replace", no_space)
        else:
            patch.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            results.flush()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename.startswith(str(run_dir / "parts" / "part-"))
    assert files(run_dir) == before
    results.close()

    results = opened(run_dir)
    assert results.done == {1, 2, 3, 4, 5}
    flush(results, 6)
    results.close()
    assert sorted(pd.read_parquet(run_dir / "parts")["trial_id"]) == [1, 2, 3, 4, 5, 6]


def test_merge_leaves_one_part_of_a_shard_with_each_trial_once(run_dir):
    with_two = opened(run_dir)
    flush(with_two, 2, 6)  # 2 was there before, as after a kill in the middle of a merge
    other = opened(run_dir, shard=Shard(1, 2))
    flush(other, 8)
    flush(other, 7)
    (run_dir / "parts" / "mine.parquet").write_bytes(b"not ours")
    with_two.merge()
    with_two.merge()
    (run_dir / "parts" / "mine.parquet").unlink()  # was left alone
    assert part(run_dir, 8)
    assert part(run_dir, 7)
    merged = part(run_dir, 1, 2, 3, 4, 5, 6)
    assert store.is_whole(merged)
    assert len(list((run_dir / "parts").iterdir())) == 3
    for one in pq.read_table(merged).to_pylist():
        np.testing.assert_array_equal(one["weights"], row(one["trial_id"])["weights"])
    other.close()
    with_two.close()
    again = opened(run_dir)
    assert again.done >= {1, 2, 3, 4, 5, 6}
    again.close()
    assert len(jaxfleet.open(run_dir)) == 8


def test_merged_parts_are_not_too_large(run_dir, monkeypatch):
    monkeypatch.setattr(store, "MERGED_BYTES", 900)  # 47 weights are 188 bytes
    results = opened(run_dir)
    flush(results, 6)
    flush(results, 7)
    results.merge()
    results.close()
    sizes = [pq.read_metadata(path).num_rows for path in (run_dir / "parts").iterdir()]
    assert sum(sizes) == 7
    assert 1 < len(sizes) < 5


def test_rows_that_are_large_are_in_small_groups(run_dir, monkeypatch):
    monkeypatch.setattr(store, "GROUP_BYTES", 900)
    results = opened(run_dir)
    flush(results, *range(10, 30))
    results.close()
    found = pq.read_metadata(part(run_dir, *range(10, 30)))
    assert {found.row_group(i).num_rows for i in range(found.num_row_groups)} == {4}


def test_unfinished_file_of_another_shard_is_left_alone(tmp_path):
    one = opened(tmp_path / "run", shard=Shard(1, 3))
    flush(one, 1)
    halves = {
        suffix: one.parts / f".part{suffix}-0123456789abcdef.tmp"
        for suffix in ("", "-00000-of-00003", "-00001-of-00003")
    }
    for half in halves.values():
        half.write_bytes(b"half")
    opened(tmp_path / "run").close()  # the whole, beside the shards by mistake
    assert [half.exists() for half in halves.values()] == [False, True, True]
    opened(tmp_path / "run", shard=Shard(0, 3)).close()
    assert [half.exists() for half in halves.values()] == [False, False, True]
    one.close()
