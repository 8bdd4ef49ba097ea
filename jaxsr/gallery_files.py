"""Galleries in files: .safetensors, with arrays of the attributor and of the gallery in one.

Arrays of the attributor are called `attributor/NAME`, those of the parser `parser/NAME`. The
metadata has one entry, `jaxsr.gallery`, JSON: version of the format, facts of the attributor and of
the parser, cards of the classes, calibration, and a checksum of these and the arrays. Nothing in a
file is ever run.
"""

import dataclasses
import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxfleet import places
from jaxfleet.errors import InputError
from jaxsr import attribution, cards, crop_regression
from jaxsr.gallery import ClassCard, Gallery
from jaxsr.open_set import Gaussians
from jaxsr.parsing import Parser

FORMAT = 2
NAME = "gallery.safetensors"  # in a run directory
_ENTRY = "jaxsr.gallery"
_ATTRIBUTOR, _PARSER = "attributor/", "parser/"
_GAUSSIANS = tuple(field.name for field in dataclasses.fields(Gaussians))
_NUMBERS = ("temperature", "growth", "threshold", "least_probability")
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


def read(path: Path) -> Gallery:
    """The gallery in a file, checked to be whole.

    Raises:
        InputError: one line that names the file, if it cannot be read, is damaged, foreign, or of
            another version of the format.
    """
    try:
        return from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}. Name a gallery's file.") from None


def to_bytes(gallery: Gallery) -> bytes:
    """A gallery as the content of a file; the same bytes for the same gallery.

    Raises:
        TypeError: if facts of the gallery or of a class are not JSON-able.
    """
    of_attributor, attributor_facts = attribution.to_arrays(gallery.attributor)
    arrays = {_ATTRIBUTOR + name: array for name, array in of_attributor.items()}
    parser = gallery.parser
    if parser is not None:
        arrays |= {_PARSER + name: own for name, own in parser.regression.to_arrays().items()}
    for name in _GAUSSIANS:
        arrays[name] = getattr(gallery.gaussians, name).astype(np.float32)
    arrays["spectra"] = gallery.spectra
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    card = {
        "format": FORMAT,
        "attributor": attributor_facts,
        "classes": [
            {"name": one.name, "kind": one.kind, "facts": dict(one.facts)} for one in gallery.cards
        ],
        **{name: getattr(gallery, name) for name in _NUMBERS},
        "facts": dict(gallery.facts),
        "parser": parser
        and {"values": dict(parser.values), "temperatures": dict(parser.temperatures)},
    }
    return cards.pack(_ENTRY, card, arrays)


def from_bytes(data: bytes, name: str) -> Gallery:
    """The inverse of `to_bytes`.

    Args:
        data: content of a file.
        name: of the file, for messages.

    Raises:
        InputError: as `read`.
    """
    try:
        content = cards.unpack(_ENTRY, data)
    except ValueError:
        raise InputError(
            f"{name} is damaged, or no gallery; copy it again, or {_REMEDY}."
        ) from None
    if content.card is None or "format" not in content.card:
        raise InputError(f"{name} holds no gallery; name one of launch/sr_gallery.py.")
    version = content.card["format"]
    if version != FORMAT:
        raise InputError(f"{name} is a gallery of version {version}, not {FORMAT}; {_REMEDY}.")
    try:
        if not content.is_whole:
            raise ValueError("checksum")
        return _gallery(content.card, content.arrays)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise InputError(
            f"{name} is damaged: what it holds has changed; copy it again, or {_REMEDY}."
        ) from None


def _gallery(card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Gallery:
    return Gallery(
        attribution.from_arrays(_within(_ATTRIBUTOR, arrays), card["attributor"]),
        tuple(ClassCard(**one) for one in card["classes"]),
        Gaussians(**{name: arrays[name].astype(np.float64) for name in _GAUSSIANS}),
        **{name: card[name] for name in _NUMBERS},
        spectra=arrays["spectra"],
        facts=card["facts"],
        parser=_parser(card["parser"], _within(_PARSER, arrays)),
    )


def _parser(card: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray]) -> Parser | None:
    if card is None:
        return None
    values = {name: tuple(own) for name, own in card["values"].items()}
    return Parser(values, card["temperatures"], crop_regression.from_arrays(arrays))


def _within(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
