"""What the columns of a table mean: which holds what, and in what way the boxes are written.

Names are compared without case, blanks, dots and underscores. A box may be written as

- corners: ``x_min, y_min, x_max, y_max``;
- centre and size: ``x_center, y_center, width, height``;
- one column ``bbox`` with ``[x, y, width, height]``, from the top left, as in COCO;
- top left and size: ``left, top, width, height``. Plain ``x, y, width, height`` is taken for this too, and said;
- a centre point: ``x, y`` or ``x_center, y_center``, which needs a size from the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import InputProblems, Problem, UsageError
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.readers.values import some
from spore_yolo.labels.table import COORDINATES

IMAGE, CLASS, SCORE, IGNORED = "image", "class", "score", "ignored"
IMAGE_SIZE = ("image_width", "image_height")
SIZE = ("width", "height")
CENTRE = ("x_center", "y_center")
BBOX = "bbox"

KEYS = (IMAGE, CLASS, SCORE, *COORDINATES, *CENTRE, *SIZE, *IMAGE_SIZE)
"""What the user may say a column holds."""

# Other programs' names for our columns, the better guesses first.
GUESSES: Mapping[str, tuple[frozenset[str], ...]] = {
    IMAGE: (
        frozenset({"image"}),
        frozenset({"filename", "file", "imagename", "imagepath", "imagefile", "path", "slide", "img"}),
        frozenset({"imageid"}),
    ),
    CLASS: (
        frozenset({"class"}),
        frozenset({"label", "classname", "category", "categoryname", "name", "species", "taxon", "labelname"}),
        frozenset({"classid", "categoryid", "labelid", "cls"}),
    ),
    SCORE: (frozenset({"score"}), frozenset({"confidence", "conf", "probability", "prob"})),
    IGNORED: (frozenset({"ignored"}), frozenset({"difficult", "iscrowd"})),
    "x_min": (frozenset({"xmin", "x1", "left", "xtl", "bboxxmin", "minx", "x0"}),),
    "y_min": (frozenset({"ymin", "y1", "top", "ytl", "bboxymin", "miny", "y0"}),),
    "x_max": (frozenset({"xmax", "x2", "right", "xbr", "bboxxmax", "maxx"}),),
    "y_max": (frozenset({"ymax", "y2", "bottom", "ybr", "bboxymax", "maxy"}),),
    "x_center": (frozenset({"xcenter", "xcentre", "centerx", "centrex", "cx", "xc", "bboxxcenter", "bboxcx"}),),
    "y_center": (frozenset({"ycenter", "ycentre", "centery", "centrey", "cy", "yc", "bboxycenter", "bboxcy"}),),
    "width": (frozenset({"width", "w", "bboxwidth", "bboxw", "boxwidth", "boxw"}),),
    "height": (frozenset({"height", "h", "bboxheight", "bboxh", "boxheight", "boxh"}),),
    "image_width": (frozenset({"imagewidth", "imgwidth", "imagew", "imgw"}),),
    "image_height": (frozenset({"imageheight", "imgheight", "imageh", "imgh"}),),
    BBOX: (frozenset({"bbox", "box", "boundingbox"}),),
}

# What may be the corner of a box or its centre: only what else the table has can tell.
PLAIN_PLACE: Mapping[str, frozenset[str]] = {
    "x": frozenset({"x", "bboxx", "boxx", "xpos"}),
    "y": frozenset({"y", "bboxy", "boxy", "ypos"}),
}


class Layout(NamedTuple):
    """A way to write a box.

    Attributes:
        title: What it is, in words.
        roles: The columns that it needs.
        plain: Whether ``x`` and ``y`` may stand for the first two.
    """

    title: str
    roles: tuple[str, ...]
    plain: bool = False


CORNERS = Layout("corners", tuple(COORDINATES))
CENTRE_SIZE = Layout("centre and size", (*CENTRE, *SIZE))
ONE_COLUMN = Layout("top left and size", (BBOX,))
TOP_LEFT_SIZE = Layout("top left and size", ("x_min", "y_min", *SIZE), plain=True)
POINT = Layout("centre points", CENTRE, plain=True)

LAYOUTS = (CORNERS, CENTRE_SIZE, ONE_COLUMN, TOP_LEFT_SIZE, POINT)
"""In the order in which they are tried."""


@dataclass(frozen=True)
class Columns:
    """Which column holds what.

    Attributes:
        place: Number of the column, 0-based, of each thing that the table has, by our name.
        layout: How the boxes are written.
        notes: What the user should know about a guess.
        spare_size: The image's size was guessed from columns that may be the box's own width and height.
    """

    place: Mapping[str, int]
    layout: Layout
    notes: tuple[str, ...] = ()
    spare_size: bool = False


def find_columns(
    path: Path, header: Sequence[str], given: Mapping[str, str], *, scores: bool, named: bool = True
) -> Columns:
    """Finds out what the columns of a table hold.

    Args:
        path: The file, for messages.
        header: The names of its columns.
        given: The file's own name of some of our columns, from the user.
        scores: Look for a column with scores.
        named: The table has to say which image a row belongs to.

    Raises:
        UsageError: ``given`` names a column that the table or we do not have.
        InputProblems: A column is missing or may be any of several.
    """
    _check_given(path, header, given)
    guess = _Guess(header, given)
    layout = min(LAYOUTS, key=lambda one: (not guess.given_fit(one), guess.missing(one)))
    wanted = [IMAGE] if named or guess.fits(IMAGE) else []
    wanted += [*layout.roles, CLASS]
    problems = [
        Problem(path, 1, f"expected one column that holds {role}, {_found(fits, header)}", UNREADABLE_LABEL)
        for role in (*wanted, SCORE, IGNORED)
        if len(fits := guess.fits(role, layout)) != 1 and (fits or role in wanted) and (role != SCORE or scores)
    ]
    if problems:
        advice = (
            "Say which column is which, for example --columns image=file,x_min=left,class=taxon; boxes may also be"
            " x_center,y_center,width,height or x_min,y_min,width,height"
        )
        raise InputProblems("The columns cannot be told:", problems, advice)
    roles = [*wanted, *([SCORE] if scores else []), IGNORED]
    place = {role: header.index(fits[0]) for role in roles if (fits := guess.fits(role, layout))}
    size, spare = guess.image_size(layout)
    place |= {role: header.index(column) for role, column in size.items()}
    return Columns(place, layout, guess.notes(path, layout), spare)


def _found(fits: list[str], header: Sequence[str]) -> str:
    return f"found {some(fits)}" if fits else f"found only {some(header) or 'an empty file'}"


def _check_given(path: Path, header: Sequence[str], given: Mapping[str, str]) -> None:
    unknown = [name for name in given if name not in KEYS]
    absent = [name for name in given.values() if header.count(name) != 1]
    if unknown or absent:
        raise UsageError(
            f"column names: expected {', '.join(KEYS)} = a column of {path} ({some(header)}),"
            f" found {', '.join(unknown + absent)}"
        )


class _Guess:
    """What the names of the columns may mean, once the user has had the first word."""

    def __init__(self, header: Sequence[str], given: Mapping[str, str]) -> None:
        self._given = given
        taken = set(given.values())
        self._free = [(name, _plain(name)) for name in header if name not in taken]

    def given_fit(self, layout: Layout) -> bool:
        """Whether the layout has a use for every column of a box that the user named."""
        return {role for role in self._given if role in (*COORDINATES, *CENTRE, *SIZE)} <= set(layout.roles)

    def missing(self, layout: Layout) -> float:
        """Share of the layout's columns that the table does not have."""
        return sum(not self.fits(role, layout) for role in layout.roles) / len(layout.roles)

    def fits(self, role: str, layout: Layout | None = None) -> list[str]:
        """The columns that may hold ``role``."""
        if role in self._given:
            return [self._given[role]]
        for names in GUESSES[role]:
            if found := [name for name, plain in self._free if plain in names]:
                # "class" beside "Class ": the word as we write it is meant.
                return [name for name in found if name == role] or found
        if layout is not None and layout.plain and role[0] in PLAIN_PLACE:
            return [name for name, plain in self._free if plain in PLAIN_PLACE[role[0]]]
        return []

    def image_size(self, layout: Layout) -> tuple[dict[str, str], bool]:
        """The columns with the size of the image, and whether they might be the size of the box."""
        own = {role: fits[0] for role in IMAGE_SIZE if len(fits := self.fits(role)) == 1}
        if len(own) == 2:
            return own, False
        if set(SIZE) & {*layout.roles, *self._given}:
            return {}, False
        plain = {name: [own for own, plain in self._free if plain == name] for name in SIZE}
        if any(len(found) != 1 for found in plain.values()):
            return {}, False
        return {f"image_{name}": found[0] for name, found in plain.items()}, True

    def notes(self, path: Path, layout: Layout) -> tuple[str, ...]:
        if layout == ONE_COLUMN:
            column = self.fits(BBOX)[0]
            return (f"{path}: {column} is taken for x, y of the top left corner, width and height, as in COCO",)
        if layout != TOP_LEFT_SIZE:
            return ()
        x, y, width, height = (self.fits(role, layout)[0] for role in layout.roles)
        if {"x_min", "y_min"} & set(self._given) or _plain(x) not in PLAIN_PLACE["x"]:
            return ()
        return (
            f"{path}: {x}, {y} are taken for the top left corner of a box, as in COCO; if they are its centre, say"
            f" --columns x_center={x},y_center={y},width={width},height={height}",
        )


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def to_corners(numbers: npt.NDArray[np.float64], layout: Layout) -> npt.NDArray[np.float64]:
    """Boxes as they are written, as corners; points become boxes without an area.

    Args:
        numbers: ``(N, 4)`` in the order of the layout's columns; for points x and y, twice.
        layout: How they are written.

    Returns:
        ``(N, 4)`` in ``x_min, y_min, x_max, y_max``, in the units of ``numbers``.
    """
    if layout in (CORNERS, POINT):
        return numbers
    first, last = numbers[:, :2], numbers[:, 2:]
    with np.errstate(over="ignore", invalid="ignore"):
        if layout == CENTRE_SIZE:
            return np.hstack([first - last / 2, first + last / 2])
        return np.hstack([first, first + last])


FRACTIONS_AT_LEAST = 0.9
"""Share of the boxes that lie between 0 and 1 in a table of fractions; the rest of them is wrong."""


def are_fractions(numbers: npt.NDArray[np.float64]) -> bool:
    """Whether the boxes of a table are fractions of their images.

    No image has all of its objects on its first pixel, so nearly all boxes between 0 and 1 tell, if one of these is
    no whole number. A few others do not change what the table is; they lie beyond their images and are told.
    """
    with np.errstate(invalid="ignore"):
        low = ((numbers >= 0) & (numbers <= 1)).all(axis=1)
    return bool(len(numbers) and low.mean() >= FRACTIONS_AT_LEAST and (numbers[low] % 1 != 0).any())
