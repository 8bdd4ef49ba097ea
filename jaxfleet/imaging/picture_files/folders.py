"""List the picture files of a folder, and say what else it holds."""

import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from jaxfleet.errors import InputError, listed
from jaxfleet.imaging.picture_files import headers

HEIF_EXTENSIONS = (".heic", ".heif")
EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".jp2", ".avif", *HEIF_EXTENSIONS),
)


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder.

    taken: the files to read, sorted by name.
    left_out: reason -> names of what the folder has beside them.
    """

    taken: tuple[Path, ...]
    left_out: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        """Say in one line what was left out; empty if nothing was."""
        parts = [f"{why}: {len(names)} ({listed(names)})" for why, names in self.left_out.items()]
        return f"left out {'; '.join(parts)}" if parts else ""


def list_folder(folder: Path, name: str) -> Listing:
    """List the picture files directly in a folder, sorted by name.

    Args:
        folder: where they lie; subfolders are not searched.
        name: what messages call it.

    Raises:
        InputError: if there is no such folder, it cannot be listed, or it has no picture files.
    """
    wanted = ", ".join(EXTENSIONS)
    try:
        entries = sorted(folder.expanduser().iterdir())
        reasons = [(path, _why_left_out(path)) for path in entries]
    except (OSError, RuntimeError, ValueError) as error:  # missing, forbidden, unknown ~user
        if folder.is_file():
            raise InputError(f"{name} is a file. Give the folder that it lies in.") from error
        raise InputError(
            f"There is no folder {name} to read ({type(error).__name__}). Give one that holds "
            f"{wanted} files."
        ) from error
    left_out: dict[str, tuple[str, ...]] = {}
    for path, why in reasons:
        if why:
            left_out[why] = (*left_out.get(why, ()), path.name)
    found = Listing(tuple(path for path, why in reasons if not why), left_out)
    if not found.taken:
        said = f" ({found})" if left_out else ""
        raise InputError(
            f"{name} holds no {wanted} files{said}. Give the folder that the pictures lie in "
            "directly; subfolders are not searched."
        )
    return found


def find(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the picture files of `list_folder`, and say on standard error what it left out."""
    listing = list_folder(folder, name)
    if listing.left_out:
        tell(f"{name}: {listing}")
    return listing.taken


@functools.lru_cache
def tell(line: str) -> None:
    """Say on standard error what the owner of the files should know; each line once."""
    logging.getLogger(__name__).warning(line)


def _why_left_out(path: Path) -> str:
    """Return why an entry of a folder is no picture file; empty if it is one."""
    if not path.exists():
        return "links to nothing"
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS:
        return "subfolders" if path.is_dir() else "files of other kinds"
    if path.name.startswith("."):
        return "hidden files"
    if not path.is_file():
        return "subfolders" if path.is_dir() else "not regular files"
    if suffix in HEIF_EXTENSIONS and not headers.has_heif():
        return headers.HEIF_ADVICE
    return ""
