"""The App of FiftyOne in a real browser, on drawn slides."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_slides, spot_manifest

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NO_BROWSER = "NO BROWSER: chromium is not installed, so nobody looks at the App (Debian: apt-get install chromium)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def photograph(url: str, path: Path) -> np.ndarray:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--screenshot={path}", "--window-size=1400,900", "--virtual-time-budget=30000", url]
    subprocess.run(command, check=True, capture_output=True, timeout=240, cwd=path.parent)
    return np.array(Image.open(path).convert("RGB"))


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_the_app_shows_slides_and_stops_cleanly(tmp_path: Path, untrained_checkpoint: Path) -> None:
    from spore_yolo.inference.pair import write_pair

    drawn = draw_slides(tmp_path)
    arguments = ["--images", drawn.folder.name, "--labels", drawn.labels.name, "--format", "csv"]
    program = [sys.executable, "-m", "spore_yolo.cli.main"]
    subprocess.run([*program, "import", "toy", *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    write_pair(tmp_path / "pair", spot_manifest(), untrained_checkpoint)
    port = free_port()
    command = [*program, "browse", "--pair", "pair", "--dataset", "toy", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        lines = []
        end = time.monotonic() + 400
        for line in process.stdout:
            lines.append(line)
            assert time.monotonic() < end
            if "until Ctrl-C" in line:
                break
        said = "".join(lines)
        assert f"http://127.0.0.1:{port}/datasets/spore-yolo-toy-pair" in said, said
        for view in ("", "?view=missed", "?view=empty-slides-with-alarms"):
            picture = photograph(f"http://127.0.0.1:{port}/datasets/spore-yolo-toy-pair{view}", tmp_path / "page.png")
            # The page is dark and full of things; an error page or an empty one is neither.
            assert picture.mean() < 128
            assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 200
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[0]
    assert "stopped; nothing was left running" in rest
    assert "Traceback" not in rest
    assert not list(tmp_path.glob("spore-yolo-browse-*"))
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in left
