"""Flags of the comparison of the codec with others."""

import dataclasses
from dataclasses import field

from jaxfleet import photos as sources
from jaxfleet.errors import InputError
from jaxinr.codec import api as codec


@dataclasses.dataclass(frozen=True)
class RateDistortionConfig:
    """Flags of `launch/rate_distortion.py`."""

    photos: str = field(
        default="tfds:kodak", metadata={"group": "Photographs", "help": sources.HELP}
    )
    max_images: int = field(
        default=0, metadata={"help": "Use the first so many photographs; 0 for all.", "lower": 0}
    )
    reduce: int = field(
        default=1,
        metadata={"help": "Shrink both sides of the photographs by this factor.", "lower": 1},
    )
    bits_per_pixel: tuple[float, ...] = field(
        default=(0.1, 0.2, 0.4),
        metadata={
            "group": "Encoding",
            "help": "Sizes of the files. Repeat for several.",
            "lower": 1e-3,
        },
    )
    num_iters: int = field(
        default=codec.NUM_ITERS, metadata={"help": "Adam updates of each fit.", "lower": 1}
    )
    refine_iters: int = field(
        default=codec.REFINE_ITERS,
        metadata={"help": "Adam updates after each layer that is rounded.", "lower": 0},
    )
    dry_run: bool = field(
        default=False, metadata={"help": "Print how many files would be made; encode nothing."}
    )

    def __post_init__(self) -> None:
        """Refuse plans without a size, or with one twice."""
        if not self.bits_per_pixel:
            raise InputError("--bits_per_pixel has no value; give at least one.")
        if len(set(self.bits_per_pixel)) < len(self.bits_per_pixel):
            raise InputError("--bits_per_pixel names one size twice; give each once.")
