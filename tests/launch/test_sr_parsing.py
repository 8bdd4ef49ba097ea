"""The script: how it fails, and what it says of a folder that it cannot use."""

import pytest

from experiments.parsing import run as parsing_run
from launch import flagdefs
from launch import sr_parsing as script_module


@pytest.fixture
def script(script_of):
    return script_of(script_module, parsing_run.run)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "runs/sr_images holds no pictures"),
        (("--pictures=",), "--pictures names no folder"),
        (("--pictures=nowhere",), "nowhere holds no pictures"),
        (("--hold_out=3",), "--hold_out=3: write NAME=VALUE, such as seed=3"),
        (("--predict=colour",), "expected one of scale, loss, architecture, training_set"),
        (("--predict=",), "--predict has no value; give at least one"),
        (("--method=guess",), "expected one of prnu"),
    ],
)
def test_bad_input_is_one_line(script, args, message):
    code, said, error = script(*args)
    assert (code, said) == (2, "")
    assert message in error
    assert error.startswith("sr_parsing: ")
    assert error.count("\n") == 1


def test_what_a_run_was_told_is_told_again_by_its_flags():
    args = ["--predict=scale", "--predict=loss", "--hold_out=seed=3", "--also_on=b", "--seed=4"]
    config, _ = flagdefs.parse(script_module.CONFIG, args)
    assert (config.predict, config.hold_out) == (("scale", "loss"), ("seed=3",))
    again, _ = flagdefs.parse(script_module.CONFIG, flagdefs.flags_text(config).splitlines())
    assert again == config
