from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spore_yolo.files.cores import core_count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away on this system")
def test_cores_that_are_taken_away_do_not_count() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from spore_yolo.files.cores import core_count; print(core_count())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"


def test_there_is_a_core() -> None:
    assert 1 <= core_count() <= (os.cpu_count() or 1)
