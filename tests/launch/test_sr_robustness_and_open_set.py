"""The two scripts, as far as their flags go: bad input is one line, exit code 2, and no part."""

import pytest

from experiments.open_set import run as open_set_run
from experiments.robustness import run as robustness_run
from launch import sr_open_set as open_set_script
from launch import sr_robustness as robustness_script

RUNS = {
    "sr_open_set": (open_set_script, open_set_run.run),
    "sr_robustness": (robustness_script, robustness_run.run),
}


@pytest.mark.parametrize(
    ("name", "flag", "message"),
    [
        ("sr_open_set", "--pictures=nowhere", "nowhere holds no pictures"),
        ("sr_open_set", "--unseen=colour=red", "--unseen=colour=red: write COLUMN=VALUE"),
        ("sr_open_set", "--method=magic", "expected one of prnu"),
        ("sr_robustness", "--attribution=nowhere", "nowhere has no classifiers"),
        ("sr_robustness", "--perturb=jpeg:101", "--perturb: 'jpeg:101': the strength of jpeg"),
        ("sr_robustness", "--train_on=magic", "--train_on: 'magic' is no perturbation"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(script_of, tmp_path, name, flag, message):
    code, said, error = script_of(*RUNS[name])(flag, "--run_dir=out")
    assert (code, said) == (2, "")
    assert message in error
    assert error.startswith(f"{name}: ")
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.rglob("*")} <= {"out", "flags.txt"}
