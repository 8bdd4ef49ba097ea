"""Fields of a configuration, a frozen dataclass, that become flags of a script."""

import dataclasses
from typing import Any

from jaxfleet.errors import InputError


def flag(
    default: Any,
    help: str,
    *,
    lower: float | None = None,
    upper: float | None = None,
    choices: tuple[Any, ...] | None = None,
    group: str | None = None,
    saved: bool | None = None,
) -> Any:
    """Return a dataclass field with what its flag needs.

    Args:
        default: value without the flag.
        help: its text in `--help`.
        lower: least value.
        upper: greatest value.
        choices: the values that are allowed.
        group: heading of `--help` for this field and those after it.
        saved: False where the flag says where a run takes place rather than what it does, so that
            `flags.txt` leaves it out.
    """
    known = {"lower": lower, "upper": upper, "choices": choices, "group": group, "saved": saved}
    given = {name: value for name, value in known.items() if value is not None}
    return dataclasses.field(default=default, metadata={"help": help, **given})


def check_values(config: Any, *names: str, once: bool = False) -> None:
    """Check that flags which may be repeated have a value, and with `once` none twice.

    Raises:
        InputError: naming the flag.
    """
    for name in names:
        values = getattr(config, name)
        if not values:
            raise InputError(f"--{name} has no value; give at least one.")
        if once and len(set(values)) < len(values):
            raise InputError(f"--{name} names one value twice; give each once.")
