"""Slides of scanners' own formats, through OpenSlide."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np

from spore_yolo.inference.slides.scale import plausible
from spore_yolo.inference.slides.slide import Pixels, Slide, UnreadableSlide, clear_errors

SCANNER_SUFFIXES = frozenset({".bif", ".mrxs", ".ndpi", ".scn", ".svslide", ".vms", ".vmu", ".vsi"})
"""Suffixes, in lower case, of files that OpenSlide alone reads."""

STEP = 256
"""Rows that are read together where OpenSlide does not say how high tiles are."""

LISTS = {".vms": "", ".vmu": "", ".mrxs": "Slidedat.ini"}
"""Formats of several files; where the list of them is: in the file itself, or in the folder of its name."""


def detect(path: Path) -> str | None:
    """The name by which OpenSlide knows the format of a file, such as ``aperio``; ``None`` where it knows none."""
    import openslide

    with clear_errors(str(path), "a slide"):
        found: str | None = openslide.OpenSlide.detect_format(path)
        return found


class ScannerSlide(Slide):
    """A slide that OpenSlide reads. What was not scanned has the background's colour.

    Args:
        path: The file.

    Raises:
        UnreadableSlide: OpenSlide does not know it, it is damaged, or parts of it are missing.
    """

    def __init__(self, path: Path) -> None:
        import openslide

        _check_parts(path)
        with clear_errors(str(path), "a slide that OpenSlide reads"):
            if openslide.OpenSlide.detect_format(path) is None:
                raise UnreadableSlide(
                    f"{path}: expected a slide that OpenSlide reads, found something else, or files that belong to it"
                    " are missing; save it as TIFF with the scanner's program"
                )
            self._slide = openslide.OpenSlide(path)
            self._lock = threading.Lock()
            properties = self._slide.properties
            self._sizes = self._slide.level_dimensions
            downsamples = tuple(max(1.0, float(factor)) for factor in self._slide.level_downsamples)
            background = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
            self._background = np.array([int(background[at : at + 2], 16) for at in (0, 2, 4)], dtype=np.float32)
            step = int(properties.get("openslide.level[0].tile-height", STEP))
            um_per_px = plausible(properties.get(openslide.PROPERTY_NAME_MPP_X))
        super().__init__(str(path), *self._sizes[0], um_per_px, downsamples, step if 1 <= step <= 4096 else STEP)

    def size(self, level: int = 0) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        width, height = self._sizes[level]
        return width, height

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """The pixels of a window."""
        x_min, y_min, x_max, y_max = window
        factor = self.downsamples[level]
        with clear_errors(self.name, f"whole pixels at {window}"):
            # OpenSlide wants the corner in pixels of the full resolution, and rounds down to the level's.
            corner = math.ceil(x_min * factor), math.ceil(y_min * factor)
            with self._lock:
                pixels = np.asarray(self._slide.read_region(corner, level, (x_max - x_min, y_max - y_min)))
        if pixels[:, :, 3].min() == 255:
            return np.ascontiguousarray(pixels[:, :, :3])
        opacity = pixels[:, :, 3:].astype(np.float32) / 255
        return np.rint(pixels[:, :, :3] * opacity + self._background * (1 - opacity)).astype(np.uint8)

    def close(self) -> None:
        """Closes the file, as soon as nobody reads it: OpenSlide would abort the process."""
        with self._lock:
            self._slide.close()


def parts(path: Path) -> list[str]:
    """The names of the files that a slide of several files lists, as it spells them; empty for one of a single file."""
    where = LISTS.get(path.suffix.lower())
    if where is None:
        return []
    try:
        text = (path.with_suffix("") / where if where else path).read_bytes()[: 4 * 2**20].decode("latin-1")
    except OSError:
        return []
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    keys = ("file_", "imagefile", "mapfile", "optimisationfile", "macroimage", "indexfile")
    return [value.strip() for key, value in pairs if key.strip().lower().startswith(keys) and value.strip()]


def _check_parts(path: Path) -> None:
    """Refuses a slide that would make OpenSlide open files elsewhere."""
    for part in parts(path):
        if "/" in part or "\\" in part or part == "..":
            raise UnreadableSlide(f"{path}: expected parts that lie beside it, found {part[:200]!r}")
