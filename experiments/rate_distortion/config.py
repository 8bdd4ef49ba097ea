"""Flags of the comparison of the codec with others."""

import dataclasses

from experiments import flags
from jaxfleet.scripts.options import check_values, flag
from jaxinr.codec import api as codec


@dataclasses.dataclass(frozen=True)
class RateDistortionConfig:
    """Flags of `launch/rate_distortion.py`."""

    photos: str = flags.photos("tfds:kodak")
    max_images: int = flags.max_images()
    reduce: int = flags.reduce()
    bits_per_pixel: tuple[float, ...] = flag(
        (0.1, 0.2, 0.4), "Rates of the files. Repeat for several.", group="Encoding", lower=1e-3
    )
    num_iters: int = flag(codec.NUM_ITERS, "Adam updates of each fit.", lower=1)
    refine_iters: int = flag(
        codec.REFINE_ITERS, "Adam updates after each layer is rounded.", lower=0
    )
    dry_run: bool = flags.dry_run("how many files would be made")

    def __post_init__(self) -> None:
        """Refuse plans without a size, or with one twice."""
        check_values(self, "bits_per_pixel", once=True)
