"""Contact sheets: the detections of a class side by side at one scale; an eye goes over hundreds in a minute."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

CROPS_A_SHEET = 200
SHEETS_A_CLASS = 5
"""More than this many sheets nobody looks through; what scores lowest is left out and told."""

CROP = 1.6
"""Side of the square window round a detection, as a multiple of its box's longer side."""

SMALLEST_CROP = 24
"""The least side of that window in pixels of the slide."""

CELL = 128
"""Side of a crop on the sheet in pixels; also the most pixels that are kept of one until the sheet is drawn."""

GAP, CAPTION, HEAD = 8, 32, 72
"""Between cells, under each cell and above all of them, in pixels."""

MIN_COLUMNS, MAX_COLUMNS = 6, 20
LARGEST_ZOOM = 4.0
PAPER, INK, FAINT, MARK = (250, 250, 250), (20, 20, 20), (110, 110, 110), (0, 120, 215)


@dataclass(frozen=True)
class Crop:
    """A crop that waits for its sheet: a JPEG, which takes a twentieth of the memory.

    Attributes:
        class_name: Its class.
        score: Its score.
        box: Width and height of its box in pixels of the slide.
        side: The window's side likewise.
        jpeg: The window, reduced to no more than :data:`CELL` pixels a side.
    """

    class_name: str
    score: float
    box: tuple[float, float]
    side: int
    jpeg: bytes


def most_crops() -> int:
    """How many crops of a class the sheets hold."""
    return CROPS_A_SHEET * SHEETS_A_CLASS


