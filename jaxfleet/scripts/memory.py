"""How the C library keeps the memory that programs give back. At the edge: launch scripts call it.

XLA's CPU back end asks for the buffers of a program anew at each run of it. glibc maps large ones
straight from the system and returns them when they are freed: every run then waits for the kernel
to clear pages, a quarter of the time of an update of a small attention network, and half of it
where several processes do so at once. The heaps that glibc gives to threads end at 64 MB, and what
is larger is mapped all the same: the one heap of the process must do for all.
"""

import ctypes
import os
import sys

# mallopt's parameters, of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1
_STEP_BYTES = 1 << 26  # by which the heap grows


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees, for itself: a heap that never shrinks.

    To be called before JAX allocates: what exists stays as it is. Whoever sets MALLOC_ variables or
    GLIBC_TUNABLES has chosen, and is left alone.

    Returns:
        Whether it was done: not outside Linux, and not with another C library.
    """
    chosen = "GLIBC_TUNABLES" in os.environ or any(
        name.startswith("MALLOC_") for name in os.environ
    )
    if chosen or sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = {
        _MMAP_MAX: 0,
        _ARENA_MAX: 1,
        _TRIM_THRESHOLD: _NEVER,
        _TOP_PAD: _STEP_BYTES,
    }
    return all([libc.mallopt(*setting) == 1 for setting in settings.items()])
