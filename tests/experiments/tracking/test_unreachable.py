"""A tracking server that is not there, does not answer, or comes late."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.experiments.tracking import Tracking, TrackingSettings
from spore_yolo.experiments.tracking.delivery import FIRST_PAUSE
from tests.experiments.tracking.conftest import tell, told_run

Read = Callable[[Any], dict[str, dict[str, Any]]]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def server(folder: Path, empty_store: Path, port: int) -> Iterator[str]:
    """A real MLflow server on loopback."""
    folder.mkdir(exist_ok=True)
    if not (folder / "mlflow.db").exists():
        shutil.copy(empty_store, folder / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder)]
    log = (folder / "log.txt").open("w")
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # queues, which nobody here needs
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, (folder / "log.txt").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(120)
        log.close()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every try to bring a journal to MLflow and every connection for it; no pause ends before the test does.

    They are counted, since seconds say how busy the machine is.
    """
    import urllib3.util.connection

    from spore_yolo.experiments.tracking import delivery

    seen: list[str] = []

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            seen.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)

    count(delivery.MlflowStore, "bring")
    count(urllib3.util.connection, "create_connection")
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 3600.0)
    return seen


def test_work_goes_on_and_all_is_kept(
    runs: Path, picture: Path, pair: Path, tried: list[str], capsys: pytest.CaptureFixture[str], mlflow_content: Read
) -> None:
    uri = f"http://anna:secret@127.0.0.1:{free_port()}"
    tracking = Tracking(runs / "toy", TrackingSettings(mlflow_uri=uri))
    tell(tracking, picture, pair, epochs=30)
    # At the beginning and at the end of each part.
    assert tried == ["bring", "create_connection"] * 3
    out = capsys.readouterr().out
    # One warning when it fails first, and at the end of each part what to do about it.
    assert out.count("The work goes on; all is kept in") == 1
    assert out.count("nothing is lost; bring it there later with: spore-yolo track") == 2
    assert f"entries are not in MLflow at {uri.replace('anna:secret@', '')} yet" in out
    assert "secret" not in out
    assert "secret" not in "".join(path.read_text() for path in (runs / "toy" / "tracking").glob("*.json*"))
    assert len([event for event in tracking.journal.read() if event.kind == "metrics"]) == 32
    # All of it is there for whichever store comes next.
    assert Tracking(runs / "toy", TrackingSettings()).deliver(final=True) == []
    assert len(mlflow_content(runs)["detector"]["metrics"]["train/box_loss"]) == 30


def test_a_server_that_takes_the_call_and_never_answers(
    runs: Path, tried: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        tracking = Tracking(runs / "toy", TrackingSettings(mlflow_uri=f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        with tracking.part("detector") as part:
            for epoch in range(1, 30):
                part.epoch(epoch, {"loss": 1.0})
    # At the beginning and at the end, not at every epoch.
    assert tried == ["bring", "create_connection"] * 2
    assert "timed out" in capsys.readouterr().out


def test_a_store_that_failed_is_tried_again_later_and_later(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spore_yolo.experiments.tracking import delivery

    now, tries = 0.0, []
    monkeypatch.setattr(delivery.time, "monotonic", lambda: now)
    original = delivery.MlflowStore.bring

    def bring(*arguments: Any) -> None:
        tries.append(now)
        original(*arguments)

    monkeypatch.setattr(delivery.MlflowStore, "bring", bring)
    tracking = Tracking(runs / "toy", TrackingSettings(mlflow_uri=f"http://127.0.0.1:{free_port()}"))
    tracking.describe({})
    while now < 1000:
        assert len(tracking.deliver()) == 1
        now += 10
    assert FIRST_PAUSE == 60
    assert tries == [0, 60, 180, 420, 900]
    tracking.deliver(final=True)
    assert tries[-1] == now


@pytest.mark.slow
def test_a_database_that_is_locked_does_not_stop_the_work(
    runs: Path, capsys: pytest.CaptureFixture[str], mlflow_content: Read
) -> None:
    import sqlite3

    tracking = Tracking(runs / "toy", TrackingSettings())
    other = sqlite3.connect(runs / "mlflow.db")
    with tracking.part("detector") as part:
        other.execute("BEGIN EXCLUSIVE")
        part.epoch(1, {"loss": 1.0})
        other.rollback()
    assert "database is locked" in capsys.readouterr().out
    assert mlflow_content(runs)["detector"]["status"] == "FINISHED"


def test_a_damaged_journal_is_named_and_nothing_is_sent(
    runs: Path, picture: Path, pair: Path, mlflow_content: Read
) -> None:
    tracking = told_run(runs / "toy", picture, pair)
    lines = tracking.journal.path.read_text().splitlines()
    lines[4] = "?"
    tracking.journal.path.write_text("\n".join(lines) + "\n")
    (remains,) = Tracking(runs / "toy", TrackingSettings()).deliver(final=True)
    assert "journal.jsonl:5: expected an event of a tracking journal: found b'?'" in remains
    assert mlflow_content(runs) == {}


@pytest.mark.slow
def test_a_server_that_comes_late_gets_what_a_server_that_was_there_got(
    runs: Path,
    picture: Path,
    pair: Path,
    empty_store: Path,
    tmp_path: Path,
    mlflow_content: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spore_yolo.experiments.tracking import delivery

    monkeypatch.setattr(delivery, "FIRST_PAUSE", 3600.0)  # a server may take longer than the real one to start
    port = free_port()
    settings = TrackingSettings(mlflow_uri=f"http://127.0.0.1:{port}")
    told_run(runs / "toy", picture, pair)
    shutil.copytree(runs / "toy", tmp_path / "direct" / "toy")
    with server(tmp_path / "there", empty_store, port) as uri:
        assert Tracking(tmp_path / "direct" / "toy", settings).deliver(final=True) == []
        expected = mlflow_content(uri)
    assert len(expected) == 3

    late = Tracking(runs / "toy", settings)
    assert "entries are not in MLflow" in late.deliver()[0]
    with server(tmp_path / "late", empty_store, port) as uri:
        assert "not tried again yet" in late.deliver()[0]
        assert late.deliver(final=True) == []
        assert mlflow_content(uri) == expected


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back(
    runs: Path, picture: Path, pair: Path, empty_store: Path, tmp_path: Path, mlflow_content: Read
) -> None:
    port = free_port()
    tracking = Tracking(runs / "toy", TrackingSettings(mlflow_uri=f"http://127.0.0.1:{port}"))
    with tracking.part("detector") as part:
        with server(tmp_path / "server", empty_store, port):
            assert tracking.deliver(final=True) == []
            part.epoch(1, {"loss": 1.0})
        part.epoch(2, {"loss": 0.5})
        part.artifact(pair, "pair")
        with server(tmp_path / "server", empty_store, port) as uri:
            part.epoch(3, {"loss": 0.25})
            assert tracking.deliver(final=True) == []
            content = mlflow_content(uri)["detector"]
            assert content["status"] == "RUNNING"
            assert [(step, value) for step, value, _ in content["metrics"]["loss"]] == [(1, 1.0), (2, 0.5), (3, 0.25)]
            assert "pair/pair.yaml" in content["artifacts"]