class BestScores:
    """Tells which detections can have a place on the sheets, before anything is cut.

    The best by score have one; among equals those of the slide that comes first. Slides may be told of in any order.
    """

    def __init__(self) -> None:
        self._best: dict[str, list[tuple[float, int]]] = {}

    def can_be_shown(self, place: int, names: Sequence[str], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which detections of a slide can have a place.

        Args:
            place: The slide's place among all slides.
            names: ``(N,)``, the classes.
            scores: ``(N,)``.

        Returns:
            ``(N,)``: false where as many detections of its class as the sheets hold go before it.
        """
        chosen = np.zeros(len(scores), dtype=bool)
        counts: dict[str, int] = {}
        for row in np.argsort(-scores, kind="stable").tolist():
            best = self._best.get(names[row], [])
            counts[names[row]] = counts.get(names[row], 0) + 1
            full = len(best) == most_crops() and (float(scores[row]), -place) < best[0]
            chosen[row] = counts[names[row]] <= most_crops() and not full
        return chosen

    def add(self, place: int, crops: Iterable[Crop]) -> None:
        """Takes what was cut of a slide."""
        for crop in crops:
            best = self._best.setdefault(crop.class_name, [])
            (heapq.heappushpop if len(best) == most_crops() else heapq.heappush)(best, (crop.score, -place))


@dataclass
class _Class:
    """What was seen of a class.

    Attributes:
        seen: How many detections.
        best: A heap of the best: score, number (falling), slide, micrometres per pixel, crop.
    """

    seen: int = 0
    best: list[tuple[float, int, str, float | None, Crop]] = field(default_factory=list)


class ContactSheets:
    """Collects the crops of slides one by one, and draws them at the end.

    Only the best ``CROPS_A_SHEET * SHEETS_A_CLASS`` of a class are kept, a few kilobytes each.
    """

    def __init__(self) -> None:
        self._classes: dict[str, _Class] = {}
        self._number = 0

    def add(self, slide: str, crops: Iterable[Crop], seen: Mapping[str, int], um_per_px: float | None = None) -> None:
        """Takes the crops of a slide.

        Args:
            slide: What is written under each crop.
            crops: Those that can have a place, see :class:`BestScores`, in the order of the detections.
            seen: How many detections of each class the slide has, be they among ``crops`` or not.
            um_per_px: Micrometres per pixel of the slide.
        """
        for name, count in seen.items():
            if count:
                self._classes.setdefault(name, _Class()).seen += count
        for crop in crops:
            best = self._classes[crop.class_name].best
            self._number += 1
            entry = (crop.score, -self._number, slide, um_per_px, crop)
            (heapq.heappushpop if len(best) == most_crops() else heapq.heappush)(best, entry)

    def pages(self) -> list[tuple[str, int]]:
        """Class and number, from 1 on, of every sheet that there is."""
        return [
            (name, page)
            for name, held in self._classes.items()
            for page in range(1, math.ceil(len(held.best) / CROPS_A_SHEET) + 1)
        ]

    def left_out(self) -> dict[str, int]:
        """How many detections of a class have no place on its sheets, for classes with such."""
        left = {name: held.seen - len(held.best) for name, held in self._classes.items()}
        return {name: count for name, count in left.items() if count}

    def write(self, path: Path, name: str, page: int = 1) -> None:
        """Writes a sheet as JPEG.

        Raises:
            OSError: It cannot be written.
        """
        Image.fromarray(self.draw(name, page)).save(path, format="JPEG", quality=88)

    def draw(self, name: str, page: int = 1) -> npt.NDArray[np.uint8]:
        """Draws a sheet of a class: crops by falling score, row by row.

        Args:
            name: The class.
            page: Number of the sheet, from 1 on.

        Returns:
            RGB array ``(height, width, 3)``.
        """
        held = self._classes[name]
        kept = sorted(held.best, key=lambda entry: entry[:2], reverse=True)
        # Where nobody knows the scale of a slide, pixels are all that can be compared.
        known = all(um_per_px is not None for _, _, _, um_per_px, _ in kept)
        crops = [(slide, um_per_px if known and um_per_px else 1.0, crop) for _, _, slide, um_per_px, crop in kept]
        first = (page - 1) * CROPS_A_SHEET
        shown = crops[first : first + CROPS_A_SHEET]
        # A few huge ones must not make all others tiny: they are cut at the edge of their cell.
        sides = [crop.side * unit for _, unit, crop in crops]
        window = min(max(sides), 2 * float(np.median(sides)))
        zoom = min(CELL / window, LARGEST_ZOOM / max(unit for _, unit, _ in crops))
        columns = min(MAX_COLUMNS, max(MIN_COLUMNS, math.ceil(1.4 * math.sqrt(len(shown)))))
        rows = math.ceil(len(shown) / columns)
        width, height = columns * (CELL + GAP) + GAP, HEAD + rows * (CELL + CAPTION + GAP)
        sheet = Image.new("RGB", (width, height), PAPER)
        pen = ImageDraw.Draw(sheet)
        for place, (slide, unit, crop) in enumerate(shown):
            x = GAP + place % columns * (CELL + GAP)
            y = HEAD + place // columns * (CELL + CAPTION + GAP)
            picture = _enlarged(crop, zoom * unit)
            inset = (CELL - picture.width) // 2
            sheet.paste(picture, (x + inset, y + inset))
            frame = (crop.box[0] * zoom * unit, crop.box[1] * zoom * unit)
            _draw_corners(pen, (x + CELL / 2, y + CELL / 2), frame)
            pen.text((x, y + CELL + 1), f"{crop.score:.3f}", INK, _font(12))
            pen.text((x, y + CELL + 15), _shortened(slide, _font(11), CELL), FAINT, _font(11))
        clipped = sum(crop.side * unit > window for _, unit, crop in shown)
        of = f"{held.seen:,}" if held.seen == len(crops) else f"the best {len(crops):,} of {held.seen:,}"
        lines = [
            f"{first + 1:,} to {first + len(shown):,} of {of}, by falling score; all at one scale",
            *([f"{clipped} larger than their cell: only the middle is shown"] if clipped else []),
        ]
        _draw_scale(pen, width - GAP, zoom, "µm" if known else "px")
        pen.text((GAP, 8), _shortened(name, _font(20), width - 2 * (CELL + GAP)), INK, _font(20))
        pen.text((GAP, 38), "; ".join(lines), FAINT, _font(12))
        return np.asarray(sheet)


def _draw_scale(pen: ImageDraw.ImageDraw, right: int, zoom: float, unit: str) -> None:
    """Draws a bar of a round length, no longer than a cell, into the head's right corner."""
    length = _round_length(CELL / zoom)
    pen.rectangle((right - round(length * zoom), 36, right, 40), fill=INK)
    pen.text((right, 30), f"{length:g} {unit}", INK, _font(14), anchor="rs")


def windows_round(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The square windows round boxes ``(N, 4)``; they may reach beyond the slide.

    Returns:
        ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.
    """
    sides = np.maximum(SMALLEST_CROP, np.ceil(CROP * (boxes[:, 2:] - boxes[:, :2]).max(axis=1))).astype(np.int64)
    corners = np.round((boxes[:, :2] + boxes[:, 2:] - sides[:, None]) / 2).astype(np.int64)
    return np.concatenate([corners, corners + sides[:, None]], axis=1)


def cut(
    pixels: npt.NDArray[np.uint8], corner: tuple[int, int], box: npt.NDArray[np.float64], class_name: str, score: float
) -> Crop:
    """Cuts the square window round a box; beyond the pixels it is paper.

    Args:
        pixels: A part of the slide, RGB of shape ``(height, width, 3)``, that holds all of the window that there is.
        corner: ``(x_min, y_min)`` of that part on the slide.
        box: ``(x_min, y_min, x_max, y_max)`` in pixels of the slide.
        class_name: What was found.
        score: Its score.
    """
    x_min, y_min, x_max, _ = (int(value) for value in windows_round(box[None])[0])
    side, left, top = x_max - x_min, x_min - corner[0], y_min - corner[1]
    window = np.full((side, side, 3), PAPER, dtype=np.uint8)
    inside = pixels[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    y, x = max(0, -top), max(0, -left)
    window[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    if side > CELL:
        window = np.asarray(cv2.resize(window, (CELL, CELL), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    jpeg = BytesIO()
    Image.fromarray(window).save(jpeg, format="JPEG", quality=90)
    return Crop(class_name, score, (float(box[2] - box[0]), float(box[3] - box[1])), side, jpeg.getvalue())


def _enlarged(crop: Crop, zoom: float) -> Image.Image:
    """The crop at the sheet's scale, cut at the edge of its cell."""
    side = max(1, round(crop.side * zoom))
    picture = Image.open(BytesIO(crop.jpeg)).resize((side, side), Image.Resampling.BICUBIC)
    over = max(0, side - CELL) // 2
    return picture.crop((over, over, over + min(side, CELL), over + min(side, CELL)))


def _draw_corners(pen: ImageDraw.ImageDraw, middle: tuple[float, float], size: tuple[float, float]) -> None:
    """Marks the corners of a box from outside, so that it is clear what was found and nothing of it is hidden."""
    half_width, half_height = (min(side / 2 + 2, CELL / 2 - 1) for side in size)
    arm = max(3.0, min(half_width, half_height) / 4)
    for across, down in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        x, y = middle[0] + across * half_width, middle[1] + down * half_height
        pen.line([(x - across * arm, y), (x, y), (x, y - down * arm)], fill=MARK)


def _round_length(longest: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is not above ``longest``."""
    power = 10.0 ** math.floor(math.log10(longest))
    # The logarithm of a number just below a power of ten may round to that power.
    return max(step * power for step in (0.5, 1, 2, 5) if step * power <= longest)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line, or its beginning and end where it is too wide: names of slides differ at either."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        shorter = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(shorter) <= width:
            return shorter
    return "…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; Pillow's own font has no letters beyond ASCII."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    # The other layout engine is not on every machine.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
