"""How the C library keeps the memory that programs give back. At the edge: launch scripts call it.

XLA's CPU back end asks for the buffers of a program anew at each run of it. glibc maps what is
larger than 32 MB, and often what is smaller, straight from the system and returns it when it is
freed: every run then waits for the kernel to clear pages, which cost a third to a half of the time
of a small network's update.
"""

import ctypes
import mmap
import os
import sys

# mallopt's parameters, of malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1
_SHARE = 0.5  # of the machine's memory: address space that has huge pages; touched only as needed


def keep_freed_memory() -> bool:
    """Has glibc keep what this process frees, in huge pages where the system grants them.

    One heap for all threads, which never shrinks. To be called before JAX allocates: what exists
    stays as it is. Whoever sets MALLOC_ variables or GLIBC_TUNABLES has chosen, and is left alone.

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
    libc.mallopt(_ARENA_MAX, 1)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    _advise_huge_pages(libc)
    return True


def _advise_huge_pages(libc: ctypes.CDLL) -> None:
    """Makes the heap grow by a range of addresses that the kernel may back with huge pages."""
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = mmap.PAGESIZE
    size = int(os.sysconf("SC_PHYS_PAGES") * _SHARE) * page
    start = libc.malloc(size)
    if start is None:
        return
    first = -(-start // page) * page
    libc.madvise(first, (size - page) // page * page, mmap.MADV_HUGEPAGE)
    libc.free(start)
