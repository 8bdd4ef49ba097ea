import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from hypothesis import given
from hypothesis import strategies as st

from experiments.siren.config import GridConfig
from jaxfleet.errors import InputError
from launch import flagdefs


def flag(default, help_text="What it does.", **metadata):
    return dataclasses.field(default=default, metadata={"help": help_text, **metadata})


@dataclasses.dataclass(frozen=True)
class Config:
    source: str = flag("photos", "Where images come from.", group="Images")
    method: str = flag("wavelet", choices=["wavelet", "bicubic"])
    num_iters: int = flag(2000, "Adam steps.", lower=1, upper=10_000, group="Fit")
    scale: int = flag(2, choices=[2, 3, 4])
    learning_rate: float = flag(2e-4, lower=0.0)
    target_psnr_db: float | None = flag(None)
    note: str | None = flag(None)
    dry_run: bool = flag(False)
    layer_size: tuple[int, ...] = flag((28,), "Units of each layer.", lower=1)
    w0_initial: tuple[float, ...] = flag(())
    image_id: tuple[str, ...] = flag(("kodim01", "kodim02"))

    def __post_init__(self):
        if self.source == "folder" and self.note is None:
            raise ValueError("--source=folder needs --note.")


def parsed(*args):
    return flagdefs.parse(Config, args)[0]


# A flag's text is one line without spaces at its ends: that is what a flagfile can hold.
lines = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20).map(str.strip)
lines = lines.filter(lambda text: len(text.splitlines()) < 2)
numbers = st.floats(allow_nan=False)
configs = st.builds(
    Config,
    source=lines.filter(lambda text: text != "folder"),
    method=st.sampled_from(["wavelet", "bicubic"]),
    num_iters=st.integers(1, 10_000),
    scale=st.sampled_from([2, 3, 4]),
    learning_rate=st.floats(min_value=0.0, allow_nan=False),
    target_psnr_db=st.none() | numbers,
    note=st.none() | lines,
    dry_run=st.booleans(),
    layer_size=st.lists(st.integers(1, 2**63 - 1)).map(tuple),
    w0_initial=st.lists(numbers).map(tuple),
    image_id=st.lists(lines.filter(bool)).map(tuple),
)


@given(config=configs)
def test_flags_text_gives_the_config_back(config, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "again.flags"
    path.write_text(flagdefs.flags_text(config))
    assert parsed(f"--flagfile={path}") == config


def test_no_flags_give_the_defaults():
    assert flagdefs.parse(Config, []) == (Config(), Path("runs", Path(sys.argv[0]).stem))


def test_run_dir_may_start_at_home():
    assert flagdefs.parse(Config, ["--run_dir=~/grid"])[1] == Path.home() / "grid"


def test_tuples_add_up_and_an_empty_value_starts_afresh(tmp_path):
    flagfile = tmp_path / "some.flags"
    flagfile.write_text("# Question: which?\n\n--layer_size=8\n--layer_size=16\n")
    assert parsed(f"--flagfile={flagfile}").layer_size == (8, 16)
    assert parsed(f"--flagfile={flagfile}", "--layer_size=32").layer_size == (8, 16, 32)
    assert parsed(f"--flagfile={flagfile}", "--layer_size=", "--layer_size=32").layer_size == (32,)
    assert parsed("--image_id=").image_id == ()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("num_iters=5", "'num_iters=5' is not a flag: write --name=value, .* of a flagfile"),
        ("--num_iter=5", "'num_iter'. Did you mean: num_iters"),
        ("--num_iters=0", "--num_iters=0: expected an integer from 1 to 10000"),
        ("--num_iters=many", "--num_iters=many: expected an integer from 1"),
        (f"--layer_size={2**63}", f"--layer_size={2**63}: expected an integer of at least 1"),
        ("--layer_size=0", "--layer_size=0: expected an integer of at least 1"),
        ("--learning_rate=nan", "--learning_rate=nan: expected a number of at least 0"),
        ("--method=haar", "--method=haar: expected one of wavelet, bicubic"),
        ("--scale=5", "--scale=5: expected one of 2, 3, 4"),
        ("--dry_run=perhaps", "--dry_run=perhaps"),
        ("--nodry_run=1", "nodry_run"),
        ("--num_iters", "Missing value for flag --num_iters"),
        ("--note=two\nlines", "expected one line of text"),
        ("--source=folder", "needs --note"),
        ("--flagfile=", "names no file"),
        ("--flagfile=/none.flags", "--flagfile=/none.flags: No such file or directory"),
        ("--flagfile=/", "--flagfile=/: Is a directory"),
    ],
)
def test_bad_arguments_are_named(argument, message):
    with pytest.raises(InputError, match=message):
        parsed(argument)


