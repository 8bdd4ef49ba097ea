"""Galleries in files: where they lie, and their format, that of `jaxfleet.cards`.

The card and the arrays are those of `Gallery.to_arrays`.
"""

import importlib.resources
import os
from pathlib import Path

from jaxfleet import storage
from jaxfleet.cards import CardKind
from jaxfleet.errors import InputError

NAME = "gallery.safetensors"  # in a run directory
CARDS = CardKind(
    "jaxsr.gallery", "gallery", "copy it again, or make it with launch/sr_gallery.py", version=4
)


def find(path: str | os.PathLike[str] | None) -> Path:
    """Find the file of a gallery.

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
    place = storage.location(os.fspath(path))
    if place.is_dir():
        place = place / NAME
    if not place.is_file():
        raise InputError(f"{place}: there is no gallery; name one of launch/sr_gallery.py.")
    return place
