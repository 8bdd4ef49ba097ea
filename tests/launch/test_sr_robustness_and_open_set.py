"""The two scripts, as far as their flags go: bad input is one line, exit code 2, and no part."""

import signal
import sys
from pathlib import Path

import pytest

from experiments import sr_open_set, sr_robustness
from launch import flagdefs
from launch import sr_open_set as open_set_script
from launch import sr_robustness as robustness_script

LAUNCH = Path(flagdefs.__file__).parent
RUNS = {
    "sr_open_set": (open_set_script.CONFIG, sr_open_set.run),
    "sr_robustness": (robustness_script.CONFIG, sr_robustness.run),
}


@pytest.fixture
def script(monkeypatch, tmp_path, capsys):
    """Runs a script's main in `tmp_path`; returns the exit code, standard output and error."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def call(name, *args):
        monkeypatch.setattr(sys, "argv", [str(LAUNCH / f"{name}.py"), *args])
        with pytest.raises(SystemExit) as stop:
            flagdefs.run(*RUNS[name])
        return stop.value.code, *capsys.readouterr()

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize(
    ("name", "flag", "message"),
    [
        ("sr_open_set", "--pictures=nowhere", "nowhere holds no pictures"),
        ("sr_open_set", "--unseen=colour=red", "--unseen=colour=red: write COLUMN=VALUE"),
        ("sr_open_set", "--method=magic", "expected one of prnu"),
        ("sr_robustness", "--attribution=nowhere", "nowhere has no attributors"),
        ("sr_robustness", "--perturb=jpeg:101", "--perturb: 'jpeg:101': the strength of jpeg"),
        ("sr_robustness", "--train_on=magic", "--train_on: 'magic' is no perturbation"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(script, tmp_path, name, flag, message):
    code, said, error = script(name, flag, "--run_dir=out")
    assert (code, said) == (2, "")
    assert message in error
    assert error.startswith(f"{name}: ")
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.rglob("*")} <= {"out", "flags.txt"}
