from __future__ import annotations

import re
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
