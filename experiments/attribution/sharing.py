"""What a method sees of pictures, computed once for all classifiers that learn from it."""

import dataclasses
from collections.abc import Callable

import pandas as pd

from jaxfleet.progress import Progress
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.methods import Described
from jaxsr.datasets.picture_sets import Pictures, PictureSet


@dataclasses.dataclass(frozen=True, eq=False)
class SharedFeatures:
    """What a method sees of pictures.

    Attributes:
        files: of the pictures, in their order.
        described: of `jaxsr.attribution.methods.describe`.
    """

    files: pd.Index
    described: Described

    def of(self, pictures: PictureSet) -> Described:
        """Of some of the pictures, in their order."""
        return self.described.of(self.files.get_indexer(pictures.index["file"]))


def share(
    method: str,
    pictures: PictureSet,
    *,
    crop_px: int,
    progress: Callable[[float], object] | None = None,
) -> SharedFeatures | None:
    """Compute the features of a method for images; None if it learns from pixels.

    Raises:
        InputError: as `jaxsr.attribution.methods.describe`.
    """
    described = attribution.describe(method, Pictures(pictures), crop_px=crop_px, progress=progress)
    return (
        None if described is None else SharedFeatures(pd.Index(pictures.index["file"]), described)
    )


def teller(display: Progress, count: int) -> Callable[[float], None]:
    """Return a callback that passes the part done, 0 to 1, of so many images to the display.

    A part that is less than one before, as where a training is taken up, counts for nothing.
    """
    told = 0.0

    def tell(part: float) -> None:
        nonlocal told
        display.update(count * max(0.0, part - told))
        told = max(told, part)

    return tell
