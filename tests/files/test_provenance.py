from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spore_yolo.files import provenance


def test_versions_name_what_decides_on_a_result() -> None:
    versions = provenance.package_versions()
    assert versions["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert {"torch", "ultralytics", "numpy"} <= set(versions)


def test_commit_of_a_checkout() -> None:
    commit = provenance.code_commit()
    inside = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if inside.returncode:
        assert commit is None
    else:
        assert commit is not None
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)
        assert commit.startswith(inside.stdout.strip())


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of the module, outside every repository."""
    (tmp_path / "spore_yolo" / "files").mkdir(parents=True)
    source = Path(provenance.__file__)
    for name in ("__init__.py", "files/__init__.py", "files/provenance.py"):
        shutil.copy(source.parents[1] / name, tmp_path / "spore_yolo" / name)
    return tmp_path


def told(folder: Path, **variables: str) -> str:
    """What the copy in a folder says."""
    words = [sys.executable, "-c", "from spore_yolo.files.provenance import code_commit; print(code_commit())"]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True).stdout.strip()


def test_without_a_repository_the_commit_is_what_the_sender_said(copied: Path) -> None:
    assert told(copied) == "None"
    assert told(copied, SPORE_YOLO_COMMIT="4b1d") == "4b1d"


def test_a_commit_is_not_called_by_its_tag(copied: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull}  # nothing is signed here
        done = subprocess.run(
            ["git", *who, *words], cwd=copied, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    commit = git("rev-parse", "HEAD")
    git("tag", "-a", "v1", "-m", "a release")
    assert told(copied) == commit
    with (copied / "spore_yolo" / "__init__.py").open("a") as file:
        file.write("# changed\n")
    assert told(copied) == f"{commit}-dirty"
