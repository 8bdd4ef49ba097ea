"""The script: how it fails, and what it says of folders that it cannot use."""

from pathlib import Path

import pytest

from experiments.attribution import run as attribution_run
from launch import sr_attribution as script_module


@pytest.fixture
def script(script_of):
    return script_of(script_module, attribution_run.run)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--pictures=nowhere",), "nowhere holds no pictures"),
        (("--where=scale",), "write COLUMN=VALUE, such as scale=2"),
        (("--method=guess",), "expected one of prnu"),
        (("--method=",), "--method has no value; give at least one"),
        (("--crop_px=2",), "an integer of at least 16"),
        (("--linear_period=12",), "Crops of 224 pixels are no multiple of the grid of 12"),
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
