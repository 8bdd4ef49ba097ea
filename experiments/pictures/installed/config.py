"""Flags of the pictures of networks that are installed: which photographs, which networks."""

import dataclasses
from dataclasses import field

from experiments.pictures.installed.networks import NETWORKS
from jaxfleet import photos


@dataclasses.dataclass(frozen=True)
class InstalledConfig:
    """Flags of `launch/sr_installed.py`."""

    photos: str = field(
        default="packaged",
        metadata={"group": "Photographs", "help": f"High resolution: {photos.HELP}"},
    )
    max_images: int = field(
        default=0, metadata={"help": "The first so many photographs; 0 for all.", "lower": 0}
    )
    network: tuple[str, ...] = field(
        default=(),
        metadata={
            "group": "Networks",
            "help": "Who enlarges them; not given: all whose packages are installed. --dry_run "
            "says which are, and what they cost.",
            "choices": tuple(NETWORKS),
        },
    )
    dry_run: bool = field(
        default=False,
        metadata={"group": "Run", "help": "Says which networks there are, and what is to be done."},
    )
