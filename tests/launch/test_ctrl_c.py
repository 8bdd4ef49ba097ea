"""Ctrl-C while the scripts that work long compute: on a terminal, in processes of their own.

`python -m pytest -m slow -rP tests/launch/test_ctrl_c.py` also prints how soon each one answered.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# On a busy machine; the work itself would last longer.
START_SECONDS, PATIENCE_SECONDS = 600.0, 120.0
# A shell has SIGINT ignored by what it runs in the background, and so by tests there.
RUN = """\
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# A package in place of one that a script imports; the signal comes while it is imported.
SIGNALS = """\
import os, signal
os.kill(os.getpid(), signal.SIGINT)
while True:
    signal.pause()
"""
COMMAND = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from launch.__main__ import main
main()
"""
ENDLESS = "--num_iters=1000000"
# Flags of much work, and what the terminal shows once it has begun.
SCRIPTS = {
    "siren_grid": (
        f"--layer_size=16 --num_layers=3 --image_size=48 --max_images=1 {ENDLESS}",
        "/s",
    ),
    "siren_codec": (f"--input=photo.png --output=photo.srn --bits_per_pixel=1 {ENDLESS}", "/s"),
    "siren_predictor": (
        f"--collections={ROOT}/jaxinr/data/part_3 --members=1 --width=8 --steps=1000000",
        "steps, loss",
    ),
    "coin_kodak": (f"--photos=packaged --reduce=4 --max_images=1 --size=5x20 {ENDLESS}", "/s"),
    "sr_zoo": (
        "'--architecture=srvgg num_features=4 num_convs=1' --scale=2 --loss=l1 --seed=1 "
        "--training_set=A=folder:photographs --benchmark=A=folder:photographs --batch_size=1 "
        f"--crop_px=32 --log_every=1 --validate_every=1000 {ENDLESS}",
        "/s",
    ),
    "sr_images": ("--zoo=packaged --photos=folder:photographs", "/s"),
    "sr_upscale": ("--model=rcan-A-x4-l1-s1 --input=large.png", "large.png"),
}


class Terminal:
    """A script on a terminal of its own, and what that shows."""

    def __init__(self, script, flags, folder):
        self.shown = ""
        self._own, other = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(ROOT / "launch" / f"{script}.py"), *flags],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"},
            stdin=other,
            stdout=other,
            stderr=other,
        )
        os.close(other)

    def wait_for(self, pattern, most=PATIENCE_SECONDS):
        """Waits until the terminal has shown the pattern; returns how many seconds that took."""
        start = time.monotonic()
        while not re.search(pattern, self.shown):
            left = start + most - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.shown[-3000:]}"
            if select.select([self._own], [], [], left)[0]:
                try:
                    self.shown += os.read(self._own, 65536).decode(errors="replace")
                except OSError:
                    pytest.fail(f"ended without {pattern!r}: {self.shown[-3000:]}")
        return time.monotonic() - start

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def terminal():
    opened = []

    def start(*args):
        opened.append(Terminal(*args))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize("script", SCRIPTS)
def test_ctrl_c_is_answered_and_obeyed(terminal, tmp_path, script):
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    (tmp_path / "photographs").mkdir()
    for path in ("photo.png", "photographs/one.png", "photographs/other.png"):
        Image.fromarray(pixels[:96, :96]).save(tmp_path / path)
    flags, sign = SCRIPTS[script]
    shell = terminal(script, shlex.split(flags), tmp_path)
    shell.wait_for(sign, START_SECONDS)
    shell.process.send_signal(signal.SIGINT)
    seconds = shell.wait_for(f"{script}: (stopping after the running step; Ctrl-C|interrupted;)")
    sys.stderr.write(f"{script} answered after {seconds:.1f} s\n")
    shell.wait_for(f"{script}: interrupted; repeat the command to (go on|begin again).")
    assert shell.process.wait(PATIENCE_SECONDS) == 130
    assert "Traceback" not in shell.shown


@pytest.mark.parametrize(
    "program",
    [[RUN, str(ROOT / "launch" / "siren_grid.py")], [COMMAND, "siren_grid"]],
    ids=["python launch/siren_grid.py", "jaxfleet siren_grid"],
)
def test_ctrl_c_while_packages_are_imported_is_one_line(program, tmp_path):
    for name in ("experiments", "jax"):
        (tmp_path / f"{name}.py").write_text(SIGNALS)
    ended = subprocess.run(
        [sys.executable, "-c", *program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    script = Path(program[1]).stem
    said = f"{script}: interrupted before it began; repeat the command to begin.\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", said)