def test_flagfile_line_without_dashes_is_refused(tmp_path):
    flagfile = tmp_path / "some.flags"
    flagfile.write_text("--num_iters=5\nlayer_size=8\n--scale=3\n")
    with pytest.raises(InputError, match="'layer_size=8' is not a flag"):
        parsed(f"--flagfile={flagfile}")


def test_flagfile_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "image.flags").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="not text"):
        parsed(f"--flagfile={tmp_path / 'image.flags'}")


@pytest.mark.parametrize(
    ("annotation", "field", "message"),
    [
        (dict, flag(None), r"Broken.x has type .*dict.* use one of bool, int"),
        (int, dataclasses.field(default=1), "Broken.x needs a default and a help"),
        (
            int,
            dataclasses.field(metadata={"help": "No default."}),
            "Broken.x needs a default and a help",
        ),
    ],
)
def test_field_that_makes_no_flag_is_named(annotation, field, message):
    broken = dataclasses.make_dataclass("Broken", [("x", annotation, field)], frozen=True)
    with pytest.raises(TypeError, match=message):
        flagdefs.define(broken, flags.FlagValues())


def test_help_teaches():
    text = flagdefs.help_text(Config, "Which width?\n\n    python launch/grid.py")
    assert text.startswith("Which width?\n\n    python launch/grid.py\n\nFlags")
    assert text.index("Images:") < text.index("--source=") < text.index("Fit:")
    assert "--num_iters=2000\n      Adam steps. (an integer from 1 to 10000)" in text
    assert "--layer_size=28\n      Units of each layer. (an integer of at least 1, rep" in text
    assert "--image_id=kodim01 --image_id=kodim02" in text
    assert "--run_dir=runs/" in text


@pytest.fixture
def main(monkeypatch, tmp_path, capsys):
    """Runs `flagdefs.run` as the script grid.py would; returns the exit code and stderr."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(fn, *args, config=Config):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["launch/grid.py", *args])
        with pytest.raises(SystemExit) as stop:
            flagdefs.run(config, fn)
        return stop.value.code, capsys.readouterr().err

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_run_passes_config_and_run_dir_and_keeps_the_flags(main, tmp_path):
    calls = []
    assert main(lambda *call: calls.append(call), "--num_iters=7") == (0, "")
    assert calls == [(Config(num_iters=7), Path("runs/grid"))]
    text = (tmp_path / "runs/grid/flags.txt").read_text()
    assert text.startswith("# ")
    assert text.endswith(flagdefs.flags_text(Config(num_iters=7)))


def raises(error):
    def fn(*given):
        raise error

    return fn


@pytest.mark.parametrize(
    ("fn", "code", "message"),
    [
        (lambda config, run_dir: 1, 1, None),
        (lambda config, run_dir: run_dir, 0, None),
        (raises(InputError("no image in\n'photos'.")), 2, "no image in 'photos'."),
        (raises(OSError(errno.ENOSPC, "No space left", "a.parquet")), 3, "a.parquet: No space"),
        (raises(OSError("the link broke")), 3, "the link broke"),
        (raises(KeyboardInterrupt), 130, "repeat the command"),
        (lambda config, run_dir: os.kill(os.getpid(), signal.SIGTERM), 143, "repeat the command"),
    ],
)
def test_exit_codes_come_with_one_line(main, fn, code, message):
    got, stderr = main(fn)
    assert got == code
    if message is None:
        assert not stderr
    else:
        assert stderr.startswith("grid: ")
        assert message in stderr
        assert stderr.count("\n") == 1


def test_bad_flag_leaves_nothing_behind(main, tmp_path):
    code, stderr = main(raises(AssertionError), "--num_iters=0")
    assert (code, stderr.count("\n")) == (2, 1)
    assert not list(tmp_path.iterdir())


def test_a_bug_keeps_its_traceback(main):
    with pytest.raises(ZeroDivisionError):
        main(lambda config, run_dir: 1 / 0)


def test_terminated_run_cleans_up(main):
    cleaned = []

    def fn(config, run_dir):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    assert main(fn)[0] == 143
    assert cleaned


def with_run_dir(role):
    return type("Config", (Config,), {"RUN_DIR": role})


@pytest.mark.parametrize(
    ("args", "role"), [(["--dry_run"], "resumed"), ([], "read"), ([], "none")], ids=str
)
def test_run_that_keeps_nothing(main, tmp_path, args, role):
    assert main(lambda *given: None, *args, config=with_run_dir(role)) == (0, "")
    assert not list(tmp_path.iterdir())


def test_a_script_without_a_run_directory_has_no_flag_for_it(main):
    given = []
    config = with_run_dir("none")
    assert main(lambda *values: given.append(values), config=config) == (0, "")
    assert given == [(config(),)]
    code, said = main(lambda config: None, "--run_dir=here", config=config)
    assert code == 2
    assert "run_dir" in said
    assert "--run_dir" not in flagdefs.help_text(config, "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("the link broke")])
def test_what_is_said_of_resuming_is_true(main, error):
    assert "repeat the command to go on." in main(raises(error))[1]
    for role in ("written", "read"):
        said = main(raises(error), config=with_run_dir(role))[1]
        assert "repeat the command to begin again." in said
    codec = type("Codec", (with_run_dir("none"),), {"RESUMES": True})
    assert "repeat the command to go on." in main(raises(error), config=codec)[1]
    assert "resumes" in flagdefs.help_text(Config, "")
    assert "anew" in flagdefs.help_text(with_run_dir("written"), "")


def test_flags_are_kept_once_the_run_has_left_something(main, tmp_path):
    flags_file = tmp_path / "runs/grid/flags.txt"
    main(raises(InputError("no such source")), "--source=phtos")
    main(lambda config, run_dir: (run_dir / "manifest.json").touch(), "--source=photos")
    assert "--source=photos\n" in flags_file.read_text()
    main(lambda config, run_dir: None, "--source=kodak")
    assert "--source=photos\n" in flags_file.read_text()


def test_flags_file_of_someone_else_stays(main, tmp_path):
    (tmp_path / "flags.txt").write_text("# mine\n")
    main(lambda config, run_dir: None, "--run_dir=.")
    assert (tmp_path / "flags.txt").read_text() == "# mine\n"


SCRIPT = '''\
"""How wide?

    python launch/width.py --width=8
