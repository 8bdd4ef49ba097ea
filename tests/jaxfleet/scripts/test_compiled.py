"""Compiled programs are kept where they may be, and nothing fails where they may not."""

import os
import subprocess
import sys

import pytest

from jaxfleet.scripts import compiled

SCRIPT = """
import jax
from jaxfleet.scripts import compiled
compiled.keep_programs()
print(jax.config.jax_compilation_cache_dir or None)
print(jax.jit(lambda x: x + 1)(1))
"""


def told(**environment):
    """The folder that a fresh process keeps its programs in, as JAX prints it."""
    dropped = ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    where, answer = done.stdout.split()
    assert answer == "2"
    return where


def test_programs_are_kept_in_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert told(XDG_CACHE_HOME=str(tmp_path)) == str(compiled.folder())
    assert compiled.folder().parent == tmp_path / "jaxfleet"
    assert list(compiled.folder().iterdir())


def test_a_folder_that_was_chosen_is_used_and_an_empty_one_is_none(tmp_path):
    chosen = tmp_path / "chosen"
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert told(JAX_COMPILATION_CACHE_DIR=str(chosen), **environment) == str(chosen)
    assert list(chosen.iterdir())
    assert told(JAX_COMPILATION_CACHE_DIR="", **environment) == "None"
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    assert told(XDG_CACHE_HOME=str(tmp_path / "file")) == "None"


def test_processors_that_differ_do_not_share_programs(monkeypatch):
    names = set()
    for features in (b"flags : avx2", b"flags : avx512f"):
        monkeypatch.setattr(compiled, "_features", lambda features=features: features)
        names.add(compiled.folder().name)
    assert len(names) == 2


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="Linux only")
def test_linux_says_what_its_processor_can_do():
    assert compiled._features()
