"""Half a minute of hostile label files; `benchmarks/label_fuzzing.py` goes on for a hundred thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def fuzz(tmp_path: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the benchmark; with ``path`` each of its processes runs the ``sitecustomize.py`` there first."""
    command = [sys.executable, "-m", "benchmarks.label_fuzzing", "--failures", str(tmp_path / "failures"), *arguments]
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment)


def test_hostile_files_end_in_labels_or_in_a_message(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--cases", "12000", "--seconds", "30", "--limit", "20")
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-2000:]}"
    assert not (tmp_path / "failures").exists()


FAULTY = """
from pathlib import Path
import spore_yolo.labels.readers as readers

real = readers.READERS["csv"]

def faulty(path, images, options):
    text = path.read_bytes() if path.is_file() else b""
    if b"NaN" in text:
        raise KeyError("not a number")
    if b"../" in text:
        (path.parents[2] / "escaped.txt").write_text("x")
    if b"inf" in text:
        Path("/etc/hostname").read_text()
    if b"1e300" in text:
        while True:
            pass
    return real(path, images, options)

readers.READERS = {**readers.READERS, "csv": faulty}
"""


def test_what_is_wrong_with_a_reader_is_found(tmp_path: Path) -> None:
    """The watch itself: an exception, a file written or read elsewhere, and a loop without end."""
    (tmp_path / "sitecustomize.py").write_text(FAULTY)
    done = fuzz(tmp_path, "--cases", "200", "--formats", "csv", "--workers", "1", "--limit", "0.5", path=tmp_path)
    assert done.returncode == 1, f"{done.stdout[-5000:]}\n{done.stderr[-2000:]}"
    for reason in ("KeyError", "escaped.txt' for writing", "/etc/hostname' for reading", "slower than 0.5 s"):
        assert reason in done.stdout, f"{reason} was not seen:\n{done.stdout}"
    stored = (tmp_path / "failures" / "failures.json").read_text()
    assert stored.count('"case"') >= 4
