from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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


def test_without_a_repository_the_commit_is_what_the_sender_said(tmp_path: Path) -> None:
    (tmp_path / "spore_yolo" / "files").mkdir(parents=True)
    source = Path(provenance.__file__)
    for name in ("__init__.py", "files/__init__.py", "files/provenance.py"):
        shutil.copy(source.parents[1] / name, tmp_path / "spore_yolo" / name)
    words = [sys.executable, "-c", "from spore_yolo.files.provenance import code_commit; print(code_commit())"]

    def told(**variables: str) -> str:
        environment = {"PATH": os.environ["PATH"], **variables}
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout.strip()

    assert told() == "None"
    assert told(SPORE_YOLO_COMMIT="4b1d") == "4b1d"
