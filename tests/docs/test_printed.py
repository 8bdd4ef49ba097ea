"""What can be checked of the documentation without running it: flags, files, links, syntax."""

import configparser
import dataclasses
import functools
import importlib
import re
import sys
from unittest import mock

import pytest

from launch import _flagfiles, flagdefs
from tests.docs import printed

COMMANDS = printed.commands()
READERS = ("siren_export", "report", "collection_table")  # scripts whose --run_dir is there already


def ids(command):
    return f"{command.source}: {command.text}"[:90]


@functools.cache
def config_of(command):
    with mock.patch.object(sys, "argv", [f"{command.script}.py"]):
        return flagdefs.parse(_config_class(command.script), command.args)


def test_commands_are_found_in_each_kind_of_place():
    sources = {command.source for command in COMMANDS}
    assert {"README.md", "BUILD.md", "docs/how-to/gallery.md", "launch/siren_codec.py"} <= sources
    assert "launch/flagfiles/sr_zoo/paper.flags" in sources
    assert {command.script for command in COMMANDS} == set(printed.SCRIPTS)


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_flags_of_a_printed_command_exist(command, monkeypatch):
    monkeypatch.chdir(printed.ROOT)
    config_of(command)


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_run_directories_that_a_command_reads_are_made_by_another(command, monkeypatch):
    monkeypatch.chdir(printed.ROOT)
    if command.reason_not_run is None:
        for name in reads(command):
            assert makers(name), f"no printed command makes {name}"


def reads(command):
    """Run directories that a command takes as its input, also by its flagfile."""
    with mock.patch.object(sys, "argv", [f"{command.script}.py"]):
        args = list(_flagfiles.expanded(command.args))
    names = set(re.findall(r"runs/(\w+)", " ".join(args)))
    return names if command.script in READERS else names - {config_of(command)[1].name}


def makers(name):
    """Printed commands that leave a run directory of this name, without their --dry_run."""
    return [
        printed.Command(command.text.replace(" --dry_run", ""), command.source)
        for command in COMMANDS
        if command.reason_not_run is None
        and command.script not in READERS
        and config_of(command)[1].as_posix() == f"runs/{name}"
    ]


@pytest.mark.parametrize("page", printed.PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page):
    for block in printed.python_blocks(page):
        compile(block, page.name, "exec")


@pytest.mark.parametrize("page", [*printed.PAGES, *printed.TUTORIALS], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    generated = "reference/modules"
    broken = [
        link
        for link in printed.links(page)
        if not (page.parent / link).exists() and generated not in link
    ]
    assert broken == []


def test_modules_and_tests_that_are_named_exist():
    names = set()
    for page in printed.PAGES:
        names |= set(
            re.findall(r"\b(tests/[\w/]+\.py|launch/[\w/]+\.(?:py|flags))", page.read_text())
        )
    names -= {"launch/NAME.py"}
    assert [name for name in sorted(names) if not (printed.ROOT / name).exists()] == []


def test_programs_of_one_line_import_what_exists():
    found = set()
    for path in (*printed.PAGES, *printed.TUTORIALS, *printed.SOURCES):
        for program in re.findall(r'python -c "(.+?)"', path.read_text()):
            found |= set(re.findall(r"from ([\w.]+) import (\w+)", program))
    assert ("jaxfleet.imaging", "photos") in found
    for module, name in found:
        package = importlib.import_module(module)
        assert hasattr(package, name) or importlib.import_module(f"{module}.{name}")


def test_scripts_flags_and_extras_that_the_sources_name_exist():
    """Remedies of error messages among them."""
    metadata = configparser.ConfigParser()
    metadata.read(printed.ROOT / "setup.cfg")
    for path in printed.SOURCES:
        text = path.read_text()
        for script, flags in re.findall(r"launch/([a-z]\w*)\.py((?: --\w+)*)", text):
            fields = {field.name for field in dataclasses.fields(_config_class(script))}
            assert set(flags.replace("--", "").split()) <= fields | {"run_dir", "flagfile"}, path
        for extra in re.findall(r"jaxfleet\[(\w+)\]", text):
            assert extra in metadata["options.extras_require"], path


def _config_class(script):
    return importlib.import_module(f"launch.{script}").CONFIG


@pytest.mark.parametrize("script", printed.SCRIPTS)
def test_scripts_import_first_what_answers_ctrl_c(script):
    lines = (printed.LAUNCH / f"{script}.py").read_text().splitlines()
    imported = [line for line in lines if re.match("(from|import) ", line)]
    ours = [line for line in imported if line.split()[1].split(".")[0] not in ("pathlib", "sys")]
    assert ours[0] == "from launch import flagdefs"


@pytest.mark.parametrize("script", printed.SCRIPTS)
def test_examples_in_help_keep_their_line_ends(script):
    commands = [line for line in printed.docstring(script).splitlines() if "python launch/" in line]
    assert commands
    joined = [line for line in commands if re.search(r"\S {2,}-", line)]
    assert joined == [], "begin the docstring with r"
