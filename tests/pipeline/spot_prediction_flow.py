"""The prediction flow with a detector that finds dark spots, as a process of its own, whose tasks may kill themselves.

Metaflow starts each task with this file again. The folder that ``SPOT_KILLS`` names holds what shall happen: a file
``save-N`` kills the task that keeps the N-th slide of all, once.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.pipeline.prediction_flow import PredictionFlow
from spore_yolo.pipeline.shared_run import SharedRun
from tests.conftest import detectors_find_spots


def kills_itself(folder: Path) -> None:
    """Counts the slides that are kept over all tasks; one of them may be the last that its task keeps."""
    save = SharedRun.save

    def save_and_count(run: SharedRun, *arguments: Any) -> None:
        save(run, *arguments)
        with (folder / "log").open("a+", encoding="utf-8") as log:
            # Two tasks keep slides at the same time; the lock ends with the process.
            fcntl.flock(log, fcntl.LOCK_EX)
            log.write(f"{arguments[0].slide}\n")
            log.flush()
            log.seek(0)
            order = folder / f"save-{len(log.readlines())}"
            if order.exists():
                order.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    SharedRun.save = save_and_count  # type: ignore[method-assign]


if __name__ == "__main__":
    detectors_find_spots(pytest.MonkeyPatch())
    if "SPOT_KILLS" in os.environ:
        kills_itself(Path(os.environ["SPOT_KILLS"]))
    PredictionFlow()
