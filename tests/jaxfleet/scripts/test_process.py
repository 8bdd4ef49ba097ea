"""Signals that come while compiled code runs, output that nobody reads, names nobody can print."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxfleet.scripts import process

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0  # of a test on a busy machine; what is stopped would last longer
HEAD = """\
import hashlib, signal, sys, threading, time
from jaxfleet.scripts import process
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
"""
COMPUTING = """\
with process.answering_signals("grid", "repeat the command to begin again"):
    threading.Timer(0.5, print, ["ready"], {"flush": True}).start()
    # As a compiled program: Python sees no signal until it is over, minutes later.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
"""
QUICK = """\
with process.answering_signals("grid", "repeat the command to begin again"):
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)
"""
PRINTING = """\
process.print_any_name()
print("caf\\u00e9 \\u732b \\udcff")
"""
CLOSED = """\
try:
    for number in range(100_000):
        print(number)
    sys.stdout.flush()
except BrokenPipeError:
    process.drop_output()
    sys.exit(141)
"""


def start(text, **variables):
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )


def test_ctrl_c_is_answered_in_two_seconds_and_obeyed_the_second_time():
    assert process.ANSWER_SECONDS < 2
    with start(COMPUTING) as run:
        assert run.stdout.readline() == b"ready\n"
        for line in (
            b"grid: stopping after the running step; Ctrl-C again stops at once.\n",
            b"grid: stopped at once; repeat the command to begin again.\n",
        ):
            asked = time.monotonic()
            run.send_signal(signal.SIGINT)
            assert run.stderr.readline() == line
            assert time.monotonic() - asked < PATIENCE_SECONDS
        assert run.wait(PATIENCE_SECONDS) == 130


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_work_that_begins_hears_ctrl_c_as_before(before):
    own = signal.signal(signal.SIGINT, before)
    process.end_at_ctrl_c("grid")
    process.heed_ctrl_c()
    assert signal.signal(signal.SIGINT, own) is before


def test_who_stops_by_itself_needs_no_answer():
    with start(QUICK) as run:
        run.stdout.readline()
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=PATIENCE_SECONDS) == (b"", b"")
        assert run.returncode == 130


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("utf-8", "café 猫 ".encode() + b"\xff"), ("ascii", rb"caf\xe9 \u732b \udcff")],
)
def test_every_name_can_be_printed(encoding, printed):
    with start(PRINTING, PYTHONIOENCODING=encoding) as run:
        said, error = run.communicate()
    assert (said, error) == (printed + b"\n", b"")


def test_a_reader_that_has_read_enough_is_no_error():
    with start(CLOSED) as run:
        assert run.stdout.readline() == b"0\n"
        run.stdout.close()
        error = run.stderr.read()
    assert (run.wait(), error) == (141, b"")
