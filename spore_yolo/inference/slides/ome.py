"""What OME-XML, in the first page of an OME-TIFF, says about the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spore_yolo.inference.slides.scale import plausible
from spore_yolo.inference.slides.slide import UnreadableSlide


@dataclass(frozen=True)
class Ome:
    """The first image of an OME-TIFF; others are labels, overviews or further fields.

    Attributes:
        pages: The page of each plane of focus, lowest first.
        um_per_px: Micrometres per pixel, where it says so.
        bits: Bits of a sample that the camera used, where it says so: 12 of 16, say.
    """

    pages: list[int]
    um_per_px: float | None
    bits: int | None


def read_ome(name: str, file_name: str, xml: str, page_count: int) -> Ome | None:
    """Reads OME-XML.

    Args:
        name: What messages call the slide.
        file_name: The file's own name, as XML may state it.
        xml: The text.
        page_count: Pages of the file.

    Returns:
        What it says; ``None`` where it describes no image, as when it only names a companion file.

    Raises:
        UnreadableSlide: It is damaged, the slide lies in several files, or it is no stack of single images.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(xml)
        pixels = root.find("{*}Image/{*}Pixels")
        if pixels is None:
            return None
        depth, channels, times = (int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT")
        first = pixels.find("{*}Channel")
        samples = 1 if first is None else int(first.get("SamplesPerPixel", 1))
        bits = int(pixels.get("SignificantBits", 0)) or None
        pages = _pages(name, file_name, root, pixels, depth, page_count)
    except (ParseError, DefusedXmlException, ValueError, OverflowError) as error:
        raise UnreadableSlide(f"{name}: expected OME-XML, found something damaged ({error})") from None
    if channels > max(1, samples) or times > 1:
        raise UnreadableSlide(
            f"{name}: expected one colour or grey image, in one or several planes of focus; found"
            f" {channels // max(1, samples)} channels and {times} points in time; save the one to look at on its own"
        )
    if len(pages) != depth or max(pages.values()) >= page_count or min(pages) != 0 or max(pages) != depth - 1:
        raise UnreadableSlide(
            f"{name}: expected {depth} planes of focus, found {len(pages)} in {page_count} pages; save the file again"
        )
    um_per_px = plausible(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))
    return Ome([pages[z] for z in range(depth)], um_per_px, bits)


def _pages(name: str, file_name: str, root: Any, pixels: Any, depth: int, page_count: int) -> dict[int, int]:
    """The page of each plane of focus; other files are never opened, whatever the text says."""
    parts = pixels.findall("{*}TiffData")
    uuids = [uuid for part in parts for uuid in part.findall("{*}UUID")]
    parts_of = {(uuid.text, uuid.get("FileName")) for uuid in uuids}
    # A file that was renamed states its old name, so a name alone does not make another file.
    elsewhere = {part for part in parts_of if part[0] != root.get("UUID") and part[1] != file_name}
    if len(parts_of) > 1 or (elsewhere and root.get("UUID")):
        files = ", ".join(sorted(file or str(uuid) for uuid, file in elsewhere))
        raise UnreadableSlide(f"{name}: its pixels lie in other files too ({files[:200]}); save the slide as one file")
    pages: dict[int, int] = {}
    for part in parts:
        page = int(part.get("IFD", 0))
        count = int(part.get("PlaneCount", 1 if part.get("IFD") else depth))
        for at in range(min(count, page_count)):
            pages[int(part.get("FirstZ", 0)) + at] = page + at
    return pages or {z: z for z in range(min(depth, page_count))}
