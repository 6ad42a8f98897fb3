"""Run-length encoded masks of COCO, and the box round what they show.

The format is that of the COCO API (``maskApi.c``): runs of background and foreground in turn, beginning with
background, down the columns from left to right. A list of numbers states them as they are; a text packs them five bits
a letter, lowest first, each run from the fourth on as its difference from the run two before. The API's own C code
reads a text of others without checking it, beyond its end if need be; here every run is checked as it is read, and
neither the mask nor its runs are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from spore_yolo.labels.readers.values import stated_size

MAX_SHIFT = 55
"""Bits before the last letter of a number: 60 bits are more than any image has pixels."""


def mask_size(mask: dict[str, Any]) -> tuple[int, int]:
    """Width and height of a mask in pixels.

    Args:
        mask: ``{"size": [height, width], "counts": ...}``.

    Raises:
        ValueError: It states none; the message says what was found.
    """
    sides = mask.get("size")
    size = stated_size(sides[1], sides[0]) if isinstance(sides, list) and len(sides) == 2 else None
    if size is None:
        raise ValueError(f"expected a mask with 'size' [height, width], found {sides!r:.40}")
    return size


def mask_box(mask: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """The box round the foreground of a mask.

    Args:
        mask: ``{"size": [height, width], "counts": ...}`` with a list of run lengths or their packed text.

    Returns:
        ``x_min, y_min, x_max, y_max`` in pixels, max exclusive; ``None`` where nothing is foreground.

    Raises:
        ValueError: It is no such mask; the message says what was expected.
    """
    width, height = mask_size(mask)
    left, top, right, bottom = width, height, 0, 0
    end = 0
    for number, run in enumerate(_runs(mask.get("counts"))):
        start, end = end, end + run
        if run < 0 or end > width * height:
            raise _other_sum(width * height)
        if number % 2 == 0 or run == 0:
            continue
        first_column, first_row = divmod(start, height)
        last_column, last_row = divmod(end - 1, height)
        left, right = min(left, first_column), last_column + 1
        if first_column < last_column:  # it reaches the foot of one column and the head of the next
            top, bottom = 0, height
        else:
            top, bottom = min(top, first_row), max(bottom, last_row + 1)
    if end != width * height:
        raise _other_sum(width * height)
    return (float(left), float(top), float(right), float(bottom)) if right else None


def _other_sum(pixels: int) -> ValueError:
    return ValueError(f"expected the 'counts' of a mask to sum to its {pixels:,} pixels; they do not")


def _runs(counts: Any) -> Iterable[int]:
    if isinstance(counts, str):
        return _unpacked(counts)
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise ValueError(f"expected the 'counts' of a mask as whole numbers or their packed text, found {counts!r:.40}")
    return counts


def _unpacked(text: str) -> Iterator[int]:
    """The run lengths of a packed text.

    Each letter, less 48, has five bits of a number, and 32 if the next letter belongs to it; 16 in its last letter is
    the sign.

    Raises:
        ValueError: It has other letters, ends inside a number, or has one that is larger than any image.
    """
    number = value = shift = earlier = last = 0
    for letter in text.encode("utf-8", "surrogatepass"):
        bits = letter - 48
        if not 0 <= bits < 64 or shift > MAX_SHIFT:
            raise _other_text(text)
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if number > 2:
            value += earlier
        yield value
        earlier, last = last, value
        number, value, shift = number + 1, 0, 0
    if shift:
        raise _other_text(text)


def _other_text(text: str) -> ValueError:
    return ValueError(f"expected the packed 'counts' of a mask, found {text!r:.40}")
