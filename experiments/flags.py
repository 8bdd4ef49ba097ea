"""Flags that several scripts share, each with one default and one text."""

from typing import Any

from jaxfleet.imaging import photos as sources
from jaxfleet.scripts.options import flag

MAX_SEED = 2**31 - 1


def photos(default: str = "packaged", note: str = "") -> Any:
    """Return the flag of the photographs, which opens a group."""
    return flag(default, f"{note} {sources.HELP}".strip(), group="Photographs")


def max_images() -> Any:
    """Return the flag that limits the photographs."""
    return flag(0, "Use only the first so many photographs; 0 for all.", lower=0)


def reduce(default: int = 1) -> Any:
    """Return the flag that shrinks photographs."""
    return flag(
        default,
        "Shrink both sides of the photographs by this factor with an antialiased bicubic filter; "
        "4 makes 192 x 128 pixels of Kodak's. Rows and columns left over are cropped evenly.",
        lower=1,
    )


def pictures(note: str, default: str = "runs/sr_images") -> Any:
    """Return the flag of a run of sr_images, which opens a group."""
    return flag(default, f"Run directory of launch/sr_images.py. {note}", group="Pictures")


def seed(of: str) -> Any:
    """Return the flag of one random seed."""
    return flag(0, f"Random seed of {of}.", lower=0, upper=MAX_SEED)


def seeds(of: str, default: tuple[int, ...] = (0,)) -> Any:
    """Return the flag of one or more random seeds."""
    return flag(
        default,
        f"Random seed of {of}. Repeat for several; the tables then show mean and deviation.",
        lower=0,
        upper=MAX_SEED,
    )


def checkpoint_minutes(group: str | None = None) -> Any:
    """Return the flag of the time between checkpoints."""
    help = "Minutes between checkpoints: the work that a killed process loses at most."
    return flag(10.0, help, lower=0, group=group)


def dry_run(what: str = "the plan and a forecast of its time", group: str | None = None) -> Any:
    """Return the flag that prints the plan."""
    return flag(False, f"Print {what}; run nothing.", group=group)
