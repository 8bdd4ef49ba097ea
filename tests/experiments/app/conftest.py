import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute
import pyarrow.parquet
import pytest
from PIL import Image

from experiments.siren import grid, pages
from launch import flagdefs

COMMON = (
    "--photos=packaged", "--max_images=1", "--image_size=12", "--num_layers=2",
    "--w0_initial=30", "--learning_rate=1e-3", "--num_iters=20", "--kernel=xla",
)  # fmt: skip

ROOT = Path(__file__).parents[3]
# Loaded by the server's Python: notes every address that is not this machine's, and refuses it.
WATCHMAN = """
import os, socket
connect, lookup = socket.socket.connect, socket.getaddrinfo
def note(host):
    if str(host) not in ("127.0.0.1", "::1", "localhost", "None", "0.0.0.0"):
        open(os.environ["FOREIGN_LOG"], "a").write(f"{host}\\n")
        raise OSError("no way out")
def watched(self, address):
    if isinstance(address, tuple): note(address[0])
    return connect(self, address)
def looked_up(host, *args, **settings):
    note(host)
    return lookup(host, *args, **settings)
socket.socket.connect, socket.getaddrinfo = watched, looked_up
"""


@pytest.fixture(scope="session")
def grids(tmp_path_factory):
    """A folder of two runs of siren_grid, of widths 4 and 6, and 4 and 8, with short reports."""
    folder = tmp_path_factory.mktemp("runs")

    def write_report(config, run_dir, pictures):
        (run_dir / "report.html").write_text("<h1>The report</h1>")
        return run_dir / "report.html"

    flags = [*COMMON, *(f"--layer_size={width}" for width in (4, 6, 8))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "write_report", write_report)
        grid.run(*flagdefs.parse(grid.GridConfig, [*flags, f"--run_dir={folder / 'first'}"]))
    shutil.copytree(folder / "first", folder / "second")  # what is trained once is quicker
    for name, widths in (("first", [4, 6]), ("second", [4, 8])):
        for part in (folder / name / "parts").glob("*.parquet"):
            kept = pyarrow.compute.field("layer_size").isin(widths)
            pyarrow.parquet.write_table(pyarrow.parquet.read_table(part).filter(kept), part)
    return folder


@pytest.fixture(scope="session")
def server(grids, tmp_path_factory):
    """Address of a page that is served by a process of its own, and where it notes ways out."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "sitecustomize.py").write_text(WATCHMAN)
    log = folder / "foreign.txt"
    process = subprocess.Popen(
        [sys.executable, ROOT / "launch" / "app.py", "--port=0", f"--runs={grids}"],
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "FOREIGN_LOG": str(log)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    for line in process.stderr:
        if found := re.search(r"The page is at (http://\S+);", line):
            break
    else:
        pytest.fail("the server has ended")
    yield found[1], log
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def patchwork():
    """A function that makes a picture of 120 x 120 pixels, another one for each number."""

    def make(number):
        colours = np.random.default_rng(number).integers(0, 256, (12, 12, 3))
        return Image.fromarray(np.kron(colours, np.ones((10, 10, 1))).astype(np.uint8))

    return make
