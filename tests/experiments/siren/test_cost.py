"""What a dry run says, and that it says so soon enough for a plan of a whole collection."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.siren import cost as siren_cost
from jaxfleet.shards import Shard

ROOT = Path(__file__).parents[3]
COLLECTION = """
    --sampling=random --num_trials=200000 --num_repeats=100000 --layer_size=uniform:5:50
    --num_layers=uniform:1:16 --w0_initial=log:3:100 --num_iters=20000 --image_size=120
    --seed=uniform:0:999999 --learning_rate=2e-4 --photos=packaged --dry_run
""".split()
# Runs a command and leaves what it used in the file "used". A process whose parent is large counts
# the parent's memory as its own peak (`vfork` shares it), so this small one stands in between.
MEASURED = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump({"seconds": used.ru_utime + used.ru_stime, "gib": used.ru_maxrss / 2**20}, file)
sys.exit(code)
"""


def seconds_of_a_loop():
    """Return the seconds of ten million additions in Python on this core: the least of three."""
    found = []
    for _ in range(3):
        start = time.process_time()
        sum(i for i in range(10_000_000))
        found.append(time.process_time() - start)
    return min(found)


def test_programs_that_a_share_compiles():
    assert siren_cost.programs_each([1.0, 1.0, 1.0, 1.0], 1) == 4
    assert siren_cost.programs_each([1.0, 1.0, 1.0, 1.0], 2) == 2
    assert siren_cost.programs_each([1.0, 1.0, 1.0, 1.0], 3) == 2
    assert siren_cost.programs_each([1.0, 1.0, 1.0, 1.0], 8) == 1
    assert siren_cost.programs_each([6.0, 1.0, 1.0], 2) == 3


def test_a_network_takes_as_long_on_64_devices_as_on_one():
    compiling = siren_cost.COMPILE_SECONDS
    lone = [siren_cost.Span(3600.0, 3600.0)]
    assert [siren_cost.seconds_on(n, lone) for n in (1, 8, 64)] == [3600.0 + compiling] * 3
    many = [siren_cost.Span(3600.0, 100.0), siren_cost.Span(3600.0, 400.0)]
    assert siren_cost.seconds_on(1, many) == 7200.0 + 2 * compiling
    assert siren_cost.seconds_on(8, many) == 900.0 + compiling
    assert siren_cost.seconds_on(64, many) == 400.0 + compiling


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 9))
def test_shards_of_many_trials_compile_that_many(counts, count):
    program = [number for number, size in enumerate(counts) for _ in range(100 * size)]
    found = []
    for index in range(count):
        mine = Shard(index, count).cut([1.0] * len(program))
        found.append(len({number for number, own in zip(program, mine, strict=True) if own}))
    # A trial goes where its middle lies, so a program may reach one trial less far.
    assert max(found) <= siren_cost.programs_each(counts, count) <= max(found) + 2


@pytest.mark.slow
def test_plan_of_a_collection_is_told_in_seconds(tmp_path, tmp_path_factory):
    used = tmp_path_factory.mktemp("measured") / "used"
    script = [sys.executable, str(ROOT / "launch" / "siren_grid.py"), *COLLECTION]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(used), *script],
        cwd=tmp_path,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "2", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "300000 networks in " in done.stdout
    *_, last = done.stdout.splitlines()
    clock = r"\d+:\d\d:\d\d"
    assert re.fullmatch(rf"about {clock} on 8 devices, {clock} on 64 devices of this kind", last)
    assert list(tmp_path.iterdir()) == []
    measured = json.loads(used.read_text())
    # Seconds of a core: no fewer than on the clock where nothing else runs. It took 28 loops.
    assert measured["seconds"] < 100 * seconds_of_a_loop()
    assert measured["gib"] < 1
