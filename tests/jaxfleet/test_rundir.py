"""Run directories: locked before they are claimed, refused with reasons, cached by inputs."""

import errno
import json

import pandas as pd
import pytest

from jaxfleet import rundir, storage
from jaxfleet.errors import InputError, InUseError

PLAN = {"crop_px": 16, "classes": ("a", "b"), "source": "here"}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_claim_says_what_the_run_is_and_on_what_machine(tmp_path):
    with rundir.held(tmp_path / "run", "sr_parsing", PLAN, extra={"network": {}}) as manifest:
        pass
    assert rundir.read(tmp_path / "run") == manifest
    assert (manifest["format"], manifest["kind"], manifest["network"]) == (2, "sr_parsing", {})
    assert manifest["plan"] == {"crop_px": 16, "classes": ["a", "b"], "source": "here"}
    assert {"versions", "device", "git_commit", "plan_hash"} <= set(manifest)


def test_a_second_process_changes_nothing(tmp_path):
    with rundir.held(tmp_path, "sr_parsing", PLAN):
        before = files(tmp_path)
        with (
            pytest.raises(InUseError, match="another process is writing to it"),
            rundir.held(tmp_path, "sr_parsing", {**PLAN, "source": "there"}, free=["source"]),
        ):
            pass
        assert files(tmp_path) == before


def test_a_lock_of_a_directory_that_is_not_claimed_yet_refuses_too(tmp_path):
    with (
        storage.locked(tmp_path, ".lock", "--run_dir"),
        pytest.raises(InUseError),
        rundir.held(tmp_path, "sr_parsing"),
    ):
        pass
    assert not (tmp_path / "manifest.json").exists()


def test_processes_with_locks_of_their_own_share_a_directory(tmp_path):
    with rundir.held(tmp_path, "table", suffix="-0"), rundir.held(tmp_path, "table", suffix="-1"):
        assert rundir.read(tmp_path)["plan"] == {}


@pytest.mark.parametrize(
    ("kind", "plan", "message"),
    [
        ("sr_images", PLAN, r"holds a run of kind sr_parsing, not sr_images; give another folder"),
        ("sr_parsing", {**PLAN, "crop_px": 17}, r"another plan \(crop_px was 16 is 17\); give"),
        ("sr_parsing", {**PLAN, "seed": 1}, r"\(seed is new, 1\).* to the version of this program"),
    ],
)
def test_another_run_is_refused_and_nothing_touched(tmp_path, kind, plan, message):
    with rundir.held(tmp_path, "sr_parsing", PLAN):
        pass
    before = files(tmp_path)
    with pytest.raises(InputError, match=message), rundir.held(tmp_path, kind, plan):
        pass
    with pytest.raises(InputError, match=message):
        rundir.check(tmp_path, kind, plan)
    assert files(tmp_path) == before


def test_a_claim_is_withdrawn_where_nothing_came_of_it(tmp_path):
    (tmp_path / "flags.txt").write_text("--crop_px=16")

    def work():
        (tmp_path / "models" / "checkpoints").mkdir(parents=True)
        raise InputError("diverged")

    with pytest.raises(InputError, match="diverged"), rundir.held(tmp_path, "sr_parsing", PLAN):
        work()
    assert [path.name for path in tmp_path.iterdir()] == ["flags.txt"]
    with rundir.held(tmp_path, "sr_parsing", {**PLAN, "crop_px": 17}):
        pass
    assert rundir.read(tmp_path)["plan"]["crop_px"] == 17


@pytest.mark.parametrize(("began", "suffix"), [(True, ""), (False, "-0"), (False, "")])
def test_a_claim_stays_that_others_may_rely_on(tmp_path, began, suffix):
    if began:
        with rundir.held(tmp_path, "sr_parsing", PLAN):
            pass

    def work():
        if not (began or suffix):
            (tmp_path / "parts").mkdir()
            (tmp_path / "parts" / "one.parquet").write_bytes(b"rows")
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        rundir.held(tmp_path, "sr_parsing", PLAN, suffix=suffix),
    ):
        work()
    assert rundir.read(tmp_path)["plan"]["crop_px"] == 16


