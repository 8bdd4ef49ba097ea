"""The time until the first network, of a grid that takes seconds."""

import subprocess

import pytest

from experiments.benchmarks import start

FLAGS = """
    --layer_size=4 --num_layers=1 --num_iters=20 --image_size=12 --max_images=1
""".split()


def test_imports_take_less_than_half_of_that_of_jax():
    of_jax = min(start.import_seconds("jax") for _ in range(2))
    for package in ("jaxinr", "jaxsr"):
        assert 0 < min(start.import_seconds(package) for _ in range(2)) < of_jax / 2


@pytest.mark.parametrize("what", start.FORECASTS)
def test_forecasts_are_measured_in_a_process_of_their_own(what):
    assert 0 < start.seconds_of(start.FORECASTS[what], {}) < 60


def test_an_identification_is_measured_with_its_memory():
    row = start.identified("300 x 400", 300, 400)
    assert 0 < row["seconds"] < 60
    assert 50 < row["memory_mb"] < 5000


@pytest.mark.slow
def test_the_first_network_comes_before_the_end_of_a_grid(tmp_path):
    caches = {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    first, whole = start.grid_seconds(FLAGS, caches)
    assert 0 < first <= whole
    assert list((tmp_path / "numba").rglob("*.nbc"))  # for the warm one


def test_what_is_waited_for_can_be_chosen(monkeypatch):
    monkeypatch.setattr(start, "seconds_of", lambda script, caches: float(len(caches)))
    monkeypatch.setattr(start, "grid_seconds", lambda flags, caches: (1.0, 2.0))
    monkeypatch.setattr(start, "identified", lambda what, *size: {"what": what, "memory_mb": 3.0})
    found = {wait: start.measure([wait], 1) for wait in start.WAITS}
    assert [row["what"] for row in found["imports"]] == [
        *("import jaxfleet", "import jaxinr", "import jaxsr")
    ]
    assert [row["what"] for row in found["forecasts"]] == [*start.FORECASTS]
    assert [row["memory_mb"] for row in found["pictures"]] == [3.0, 3.0]
    assert [(row["cache"], row["seconds"]) for row in found["quickstart"]] == [
        *(("cold", 1.0), ("cold", 2.0), ("warm", 1.0), ("warm", 2.0), ("warm", 2.0))
    ]
    assert start.measure(start.WAITS, 1) == [row for rows in found.values() for row in rows]


def test_a_grid_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        start.grid_seconds(["--layer_size=none"], {"XDG_CACHE_HOME": str(tmp_path)})


def test_half_a_line_of_a_log_is_waited_for(tmp_path):
    log = tmp_path / "progress.jsonl"
    assert not start._has_finished_one(log)
    log.write_text('{"fits": 0.0}\n{"fits": 1')
    assert not start._has_finished_one(log)
    log.write_text('{"fits": 0.0}\n{"fits": 1.0}\n')
    assert start._has_finished_one(log)
