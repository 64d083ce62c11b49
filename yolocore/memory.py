"""Memory that one batch after the other uses."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

# Settings of mallopt(3): -4 is M_MMAP_MAX, the number of blocks that are the system's own, and -1 is
# M_TRIM_THRESHOLD, how many bytes have to be free before they are handed back.
_KEEP = {-4: 0, -1: 2**31 - 1}
_GIVE_BACK = {-4: 65536, -1: 128 * 1024}


@contextlib.contextmanager
def reused_memory() -> Iterator[None]:
    """Keep freed memory for the next batch, which needs the same again.

    glibc hands large blocks back to the system at once, and the system clears every page that it gives out again:
    10 to 15 % of a training step on a CPU (measured at 320 pixels, 16 images), a fifth of validation at 640.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # another C library
        yield
        return
    for setting, value in _KEEP.items():
        libc.mallopt(setting, value)
    try:
        yield
    finally:
        for setting, value in _GIVE_BACK.items():
            libc.mallopt(setting, value)
        libc.malloc_trim(0)
