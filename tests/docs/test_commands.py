"""Runs what the documentation prints of SIRENs and of benchmarks, and its Python blocks."""

import importlib
import importlib.util
import sys

import pytest

from launch import flagdefs
from tests.docs.scaled import scaled
from tests.docs.test_printed import COMMANDS
from tests.docs.workshop import SR_PAGES, by_command, by_page

QUICK = ("runs/mine", "siren_forecast.py", "siren_codec.py", "runs/simulation_50")
OTHERS = [command for command in COMMANDS if not command.script.startswith("sr_")]


@pytest.mark.filterwarnings("default")
@by_command(OTHERS, QUICK)
def test_command_runs(workshop, command):
    if "--format=torch" in command.text and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch")
    workshop.run(command)


@pytest.mark.filterwarnings("default")
@by_page(lambda page: page.name not in SR_PAGES, ["README.md"])
def test_python_blocks_run(workshop, page):
    workshop.execute(page)


def test_flags_that_scale_a_command_exist(monkeypatch):
    for command in COMMANDS:
        if command.reason_not_run is None:
            monkeypatch.setattr(sys, "argv", [f"launch/{command.script}.py"])
            config = importlib.import_module(f"launch.{command.script}").CONFIG
            flagdefs.parse(config, command.args + scaled(command))


@pytest.mark.slow
def test_reports_show_everything_in_a_window_of_1400_pixels(workshop, cut_off):
    assert cut_off(*workshop.reports()) == []
