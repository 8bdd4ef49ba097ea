"""Arrays and a card in one .safetensors file: the card is JSON, and has a checksum of both."""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def pack(entry: str, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a file; the same bytes for the same card and arrays.

    Args:
        entry: of the metadata, which the card stands in together with its checksum, `crc32`.
        card: JSON-able.
        arrays: contiguous.

    Raises:
        TypeError: if the card is not JSON-able.
    """
    from safetensors import numpy as safetensors

    card = json.loads(json.dumps(card))  # as it will be read
    # A single entry: the library writes several in any order.
    text = json.dumps({**card, "crc32": checksum(card, arrays)}, sort_keys=True)
    return safetensors.save(dict(arrays), {entry: text})


@dataclasses.dataclass(frozen=True, eq=False)
class Content:
    """Of a file.

    Attributes:
        card: without its checksum; empty where it is no JSON object, None where there is none.
        arrays: by their names.
        is_whole: whether card and arrays are what the checksum is of.
    """

    card: dict[str, Any] | None
    arrays: dict[str, np.ndarray]
    is_whole: bool


def unpack(entry: str, data: bytes) -> Content:
    """The inverse of `pack`; nothing in a file is ever run.

    Raises:
        ValueError: if the data are no .safetensors file, or cut off.
    """
    import safetensors
    from safetensors import numpy as safetensors_numpy

    try:
        arrays = safetensors_numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (safetensors.SafetensorError, LookupError, TypeError) as error:
        raise ValueError(str(error)) from None
    text = (header.get("__metadata__") or {}).get(entry)
    if text is None:
        return Content(None, arrays, False)
    try:
        card = json.loads(text)
        claimed = card.pop("crc32")
    except (AttributeError, LookupError, TypeError, ValueError):
        return Content({}, arrays, False)
    return Content(card, arrays, claimed == checksum(card, arrays))


def checksum(card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of a card without its checksum, and of names, dtypes, shapes and values of arrays."""
    found = zlib.crc32(json.dumps(card, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), found)
        found = zlib.crc32(array.tobytes(), found)
    return found
