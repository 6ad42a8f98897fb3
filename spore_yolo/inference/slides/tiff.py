"""The TIFF family: strips and tiles, BigTIFF, pyramids, stacks, OME-TIFF, ImageJ's and Aperio's files."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spore_yolo.inference.slides.focus import Focus, in_focus
from spore_yolo.inference.slides.ome import Ome, read_ome
from spore_yolo.inference.slides.scale import plausible
from spore_yolo.inference.slides.slide import Pixels, Slide, UnreadableSlide, clear_errors
from spore_yolo.inference.slides.tiff_page import SharedFile, TiffPage
from spore_yolo.inference.slides.turned import TurnedSlide

REDUCED, MASK = 1, 4
"""Bits of NewSubfileType, tag 254."""

CENTIMETRE = 3
"""ResolutionUnit, tag 296."""


class TiffSlide(Slide):
    """One plane of a TIFF.

    Args:
        file: The file, shared by all planes; whoever closes one closes all.
        levels: Its pages, the full resolution first.
        um_per_px: Micrometres per pixel, where known.
    """

    def __init__(self, file: SharedFile, levels: list[TiffPage], um_per_px: float | None) -> None:
        full = levels[0]
        downsamples = tuple(max(1.0, full.width / level.width) for level in levels)
        super().__init__(str(file.path), full.width, full.height, um_per_px, downsamples, full.row_step)
        self._file = file
        self._levels = levels
        self.column_step = full.column_step

    def size(self, level: int = 0) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self._levels[level].width, self._levels[level].height

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """The pixels of a window; only the tiles or strips that it touches are decoded."""
        return self._levels[level].read(window)

    def close(self) -> None:
        """Closes the file, for all planes."""
        self._file.close()


def open_tiff(path: Path, z: Focus = "best", threads: int = 1) -> Slide:
    """Opens a TIFF.

    Args:
        path: The file; no other file is opened, whatever it says.
        z: Which plane of a stack.
        threads: How many tiles are decoded at the same time.

    Raises:
        MissingTiles: It has tiles without data.
        TooLargeImage: One strip or tile does not fit into memory.
        UnreadableSlide: It is damaged, truncated, or no slide.
        UnsupportedColours: Another reader may know its colours.
        UsageError: It has no such plane.
    """
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it warns of is an error here
    with clear_errors(str(path), "a whole TIFF"):
        file = _OpenTiff(path, threads)
        try:
            with tifffile.TiffFile(path, _multifile=False) as tiff:
                planes = _open_planes(file, tiff)
            return in_focus(planes, z)
        except BaseException:
            file.close()
            raise


class _OpenTiff(SharedFile):
    """A file with the threads that decode its tiles."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(path)
        self._threads = ThreadPoolExecutor(threads, "decode") if threads > 1 else None
        self.map = map if self._threads is None else self._threads.map

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
        super().close()


def _open_planes(file: _OpenTiff, tiff: Any) -> list[Slide]:
    """The planes of focus, lowest first."""
    pages = list(tiff.pages)
    if not pages:
        raise UnreadableSlide(f"{file.path}: expected a whole TIFF, found one without pages: it is truncated")
    description = str(pages[0].description or "")
    ome = read_ome(str(file.path), file.path.name, description, len(pages)) if _is_ome(description) else None
    chosen = _stack(file, tiff, pages, ome)
    um_per_px = ome.um_per_px if ome else _um_per_px(tiff, pages[0], description)
    slides: list[Slide] = []
    for page in chosen:
        levels = _levels(page, pages if len(chosen) == 1 else [])
        read = [TiffPage(file, level, ome.bits if ome else None, file.map) for level in levels]
        slide = TiffSlide(file, read, um_per_px)
        orientation = page.tags.valueof(274)
        turned = orientation in range(2, 9)
        slides.append(TurnedSlide(slide, int(orientation), slide.column_step) if turned else slide)
    return slides


def _is_ome(description: str) -> bool:
    return description.rstrip("\0 \r\n\t").endswith("OME>")


def _stack(file: SharedFile, tiff: Any, pages: list[Any], ome: Ome | None) -> list[Any]:
    """The pages that are planes of one stack; the first page where they are none."""
    name = file.path
    if ome is not None:
        stack = [pages[index] for index in ome.pages]
        if len({_likeness(page) for page in stack}) > 1:
            raise UnreadableSlide(f"{name}: expected planes of focus of one size, found several sizes")
        return stack
    if tiff.is_imagej:
        facts = tiff.imagej_metadata or {}
        channels, frames, images = (int(facts.get(key, 1)) for key in ("channels", "frames", "images"))
        if channels > 1 or frames > 1:
            raise UnreadableSlide(
                f"{name}: expected one colour or grey image, in one or several planes of focus; found {channels}"
                f" channels and {frames} points in time; save the one to look at on its own"
            )
        if images > len(pages):
            raise UnreadableSlide(
                f"{name}: expected {images} planes of focus, found {len(pages)} pages: ImageJ wrote it in its own way"
                " for more than 4 GB; save the planes as BigTIFF"
            )
    pictures = [page for page in pages if not int(page.subfiletype) & (REDUCED | MASK)] or pages[:1]
    return pictures if len({_likeness(page) for page in pictures}) == 1 else pictures[:1]


def _likeness(page: Any) -> tuple[Any, ...]:
    """What planes of one stack have in common."""
    return page.imagewidth, page.imagelength, page.samplesperpixel, page.bitspersample, page.photometric


def _levels(full: Any, pages: list[Any]) -> list[Any]:
    """A page and its smaller copies, from its SubIFDs and among other pages, largest first."""
    smaller = [page for page in (*(full.pages or []), *pages) if _is_reduction(page, full)]
    levels = [full]
    for page in sorted(smaller, key=lambda page: -page.imagewidth):
        if page.imagewidth < levels[-1].imagewidth:
            levels.append(page)
    return levels


def _is_reduction(page: Any, full: Any) -> bool:
    """Whether a page shows the same as another one, smaller; a thumbnail in strips, a label or a mask does not."""
    if page is full or not 0 < page.imagewidth < full.imagewidth or int(page.subfiletype) & MASK:
        return False
    if page.is_tiled != full.is_tiled or _likeness(page)[2:] != _likeness(full)[2:]:
        return False
    if not (page.is_tiled or int(page.subfiletype) & REDUCED):
        return False
    # Levels are rounded, some at each of several halvings, so that a small one may be a pixel or two off.
    return bool(abs(full.imagelength * page.imagewidth / full.imagewidth - page.imagelength) < 2)


def _um_per_px(tiff: Any, page: Any, description: str) -> float | None:
    """Micrometres per pixel, where the file says it; not from dots per inch, which are some program's default."""
    if description.startswith("Aperio"):
        found = re.search(r"\|\s*MPP\s*=\s*([\d.]+)", description)
        return plausible(found[1]) if found else None
    resolution = page.tags.valueof(282)  # XResolution, pixels per unit
    if not isinstance(resolution, tuple) or len(resolution) != 2 or not all(resolution):
        return None
    unit_per_px = resolution[1] / resolution[0]
    if tiff.is_imagej:
        return plausible(unit_per_px, str((tiff.imagej_metadata or {}).get("unit", "")))
    return plausible(unit_per_px, "cm") if page.tags.valueof(296) == CENTIMETRE else None
