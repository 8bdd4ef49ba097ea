"""Flagfiles that a script reads, that come with it, and that it leaves beside its results."""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxfleet import storage
from jaxfleet.errors import InputError

_HEADER = "# Repeats this run:"
_FLAGFILES = Path(__file__).parent / "flagfiles"


def expanded(args: Iterable[str], opened: tuple[Path, ...] = ()) -> Iterator[str]:
    """Give the arguments, each --flagfile replaced by the flags in it, files in files too.

    Here rather than by absl, for files in object stores, and shipped ones by their names.
    """
    rest = iter(args)
    for arg in rest:
        flag, sign, name = arg.partition("=")
        if flag.lstrip("-") != "flagfile" or not flag.startswith("-"):
            yield arg
            continue
        name = (name if sign else next(rest, "")).strip()
        if not name:
            raise InputError("--flagfile= names no file.")
        path = _flagfile(name)
        if path in opened:
            raise InputError(f"--flagfile={name} reads itself.")
        try:
            text = path.read_bytes().decode(errors="surrogateescape")  # names need not be UTF-8
        except OSError as error:
            names = ", ".join(shipped())
            hint = f"; found by name alone: {names}" if names else ""
            raise InputError(f"--flagfile={name}: {error.strerror}{hint}.") from None
        lines = [line for each in text.splitlines() if (line := each.strip())]
        if any(line[0] not in "-#" and not _is_utf8(line) for line in lines):
            raise InputError(f"--flagfile={name}: the file is not text.")
        flags_in_file = (line for line in lines if not line.startswith(("#", "//")))
        yield from expanded(flags_in_file, (*opened, path))


def _is_utf8(text: str) -> bool:
    return text == text.encode(errors="ignore").decode()


def _flagfile(name: str) -> Path:
    """Find a flagfile: as it is named, or else among those that come with the script."""
    path = storage.location(name)
    others = (_FLAGFILES / script() / name, _FLAGFILES.parents[1] / name)
    return path if path.exists() else next((one for one in others if one.is_file()), path)


def shipped() -> list[str]:
    """Names of the flagfiles that come with the script."""
    return sorted(path.name for path in (_FLAGFILES / script()).glob("*.flags"))


def is_command() -> bool:
    """Return whether the script runs as a module, as the command `jaxfleet` runs it."""
    spec = sys.modules["__main__"].__spec__
    return spec is not None and spec.name.startswith("launch.")


def as_commands(text: str) -> str:
    """Write `python launch/NAME.py` as `jaxfleet NAME`, and shipped flagfiles by their names."""
    text = re.sub(r"--flagfile=launch/flagfiles/\w+/", "--flagfile=", text)
    return re.sub(r"python launch/(\w+)\.py", r"jaxfleet \1", text)


def save(run_dir: Path, text: str) -> None:
    """Leave `flags.txt` in a run directory that holds nothing yet.

    A folder with anything else in it may be someone else's, and a file that is there stays, except
    our own in a run that never got as far as leaving more: its flags were most likely mended since.
    """
    storage.make_folder(run_dir, "--run_dir")
    path = run_dir / "flags.txt"
    alone = all(name == path.name for name in storage.names(run_dir, hidden=True))
    if not alone or (path.exists() and not path.read_bytes().startswith(_HEADER.encode())):
        return
    command = f"python launch/{script()}.py {shlex.quote(f'--flagfile={path}')}"
    if is_command():
        command = as_commands(command)
    path.write_bytes(f"{_HEADER} {command}\n{text}".encode(errors="surrogateescape"))


def script() -> str:
    """Return the name of the script that runs, without its suffix."""
    return Path(sys.argv[0]).stem
