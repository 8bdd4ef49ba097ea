"""Every flagfile that ships belongs to a script, says what it is for, and parses."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from launch import flagdefs

LAUNCH = Path(flagdefs.__file__).parent
SCRIPTS = sorted(path.stem for path in LAUNCH.glob("[!_]*.py") if path.stem != "flagdefs")
FILES = sorted(path for path in LAUNCH.glob("flagfiles/**/*") if path.is_file())


def config_class(script):
    module = importlib.import_module(f"launch.{script}")
    assert hasattr(module, "CONFIG"), f"launch/{script}.py must say CONFIG = <its dataclass>"
    return module.CONFIG


def test_every_flagfile_belongs_to_a_script():
    strays = [
        str(path.relative_to(LAUNCH))
        for path in FILES
        if path.suffix != ".flags"
        or path.parent.parent != LAUNCH / "flagfiles"
        or path.parent.name not in SCRIPTS
    ]
    assert not strays, f"expected flagfiles/<script>/<name>.flags, scripts are {SCRIPTS}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LAUNCH)))
def test_flagfile_opens_with_a_comment_and_parses(path):
    assert path.read_text().startswith("# "), "say the question, the command and the cost"
    flagdefs.parse(config_class(path.parent.name), [f"--flagfile={path}"])


def test_one_thing_has_one_name_in_all_scripts():
    configs = [config_class(script) for script in SCRIPTS]
    names = {field.name for config in configs for field in dataclasses.fields(config)}
    assert {"input", "output", "reference", "photos"} <= names
    assert names.isdisjoint({"image", "images", "out", "save", "truth", "weights_out"})


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_teaches_itself(script):
    doc = importlib.import_module(f"launch.{script}").__doc__ or ""
    assert f"python launch/{script}.py" in doc, "the docstring shows a command"
    text = flagdefs.help_text(config_class(script), doc)
    own = text.removeprefix(doc.strip())
    without = {"app", "siren_codec", "siren_forecast", "sr_identify", "sr_upscale"}
    assert ("--run_dir=" in own) == (script not in without)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_directory_that_cannot_be_made_is_found_before_any_work(
    script, exit_code, tmp_path, capsys
):
    config = config_class(script)
    if getattr(config, "RUN_DIR", "resumed") in ("resumed", "written"):
        (tmp_path / "file").touch()
        module = importlib.import_module(f"launch.{script}")
        run_dir = tmp_path / "file" / "run"
        assert exit_code(module, lambda *_: pytest.fail("works"), f"--run_dir={run_dir}") == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"--run_dir={run_dir}: Not a directory; give another" in said
