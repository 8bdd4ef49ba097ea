"""The script: how it fails, and what it says of folders that it cannot use."""

import signal
import sys
from pathlib import Path

import pytest

from experiments import sr_attribution
from launch import flagdefs
from launch import sr_attribution as script_module

LAUNCH = Path(flagdefs.__file__).parent


@pytest.fixture
def script(monkeypatch, tmp_path, capsys):
    """Runs the script's main in `tmp_path`; returns the exit code, standard output and error."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def call(*args):
        monkeypatch.setattr(sys, "argv", [str(LAUNCH / "sr_attribution.py"), *args])
        with pytest.raises(SystemExit) as stop:
            flagdefs.run(script_module.CONFIG, sr_attribution.run)
        return stop.value.code, *capsys.readouterr()

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--pictures=nowhere",), "nowhere holds no pictures"),
        (("--where=scale",), "write COLUMN=VALUE, such as scale=2"),
        (("--method=guess",), "expected one of prnu"),
        (("--method=",), "--method needs a value"),
        (("--crop_px=2",), "an integer of at least 16"),
        (("--classes=camera",), "expected one of network"),
    ],
)
def test_bad_input_is_one_line(script, args, message):
    (Path("nowhere")).mkdir()
    code, said, error = script("--pictures=nowhere", "--run_dir=out", *args)
    assert (code, said) == (2, "")
    assert message in error
    assert error.startswith("sr_attribution: ")
    assert error.count("\n") == 1
