"""Runs what the documentation prints of super-resolution, and the Python blocks of its pages."""

import pytest

from tests.docs.test_printed import COMMANDS
from tests.docs.workshop import SR_PAGES, by_command, by_page

QUICK = (
    "--model=bicubic",
    "--model=edsr-A-x4",
    "sr_identify.py --input=photo.png --picture",
    "sr_identify.py --input=photo.png --top",
    "sr_identify.py --input=evidence --output=found.csv --json",
)


@pytest.mark.filterwarnings("default")
@by_command([command for command in COMMANDS if command.script.startswith("sr_")], QUICK)
def test_command_runs(workshop, command):
    workshop.run(command)


@pytest.mark.filterwarnings("default")
@by_page(lambda page: page.name in SR_PAGES, ["gallery.md", "pytorch-weights.md"])
def test_python_blocks_run(workshop, page):
    workshop.execute(page)


@pytest.mark.slow
def test_reports_show_everything_in_a_window_of_1400_pixels(workshop, cut_off):
    assert cut_off(*workshop.reports()) == []
