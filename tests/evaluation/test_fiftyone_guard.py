from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spore_yolo.evaluation import fiftyone_guard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "database"
    path.mkdir()
    (path / "log").write_text("words")
    return path


def start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    guard = [sys.executable, "-I", fiftyone_guard.__file__, str(folder), *command]
    return subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_command_ends_when_the_pipe_closes(folder: Path) -> None:
    waits = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit('told')); print(1, flush=True)"
    process = start(folder, sys.executable, "-c", f"{waits}; time.sleep(600)")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=300) == 0
    assert not folder.exists()


@pytest.mark.parametrize(("code", "told"), [(14, 14), (0, 1)])
def test_a_command_that_ends_by_itself_leaves_its_log(folder: Path, code: int, told: int) -> None:
    process = start(folder, sys.executable, "-c", f"raise SystemExit({code})")
    assert process.wait(timeout=300) == told
    assert (folder / "log").read_text() == "words"
