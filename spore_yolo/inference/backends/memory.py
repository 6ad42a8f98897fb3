"""How the C library deals with memory that forward passes free."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of ``mallopt``, as ``malloc.h`` of glibc numbers them."""

KEPT = 512 * 2**20
"""Bytes that stay with the process when they are free."""

LARGEST_IN_HEAP = 32 * 2**20
"""Bytes; what is larger is taken from the system each time. No larger limit can be set."""


@cache
def keep_freed_memory() -> bool:
    """Lets memory that one forward pass frees stay with the process for the next.

    By itself, glibc often gives it back to the system and takes it again, thousands of pages an image, and the system
    fills each of them with zeros: some hundredths of the time. All threads share one heap then, since those that other
    threads than the main one get are too small for what a pass takes.

    Returns:
        Whether that was set: only with glibc, and where the environment does not tune it (``MALLOC_...``).
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {M_ARENA_MAX: 1, M_MMAP_THRESHOLD: LARGEST_IN_HEAP, M_TRIM_THRESHOLD: KEPT}
    results = [mallopt(parameter, value) for parameter, value in settings.items()]
    return results == [1] * len(results)
