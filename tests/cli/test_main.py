from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spore_yolo.cli import main as program
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError, UsageError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs the program with a command that ends in an error."""

    def run(error: BaseException) -> int:
        def fail(_: argparse.Namespace) -> None:
            raise error

        parser = argparse.ArgumentParser()
        parser.set_defaults(run=fail)
        monkeypatch.setattr(program, "build_parser", lambda: parser)
        return program.main([])

    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        pytest.param(SporeYoloError("slide.jpg: torn"), 1, "error: slide.jpg: torn", id="a problem of the input"),
        pytest.param(UsageError("--split: what?"), 2, "error: --split: what?", id="wrong usage"),
        pytest.param(
            InputProblems("Two things:", [Problem("a.csv", 3, "x"), Problem("b.jpg", None, "y")], "Mend them."),
            1,
            "Two things:\n  a.csv:3: x\n  b.jpg: y\nMend them.",
            id="problems with file and line",
        ),
        pytest.param(OSError(errno.ENOSPC, "full", "out.csv"), 1, "out.csv: the disk is full", id="disk full"),
        pytest.param(OSError(errno.EACCES, "denied", "out.csv"), 1, "out.csv: no permission", id="no permission"),
        pytest.param(OSError(errno.EIO, "input/output error", "out.csv"), 1, "out.csv: input/output error", id="other"),
        pytest.param(MemoryError(), 1, "memory ran out", id="memory"),
        pytest.param(KeyboardInterrupt(), 1, "interrupted; nothing half done was left", id="Ctrl-C"),
        pytest.param(KeyboardInterrupt("go on with: x"), 1, "interrupted; go on with: x", id="Ctrl-C with a way on"),
    ],
)
def test_one_clear_message_and_the_right_code(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    assert failing(error) == code
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("spore-yolo: error: ")


def test_a_mistake_of_ours_is_not_hidden(failing: Callable[[BaseException], int]) -> None:
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


def test_a_stop_by_the_system_ends_like_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    parser.set_defaults(run=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(program, "build_parser", lambda: parser)
    before = signal.getsignal(signal.SIGTERM)
    assert program.main([]) == 1
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_exit_code_holds_though_python_would_end_by_the_signal(tmp_path: Path) -> None:
    """Ctrl-C inside code that is given as text, as imports run it, makes `python -m` end by the signal."""
    (tmp_path / "stopped.py").write_text(
        """
import argparse
from spore_yolo.cli import main as program

def stop(_):
    exec("raise KeyboardInterrupt")

parser = argparse.ArgumentParser()
parser.set_defaults(run=stop)
program.build_parser = lambda: parser
program.entry([])
"""
    )
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-m", "stopped"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert result.returncode == 1, result.stderr
    assert result.stderr == "spore-yolo: error: interrupted; nothing half done was left\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        program.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("spore-yolo ")
