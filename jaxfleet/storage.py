"""Where files go: a local folder, or a prefix of an object store (`s3://`, `gs://`).

A location is a `pathlib.Path`, or its twin from etils for a URL. What differs is here: on a disk a
file is written under another name, synced and renamed, and a folder can be locked; an object store
shows an object when all of it has arrived, and has neither folders nor locks.
"""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from jaxfleet.errors import InputError, InUseError

# What a lock that another process has, and a file system that cannot sync, answer.
_IS_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EBADF)

SCHEMES = {"s3": "s3fs", "gs": "gcsfs"}  # and the package that speaks each


def location(text: str) -> Path:
    """Return the path that a flag names; nothing is read or created.

    Raises:
        InputError: for a URL of another scheme, or if the package for it is not installed.
    """
    scheme, is_url, _ = text.partition("://")
    if not is_url:
        return Path(text).expanduser()
    if scheme not in SCHEMES:
        raise InputError(f"{text}: give a local folder, {' or '.join(f'{s}://' for s in SCHEMES)}.")
    try:
        import fsspec
        from etils import epath

        # Other processes write here too, so what was listed once is soon wrong.
        fsspec.config.conf.setdefault(scheme, {})["use_listings_cache"] = False
        fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise InputError(f"{text}: install {SCHEMES[scheme]} to write there.") from None
    return cast(Path, epath.Path(text))


def is_local(path: Path) -> bool:
    """Return whether a path is on a disk of this machine, or one mounted here."""
    return isinstance(path, Path)


def filesystem(path: Path) -> Any:
    """Return the file system through which pyarrow reads this path; None for a local one."""
    if is_local(path):
        return None
    import fsspec

    return fsspec.filesystem(str(path).partition("://")[0])


def names(folder: Path, *, hidden: bool = False) -> list[str]:
    """Return names in a folder, sorted; none if it is absent. Unfinished files are hidden ones."""
    try:
        found = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(name for name in found if hidden or not name.startswith("."))


def write_atomically(path: Path, data: bytes, *, mark: str = "") -> None:
    """Replace a file so that readers see the old or the new one, also after a power cut.

    Args:
        path: of the file.
        data: all of it.
        mark: which begins the name of the unfinished file, `.MARK-0123456789abcdef.tmp`, so that
            those of a process that was killed are known.

    Raises:
        OSError: naming the file; the old one stays.
    """
    if not is_local(path):
        with naming(path):
            path.write_bytes(data)
        return
    # Not named after the file: that name may be as long as a name can be.
    temporary = path.with_name(f".{mark}{'-' if mark else ''}{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            _sync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
    _sync_folder(path.parent)


def _sync(handle: int) -> None:
    """Have the system write a file or folder to its disk, where it is able to."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # some network drives let nobody open a folder
        return
    try:
        _sync(handle)
    finally:
        os.close(handle)


def move(path: Path, folder: Path) -> None:
    """Move a file into a folder, which is created if need be."""
    if is_local(path):
        folder.mkdir(exist_ok=True)
        path.replace(folder / path.name)
    else:
        (folder / path.name).write_bytes(path.read_bytes())
        path.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder and its contents, ignoring what is missing or cannot be removed."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        cast(Any, folder).rmtree()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path` in an OSError that names no file, such as a full disk found on writing."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def make_folder(folder: Path, flag: str) -> None:
    """Create a folder that can be written to, with its parents.

    Raises:
        InputError: naming the flag, if that cannot be.
    """
    with _refusing(folder, flag):
        if is_local(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _try_to_write(folder)
        else:
            _require_bucket(folder)


def check_folder(folder: Path, flag: str) -> None:
    """Find out whether `make_folder` can create a folder; leaves nothing behind.

    Raises:
        InputError: naming the flag, if it cannot.
    """
    with _refusing(folder, flag):
        if is_local(folder):
            _try_to_write(next(path for path in (folder, *folder.parents) if path.exists()))
        else:
            _require_bucket(folder)


@contextlib.contextmanager
def _refusing(folder: Path, flag: str) -> Iterator[None]:
    """Turn what the system says against a folder into an InputError that names its flag."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise InputError(f"{flag}={folder}: {reason}; give another folder.") from None


def _require_bucket(folder: Path) -> None:
    bucket = "/".join(str(folder).split("/")[:3])
    if not filesystem(folder).exists(bucket):
        raise FileNotFoundError(errno.ENOENT, f"there is no bucket {bucket}")


def check_file(path: Path, flag: str) -> None:
    """Find out, before any work, whether a file can be written; leaves nothing behind.

    Args:
        path: of the file, which may be there and would then be replaced.
        flag: that names it.

    Raises:
        InputError: naming the flag, if its folder is missing or cannot be written to, or a folder
            has the name.
    """
    if not is_local(path):
        return
    if path.is_dir():
        raise InputError(f"{flag}={path} is a folder; name a file in a folder that is there.")
    if not path.parent.is_dir():
        raise InputError(
            f"{flag}={path}: there is no folder {path.parent}; name a file in a folder that is "
            "there."
        )
    try:
        _try_to_write(path.parent)
    except OSError as error:
        raise InputError(f"{flag}={path}: {error.strerror}; give another folder.") from None


def _try_to_write(folder: Path) -> None:
    """Raise OSError where no file can be created; permissions do not tell on every system."""
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextlib.contextmanager
def locked(folder: Path, name: str, flag: str) -> Iterator[None]:
    """Keep other processes from the same lock; no effect on an object store.

    Raises:
        InUseError: naming the flag, if another process has it.
    """
    if not is_local(folder):
        yield
        return
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _IS_LOCKED:
                raise InUseError(
                    f"{flag}={folder}: another process is writing to it; wait, or give another "
                    "folder."
                ) from None
            logging.getLogger(__name__).warning(
                f"{flag}={folder}: this file system has no locks ({error.strerror}). Make sure "
                "that no other process writes to the folder."
            )
        yield
    finally:
        os.close(handle)
