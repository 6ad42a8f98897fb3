"""The program with a detector that finds dark spots, as a process of its own, which may kill itself.

    python -m tests.cli.spot_program KILL_AT predict ...

``KILL_AT`` counts renames, by which everything is put in its place: instead of the one with that number comes
``SIGKILL``; 0 means none.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from tests.conftest import detectors_find_spots


def kill_at(number: int) -> None:
    """Kills this process in place of a rename."""
    rename = os.replace
    seen = 0

    def replace(*arguments: Any, **options: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments, **options)

    os.replace = replace


def main() -> None:
    from spore_yolo.cli.main import entry

    detectors_find_spots(pytest.MonkeyPatch())
    kill_at(int(sys.argv[1]))
    entry(sys.argv[2:])


if __name__ == "__main__":
    main()
