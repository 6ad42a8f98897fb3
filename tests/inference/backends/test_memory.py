from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from spore_yolo.inference.backends.memory import keep_freed_memory

FAULTS = """
import resource, sys, threading
import numpy as np
from spore_yolo.inference.backends.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def work():
    for _ in range(20):
        [np.ones(20_000_000, dtype=np.uint8) for _ in range(4)]
def run():
    thread = threading.Thread(target=work); thread.start(); thread.join()
run()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
run()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    faults = {}
    for how in ("keep", "by itself"):
        command = [sys.executable, "-c", FAULTS, how]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        faults[how] = int(done.stdout)
    assert 10 * faults["keep"] < faults["by itself"]


def test_who_tunes_it_by_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_freed_memory.cache_clear()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    try:
        assert not keep_freed_memory()
    finally:
        keep_freed_memory.cache_clear()
