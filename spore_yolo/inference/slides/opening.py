"""Which reader opens which slide, and which files of a folder are slides."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from spore_yolo.files.images import IMAGE_SUFFIXES, UnreadableImage
from spore_yolo.inference.slides.focus import Focus
from spore_yolo.inference.slides.scanners import SCANNER_SUFFIXES, ScannerSlide, detect, parts
from spore_yolo.inference.slides.slide import Slide, UnreadableSlide

SLIDE_SUFFIXES = IMAGE_SUFFIXES | SCANNER_SUFFIXES | {".btf", ".czi", ".gif", ".lif", ".nd2", ".svs", ".tf2", ".tf8"}
"""Suffixes, in lower case, of the files that are taken for slides."""

TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Of TIFF and BigTIFF, little and big endian."""


def open_slide(path: Path | str, *, z: Focus = "best", threads: int = 1) -> Slide:
    """Opens a slide of any kind and size.

    Args:
        path: The file. A TIFF is known by what it holds, others by their suffix.
        z: Which plane of a stack: the sharpest (``best``), the sharpest for each pixel (``max-contrast``), or one by
            its number, counted from 1. Slides of one plane are the same with all of them.
        threads: How many tiles of a TIFF are decoded at the same time.

    Raises:
        TooLargeImage: It has to be read as a whole and does not fit into memory.
        UnreadableImage: It is missing, damaged or of a kind that is not read; mostly :class:`UnreadableSlide`.
        UsageError: It has no such plane.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    header = _header(path)
    if suffix == ".czi":
        from spore_yolo.inference.slides.czi import open_czi

        return open_czi(path, z)
    if suffix in (".nd2", ".lif"):
        from spore_yolo.inference.slides.makers import open_lif, open_nd2

        return open_nd2(path, z) if suffix == ".nd2" else open_lif(path, z)
    if suffix in SCANNER_SUFFIXES:
        return ScannerSlide(path)
    if header in TIFF_HEADERS:
        return _open_tiff(path, z, threads)
    from spore_yolo.inference.slides.plain import open_plain

    return open_plain(path)


def find_slides(folder: Path) -> list[Path]:
    """All slides under ``folder``, at any depth, sorted; hidden files and folders are left out.

    What belongs to a slide of several files is no slide: the folder beside a ``.mrxs`` or ``.vsi``, and the images that
    a ``.vms`` lists. Links to folders are not followed.
    """
    named_so = (path for path in folder.rglob("*") if path.suffix.lower() in SLIDE_SUFFIXES)
    return slides_among(folder, (path for path in named_so if os.path.isfile(path)))


def slides_among(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of some files under ``folder`` that :func:`find_slides` takes for slides; only ``.vms`` files are read."""
    files = [
        path
        for path in paths
        if path.suffix.lower() in SLIDE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    others = {other for path in files for other in belonging(path)}
    return sorted(path for path in files if path not in others and others.isdisjoint(path.parents))


def belonging(path: Path) -> list[Path]:
    """The other files and folders of a slide that has several; a ``.vms`` says which, and is read if it is there."""
    kind = path.suffix.lower()
    if kind == ".mrxs":
        return [path.with_suffix("")]
    if kind == ".vsi":
        return [path.with_name(f"_{path.stem}_")]
    if kind in (".vms", ".vmu"):  # what does not lie beside it is refused when it is opened
        return [path.parent / part for part in parts(path) if part not in (".", "..") and not set(part) & set("/\\\0")]
    return []


def _header(path: Path) -> bytes:
    """The first four bytes.

    Raises:
        UnreadableSlide: There is no such file, or it is a folder or a pipe.
    """
    if not path.exists():
        raise UnreadableSlide(f"{path}: no such file")
    if not path.is_file():  # reading a pipe or a device may never end
        found = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise UnreadableSlide(f"{path}: expected a slide, found {found}")
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise UnreadableSlide(f"{path}: cannot be read ({error.strerror})") from None


def _open_tiff(path: Path, z: Focus, threads: int) -> Slide:
    """Opens a TIFF with the reader that knows its kind best."""
    from spore_yolo.inference.slides.plain import open_plain
    from spore_yolo.inference.slides.tiff import open_tiff
    from spore_yolo.inference.slides.tiff_page import MissingTiles, UnsupportedColours

    maker = detect(path)
    if maker not in (None, "generic-tiff", "aperio"):
        return ScannerSlide(path)  # its tiles overlap, or lie in parts, which only OpenSlide puts together
    try:
        return open_tiff(path, z, threads)
    except (MissingTiles, UnsupportedColours) as error:
        if maker == "aperio":
            return ScannerSlide(path)  # it also knows Aperio's JPEG 2000 and what it leaves out
        if isinstance(error, MissingTiles):
            raise
        try:
            return open_plain(path)  # CMYK, YCbCr and others that Pillow converts; whole in memory
        except UnreadableImage:
            raise error from None
