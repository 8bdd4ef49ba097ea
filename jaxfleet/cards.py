"""Arrays and a card in one .safetensors file: the format of everything that we write to be read.

    CARDS = cards.CardKind("jaxsr.attributor", "classifier", "fit it again", version=1)
    CARDS.write(path, {"facts": facts}, arrays)
    card, arrays = CARDS.read(path)

The card is JSON, the only entry of the file's metadata; it states the version of the kind, and a
checksum of itself and of the arrays. Nothing in a file is ever run.
"""

import contextlib
import dataclasses
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxfleet import storage
from jaxfleet.errors import InputError

Arrays = dict[str, np.ndarray]
_CHECKSUM, _FORMAT = "crc32", "format"


@dataclasses.dataclass(frozen=True)
class CardKind:
    """A kind of file.

    Attributes:
        entry: of the metadata, which the card stands in.
        noun: what a file of this kind holds, for messages.
        remedy: what to do about a file that cannot be used, for messages.
        version: of the format; None for a kind that has none.
    """

    entry: str
    noun: str
    remedy: str
    version: int | None = None

    def pack(self, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
        """Return the content of a file; the same bytes for the same card and arrays.

        Raises:
            TypeError: if the card is not JSON-able.
        """
        from safetensors import numpy as safetensors

        whole = dict(card) if self.version is None else {_FORMAT: self.version, **card}
        whole = json.loads(json.dumps(whole))  # as it will be read
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        # A single entry: the library writes several in any order.
        text = json.dumps({**whole, _CHECKSUM: checksum(whole, contiguous)}, sort_keys=True)
        return safetensors.save(contiguous, {self.entry: text})

    def unpack(self, data: bytes, name: str) -> tuple[dict[str, Any], Arrays]:
        """Return card and arrays of a file's content: the inverse of `pack`.

        Args:
            data: content of a file.
            name: of the file, for messages.

        Raises:
            InputError: if the data are damaged, of another kind or of another version.
        """
        import safetensors
        from safetensors import numpy as safetensors_numpy

        try:
            arrays = safetensors_numpy.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        except (safetensors.SafetensorError, LookupError, TypeError, ValueError):
            raise InputError(f"{name} is damaged, or no {self.noun}; {self.remedy}.") from None
        text = (header.get("__metadata__") or {}).get(self.entry)
        if text is None:
            raise InputError(f"{name} holds no {self.noun}; {self.remedy}.")
        with self.reading(name):
            card: dict[str, Any] = json.loads(text)
            claimed = card.pop(_CHECKSUM)
            version = None if self.version is None else card.pop(_FORMAT)
        if version != self.version:
            raise InputError(
                f"{name} holds a version {version} {self.noun}, not {self.version}; {self.remedy}."
            )
        whole = card if version is None else {_FORMAT: version, **card}
        if claimed != checksum(whole, arrays):
            raise self._changed(name)
        return card, arrays

    def write(self, path: Path, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Write a file; readers see the one that was there or all of this.

        Raises:
            TypeError: if the card is not JSON-able.
            OSError: naming the file; an existing file stays unchanged.
        """
        storage.write_atomically(path, self.pack(card, arrays))

    def read(self, path: Path) -> tuple[dict[str, Any], Arrays]:
        """Return card and arrays of a file.

        Raises:
            InputError: one line that names the file, if it is missing or as `unpack`.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror or error}. Give the file of a {self.noun}."
            ) from None
        return self.unpack(data, str(path))

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Name the file where what it holds does not make a thing of this kind.

        Args:
            name: of the file.

        Raises:
            InputError: in place of what missing or unfit entries raise.
        """
        try:
            yield
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        except (AttributeError, LookupError, TypeError, ValueError):
            raise self._changed(name) from None

    def _changed(self, name: str) -> InputError:
        return InputError(f"{name} is damaged: what it holds has changed; {self.remedy}.")


def checksum(card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of a card, and of names, dtypes, shapes and values of arrays."""
    found = zlib.crc32(json.dumps(card, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), found)
        found = zlib.crc32(array.tobytes(), found)
    return found
