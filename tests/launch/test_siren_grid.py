"""What the script says to bad input, and that it harms nothing."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.siren import grid as siren_grid
from jaxfleet import executors
from launch import flagdefs
from launch import siren_grid as siren_grid_script

LAUNCH = Path(flagdefs.__file__).parent
SMALL = ["--image_size=12", "--layer_size=4", "--num_layers=1", "--num_iters=5", "--num_iters=200"]


@pytest.fixture
def script(script_of):
    return script_of(siren_grid_script, siren_grid.run)


@pytest.fixture
def pictures(tmp_path):
    """Folders of pictures good, small, cut and empty; a file and a folder that are not ours."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for name, side in (("good", 40), ("small", 10), ("cut", 40), ("empty", 0), ("notes", 0)):
        (tmp_path / name).mkdir()
        if side:
            Image.fromarray(noise[:side, :side]).save(tmp_path / name / "a.png")
    data = (tmp_path / "cut" / "a.png").read_bytes()
    (tmp_path / "cut" / "a.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "notes" / "thesis.tex").write_text("mine")
    (tmp_path / "bad.flags").write_text("# A question\n--num_iters=5\nlayer_size=8\n")


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


BAD = [
    (["--photos=holidays"], 2, "Unknown source 'holidays'. Use one of: packaged["),
    (["--photos=tfds:kodac"], 2, "Unknown TFDS dataset 'kodac'. Did you mean kodak"),
    (["--photos=folder:nowhere"], 2, "no folder 'nowhere' to read"),
    (["--photos=folder:empty"], 2, "'empty' holds no .png, .jpg, .jpeg, .webp, .bmp"),
    (["--photos=folder:cut"], 2, "'cut/a.png' cannot be read"),
    (["--photos=folder:small"], 2, "'small/a.png' is 10 x 10 pixels, smaller than image_size 12"),
    (["--photos=folder:good,folder:empty"], 2, "'empty' holds no .png"),
    (
        ["--photos=folder:good,folder:small"],
        2,
        "'folder:good' and 'folder:small' both have a photograph 'a'. Rename it in one of them",
    ),
    (["--image_size=-1"], 2, "--image_size=-1: expected a number from 0 to 65536"),
    (["--weight_bits=1"], 2, "--weight_bits=1: expected an integer from 2 to 16"),
    (["--weight_bits=17"], 2, "--weight_bits=17: expected an integer from 2 to 16"),
    (["--log_every=0"], 2, "--log_every=0: expected an integer of at least 1"),
    (["--layer_size=0"], 2, "--layer_size=0: expected a number from 1 to 8192"),
    (["--layer_size=wide"], 2, "--layer_size=wide: expected a whole number"),
    (["--learning_rate=nan"], 2, "--learning_rate=nan: expected a number from"),
    (["--seed=3000000000"], 2, "--seed=3000000000: expected a number from 0 to 2147483647"),
    (["--w0=log:1:9"], 2, "--w0 is a range; give plain values, or add --sampling=random"),
    (["--sampling=random"], 2, "--sampling=random and --num_trials=N belong together"),
    (["--max_bits_per_pixel=0.01"], 2, "--max_bits_per_pixel leaves no network; raise it"),
    (["--coordinates=polar"], 2, "expected one of coin, symmetric, centers"),
    (["--layers=3"], 2, "layers"),
    (["again"], 2, "'again' is not a flag: write --name=value"),
    (["--flagfile=bad.flags"], 2, "'layer_size=8' is not a flag"),
    (["--flagfile=none.flags"], 2, "--flagfile=none.flags: No such file"),
    (["--run_dir=notes"], 2, "--run_dir=notes: not empty (thesis.tex) and no run; give another"),
    (["--run_dir=notes.txt"], 2, "--run_dir=notes.txt: File exists; give another folder"),
    (["--run_dir=notes.txt/run"], 2, "--run_dir=notes.txt/run: Not a directory; give another"),
    (["--run_dir=/proc/run"], 2, "--run_dir=/proc/run: No such file or directory; give"),
]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(("args", "code", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_gets_one_line_and_a_code(script, tmp_path, args, code, message):
    before = files(tmp_path)
    got, stdout, stderr = script("--photos=folder:good", *SMALL, *args)
    assert message in stderr
    assert (got, stdout, stderr.count("\n")) == (code, "", 1)
    assert stderr.startswith("siren_grid: ")
    after = files(tmp_path)
    assert {path.name for path in after.keys() - before.keys()} <= {"flags.txt"}
    assert {path: after[path] for path in before} == before
    assert not (tmp_path / "notes" / "flags.txt").exists()


@pytest.mark.usefixtures("pictures")
def test_full_disk_ends_the_run_and_room_completes_it(script, tmp_path, monkeypatch):
    command = ["--photos=folder:good", *SMALL, "--kernel=xla", "--run_dir=run"]
    parts = tmp_path / "run" / "parts"
    sync, left = os.fsync, iter(range(4))  # a file and its folder: manifest, part 0

    def until_full(handle):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(executors, "FLUSH_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", until_full)
        code, _, stderr = script(*command)
    assert code == 3
    assert re.fullmatch(
        r"siren_grid: run/parts/part-\w+\.parquet: No space left on device. Put that right, then "
        r"repeat the command to go on.",
        stderr.splitlines()[-1],
    )
    assert "Traceback" not in stderr
    first = files(parts)
    assert len(first) == 1
    assert pd.read_parquet(parts)["num_iters"].tolist() == [5]

    code, answer, _ = script(*command)
    assert code == 0
    assert answer.startswith("2 fits, ")
    assert files(parts).items() >= first.items()
    assert sorted(pd.read_parquet(parts)["num_iters"]) == [5, 200]

    # Flags that belong to another plan are refused, and the finished run stays as it is.
    before = files(tmp_path)
    code, _, stderr = script(*command, "--w0=15")
    assert code == 2
    assert 'w0 was "30" is "15"); give another --run_dir' in stderr
    assert files(tmp_path) == before
    assert script("--flagfile=run/flags.txt", "--run_dir=run")[:2] == (0, answer)


@pytest.mark.usefixtures("pictures")
def test_photographs_of_several_sources_are_one_run(script, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "good" / "a.png").rename(tmp_path / "more" / "b.png")
    Image.open(tmp_path / "more" / "b.png").rotate(90).save(tmp_path / "good" / "a.png")
    command = ["--image_size=12", "--layer_size=4", "--num_layers=1", "--num_iters=5"]
    both = "--photos=folder:good,folder:more"
    for run_dir, photos in (("one", "--photos=folder:more"), ("both", both)):
        assert script(*command, photos, f"--run_dir={run_dir}")[0] == 0
    assert f"{both}\n" in (tmp_path / "both" / "flags.txt").read_text()
    one, two = (
        pd.read_parquet(tmp_path / name / "parts").set_index("image_id").sort_index()
        for name in ("one", "both")
    )
    assert two.index.tolist() == ["a", "b"]
    assert two.loc["b", "split"] == one.loc["b", "split"]
    best_db = pytest.approx(one.loc["b", "best_psnr_db"], abs=1e-4)  # in a group of another size
    assert two.loc["b", "best_psnr_db"] == best_db
    # Taken up again there is nothing to do; in another order it is another plan.
    assert script("--flagfile=both/flags.txt", "--run_dir=both")[0] == 0
    code, _, stderr = script(*command, "--photos=folder:more,folder:good", "--run_dir=both")
    assert code == 2
    assert "picture_digest was" in stderr


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("flags", [[], ["--executor=ray", "--num_shards=3"]])
def test_dry_run_prints_the_plan_and_leaves_nothing(script, tmp_path, flags):
    before = files(tmp_path)
    code, stdout, stderr = script("--photos=folder:good", *SMALL, "--dry_run", *flags)
    assert (code, stderr) == (0, "")
    assert "2 networks in 1 bucket on" in stdout
    assert files(tmp_path) == before


def run(*args, cwd):
    return subprocess.run(
        [sys.executable, str(LAUNCH / "siren_grid.py"), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_as_a_script(tmp_path):
    done = run("--photos=folder:nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("siren_grid: There is no folder 'nowhere'")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_quickstart_end_to_end(tmp_path):
    flagfile = LAUNCH / "flagfiles" / "siren_grid" / "quickstart.flags"
    done = run(f"--flagfile={flagfile}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run_dir = tmp_path / "runs" / "quickstart"
    frame = pd.read_parquet(run_dir / "parts")
    assert len(frame) >= 96
    assert frame["trial_id"].is_unique
    assert frame["image_id"].nunique() >= 4
    for axis in ("layer_size", "num_layers", "w0_initial", "seed"):
        assert frame[axis].nunique() > 1
    assert (frame["status"] == "done").all()
    assert frame["best_psnr_db"].mean() > 18
    assert done.stdout.startswith(f"{len(frame)} fits, ")
    assert f"{len(frame)}/{len(frame)} fits" in done.stderr.splitlines()[-1]
    page = (run_dir / "report.html").read_text()
    assert "<img" in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)  # self-contained
    assert {"flags.txt", "manifest.json", "DONE"} <= {path.name for path in run_dir.iterdir()}
