"""Shards of one run: real processes, killed, repeated and started twice. The table stays whole."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time

import pandas as pd
import pytest

import jaxfleet

pytestmark = pytest.mark.slow  # each of the many processes takes seconds to start

ONE = "-00001-of-00003"  # the shard that meets with accidents
ROOM_BYTES = 4096  # for a line of progress, but for no part


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "run"


def done_line(index, count, own, done, fits):
    return (
        f"Shard {index} of {count}: its {own} fits are done, {done} of {fits} in all. The last "
        "shard to end writes the report.\n"
    )


@pytest.fixture(scope="module")
def two_of_three(grid_of, whole, tmp_path_factory):
    """A run whose shards 0 and 2 of 3 have ended."""
    grid, path = grid_of(whole), tmp_path_factory.mktemp("others") / "run"
    ended = [grid.call(path, *grid.shard(index, 3)) for index in (0, 2)]
    assert [one.code for one in ended] == [0, 0], ended
    return path


@pytest.fixture
def others(grid, run_dir, two_of_three):
    """Has shards 0 and 2 of 3 ended, as if here; gives the number of their fits."""
    shutil.copytree(two_of_three, run_dir, dirs_exist_ok=True)
    count = len(jaxfleet.open(run_dir))
    assert 0 < count < grid.fits
    return count


def assert_complete(grid, run_dir, ended):
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith(f"{grid.fits} fits, mean best PSNR ")
    assert (run_dir / "DONE").exists()
    assert (run_dir / "report.html").exists()
    assert not list(run_dir.glob("checkpoints*"))
    grid.equals_whole(run_dir)


def each_once(run_dir):
    """Whether the parts, read as they are, hold no trial twice."""
    return pd.read_parquet(run_dir / "parts", columns=["trial_id"])["trial_id"].is_unique


def test_shards_one_after_the_other_are_the_whole_run(grid, run_dir):
    first = grid.call(run_dir, *grid.shard(0, 3))
    assert first.code == 0, first.stderr
    own = len(jaxfleet.open(run_dir))
    assert first.stdout == done_line(0, 3, own, own, grid.fits)
    assert not (run_dir / "report.html").exists()
    # The second as a task of a job array, which counts from where it likes.
    array = {"ID": "8", "MIN": "7", "COUNT": "3"}
    environ = {f"SLURM_ARRAY_TASK_{name}": value for name, value in array.items()}
    second = grid.call(run_dir, **environ)
    assert second.code == 0, second.stderr
    done = len(jaxfleet.open(run_dir))
    assert second.stdout == done_line(1, 3, done - own, done, grid.fits)
    assert not (run_dir / "DONE").exists()
    assert_complete(grid, run_dir, grid.call(run_dir, *grid.shard(2, 3)))
    assert each_once(run_dir)
    # Repeated, a shard has nothing to do and finds everything there.
    before = sorted((run_dir / "parts").iterdir())
    assert grid.call(run_dir, *grid.shard(1, 3)).stdout.startswith(f"{grid.fits} fits, ")
    assert sorted((run_dir / "parts").iterdir()) == before
    # And so does a whole run, and a run in another number of shards.
    assert grid.call(run_dir).stdout.startswith(f"{grid.fits} fits, ")
    assert sorted((run_dir / "parts").iterdir()) == before


def test_shards_at_once_are_the_whole_run(grid, run_dir):
    ended = [
        grid.end(process)
        for process in [grid.start(run_dir, *grid.shard(index, 3)) for index in range(3)]
    ]
    assert [one.code for one in ended] == [0, 0, 0], ended
    assert any(one.stdout.startswith(f"{grid.fits} fits, ") for one in ended)
    assert (run_dir / "DONE").exists()
    assert each_once(run_dir)
    grid.equals_whole(run_dir)


@pytest.mark.parametrize(
    ("number", "code", "last"),
    [
        (signal.SIGKILL, -9, None),
        (signal.SIGTERM, 143, "siren_grid: terminated; repeat the command to go on."),
        (signal.SIGINT, 130, "siren_grid: interrupted; repeat the command to go on."),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGINT"],
)
def test_shard_that_is_stopped_goes_on(grid, run_dir, others, number, code, last):
    # With no checkpoint for ten minutes, so that the one that is left is the signal's.
    rarely = [] if number == signal.SIGKILL else ["--checkpoint_minutes=10"]
    process = grid.start(run_dir, *grid.shard(1, 3), *rarely)
    log = run_dir / f"progress{ONE}.jsonl"
    if rarely:
        grid.wait_until(lambda: log.exists() and log.read_text().count("\n") > 1, process)
    else:
        grid.wait_until_in_training(run_dir, process, ONE)
    start = time.monotonic()
    process.send_signal(number)
    ended = grid.end(process)
    assert time.monotonic() - start < 120
    assert ended.code == code, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    if last:
        assert ended.stderr.splitlines()[-1] == last
    assert len(list((run_dir / f"checkpoints{ONE}").glob("bucket-*/*"))) > 0
    assert not (run_dir / "DONE").exists()
    assert len(jaxfleet.open(run_dir)) < grid.fits

    again = grid.call(run_dir, *grid.shard(1, 3))
    assert re.search(r"bucket-00\d: \d+ fits taken up again", again.stderr)
    assert "begin again" not in again.stderr
    assert_complete(grid, run_dir, again)
    assert each_once(run_dir)
    if rarely:  # nothing was trained twice
        table = jaxfleet.open(run_dir).to_pandas(["trial_id", "num_iters"])
        own = pd.read_parquet(list((run_dir / "parts").glob(f"part{ONE}-*")), columns=["trial_id"])[
            "trial_id"
        ]
        steps = table.set_index("trial_id")["num_iters"][own].sum() * 12 * 12
        rows = pd.read_json(log, lines=True)
        last_of_each = rows["pixel_steps"][rows["pixel_steps"].diff().shift(-1).fillna(-1) < 0]
        assert len(last_of_each) == 2
        assert last_of_each.sum() == steps


def test_same_shard_twice_at_once_is_refused(grid, run_dir):
    first = grid.start(run_dir, *grid.shard(1, 3))
    grid.wait_until((run_dir / "parts").exists, first)
    second = grid.call(run_dir, *grid.shard(1, 3))
    assert (second.code, second.stdout) == (2, "")
    assert second.stderr == (
        f"siren_grid: --run_dir={run_dir}: another process is writing to it; wait, or give "
        "another folder.\n"
    )
    ended = grid.end(first)
    assert ended.code == 0, ended.stderr
    assert each_once(run_dir)


def test_whole_run_and_shards_of_two_cuts_at_once_by_mistake(grid, run_dir):
    cuts = [(), grid.shard(1, 3), grid.shard(0, 2)]
    started = [grid.start(run_dir, *cut) for cut in cuts]
    ended = [grid.end(process) for process in started]
    assert [one.code for one in ended] == [0, 0, 0], ended
    assert (run_dir / "DONE").exists()
    grid.equals_whole(run_dir)


def test_another_number_of_shards_takes_up_what_is_done(grid, run_dir, others):
    before = {path.name for path in (run_dir / "parts").iterdir()}
    ended = [grid.call(run_dir, *grid.shard(index, 2)) for index in range(2)]
    assert ended[0].code == 0, ended[0].stderr
    assert_complete(grid, run_dir, ended[1])
    assert before < {path.name for path in (run_dir / "parts").iterdir()}
    assert each_once(run_dir)  # nothing was fitted again


class Limited:
    """No room for a part: the process may write no more than a few kilobytes to a file."""

    reason = "File too large"

    def fill(self, process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))

    def empty(self):
        """Another process has no limit."""


class Mounted:
    """No room for a part: the run directory is a disk of its own, and full."""

    reason = "No space left on device"

    def __init__(self, folder):
        self.folder, self.ballast = folder, folder / ".ballast"

    def fill(self, process):
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.folder).free - ROOM_BYTES)

    def empty(self):
        self.ballast.unlink()


@pytest.fixture(params=["limited", "mounted"])
def disk(request, run_dir):
    """A disk to be filled up; skips where no file system may be mounted."""
    if request.param == "limited":
        yield Limited()
        return
    run_dir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(run_dir)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {getattr(error, 'stderr', error)}")
    yield Mounted(run_dir)
    subprocess.run(["umount", "--lazy", str(run_dir)], check=True)


def test_shard_whose_disk_fills_up_loses_nothing_and_goes_on(grid, disk, run_dir, others):
    process = grid.start(run_dir, *grid.shard(1, 3), "--checkpoint_minutes=10")
    log = run_dir / f"progress{ONE}.jsonl"
    grid.wait_until(lambda: log.exists() and log.read_text(), process)
    disk.fill(process)
    ended = grid.end(process)
    assert (ended.code, ended.stdout) == (3, "")
    assert "Traceback" not in ended.stderr
    assert re.fullmatch(
        rf"siren_grid: {run_dir}/parts/part{ONE}-\w+\.parquet: {disk.reason}. Put that right, then "
        "repeat the command to go on.",
        ended.stderr.splitlines()[-1],
    )
    assert not (run_dir / "DONE").exists()
    assert others <= len(jaxfleet.open(run_dir)) < grid.fits
    disk.empty()
    before = {path: path.read_bytes() for path in (run_dir / "parts").iterdir()}

    again = grid.call(run_dir, *grid.shard(1, 3))
    assert_complete(grid, run_dir, again)
    assert {path: path.read_bytes() for path in before} == before
    assert each_once(run_dir)


def test_part_that_was_damaged_is_mended_by_its_own_shard(grid, run_dir, others):
    grid.call(run_dir, *grid.shard(1, 3))
    bad = min((run_dir / "parts").glob(f"part{ONE}-*"))
    bad.write_bytes(bad.read_bytes()[:-100])
    ended = grid.call(run_dir, *grid.shard(0, 3))
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].startswith(f"siren_grid: {bad}: damaged or missing; ")
    assert bad.exists()
    ended = grid.call(run_dir, *grid.shard(1, 3))
    assert f"{bad.name} was damaged or missing; its fits are made again." in ended.stderr
    assert (run_dir / "corrupt" / bad.name).exists()
    assert_complete(grid, run_dir, ended)


@pytest.mark.usefixtures("others")
def test_whole_run_refuses_a_damaged_part_of_a_shard_before_it_fits_anything(grid, run_dir):
    bad = min((run_dir / "parts").glob("part-00002-of-00003-*"))
    bad.write_bytes(bad.read_bytes()[:-100])
    before = sorted(run_dir.rglob("[!.]*"))
    ended = grid.call(run_dir)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"siren_grid: {bad}: damaged. Repeat the command with --shard=2 --num_shards=3, which fits "
        "its networks again, or remove the file to have them fitted by this one.\n"
    )
    assert sorted(run_dir.rglob("[!.]*")) == before
    bad.unlink()
    assert_complete(grid, run_dir, grid.call(run_dir))


def test_checkpoints_of_an_abandoned_cut_go_when_the_run_is_complete(grid, run_dir):
    process = grid.start(run_dir, *grid.shard(1, 3))
    grid.wait_until_in_training(run_dir, process, ONE)
    process.send_signal(signal.SIGKILL)
    grid.end(process)
    stale = run_dir / f"checkpoints{ONE}"
    assert grid.call(run_dir, *grid.shard(0, 2)).code == 0
    assert stale.exists()  # the shard may yet be repeated
    assert_complete(grid, run_dir, grid.call(run_dir, *grid.shard(1, 2)))
    assert not stale.exists()
