"""The command `jaxfleet`, in processes of its own, outside the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import printed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path):
    def call(*args):
        return subprocess.run(
            [sys.executable, "-m", "launch", *args],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_without_arguments_it_lists_all_scripts_with_a_line_each(command):
    listed = command()
    assert (listed.returncode, listed.stderr) == (0, "")
    _, _, *lines = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == printed.SCRIPTS
    assert all(len(line.split()) > 4 for line in lines)
    assert command("--help").stdout == listed.stdout


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("siren_gird", "siren_grid"), ("siren_grid.py", "siren_grid"), ("upscale", "sr_upscale")],
)
def test_a_wrong_name_suggests_the_nearest(command, wrong, meant):
    ended = command(wrong, "--num_iters=5")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f"there is no {wrong!r}. Did you mean {meant}?" in ended.stderr


def test_it_does_what_the_script_does(command, tmp_path):
    flags = ("--flagfile=smoke.flags", "--num_iters=", "--num_iters=20", "--max_images=1")
    ended = command("siren_grid", *flags, "--image_size=", "--image_size=12")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "runs/smoke/report.html").exists()
    first, *_ = (tmp_path / "runs/smoke/flags.txt").read_text().splitlines()
    assert first == "# Repeats this run: jaxfleet siren_grid --flagfile=runs/smoke/flags.txt"


def test_help_speaks_of_the_command(command):
    said = command("siren_grid", "--help").stdout
    assert "    jaxfleet siren_grid --flagfile=quickstart.flags\n" in said
    assert "python launch/" not in said
    assert "Found by name alone, from any folder: collection.flags" in said
