"""What a check is, what it is given, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pandas as pd

from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.table import CheckedBoxes, RawLabels


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Training on it, or a figure measured on it, would be wrong."""

    WARNING = "warning"
    """Probably a mistake; somebody should look."""

    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True)
class PixelFacts:
    """What the pixels of one image say; stored by the image's content, so that no image is decoded twice.

    Attributes:
        sha256: Hash of the file's bytes.
        damage: Why the file cannot be decoded whole; empty where it can.
        perceptual_hash: 64 bits that stay nearly the same when a picture is scaled, compressed or brightened, as a
            whole number; ``None`` where the image cannot be decoded or shows nothing to compare.
        markings: Burnt-in scale bars and text: ``x_min, y_min, x_max, y_max`` in pixels as displayed.
    """

    sha256: str
    damage: str = ""
    perceptual_hash: int | None = None
    markings: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class Material:
    """Everything that checks look at.

    Attributes:
        path: The label file or folder.
        label_format: Its format.
        labels: What the reader found, its problems included.
        known: The images that the labels may speak of.
        checked: The boxes that lie on their images, as a boxes table, and what is wrong with the others.
        images: A row an image: ``image, width, height, orientation, group, source, split``. Width and height are
            missing where nobody knows them; ``orientation`` is EXIF's, 1 to 8; ``split`` is empty where there is none.
        unreadable: Images whose header cannot be read, with the reason.
        unnamed: Images that the labels do not name.
        classes: Class names in the order of the label file's list, and those that only boxes name behind them.
        grouped: Whether the user said what a group is; else each source is one.
        pixels: Facts of each readable image, by its name; ``None`` where pixels were not looked at.
    """

    path: Path
    label_format: str
    labels: RawLabels
    known: KnownImages
    checked: CheckedBoxes
    images: pd.DataFrame
    unreadable: Mapping[str, str] = field(default_factory=dict)
    unnamed: frozenset[str] = frozenset()
    classes: tuple[str, ...] = ()
    grouped: bool = False
    pixels: Mapping[str, PixelFacts] | None = None

    @property
    def boxes(self) -> pd.DataFrame:
        """The boxes table of the boxes that lie on their images."""
        return self.checked.table


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        code: The check's code.
        severity: How bad it is; most checks know one severity only.
        message: What was found, in one sentence.
        file: The file to open: a label file or an image.
        line: The line in it, 1-based, or ``None``.
        image: The image that it concerns, by its name, or ``None`` for the dataset as a whole.
        rows: Rows of ``material.boxes`` that it concerns, by position.
    """

    code: str
    severity: Severity
    message: str
    file: str | None = None
    line: int | None = None
    image: str | None = None
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Check:
    """A check: one thing that can be wrong with a dataset.

    Attributes:
        code: Stable for ever, ``SPR001`` and on.
        title: What it finds, in a few words.
        severity: The worst that it reports.
        effect: One sentence on what it does to training, or to figures.
        mend: How to mend it.
        find: Looks at the material.
        needs_pixels: Whether images must be decoded for it.
        fixable: Whether ``--fix`` mends it, since mending needs no guess.
    """

    code: str
    title: str
    severity: Severity
    effect: str
    mend: str
    find: Callable[[Material], Iterable[Finding]]
    needs_pixels: bool = False
    fixable: bool = False
