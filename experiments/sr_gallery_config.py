"""Flags of the making of a gallery."""

import dataclasses
from dataclasses import field

from jaxfleet.errors import InputError
from jaxsr import attribution


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """Flags of `launch/sr_gallery.py`."""

    pictures: str = field(
        default="",
        metadata={
            "help": "Run directory of launch/sr_images.py. Its split train is learnt from, "
            "validation calibrates, test says how good the gallery is."
        },
    )
    method: str = field(
        default="linear",
        metadata={
            "help": "Whose features pictures are compared by.",
            "choices": attribution.METHODS,
        },
    )
    crop_px: int = field(
        default=attribution.CROP_PX,
        metadata={"help": "Side of a tile: the smallest picture that can be told.", "lower": 16},
    )
    seed: int = field(default=0, metadata={"help": "Of what a method draws at random.", "lower": 0})

    def __post_init__(self) -> None:
        """Refuses to work on nothing.

        Raises:
            InputError: naming the flag.
        """
        if not self.pictures:
            raise InputError("--pictures=RUN_DIR of launch/sr_images.py is missing.")
