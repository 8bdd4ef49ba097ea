"""Flags of the making of a gallery."""

import dataclasses
from typing import Any, ClassVar

from experiments import flags
from jaxfleet.errors import InputError
from jaxfleet.scripts.options import flag
from jaxsr.attribution.table import METHODS, check_options, options_of
from jaxsr.datasets.crops import CROP_PX
from jaxsr.fingerprints.phase_autocorrelation import PERIOD


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """Flags of `launch/sr_gallery.py`."""

    RUN_DIR: ClassVar[str] = "written"

    pictures: str = flags.pictures(
        "The gallery learns from its training split and is calibrated on validation."
    )
    method: str = flag(
        "linear", "Attribution method by whose features pictures are compared.", choices=METHODS
    )
    crop_px: int = flag(
        CROP_PX, "Side of a tile, pixels: the smallest picture that can be identified.", lower=16
    )
    linear_period: int = flag(
        PERIOD,
        "Period in pixels of the upsampling grid in method linear, a multiple of the scales: 4 "
        "serves 2 and 4; 12 serves 3 too. The tile size must be a multiple of it.",
        lower=1,
    )
    seed: int = flags.seed("what a method draws")

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