"""
import dataclasses, jax, logging
from launch import flagdefs

@dataclasses.dataclass(frozen=True)
class Config:
    width: int = dataclasses.field(default=8, metadata={"help": "Units.", "lower": 1})

def run(config, run_dir):
    logging.basicConfig()  # as some packages do
    logging.getLogger("jaxfleet.folders").warning("2 photographs were left out")
    print(config.width, run_dir, len(jax.devices("cpu")))

if __name__ == "__main__":
    flagdefs.run(Config, run)
'''


def test_as_a_script(tmp_path):
    (tmp_path / "width.py").write_text(SCRIPT)

    def script(*args):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        environment.pop("JAX_NUM_CPU_DEVICES", None)
        environment.pop("XLA_FLAGS", None)
        return subprocess.run(
            [sys.executable, "width.py", *args],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    done = script("--width=16", "--run_dir=here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "2 photographs were left out\n"
    assert done.stdout == f"16 here {len(os.sched_getaffinity(0))}\n"
    asked = script("--help")
    assert asked.returncode == 0
    assert asked.stdout.startswith("How wide?")
    assert "--width=8" in asked.stdout
    assert "logtostderr" not in asked.stdout


def test_the_command_in_the_flags_file_is_quoted(main, tmp_path):
    main(lambda config, run_dir: None, "--run_dir=my runs/a")
    first, *_ = (tmp_path / "my runs/a/flags.txt").read_text().splitlines()
    assert first == "# Repeats this run: python launch/grid.py '--flagfile=my runs/a/flags.txt'"


def test_names_that_are_no_utf8_are_kept(main, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    assert main(lambda config, run_dir: None, f"--source={name}", f"--run_dir={name}")[0] == 0
    assert b"--source=caf\xe9\n" in (tmp_path / name / "flags.txt").read_bytes()
    assert parsed(f"--flagfile={tmp_path / name / 'flags.txt'}").source == name


def test_flagfiles_in_flagfiles(tmp_path):
    (tmp_path / "a.flags").write_text("--num_iters=5\n")
    (tmp_path / "b.flags").write_text(f"--flagfile={tmp_path / 'a.flags'}\n--scale=3\n")
    (tmp_path / "c.flags").write_text(f"--flagfile={tmp_path / 'c.flags'}\n")
    assert parsed("--flagfile", str(tmp_path / "b.flags")) == Config(num_iters=5, scale=3)
    with pytest.raises(InputError, match="reads itself"):
        parsed(f"--flagfile={tmp_path / 'c.flags'}")


def test_shipped_flagfiles_are_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["siren_grid.py"])
    whole = flagdefs.parse(GridConfig, ["--flagfile=collection_twins.flags"])[0]
    assert (whole.sampling, whole.num_trials) == ("random", 1024)  # of a file that it reads
    path = "--flagfile=launch/flagfiles/siren_grid/collection_twins.flags"
    assert flagdefs.parse(GridConfig, [path])[0] == whole
    (tmp_path / "smoke.flags").write_text("--num_iters=7\n")
    mine = flagdefs.parse(GridConfig, ["--flagfile=smoke.flags"])[0]
    assert mine == GridConfig(num_iters=("7",))  # a file of one's own comes first
    with pytest.raises(InputError, match=r"=x.flags: No such file.*by name alone: coll.*, smoke"):
        flagdefs.parse(GridConfig, ["--flagfile=x.flags"])


def test_a_reader_that_has_read_enough_is_no_error(main):
    assert main(raises(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == (141, "")
