"""How flags name things: `[NAME=]SOURCE [KEY=VALUE ...]`.

Data sets, networks, folders of pictures and architectures are named so. Nothing is opened here.
"""

import json
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from jaxfleet.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
_OPTION = re.compile(r"(.*\S)\s+(\w+)=(\S+)", re.DOTALL)


class Named(NamedTuple):
    """The parts of a flag's value.

    Attributes:
        name: empty if none is given.
        source: what stands between the name and the options, which may have spaces.
        options: KEY -> VALUE as text, in the order given.
    """

    name: str
    source: str
    options: dict[str, str]


def parse(text: str, keys: Collection[str] | None = None) -> Named:
    """Split a flag's value into name, source and options.

    Args:
        text: of the flag; spaces around it count, so that a caller who allows them strips it.
        keys: of the options; None for any. What follows with another key belongs to the source.
    """
    options: dict[str, str] = {}
    rest = text
    while (match := _OPTION.fullmatch(rest)) and (keys is None or match[2] in keys):
        rest, key, value = match.groups()
        options = {key: value, **options}
    name, sign, source = rest.partition("=")
    return Named(name, source, options) if sign and is_name(name) else Named("", rest, options)


def is_name(text: str) -> bool:
    """Return whether a text is a name: letters, digits and . _ + -, but no sign first."""
    return _NAME.fullmatch(text) is not None


def value(text: str) -> Any:
    """Return the value of an option: JSON, with tuples for lists, or the text as it stands."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return tuple(found) if isinstance(found, list) else found


def whole(text: str, key: str) -> int:
    """Return the whole number of an option.

    Raises:
        InputError: naming the option.
    """
    if not text.isdecimal():
        raise InputError(f"{text} is no number for {key}.")
    return int(text)