def test_free_facts_change_and_the_latest_are_kept(tmp_path):
    for source in ("here", "there"):
        with rundir.held(tmp_path, "sr_parsing", {**PLAN, "source": source}, free=["source"]):
            pass
    assert rundir.read(tmp_path)["plan"]["source"] == "there"


def test_a_folder_of_something_else_is_refused_and_nothing_left_in_it(tmp_path):
    (tmp_path / "thesis.tex").write_text("42")
    with (
        pytest.raises(InputError, match=r"not empty \(thesis.tex\) and no run"),
        rundir.held(tmp_path, "sr_parsing"),
    ):
        pass
    with pytest.raises(InputError, match=r"not empty \(thesis.tex\) and no run"):
        rundir.check(tmp_path, "sr_parsing")
    with pytest.raises(InputError, match=r"--run_dir=.*thesis.tex.run: Not a directory; give"):
        rundir.check(tmp_path / "thesis.tex" / "run", "sr_parsing")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_dry_run_may_look_at_its_own_run_and_makes_none(tmp_path):
    rundir.check(tmp_path / "a" / "run", "sr_parsing", PLAN)
    assert list(tmp_path.iterdir()) == []
    with rundir.held(tmp_path / "run", "sr_parsing", PLAN):
        rundir.check(tmp_path / "run", "sr_parsing", {**PLAN, "source": "there"}, free=["source"])
        rundir.check(tmp_path / "run", "sr_parsing")  # no plan, no comparison


def test_a_manifest_of_before_there_were_kinds_is_of_a_table(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 2, "plan": {}}))
    assert rundir.read(tmp_path)["kind"] == rundir.TABLE


def test_runs_of_another_kind_are_named_by_the_flag_that_names_them(tmp_path):
    with pytest.raises(InputError, match="--attribution=.* holds no run of launch/sr_attribution"):
        rundir.read_of(tmp_path, "sr_attribution", "--attribution")
    with rundir.held(tmp_path, "sr_parsing"):
        pass
    with pytest.raises(InputError, match="a run of kind sr_parsing; give one of launch/sr_attrib"):
        rundir.read_of(tmp_path, "sr_attribution", "--attribution")


def test_rows_are_those_of_their_inputs_alone(tmp_path):
    path, rows = tmp_path / "parts" / "one.parquet", pd.DataFrame({"a": [1, 2]})
    inputs = rundir.digest("kernel", 224, ["x"])
    parts = rundir.Parts([(path, inputs)])
    assert parts.missing == [0]
    parts.write(0, rows)
    again = rundir.Parts([(path, inputs)])
    assert len(again) == 1
    assert again.missing == []
    for one in (parts, again):
        pd.testing.assert_frame_equal(one.rows(), rows.assign(made_from=inputs))
    assert rundir.Parts([(path, rundir.digest("kernel", 225, ["x"]))]).missing == [0]
    path.write_bytes(b"damaged")
    assert rundir.Parts([(path, inputs)]).missing == [0]


@pytest.mark.parametrize("write", [rundir.write_csv, rundir.write_table])
def test_a_table_is_the_old_one_or_the_new(tmp_path, write, monkeypatch):
    rows = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    path = tmp_path / "table"
    write(path, rows)
    before = path.read_bytes()
    if write is rundir.write_csv:
        assert before == b"a,b\n1,x\n2,y\n"

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_sync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, rows.assign(a=3))
    assert [one.name for one in tmp_path.iterdir()] == ["table"]
    assert path.read_bytes() == before


def test_a_run_is_finished_until_something_changes(tmp_path):
    assert not rundir.is_finished(tmp_path)
    rundir.finish(tmp_path)
    assert rundir.is_finished(tmp_path)
    rundir.unfinish(tmp_path)
    rundir.unfinish(tmp_path)
    assert not rundir.is_finished(tmp_path)


def test_checksums_are_the_first_digits_of_sha256():
    assert rundir.checksum(b"abc") == "ba7816bf8f01cfea"  # of FIPS 180-2, appendix B.1
