"""Flows as processes of their own, which never outlive the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_script(
    script: Path, words: Sequence[str], folder: Path, seconds: float = 1800, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a flow's script and waits for it and all its tasks.

    Args:
        script: The script.
        words: What follows on the command line.
        folder: Where it runs.
        seconds: After which it has failed.
        **environment: Variables that it gets besides ours.
    """
    command = [sys.executable, str(script), "--no-pylint", *words]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1", **environment}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
