"""Flags of the pictures of networks that are installed: which photographs, which networks."""

import dataclasses

from experiments.pictures.installed.networks import NETWORKS
from jaxfleet import photos
from jaxfleet.options import flag


@dataclasses.dataclass(frozen=True)
class InstalledConfig:
    """Flags of `launch/sr_installed.py`."""

    photos: str = flag("packaged", f"High resolution: {photos.HELP}", group="Photographs")
    max_images: int = flag(0, "The first so many photographs; 0 for all.", lower=0)
    network: tuple[str, ...] = flag(
        (),
        "Who enlarges them; not given: all whose packages are installed. --dry_run says which "
        "are, and what they cost.",
        group="Networks",
        choices=tuple(NETWORKS),
    )
    dry_run: bool = flag(
        False, "Says which networks there are, and what is to be done.", group="Run"
    )
