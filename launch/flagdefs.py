r"""Flags of a script from its frozen dataclass, and the script's main entry.

The dataclass owns names, types, defaults and help, in fields of `jaxfleet.scripts.options.flag`:

    @dataclasses.dataclass(frozen=True)
    class GridConfig:
        layer_size: tuple[int, ...] = flag((28,), "Units of each sine layer.", lower=1)

A tuple is a flag that may be repeated. Its values add up, those of a flagfile too; `--layer_size=`
forgets the ones before it. A field of type `X | None` is None until its flag is given.

The class attribute `RUN_DIR` says what the script does with its run directory: "resumed" (also
where it is absent): the same command goes on with an unfinished run; "written": it begins again;
"read": the directory is there already; "none": the script has no such directory, nor the flag.
`RESUMES = True` says that it goes on all the same.

Exit codes: 0 complete, 2 something the user can mend, 3 the system refused (disk full, no
permission), 130 interrupted, 143 terminated. These come with one line on stderr. 141, without one:
the program that read the output has ended.
"""

import dataclasses
import logging
import math
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_type_hints

from absl import flags

from launch import _flagfiles
from launch._flagfiles import script

from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.scripts import compiled, memory, process

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

# Type of a field -> type of one value, whether the flag repeats.
_KINDS: dict[Any, tuple[type, bool]] = {
    bool: (bool, False),
    int: (int, False),
    float: (float, False),
    str: (str, False),
    int | None: (int, False),
    float | None: (float, False),
    str | None: (str, False),
    tuple[int, ...]: (int, True),
    tuple[float, ...]: (float, True),
    tuple[str, ...]: (str, True),
}
_NOUNS = {bool: "true or false", int: "an integer", float: "a number", str: "one line of text"}
_HELP_FLAGS = {"-h", "-help", "--help", "--helpshort", "--helpfull"}
_RUN_DIR_HELP = {
    "resumed": "Folder of the run. The same command on the same folder resumes an unfinished run.",
    "written": "Folder of the results. The same command on the same folder makes them anew.",
    "read": "Folder of the run that is read.",
}


def define(config_class: type[Config], flag_values: flags.FlagValues) -> Callable[[], Config]:
    """Register one flag per field of a frozen dataclass; return a function that builds it.

    Args:
        config_class: a dataclass whose every field has a default and `help` in its metadata.
        flag_values: where the flags go; the builder reads them once they are parsed.

    Raises:
        TypeError: if a field has no default, no help, or a type for which there is no flag.
    """
    specs = _specs(config_class)
    for spec in specs:
        common: dict[str, Any] = {"default": spec.default, "help": spec.help}
        if spec.kind is bool:
            flags.DEFINE_bool(spec.name, **common, flag_values=flag_values)
        else:
            definer: Any = flags.DEFINE_multi if spec.repeats else flags.DEFINE
            definer(
                _FieldParser(spec),
                name=spec.name,
                **common,
                serializer=None,
                flag_values=flag_values,
            )

    def build() -> Config:
        values: dict[str, Any] = {spec.name: flag_values[spec.name].value for spec in specs}
        for spec in specs:
            if spec.repeats:
                values[spec.name] = _after_last_none(values[spec.name])
        return config_class(**values)

    return build


def parse(config_class: type[Config], args: Sequence[str]) -> tuple[Config, Path]:
    """Parse command-line arguments, without the program's name.

    Returns:
        The configuration, and the run directory, which means nothing if the script has none.

    Raises:
        InputError: for an unknown flag, a bad value, a stray argument, a flagfile that cannot be
            read, or values that the dataclass itself refuses.
    """
    flag_values = flags.FlagValues()
    build = define(config_class, flag_values)
    if _role(config_class) != "none":
        flags.DEFINE_string("run_dir", _default_run_dir(), "", flag_values=flag_values)
    args = list(_flagfiles.expanded(args))
    try:
        _, *stray = flag_values([sys.argv[0], *args])
    except (flags.Error, ValueError) as error:
        raise InputError(f"{error} (--help lists the flags)") from None
    if stray:
        raise InputError(
            f"{stray[0]!r} is not a flag: write --name=value, also on each line of a flagfile."
        )
    run_dir = flag_values["run_dir"].value if "run_dir" in flag_values else "."
    try:
        return build(), storage.location(str(run_dir))
    except ValueError as error:
        raise InputError(str(error)) from error


