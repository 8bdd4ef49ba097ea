"""Galleries in files: .safetensors, with the arrays and facts of `Gallery.to_arrays`.

The metadata has one entry, `jaxsr.gallery`, JSON: version of the format, the facts, and a checksum
of these and the arrays. Nothing in a file is ever run.
"""

import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxfleet import places
from jaxfleet.errors import InputError
from jaxsr import cards

FORMAT = 2
NAME = "gallery.safetensors"  # in a run directory
_ENTRY = "jaxsr.gallery"
_REMEDY = "make it again with launch/sr_gallery.py"


def find(path: str | os.PathLike[str] | None) -> Path:
    """The file of a gallery.

    Args:
        path: the file, or the run directory that it lies in; None for the one that comes with
            jaxsr.

    Raises:
        InputError: if there is none.
    """
    if path is None:
        packaged = Path(str(importlib.resources.files("jaxsr"))) / "data" / NAME
        if not packaged.is_file():
            raise InputError(
                "No gallery comes with this installation of jaxsr; make one with "
                "launch/sr_gallery.py and name it."
            )
        return packaged
    place = places.place(os.fspath(path))
    if place.is_dir():
        place = place / NAME
    if not place.is_file():
        raise InputError(f"{place}: there is no gallery; name one of launch/sr_gallery.py.")
    return place


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the card and the arrays of a file, checked to be whole.

    Raises:
        InputError: one line that names the file, if it cannot be read, is damaged, foreign, or of
            another version of the format.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}. Name a gallery's file.") from None
    try:
        content = cards.unpack(_ENTRY, data)
    except ValueError:
        raise InputError(
            f"{path} is damaged, or no gallery; copy it again, or {_REMEDY}."
        ) from None
    if content.card is None or "format" not in content.card:
        raise InputError(f"{path} holds no gallery; name one of launch/sr_gallery.py.")
    version = content.card["format"]
    if version != FORMAT:
        raise InputError(f"{path} is a gallery of version {version}, not {FORMAT}; {_REMEDY}.")
    if not content.is_whole:
        raise damaged(path)
    return content.card, content.arrays


def damaged(path: Path) -> InputError:
    """Return the error of a file whose content has changed since it was written."""
    return InputError(f"{path} is damaged: what it holds has changed; copy it again, or {_REMEDY}.")


def to_bytes(card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of a file that `read` reads; the same bytes for the same gallery.

    Raises:
        TypeError: if the card is not JSON-able.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return cards.pack(_ENTRY, {"format": FORMAT, **card}, contiguous)
