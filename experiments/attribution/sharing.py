"""Features of pictures, computed once for all classifiers that learn from them."""

import dataclasses
from collections.abc import Callable

import pandas as pd

from jaxfleet.progress import Progress
from jaxsr.attribution import methods as attribution
from jaxsr.attribution.methods import CropFeatures
from jaxsr.datasets.picture_sets import Pictures, PictureSet


@dataclasses.dataclass(frozen=True, eq=False)
class SharedFeatures:
    """Features of pictures.

    Attributes:
        files: names of the pictures, in their order.
        extracted: from `jaxsr.attribution.methods.extract_features`.
    """

    files: pd.Index
    extracted: CropFeatures

    def of(self, pictures: PictureSet) -> CropFeatures:
        """Return the features of some of the pictures, in their order."""
        return self.extracted.of(self.files.get_indexer(pictures.index["file"]))


def share(
    method: str,
    pictures: PictureSet,
    *,
    crop_px: int,
    progress: Callable[[float], object] | None = None,
) -> SharedFeatures | None:
    """Compute the features of a method for images; None if it learns from pixels.

    Raises:
        InputError: as `jaxsr.attribution.methods.extract_features`.
    """
    extracted = attribution.extract_features(
        method, Pictures(pictures), crop_px=crop_px, progress=progress
    )
    return (
        None if extracted is None else SharedFeatures(pd.Index(pictures.index["file"]), extracted)
    )


def progress_callback(display: Progress, count: int) -> Callable[[float], None]:
    """Return a callback that passes the part done, 0 to 1, of so many images to the display.

    A part that is less than one before, as where a training is taken up, counts for nothing.
    """
    told = 0.0

    def tell(part: float) -> None:
        nonlocal told
        display.update(count * max(0.0, part - told))
        told = max(told, part)

    return tell
