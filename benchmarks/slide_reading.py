"""How fast slides are read: ``python benchmarks/slide_reading.py``.

An 8000 x 4500 TIFF, written by tifffile, is read in bands of full width and 1024 rows, by one thread. Megapixels per
second of CPU time, best of three: the codec alone (all tiles decoded in memory, nothing kept), this package, OpenSlide.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from spore_yolo.inference.slides import Slide, UnreadableSlide, open_slide
from spore_yolo.inference.slides.scanners import ScannerSlide

WIDTH, HEIGHT, BAND = 8000, 4500, 1024

KINDS: dict[str, dict[str, Any]] = {
    "JPEG quality 85, tiles of 512": {
        "compression": "jpeg",
        "compressionargs": {"level": 85},
        "tile": (512, 512),
    },
    "deflate, tiles of 512": {"compression": "zlib", "tile": (512, 512)},
    "deflate with predictor, tiles of 512": {"compression": "zlib", "predictor": True, "tile": (512, 512)},
    "LZW with predictor, strips of 16 rows": {"compression": "lzw", "predictor": True, "rowsperstrip": 16},
    "uncompressed, tiles of 512": {"tile": (512, 512)},
    "uncompressed, one strip": {},
}


def smooth_noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 256, (HEIGHT // 24 + 2, WIDTH // 24 + 2, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(smooth + rng.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)


def speed(work: Callable[[], None]) -> float:
    """Megapixels per second of CPU time, the best of three."""
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return WIDTH * HEIGHT / 1e6 / min(seconds)


def read_bands(slide: Slide) -> None:
    for top in range(0, slide.height, BAND):
        slide.read((0, top, slide.width, min(slide.height, top + BAND)))


def codec_alone(path: Path) -> float:
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        page.init_decode()
        options = {"jpegtables": page.jpegtables} if page.compression == 7 else {}
        content = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(offset)
            content.append(tiff.filehandle.read(count))

        def decode() -> None:
            for index, part in enumerate(content):
                page.decode(part, index, **options)

        return speed(decode)


def main() -> None:
    pixels = smooth_noise()
    print(f"{'':40} {'MB':>6} {'codec':>8} {'read':>8} {'OpenSlide':>10}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        for name, options in KINDS.items():
            tifffile.imwrite(path, pixels, photometric="rgb", **options)
            with open_slide(path) as slide:
                read = speed(lambda slide=slide: read_bands(slide))
            try:
                with ScannerSlide(path) as scanner:
                    other = f"{speed(lambda scanner=scanner: read_bands(scanner)):.0f}"
            except UnreadableSlide:
                other = "not read"
            codec = f"{codec_alone(path):.0f}" if "compression" in options else ""
            print(f"{name:40} {path.stat().st_size / 1e6:6.0f} {codec:>8} {read:8.0f} {other:>10}")


if __name__ == "__main__":
    main()
