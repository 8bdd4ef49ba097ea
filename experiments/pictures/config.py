"""Flags of the pictures of a zoo: which photographs, who enlarges them, and what is kept."""

import dataclasses

from jaxfleet import photos
from jaxfleet.options import flag


@dataclasses.dataclass(frozen=True)
class ImagesConfig:
    """Flags of `launch/sr_images.py`."""

    photos: str = flag(
        "packaged",
        f"High resolution that no network was trained on: {photos.HELP}",
        group="Photographs",
    )
    max_images: int = flag(
        0, "The first so many photographs, and of each folder of --labelled; 0 for all.", lower=0
    )
    crop_px: int = flag(
        0,
        "Side of the square in the middle of a photograph that becomes a picture, a multiple of "
        "every scale; 0 for whole photographs.",
        lower=0,
    )
    zoo: tuple[str, ...] = flag(
        (),
        "Run directory of launch/sr_zoo.py: all networks that it has; packaged: the zoo of "
        "mini.flags, which comes with jaxsr.",
        group="Classes",
    )
    network: tuple[str, ...] = flag(
        (),
        "[NAME=]FILE of a network of ours, or NAME=FILE architecture=A scale=N of a published "
        "one, with what else is known of it: loss=L, training_set=T, seed=N, num_iters=N, and "
        "hyperparameters that differ from the architecture's.",
    )
    labelled: tuple[str, ...] = flag(
        (),
        "NAME=FOLDER: pictures that were made elsewhere, a class of its own; after it any of "
        "architecture=A, scale=N, loss=L, training_set=T, seed=N, num_iters=N. One called like a "
        "photograph is taken to be of it.",
    )
    include_bicubic: bool = flag(False, "Bicubic enlargement is a class, at each scale.")
    include_originals: bool = flag(False, "The photographs as they are make a class.")
    dry_run: bool = flag(False, "Says how many pictures there would be, and the cost.", group="Run")
