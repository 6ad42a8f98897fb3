"""Memory: a slide that is read in bands takes as much as a band, however large it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

SIDE = 12_000
BAND = 1024

PEAK = f"""
import sys
from pathlib import Path
import numpy as np
from spore_yolo.inference.slides import open_slide

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

with open_slide(sys.argv[1], threads=int(sys.argv[2])) as slide:
    slide.read((0, 0, slide.width, min(slide.height, {BAND})))
    first, total = peak(), 0
    for top in range(0, slide.height, {BAND}):
        band = slide.read((0, top, slide.width, min(slide.height, top + {BAND})))
        total += int(band[:, ::100].sum())
    print(first, peak(), total)
"""


def tiles() -> Iterator[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    several = [rng.integers(200, 208, (512, 512, 3), dtype=np.uint8) for _ in range(4)]
    for index in range((-(-SIDE // 512)) ** 2):
        yield several[index % 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "threads"),
    [
        pytest.param({"compression": "jpeg", "tile": (512, 512)}, 1, id="JPEG tiles"),
        pytest.param({"compression": "jpeg", "tile": (512, 512)}, 2, id="JPEG tiles, two threads"),
        pytest.param(
            {"compression": "zlib", "compressionargs": {"level": 1}, "tile": (512, 512)}, 1, id="deflate tiles"
        ),
        pytest.param({}, 1, id="one plain strip"),
        pytest.param({"compression": "zlib", "rowsperstrip": 64}, 1, id="deflate strips"),
    ],
)
def test_a_large_slide_takes_the_memory_of_a_few_bands(tmp_path: Path, options: dict[str, Any], threads: int) -> None:
    path = tmp_path / "slide.tif"
    if "tile" in options:
        tifffile.imwrite(path, tiles(), shape=(SIDE, SIDE, 3), dtype=np.uint8, photometric="rgb", **options)
    else:
        tifffile.imwrite(path, np.full((SIDE, SIDE, 3), 204, np.uint8), photometric="rgb", **options)
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(threads)], capture_output=True, text=True, check=True
    )
    first, last, total = map(float, result.stdout.split())
    band = SIDE * BAND * 3 / 2**20
    assert last < 250 + 3 * band, "Python, NumPy, OpenCV, and the last band while the next is read"
    assert last - first < 1.5 * band, "no cache grows"
    assert total > 200 * SIDE * SIDE * 3 / 100, "it was read"