def flags_text(config: "DataclassInstance") -> str:
    """Return the lines of a flagfile that gives this configuration, every field spelled out."""
    lines: list[str] = []
    for spec in _specs(type(config)):
        value = getattr(config, spec.name)
        if not spec.saved:
            continue
        if spec.repeats:
            lines += spec.as_flags(value or (None,))
        elif value is not None:
            lines += spec.as_flags((value,))
    return "".join(f"{line}\n" for line in lines)


def help_text(config_class: type["DataclassInstance"], doc: str | None) -> str:
    """Return what `--help` prints: the script's docstring, then its flags and their defaults."""
    paragraphs = [(doc or "").strip(), "Flags, with their defaults:"]
    for spec in _specs(config_class):
        if spec.group:
            paragraphs.append(f"{spec.group}:")
        values = spec.default if spec.repeats else (spec.default,)
        paragraphs.append(
            _help_entry(
                " ".join(spec.as_flags(values or (None,))),
                f"{spec.help} ({spec.expected}{', repeatable' if spec.repeats else ''})",
            )
        )
    paragraphs.append("General:")
    if (role := _role(config_class)) != "none":
        paragraphs.append(_help_entry(f"--run_dir={_default_run_dir()}", _RUN_DIR_HELP[role]))
    shipped = ", ".join(_flagfiles.shipped())
    paragraphs.append(
        _help_entry(
            "--flagfile=FILE",
            "Reads flags from a file, one --name=value a line, # for comments. What comes later "
            "wins, so put changes after it; repeatable flags add up, and --name= forgets the "
            "values before it."
            + (f" Found by name alone, from any folder: {shipped}." if shipped else ""),
        )
    )
    return "\n\n".join(paragraphs)


def run(
    config_class: type[Config], fn: Callable[..., object], *, uses_jax: bool = True
) -> NoReturn:
    """Run a script: read the flags, call `fn(config, run_dir)`, and exit.

    A script without a run directory has `fn(config)`. A run directory that is not only read keeps
    `flags.txt`, unless the configuration has `dry_run` set.

    On the CPU JAX gets one device per core, unless JAX_NUM_CPU_DEVICES says otherwise, and memory
    that it frees is kept for the next program (`jaxfleet.scripts.memory`). Programs that it
    compiles are kept for the next process (`jaxfleet.scripts.compiled`).

    Args:
        config_class: the frozen dataclass that owns the flags.
        fn: does the work. A str that it returns is the script's answer and goes to standard
            output; an int is the exit code (1: finished, but incomplete).
        uses_jax: False for a script that need not wait for JAX.
    """
    role = _role(config_class)
    resumes = getattr(config_class, "RESUMES", role == "resumed")
    again = f"repeat the command to {'go on' if resumes else 'begin again'}"
    process.print_any_name()
    logging.basicConfig(format="%(message)s")  # before a package that would name its own modules
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if _HELP_FLAGS & set(sys.argv[1:]):
            text = help_text(config_class, sys.modules["__main__"].__doc__)
            print(_flagfiles.as_commands(text) if _flagfiles.is_command() else text, flush=True)
            sys.exit(0)
        config, run_dir = parse(config_class, sys.argv[1:])
        if uses_jax:
            memory.keep_freed_memory()
            _use_every_core()
            compiled.keep_programs()
        process.heed_ctrl_c()
        if role in ("resumed", "written") and not getattr(config, "dry_run", False):
            _flagfiles.save(run_dir, flags_text(config))
        with process.answering_signals(script(), again):
            result = fn(config) if role == "none" else fn(config, run_dir)
        if isinstance(result, str):
            print(result)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        process.drop_output()
        sys.exit(128 + signal.SIGPIPE)
    except InputError as error:
        _fail(2, str(error))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _fail(3, f"{reason}. Put that right, then {again}.")
    except KeyboardInterrupt:
        _fail(128 + signal.SIGINT, f"interrupted; {again}.")
    except _Terminated:
        _fail(128 + signal.SIGTERM, f"terminated; {again}.")
    sys.exit(result if type(result) is int else 0)


