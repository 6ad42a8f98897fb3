"""How much of the machine is ours."""

from __future__ import annotations

import os


def core_count() -> int:
    """The CPU cores that this process may use; containers and ``taskset`` give fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
