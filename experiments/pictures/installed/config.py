"""Flags of the pictures of networks that are installed: which photographs, which networks."""

import dataclasses

from experiments import flags
from experiments.pictures.installed.networks import NETWORKS
from jaxfleet.scripts.options import flag


@dataclasses.dataclass(frozen=True)
class InstalledConfig:
    """Flags of `launch/sr_installed.py`."""

    photos: str = flags.photos(note="High-resolution photographs.")
    max_images: int = flags.max_images()
    network: tuple[str, ...] = flag(
        (),
        "Networks that upscale them; by default all whose packages are installed. --dry_run "
        "lists them with their cost.",
        group="Networks",
        choices=tuple(NETWORKS),
    )
    dry_run: bool = flags.dry_run(
        "which networks are installed, and what is left to do", group="Run"
    )