@dataclasses.dataclass(frozen=True)
class _Spec:
    """What a field says of its flag. `kind` is the type of one value."""

    name: str
    kind: type
    repeats: bool
    default: Any
    help: str
    lower: float | None = None
    upper: float | None = None
    choices: tuple[Any, ...] | None = None
    group: str | None = None
    saved: bool = True

    @property
    def expected(self) -> str:
        """What the flag takes, in words."""
        if self.choices is not None:
            return f"one of {', '.join(str(choice) for choice in self.choices)}"
        noun = _NOUNS[self.kind]
        if self.lower is not None and self.upper is not None:
            return f"{noun} from {self.lower} to {self.upper}"
        if self.lower is not None:
            return f"{noun} of at least {self.lower}"
        return noun if self.upper is None else f"{noun} of at most {self.upper}"

    def allows(self, value: Any) -> bool:
        """Whether a value of the right kind is within the choices and bounds; NaN never is."""
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, str):
            return len(value.splitlines()) < 2
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return False  # more than the columns of any table hold
        lower = -math.inf if self.lower is None else self.lower
        return lower <= value <= (math.inf if self.upper is None else self.upper)

    def as_flags(self, values: Sequence[Any]) -> list[str]:
        """`--name=value` for each value; None stands for nothing after the sign."""
        texts = ("" if value is None else str(value) for value in values)
        if self.kind is bool:
            texts = (text.lower() for text in texts)
        return [f"--{self.name}={text}" for text in texts]


class _FieldParser(flags.ArgumentParser):
    """Text of one flag to one value of its field."""

    def __init__(self, spec: _Spec) -> None:
        self.spec = spec

    def parse(self, argument: Any) -> Any:
        """Return the value of a flag or default; None where a repeatable flag starts afresh."""
        if self.spec.repeats and argument == "":
            return None
        try:
            value = self.spec.kind(argument)
        except ValueError:
            value = math.nan
        if isinstance(value, str):
            value = value.strip()  # as a flagfile does, so that flags.txt repeats the run
        if not self.spec.allows(value):
            raise ValueError(f"expected {self.spec.expected}")
        return value


class _Terminated(SystemExit):
    """SIGTERM, as an exception, so that `finally` blocks run."""


def _terminate(signum: int, frame: object) -> NoReturn:
    raise _Terminated(128 + signum)


def _specs(config_class: type["DataclassInstance"]) -> list[_Spec]:
    types = get_type_hints(config_class)
    specs = []
    for field in dataclasses.fields(config_class):
        label = f"{config_class.__name__}.{field.name}"
        if types[field.name] not in _KINDS:
            raise TypeError(
                f"{label} has type {types[field.name]}, for which there is no flag; use one of "
                f"{', '.join(getattr(kind, '__name__', str(kind)) for kind in _KINDS)}."
            )
        if field.default is dataclasses.MISSING or "help" not in field.metadata:
            raise TypeError(f'{label} needs a default and a help text: flag(default, "...")')
        kind, repeats = _KINDS[types[field.name]]
        specs.append(_Spec(field.name, kind, repeats, field.default, **field.metadata))
    return specs


def _role(config_class: type["DataclassInstance"]) -> str:
    """Return what the script does with its run directory: see the module."""
    return str(getattr(config_class, "RUN_DIR", "resumed"))


def _after_last_none(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the values after the last `--name=`, which is None among them."""
    kept: list[Any] = []
    for value in values:
        kept = [] if value is None else [*kept, value]
    return tuple(kept)


def _help_entry(flag: str, text: str) -> str:
    return f"  {flag}\n" + textwrap.indent(textwrap.fill(text, 92), " " * 6)


def _default_run_dir() -> str:
    """`runs/<script>`: the same each time, so that repeating a command resumes it."""
    return f"runs/{script()}"


def _use_every_core() -> None:
    """Give JAX one CPU device per core of this process, unless that was chosen already."""
    import jax

    from jaxfleet.trainer import usable_cores

    by_xla = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    chosen: int = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]  # set at run time
    if chosen < 0 and not by_xla:
        jax.config.update("jax_num_cpu_devices", usable_cores())


def _fail(code: int, message: str) -> NoReturn:
    print(f"{script()}: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(code)
