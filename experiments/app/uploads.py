"""Files that visitors drop on the page: how large they may be, and how long they stay."""

import contextlib
import threading
import time
from pathlib import Path

import numpy as np

from jaxfleet.errors import InputError
from jaxfleet.imaging import picture_files

MAX_BYTES = 64 << 20
MAX_FILES = 100  # at a time
AT_MOST = f"{MAX_BYTES >> 20} MB and {picture_files.MAX_PIXELS // 10**6} megapixels at most"
KEPT_SECONDS = 3600.0
_SWEPT_SECONDS = 60.0  # between two looks


def read(path: str | Path) -> np.ndarray:
    """Read a dropped picture: [H, W, 3] uint8. Messages name it without its folder.

    Raises:
        InputError: as `check`, or if it is not a picture.
    """
    path = check(path)
    return picture_files.decode(path.read_bytes(), f"'{path.name}'").pixels


def check(path: str | Path) -> Path:
    """Return the path of a dropped file that may be read.

    Raises:
        InputError: if it is gone, or larger than `MAX_BYTES`.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError:
        raise InputError(f"'{path.name}' is no longer here; drop it again.") from None
    if size > MAX_BYTES:
        raise InputError(
            f"'{path.name}' has {size / 2**20:,.0f} MB, above the limit of {MAX_BYTES >> 20} MB; "
            "compress or shrink it."
        )
    return path


def sweep(folder: Path, *, now: float | None = None) -> int:
    """Remove files that are older than `KEPT_SECONDS`, and folders that are empty then.

    Args:
        folder: whose content it is about.
        now: seconds since 1970; None for the present time.

    Returns:
        How many files were removed.
    """
    oldest, removed = (time.time() if now is None else now) - KEPT_SECONDS, 0
    for path in sorted(folder.rglob("*"), reverse=True):  # what a folder holds comes before it
        with contextlib.suppress(OSError):  # another request may remove or use it
            if path.lstat().st_mtime > oldest:
                continue
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
                removed += 1
    return removed


def sweep_always(folder: Path) -> None:
    """Sweep a folder once a minute in the background, for as long as the process lives."""

    def work() -> None:
        while True:
            time.sleep(_SWEPT_SECONDS)
            sweep(folder)

    threading.Thread(target=work, daemon=True, name="sweep").start()
