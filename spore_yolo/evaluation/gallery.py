"""Pictures of what went wrong: the worst missed spores and false alarms, each with what lies round it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw

from spore_yolo.labels.matching import box_iou
from spore_yolo.labels.table import COORDINATES

PER_CLASS = 12
"""Misses of a target that are shown, and as many false alarms; of all other classes together as many again."""

MOST = 240
"""Failures that are shown in all; with many targets each gets fewer."""

TOUCHES = 0.1
"""IoU below which a box says nothing of another: the bound from which on a crop is no debris."""

WINDOW = 4.0
"""Side of the square window round a box, as a multiple of its longer side."""

SMALLEST_WINDOW = 96
"""The least side of that window in pixels of the slide."""

PICTURE = 256
"""Side of a picture in pixels."""

BUDGET = 3_000_000
"""Letters that all pictures together may take, so that a report can be sent by mail."""

SAVINGS = ((PICTURE, 80), (PICTURE, 55), (160, 55), (96, 40))
"""Side and quality of JPEG, the best first; a picture takes the first that leaves the others their share."""

PAPER, DARK, LIGHT = (250, 250, 250), (0, 0, 0), (255, 255, 255)

Floats = npt.NDArray[np.float64]
Kind = Literal["missed", "false alarm"]


@dataclass(frozen=True)
class Failure:
    """A labelled spore that was missed, or a detection that is none of its class.

    Attributes:
        kind: Which of the two.
        class_name: What experts labelled, or what it was called wrongly.
        slide, group: Where.
        box: ``(x_min, y_min, x_max, y_max)`` in pixels of the slide: the label's, or the detection's.
        score: The detection's; ``None`` for a miss, and without scores.
        found: In words, what the other side has there; the name of a class may follow.
        other: That class, or nothing.
        side_um: The spore's side in micrometres where the scale is known.
    """

    kind: Kind
    class_name: str
    slide: str
    group: str
    box: tuple[float, float, float, float]
    score: float | None
    found: str
    other: str = ""
    side_um: float | None = None


@dataclass(frozen=True)
class Picture:
    """A failure and how it looks.

    Attributes:
        failure: The failure.
        uri: The picture as a ``data:`` address, square.
        side: The window's side in pixels of the slide.
    """

    failure: Failure
    uri: str
    side: int


def pick_failures(
    matches: pd.DataFrame, targets: Sequence[str], per_class: int = PER_CLASS, iou: float = 0.5
) -> list[Failure]:
    """The worst failures, those of targets first.

    False alarms are worse the higher they score. Misses are worse the less was detected on them: first those on which
    nothing lies, then by rising overlap with whatever does; among equals the largest, which are the hardest to excuse.
    They are dealt out in turns: the worst of each group, then the next of each group from another slide, so that one
    bad slide does not fill the gallery.

    Args:
        matches: Columns of ``matches.csv``; ``side_um`` may be missing.
        targets: The classes that the user is after: each has ``per_class`` misses and as many false alarms. All other
            classes have together as many, dealt out over classes likewise.
        per_class: How many; fewer where all would be more than :data:`MOST`.
        iou: Least overlap of a match.
    """
    rows = _with_overlaps(matches.reset_index(drop=True), iou)
    named = [name for name in targets if (rows["class"] == name).any()]
    share = max(1, min(per_class, MOST // (2 * len(named) + 2)))
    parts = [rows[rows["class"] == name] for name in named] + [rows[~rows["class"].isin(named)]]
    chosen: list[Failure] = []
    for part in parts:
        for outcome in ("fn", "fp"):
            dealt = _dealt(part[part["outcome"] == outcome]).head(share)
            dealt = dealt.sort_values(["class", "worst", "area"], ascending=[True, False, False], kind="stable")
            chosen += [_failure(row) for row in dealt.to_dict("records")]
    return chosen


def cut_pictures(failures: Sequence[Failure], open_slide: Callable[[str], npt.NDArray[np.uint8]]) -> list[Picture]:
    """Cuts a window with the surroundings out of the slide of each failure, its box marked by a thin line.

    Each slide is opened once, and no two are held at a time.

    Args:
        failures: What to show.
        open_slide: Gives a slide's pixels by its name: RGB of shape ``(height, width, 3)``, 8 bits.

    Returns:
        A picture a failure, in the order given.
    """
    places: dict[str, list[int]] = {}
    for place, failure in enumerate(failures):
        places.setdefault(failure.slide, []).append(place)
    pictures: dict[int, Picture] = {}
    for slide, of_slide in places.items():
        pixels = open_slide(slide)
        pictures |= {place: _picture(failures[place], pixels, BUDGET / len(failures)) for place in of_slide}
    return [pictures[place] for place in range(len(failures))]


def _with_overlaps(rows: pd.DataFrame, iou: float) -> pd.DataFrame:
    """The failures, with ``area``, and what the other side has there: ``found``, ``other``; ``worst`` ranks them."""
    failed = rows[rows["outcome"].isin(["fn", "fp"])]
    worst = pd.to_numeric(failed["score"]).fillna(0.0).to_dict()
    found: dict[int, tuple[str, str]] = {}
    for _, part in rows[rows["outcome"] != "ignored"].groupby("slide", sort=False):
        missed, alarms = part[part["outcome"] == "fn"], part[part["outcome"] == "fp"]
        right = part[part["outcome"] == "tp"]
        best, overlap = _best(missed, pd.concat([alarms, right]))
        for place, truth, name, share in zip(missed.index, missed["class"], best["class"], overlap, strict=True):
            worst[place], found[place] = -share, _on_miss(name, share, truth, iou)
        # Where a labelled box was found, the detection that found it tells where it lies.
        best, overlap = _best(alarms, pd.concat([missed, right]))
        twice = (best["class"].to_numpy() == alarms["class"].to_numpy()) & (best["outcome"].to_numpy() == "tp")
        for place, name, again, share in zip(alarms.index, best["class"], twice, overlap, strict=True):
            found[place] = _under_alarm(name, share, again, iou)
    return failed.assign(
        area=(failed["x_max"] - failed["x_min"]) * (failed["y_max"] - failed["y_min"]),
        worst=[worst[place] for place in failed.index],
        found=[found[place][0] for place in failed.index],
        other=[found[place][1] for place in failed.index],
    )


def _best(rows: pd.DataFrame, others: pd.DataFrame) -> tuple[pd.DataFrame, Floats]:
    """For each row the other that it overlaps most, and their IoU; without others, nothing and 0."""
    if not len(others) or not len(rows):
        return pd.DataFrame("", index=rows.index, columns=["class", "outcome"]), np.zeros(len(rows))
    overlap = box_iou(rows[COORDINATES].to_numpy(dtype=np.float64), others[COORDINATES].to_numpy(dtype=np.float64))
    best = overlap.argmax(axis=1)
    return others.iloc[best], np.asarray(overlap[np.arange(len(rows)), best], dtype=np.float64)


def _on_miss(name: str, overlap: float, truth: str, iou: float) -> tuple[str, str]:
    if overlap < TOUCHES:
        return "nothing was detected there", ""
    if overlap < iou:
        return f"a detection covers only part of it (overlap {_cut_down(overlap)}), called", name
    # One of its own class that covers it well has found another label, which it covers better.
    return ("it was called" if name != truth else "its detection went to a neighbour that overlaps it, also"), name


def _under_alarm(name: str, overlap: float, twice: bool, iou: float) -> tuple[str, str]:
    if overlap < TOUCHES:
        return "experts labelled nothing there", ""
    if overlap < iou:
        return f"it covers only part (overlap {_cut_down(overlap)}) of a labelled", name
    return ("a second box on one that was found already:" if twice else "experts labelled it"), name


def _cut_down(overlap: float) -> str:
    """Two decimals that never reach the overlap that would have been enough."""
    return f"{math.floor(overlap * 100) / 100:.2f}"


def _dealt(rows: pd.DataFrame) -> pd.DataFrame:
    """The worst first, in turns over classes, groups and slides."""
    rows = rows.sort_values(["worst", "area"], ascending=False, kind="stable")
    for keys in (["class", "slide"], ["class", "group"], ["class"]):
        turn = rows.groupby(keys, sort=False).cumcount()
        rows = rows.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    return rows


def _failure(row: dict[str, Any]) -> Failure:
    missed, score, side = row["outcome"] == "fn", float(row["score"]), float(row.get("side_um", math.nan))
    x_min, y_min, x_max, y_max = (float(row[key]) for key in COORDINATES)
    return Failure(
        kind="missed" if missed else "false alarm",
        class_name=str(row["class"]),
        slide=str(row["slide"]),
        group=str(row["group"]),
        box=(x_min, y_min, x_max, y_max),
        score=None if missed or math.isnan(score) else score,
        found=row["found"],
        other=row["other"],
        side_um=side if missed and math.isfinite(side) else None,
    )


def _picture(failure: Failure, pixels: npt.NDArray[np.uint8], most: float) -> Picture:
    """The picture of a failure."""
    x_min, y_min, x_max, y_max = failure.box
    side = max(SMALLEST_WINDOW, math.ceil(WINDOW * max(x_max - x_min, y_max - y_min)))
    return Picture(failure, window_uri(failure.box, pixels, side, most), side)


def window_uri(box: tuple[float, float, float, float], pixels: npt.NDArray[np.uint8], side: int, most: float) -> str:
    """A box with what lies round it, its border marked by a thin line, as a JPEG in a ``data:`` address.

    Args:
        box: ``(x_min, y_min, x_max, y_max)`` in pixels of the slide.
        pixels: The slide, RGB of shape ``(height, width, 3)``.
        side: Side of the square window in pixels of the slide.
        most: Letters that the address may have, if that can be had.
    """
    uri = ""
    for shown, quality in SAVINGS:
        jpeg = BytesIO()
        _drawn(box, pixels, side, shown).save(jpeg, format="JPEG", quality=quality, optimize=True)
        uri = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")
        if len(uri) <= most:
            break
    return uri


def _drawn(box: tuple[float, float, float, float], pixels: npt.NDArray[np.uint8], side: int, shown: int) -> Image.Image:
    """The window of ``side`` pixels round a box, ``shown`` pixels large, the box framed."""
    x_min, y_min, x_max, y_max = box
    height, width = pixels.shape[:2]
    left, top = round((x_min + x_max - side) / 2), round((y_min + y_max - side) / 2)
    inside = pixels[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    zoom = shown / side
    # Only the part on the slide is enlarged: beyond its edge is paper.
    picture = Image.new("RGB", (shown, shown), PAPER)
    if inside.size:
        size = (max(1, round(inside.shape[1] * zoom)), max(1, round(inside.shape[0] * zoom)))
        corner = (round(max(0, -left) * zoom), round(max(0, -top) * zoom))
        picture.paste(Image.fromarray(inside).resize(size, Image.Resampling.LANCZOS), corner)
    pen = ImageDraw.Draw(picture)
    x_min, y_min, x_max, y_max = max(0.0, x_min), max(0.0, y_min), min(float(width), x_max), min(float(height), y_max)
    frame = ((x_min - left) * zoom, (y_min - top) * zoom, (x_max - left) * zoom, (y_max - top) * zoom)
    # Outside of the box, light within dark: seen on any ground, and nothing of the spore is hidden.
    for gap, colour in ((2, LIGHT), (3, DARK)):
        pen.rectangle((frame[0] - gap, frame[1] - gap, frame[2] + gap, frame[3] + gap), outline=colour)
    return picture
