"""What adding a network to a gallery would do, tried before it is done."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxsr.gallery.core import ClassCard, Gallery
from jaxsr.gallery.state import State


class Rehearsal(NamedTuple):
    """What adding a network would do: see `rehearse`.

    right: pictures left out that are named rightly.
    left_out: how many there are.
    called_before: photographs that are called a network's without the network.
    called_after: and with it.
    photographs: how many there are.
    """

    right: int
    left_out: int
    called_before: int
    called_after: int
    photographs: int

    @property
    def is_harmful(self) -> bool:
        """Whether more photographs would be called a network's, or few pictures be named."""
        return self.called_after > self.called_before or 2 * self.right < self.left_out

    def __str__(self) -> str:
        """Say it in words."""
        return (
            f"{self.right} of {self.left_out} pictures left out are named; of {self.photographs} "
            f"photographs {self.called_before} were called a network's, {self.called_after} are now"
        )


def rehearse(
    gallery: Gallery, name: str, images: Iterable[np.ndarray], photographs: Sequence[np.ndarray]
) -> Rehearsal:
    """Add a network by three quarters of its pictures, and ask about the others.

    Args:
        gallery: without the network.
        name: of the network.
        images: as of `Gallery.add`.
        photographs: [H, W, 3] uint8 each, which no network made.

    Raises:
        InputError: as of `Gallery.add`.
    """
    pictures = gallery.checked_pictures(name, images)
    left_out = pictures[::4]
    tried = gallery.with_class(ClassCard(name), [x for i, x in enumerate(pictures) if i % 4])

    def called(one: Gallery) -> int:
        found = (one.compared(photograph, State()) for photograph in photographs)
        return sum(bool(answer.is_super_resolved) for answer in found)

    right = sum(tried.compared(picture, State()).network == name for picture in left_out)
    return Rehearsal(right, len(left_out), called(gallery), called(tried), len(photographs))
