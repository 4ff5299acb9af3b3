"""Memory that a forward pass frees is kept for the next one, where the C library is glibc.

Its allocator hands large blocks back to the system at once: every activation map is then mapped,
and zeroed page by page, in every pass. And the arenas that it gives to threads have no room for
large blocks. Both belong to a whole process: it is for commands and workers, not for a library.
"""

import ctypes
import sys

__all__ = ["ENVIRONMENT", "keep_memory"]

ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_ARENA_MAX": "1",
}
"""What does the same for processes that are yet to be started."""


def keep_memory() -> None:
    """Keep what is freed, from now on; to be called before there are other threads."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "mallopt"):
        for option, value in ((-4, 0), (-1, -1), (-8, 1)):  # as above, by their numbers in malloc.h
            library.mallopt(option, value)
