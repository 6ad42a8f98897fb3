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


def run_stopped(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs ``stopped.py`` of a folder as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "stopped"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


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


def wrapped(error: Exception, **how: BaseException) -> Exception:
    """An error with another behind it, its ``cause`` (raise ... from) or its ``context`` (raised while handling it)."""
    error.__cause__, error.__context__ = how.get("cause"), how.get("context") or how.get("cause")
    return error


@pytest.mark.parametrize(
    "error",
    [
        wrapped(RuntimeError("Error calling __set_name__"), cause=KeyboardInterrupt()),
        wrapped(ImportError("no numpy"), context=wrapped(RuntimeError("x"), cause=KeyboardInterrupt())),
        wrapped(SporeYoloError("x.pt: no checkpoint"), cause=wrapped(RuntimeError("x"), cause=KeyboardInterrupt())),
    ],
    ids=["Python wrapped it", "a library wrapped it", "we took it for damage"],
)
def test_a_stop_that_comes_out_as_something_else(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert failing(error) == 1
    assert capsys.readouterr().err == "spore-yolo: error: interrupted; nothing half done was left\n"


def test_what_fails_after_a_stop_is_told(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(wrapped(SporeYoloError("could not be written back"), context=KeyboardInterrupt())) == 1
    assert capsys.readouterr().err == "spore-yolo: error: could not be written back\n"


def test_a_real_stop_within_an_import(tmp_path: Path) -> None:
    """Python makes a RuntimeError of it."""
    (tmp_path / "stopped.py").write_text(
        """
import argparse
from spore_yolo.cli import main as program

class Named:
    def __set_name__(self, *_):
        raise KeyboardInterrupt

parser = argparse.ArgumentParser()
parser.set_defaults(run=lambda _: type("Holds", (), {"one": Named()}))
program.build_parser = lambda: parser
program.entry([])
"""
    )
    result = run_stopped(tmp_path)
    assert (result.returncode, result.stderr) == (1, "spore-yolo: error: interrupted; nothing half done was left\n")


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
    result = run_stopped(tmp_path)
    assert result.returncode == 1, result.stderr
    assert result.stderr == "spore-yolo: error: interrupted; nothing half done was left\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        program.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("spore-yolo ")
