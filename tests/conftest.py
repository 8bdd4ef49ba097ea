"""A strict session: two CPU devices, no silent promotion of dtype or rank."""

import gc
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # other tests have the other cores
# What took time to compile is kept while the session lasts, for its later tests and the scripts
# that they start. Each worker has a folder of its own: JAX does not write to it atomically.
PROGRAMS = tempfile.TemporaryDirectory(prefix="programs-of-tests-", ignore_cleanup_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
# Most of the time of tests goes into compiling programs that run for moments. They, and those of
# the scripts that tests start, are compiled quickly, to slower ones, unless XLA_FLAGS is set (to
# nothing, for programs as users have them). The first line that the installed jaxlib knows counts:
# a process ends at a flag that is unknown.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    " --xla_cpu_use_fusion_emitters=false",
    "--xla_backend_optimization_level=0",
)


def compiles(flags: str) -> bool:
    """Return whether the installed jaxlib knows these flags."""
    command = [sys.executable, "-c", "import jax; jax.jit(lambda: 0)()"]
    return not subprocess.run(
        command, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True
    ).returncode


# Once: the workers of pytest-xdist have the environment of what started them.
if os.environ["JAX_PLATFORMS"] == "cpu" and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = next(filter(compiles, QUICK), "")

import hypothesis  # noqa: E402
import jax  # noqa: E402  (reads these variables when imported)
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)  # so that shard_map has something to shard over
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The same examples each time, and no deadline: the first call of a jitted function compiles.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


def pytest_collection_finish():
    """Have the garbage collector pass over what is imported and collected, which stays."""
    gc.collect()
    gc.freeze()


OUTCOMES = Path(__file__).parents[1] / "docs" / "read_converted_refused.md"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of reference data beside the checkout; with REQUIRE_SHARED=1 it may not be missing."""
    if not SHARED_DATA.is_dir():
        missing = pytest.fail if os.environ.get("REQUIRE_SHARED") == "1" else pytest.skip
        missing("the shared data is missing: ../shared/data beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def bucket():
    """URL of an empty bucket on a local S3 server; skips where moto or s3fs is not installed."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("s3://runs-of-jaxfleet")
        yield "s3://runs-of-jaxfleet"
    server.stop()


# Replaces the page by a list of what is wider than its place.
_WIDE = """<script>addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(part =>
    part.clientWidth && part.scrollWidth > part.clientWidth + 1
    && getComputedStyle(part).display != "inline");
  const said = wide.map(part =>
    `${part.tagName} ${part.className} ${part.innerText}`.slice(0, 150));
  if (document.documentElement.scrollWidth > innerWidth) said.push("the page itself");
  document.body.innerHTML = `<pre id="wide">${said.join("\\n")}</pre>`;
})</script>"""


@pytest.fixture(scope="session")
def cut_off(tmp_path_factory):
    """Lists what Chromium cannot show whole in a window of 1,400 pixels; pages of one style."""
    if shutil.which("chromium") is None:
        pytest.skip("no program chromium: apt-get install chromium")

    def parts(*pages):
        texts = [re.sub(r'src="data:[^"]*"', "", page) for page in pages]
        head, bodies = texts[0].split("<body>")[0], [text.split("<body>")[1] for text in texts]
        path = tmp_path_factory.mktemp("pages") / "pages.html"
        path.write_text(f"{head}<body>{''.join(bodies)}{_WIDE}")
        shown = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"]
            + [f"--user-data-dir={path.parent}", "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
        ).stdout
        return html.unescape(re.search('<pre id="wide">(.*?)</pre>', shown, re.S)[1]).splitlines()

    return parts


@pytest.fixture(scope="session")
def documented():
    """Compares a table with that of a section of docs/read_converted_refused.md.

    With UPDATE_DOCS=1 the section's table is written instead.
    """

    def compare(heading, columns, rows):
        rule = ["---"] * len(columns)
        table = ["| " + " | ".join(row) + " |" for row in (columns, rule, *rows)]
        lines = OUTCOMES.read_text().splitlines()
        start = lines.index(f"## {heading}") + 1
        end = next((k for k in range(start, len(lines)) if lines[k].startswith("## ")), len(lines))
        found = [line for line in lines[start:end] if line.startswith("|")]
        if os.environ.get("UPDATE_DOCS") == "1":
            words = "\n".join(line for line in lines[start:end] if not line.startswith("|")).strip()
            section = ["", *([words, ""] if words else []), *table, ""]
            OUTCOMES.write_text("\n".join([*lines[:start], *section, *lines[end:]]).rstrip() + "\n")
        else:
            assert found == table, "UPDATE_DOCS=1 pytest ... writes the table anew"

    return compare
