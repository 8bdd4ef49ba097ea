"""Where JAX keeps compiled programs between processes."""

import os
import platform
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from jaxfleet import lazy

if TYPE_CHECKING:
    import jax
else:
    jax = lazy.module("jax")


def keep_programs() -> None:
    """Let JAX keep compiled programs on disk, so that the next process need not compile them again.

    They are kept in `folder()`, or where JAX was told by JAX_COMPILATION_CACHE_DIR or its
    configuration; an empty JAX_COMPILATION_CACHE_DIR keeps none. Where that folder cannot be
    written, nothing is kept either.
    """
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if named == "":
        return
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]  # set at run time
        try:
            own = folder()
            own.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=own).close()
        except (OSError, RuntimeError):  # RuntimeError: a user without a home
            return
        jax.config.update("jax_compilation_cache_dir", str(own))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def folder() -> Path:
    """Return the folder of this kind of processor in the user's cache, which XDG_CACHE_HOME names.

    Machines of a cluster may share a home, and a program that was compiled for one kind of
    processor may not run on another.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jaxfleet" / f"{platform.machine()}-{zlib.crc32(_features()):08x}"


def _features() -> bytes:
    """Return what the system says that the processor can do; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")
