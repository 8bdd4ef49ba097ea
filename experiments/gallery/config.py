"""Flags of the making of a gallery."""

import dataclasses
from dataclasses import field
from typing import Any, ClassVar

from jaxfleet.errors import InputError
from jaxsr.attribution.table import METHODS, check_options, options_of
from jaxsr.datasets.crops import CROP_PX
from jaxsr.fingerprints.phase_autocorrelation import PERIOD


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """Flags of `launch/sr_gallery.py`."""

    RUN_DIR: ClassVar[str] = "written"

    pictures: str = field(
        default="runs/sr_images",
        metadata={
            "help": "Run directory of launch/sr_images.py. Its split train is learnt from, "
            "validation calibrates, test says how good the gallery is."
        },
    )
    method: str = field(
        default="linear",
        metadata={
            "help": "Whose features pictures are compared by.",
            "choices": METHODS,
        },
    )
    crop_px: int = field(
        default=CROP_PX,
        metadata={"help": "Side of a tile: the smallest picture that can be told.", "lower": 16},
    )
    linear_period: int = field(
        default=PERIOD,
        metadata={
            "help": "Of method linear: pixels after which the grid of up-sampling repeats itself, "
            "a multiple of the scales. 4 serves 2 and 4, 12 serves 3 too. Tiles must be a multiple "
            "of it.",
            "lower": 1,
        },
    )
    seed: int = field(
        default=0,
        metadata={"help": "Of what a method draws at random.", "lower": 0, "upper": 2**31 - 1},
    )

    def __post_init__(self) -> None:
        """Refuse to work on nothing, or with a grid that tiles cannot have.

        Raises:
            InputError: naming the flag.
        """
        if not self.pictures:
            raise InputError("--pictures=RUN_DIR of launch/sr_images.py is missing.")
        check_options(self.method, self.crop_px, **self.options)

    @property
    def has_parser(self) -> bool:
        """Whether tiles are such that a parser can see them."""
        try:
            check_options("kernel", self.crop_px)
        except InputError:
            return False
        return True

    @property
    def options(self) -> dict[str, Any]:
        """Of the method."""
        has_period = "period" in options_of(self.method)
        return {"period": self.linear_period} if has_period else {}
