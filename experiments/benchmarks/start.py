"""How long does a newcomer wait? Imports, a forecast, the quickstart, its networks, an answer.

Each is measured in a fresh process, the quickstart with empty caches of compiled programs (JAX's
and Numba's) and then with the caches that it left.
"""

import importlib.resources
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PACKAGES = ("jaxfleet", "jaxinr", "jaxsr")
WAITS = ("imports", "forecasts", "pictures", "quickstart")
POLL_SECONDS = 0.05
# A process has trained one network, and another of other depth, width and picture comes.
NEW_SHAPE = """
import time, numpy, jaxinr
jaxinr.fit([numpy.zeros((16, 16, 3), "uint8")], [jaxinr.Trial(layer_size=8, num_iters=10)])
start = time.perf_counter()
trial = jaxinr.Trial(layer_size=13, num_layers=7, num_iters=10)
jaxinr.fit([numpy.zeros((23, 19, 3), "uint8")], [trial])
"""
FORECASTS = {
    "import jaxinr and first forecast": """
import time
start = time.perf_counter()
import numpy, jaxinr
jaxinr.forecast(numpy.full((512, 768, 3), 99, "uint8"), [jaxinr.Trial()])
""",
    "1,000 more forecasts for an image": """
import time, numpy, jaxinr
from jaxinr.forecaster import descriptors, forecast
described = descriptors.describe(numpy.full((512, 768, 3), 99, "uint8"))
rates = [5e-4, 1e-3, 2e-3, 3e-3, 4e-3]
trials = jaxinr.grid(layer_size=range(4, 44), num_layers=range(2, 7), learning_rate=rates)
assert len(trials) == 1000 and forecast.of_described(described, (512, 768), trials)
start = time.perf_counter()
forecast.of_described(described, (512, 768), trials)
""",
    "12 megapixels described for forecasts": """
import time, numpy
from jaxinr.forecaster import descriptors
image = numpy.random.default_rng(0).integers(0, 256, (3000, 4000, 3), "uint8")
start = time.perf_counter()
descriptors.describe(image)
""",
}
PICTURES = {"12 megapixels identified": (3000, 4000), "199 megapixels identified": (14100, 14100)}
IDENTIFIED = """
import pathlib, time
from experiments.app import which
gallery = which.open_gallery()
start = time.perf_counter()
which.examine(gallery, pathlib.Path({path!r}))
"""


def measure(waits: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """Return rows {what, cache, seconds, memory_mb}; what is not trained has no cache.

    Memory is the most that the process had, where it is a matter of the picture.

    Args:
        waits: some of `WAITS`.
        rounds: of an import or a forecast; the least counts, since the first one reads the disk.
    """
    rows: list[dict[str, Any]] = []
    for package in PACKAGES if "imports" in waits else ():
        seconds = min(import_seconds(package) for _ in range(rounds))
        rows.append({"what": f"import {package}", "cache": None, "seconds": seconds})
    for what, script in FORECASTS.items() if "forecasts" in waits else ():
        seconds = min(seconds_of(script, {}) for _ in range(rounds))
        rows.append({"what": what, "cache": None, "seconds": seconds})
    if "pictures" in waits:
        rows += [identified(what, *size) for what, size in PICTURES.items()]
    if "quickstart" in waits:
        rows += quickstart()
    columns = "what", "cache", "seconds", "memory_mb"
    return [{name: row.get(name) for name in columns} for row in rows]


def quickstart() -> list[dict[str, Any]]:
    """Measure the quickstart with empty caches and with those that it left."""
    flagfile = importlib.resources.files("launch") / "flagfiles" / "siren_grid" / "quickstart.flags"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        caches = {"XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": f"{folder}/numba"}
        for cache in ("cold", "warm"):
            first, whole = grid_seconds([f"--flagfile={flagfile}"], caches)
            rows.append({"what": "quickstart, first network", "cache": cache, "seconds": first})
            rows.append({"what": "quickstart", "cache": cache, "seconds": whole})
        seconds = seconds_of(NEW_SHAPE, caches)
        rows.append({"what": "first network of a new shape", "cache": "warm", "seconds": seconds})
    return rows


def import_seconds(package: str) -> float:
    """Return the seconds that a fresh process spends on an import, its own start not counted."""
    return seconds_of(f"import time; start = time.perf_counter(); import {package}", {})


def identified(what: str, height: int, width: int) -> dict[str, Any]:
    """Measure the identification of a picture file of a size, as the page does it."""
    tile = np.random.default_rng(0).integers(0, 256, (250, 250, 3), np.uint8)
    pixels = np.tile(tile, (-(-height // 250), -(-width // 250), 1))[:height, :width]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        Image.fromarray(pixels).save(path, compress_level=1)
        seconds, memory_mb = measured(IDENTIFIED.format(path=str(path)), {})
    return {"what": what, "cache": None, "seconds": seconds, "memory_mb": memory_mb}


def seconds_of(script: str, environment: Mapping[str, str]) -> float:
    """Return the seconds from the `start` that a script sets to its end, in a fresh process."""
    return measured(script, environment)[0]


def measured(script: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return what `seconds_of` does, and the most memory that the process had, in MB."""
    end = "import resource\nprint(time.perf_counter() - start)\n"
    end += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{end}"],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    seconds, kilobytes = done.stdout.split()[-2:]
    return float(seconds), float(kilobytes) / 1e3


def grid_seconds(flags: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run `launch/siren_grid.py` and return the seconds to its first finished network and its end.

    Args:
        flags: of the script, without --run_dir.
        environment: variables that are set, such as where caches lie. JAX_COMPILATION_CACHE_DIR is
            not passed on.

    Raises:
        subprocess.CalledProcessError: if the script fails.
    """
    kept = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [sys.executable, "-m", "launch.siren_grid", *flags, f"--run_dir={run_dir}"]
        first, start = None, time.perf_counter()
        with subprocess.Popen(
            command,
            env={**kept, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None:
                if first is None and _has_finished_one(run_dir / "progress.jsonl"):
                    first = time.perf_counter() - start
                time.sleep(POLL_SECONDS)
        whole = time.perf_counter() - start
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        return whole if first is None else first, whole


def _has_finished_one(path: Path) -> bool:
    """Return whether the log of a run says that a network is done; its last line may be half."""
    if not path.exists():
        return False
    *lines, _ = path.read_text().split("\n")
    return any(json.loads(line)["fits"] >= 1 for line in lines)
