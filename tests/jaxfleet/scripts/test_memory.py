import os
import subprocess
import sys

import pytest

SCRIPT = """
import concurrent.futures, resource, sys
from jaxfleet.scripts import memory
kept = memory.keep_freed_memory() if sys.argv[1] == "keep" else None
def faults(size=1 << 27):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with concurrent.futures.ThreadPoolExecutor(1) as thread:  # XLA allocates in its own threads
    thread.submit(faults).result()
    print(kept, thread.submit(faults).result())
"""


def run(mode, **variables):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        env={**env, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_was_freed_is_used_again_without_the_kernel():
    kept, faults = run("keep")
    _, without = run("leave")
    assert kept == "True"
    assert faults < 100 < without


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_who_has_chosen_is_left_alone():
    assert run("keep", MALLOC_ARENA_MAX="2")[0] == "False"
