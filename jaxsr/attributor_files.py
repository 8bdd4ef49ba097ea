"""Attributors in files: .safetensors, with arrays of the attributor.

    attributor_files.save(attributor, "spectrum.safetensors")
    attributor = attributor_files.load("spectrum.safetensors")

The metadata has one entry, `jaxsr.attributor`, JSON: version of the format, facts of the
attributor, other facts, and a checksum of these and the arrays. Nothing in a file is ever run.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxfleet import places
from jaxfleet.errors import InputError
from jaxsr import attribution, cards
from jaxsr.attribution import Attributor

FORMAT = 1
_ENTRY = "jaxsr.attributor"
_REMEDY = "remove it and fit it again"


def save(
    attributor: Attributor, path: str | os.PathLike[str], facts: Mapping[str, Any] | None = None
) -> None:
    """Writes a .safetensors file that `load` reads.

    Args:
        attributor: what `attribution.fit` gave.
        path: of the file; readers see the one that was there or all of this.
        facts: anything else to keep with it that JSON can hold; `facts_of` reads it.

    Raises:
        TypeError: if the facts are not JSON-able.
        OSError: naming the file; the one that was there stays.
    """
    arrays, own = attribution.to_arrays(attributor)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    card = {"format": FORMAT, "attributor": own, "facts": dict(facts or {})}
    places.write_atomically(places.place(os.fspath(path)), cards.pack(_ENTRY, card, arrays))


def load(path: str | os.PathLike[str]) -> Attributor:
    """The attributor of a file that `save` wrote.

    Raises:
        InputError: one line that names the file, if it is missing, damaged, foreign or of another
            version.
    """
    arrays, card = _read(path)
    try:
        return attribution.from_arrays(arrays, card["attributor"])
    except (LookupError, TypeError, ValueError):
        raise InputError(f"{path} holds no attributor of this version; {_REMEDY}.") from None


def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The facts that `save` was given; raises as `load`."""
    return dict(_read(path)[1]["facts"])


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and card of a file, checked to be whole."""
    try:
        data = places.place(os.fspath(path)).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}. Name an attributor's file.") from None
    try:
        content = cards.unpack(_ENTRY, data)
        card = content.card or {}
        version = card["format"]
    except (LookupError, ValueError):
        raise InputError(f"{path} holds no attributor, or is damaged; {_REMEDY}.") from None
    if version != FORMAT:
        raise InputError(
            f"{path} holds an attributor of version {version}, not {FORMAT}; {_REMEDY}."
        )
    if not content.is_whole:
        raise InputError(f"{path} is damaged: what it holds has changed; {_REMEDY}.")
    return content.arrays, card
