"""Flags of the comparison of the codec with others."""

import dataclasses

from jaxfleet import photos as sources
from jaxfleet.errors import InputError
from jaxfleet.options import flag
from jaxinr.codec import api as codec


@dataclasses.dataclass(frozen=True)
class RateDistortionConfig:
    """Flags of `launch/rate_distortion.py`."""

    photos: str = flag("tfds:kodak", sources.HELP, group="Photographs")
    max_images: int = flag(0, "Use the first so many photographs; 0 for all.", lower=0)
    reduce: int = flag(1, "Shrink both sides of the photographs by this factor.", lower=1)
    bits_per_pixel: tuple[float, ...] = flag(
        (0.1, 0.2, 0.4), "Sizes of the files. Repeat for several.", group="Encoding", lower=1e-3
    )
    num_iters: int = flag(codec.NUM_ITERS, "Adam updates of each fit.", lower=1)
    refine_iters: int = flag(
        codec.REFINE_ITERS, "Adam updates after each layer that is rounded.", lower=0
    )
    dry_run: bool = flag(False, "Print how many files would be made; encode nothing.")

    def __post_init__(self) -> None:
        """Refuse plans without a size, or with one twice."""
        if not self.bits_per_pixel:
            raise InputError("--bits_per_pixel has no value; give at least one.")
        if len(set(self.bits_per_pixel)) < len(self.bits_per_pixel):
            raise InputError("--bits_per_pixel names one size twice; give each once.")
