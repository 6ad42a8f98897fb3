"""The boxes round shapes that are no boxes, and what the user is told about them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from spore_yolo.labels.table import Corners

_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE)

NO_PLACE: Corners = (math.nan, math.nan, math.nan, math.nan)
"""The box of a shape with a coordinate that is no number; the boxes table reports it."""


@dataclass
class Shapes:
    """Counts what a reader found besides boxes.

    Attributes:
        turned: Kinds of shapes that became the boxes round them, in the plural, with their number.
        left_out: Kinds of annotations that are no boxes, with their number.
        joined: How many outlines went into the box of another one, as parts of one object.
    """

    turned: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    joined: int = 0

    def notes(self) -> list[str]:
        """A sentence for each of these, where there are any."""
        notes = []
        if self.turned:
            notes.append(f"{_listed(self.turned)} were turned into the boxes round them")
        if self.joined:
            notes.append(f"{self.joined:,} outlines were joined with others of their class and group_id to one box")
        if self.left_out:
            notes.append(f"annotations that are no boxes were left out: {_listed(self.left_out)}")
        return notes


def _listed(counts: Counter[str]) -> str:
    # The names of unknown kinds come from the file: it may have many, and long ones.
    kinds = [f"{count:,} {kind:.40}" for kind, count in sorted(counts.items())]
    return ", ".join(kinds[:10]) + (", …" if len(kinds) > 10 else "")


def plain_number(text: str) -> float:
    """A number as label files write it; NaN and infinity are numbers here, and the boxes table reports them.

    Python's own ``float`` also takes ``1_000`` and the digits of other scripts, which no tool writes.

    Raises:
        ValueError: It is none.
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"expected a number, found {text.strip()!r:.40}")
    return float(text)


def box_round(points: Iterable[tuple[float, float]]) -> Corners:
    """The smallest box round points ``x, y``, of which there is at least one.

    Where one of the numbers is NaN, which ``min`` and ``max`` may pass over, all of the box is.
    """
    xs, ys = zip(*points, strict=True)
    if any(map(math.isnan, xs)) or any(map(math.isnan, ys)):
        return NO_PLACE
    return min(xs), min(ys), max(xs), max(ys)


def box_round_rotated(x: float, y: float, width: float, height: float, angle: float) -> Corners:
    """The smallest box round a rectangle that is turned about its centre.

    Args:
        x: Centre, pixels.
        y: Centre, pixels.
        width: Side that is horizontal without a turn.
        height: The other side.
        angle: Radians; clockwise or not gives the same box.
    """
    if not math.isfinite(angle):
        return NO_PLACE
    if width > 0 and height > 0:  # else the turn would give an area to a rectangle that has none
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        width, height = width * cosine + height * sine, width * sine + height * cosine
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def box_round_ellipse(x: float, y: float, radius_x: float, radius_y: float, angle: float) -> Corners:
    """The smallest box round an ellipse that is turned about its centre.

    A point of it is ``(r_x cos(t) cos(a) - r_y sin(t) sin(a), r_x cos(t) sin(a) + r_y sin(t) cos(a))`` from the centre;
    the largest value of ``p cos(t) + q sin(t)`` is the root of ``p² + q²``.

    Args:
        x: Centre, pixels.
        y: Centre, pixels.
        radius_x: Half of the axis that is horizontal without a turn.
        radius_y: Half of the other axis.
        angle: Radians; clockwise or not gives the same box.
    """
    if not math.isfinite(angle):
        return NO_PLACE
    if radius_x > 0 and radius_y > 0:
        cosine, sine = math.cos(angle), math.sin(angle)
        radius_x, radius_y = (
            math.hypot(radius_x * cosine, radius_y * sine),
            math.hypot(radius_x * sine, radius_y * cosine),
        )
    return x - radius_x, y - radius_y, x + radius_x, y + radius_y
