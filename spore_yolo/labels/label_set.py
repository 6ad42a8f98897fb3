"""Checked boxes on known images: what is written out, and what a format holds when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from spore_yolo.files.images import ImageSize
from spore_yolo.labels.table import BOX_COLUMNS, COORDINATES, UNKNOWN_SIZE


@dataclass(frozen=True)
class LabelSet:
    """Labels or predictions, ready to be written in any format.

    Attributes:
        images: A row an image, those without boxes included, in the order in which they are written: ``image``, and
            ``width`` and ``height`` in pixels as displayed (``Int64``, missing where nobody knows them).
        boxes: A boxes table, all of these images; predictions have a column ``score`` besides, which is NaN where a
            model gave none.
        classes: Class names in the order of their numbers. A class that only ignored boxes have may be missing.
    """

    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: list[str]

    @property
    def predicted(self) -> bool:
        """Whether these are predictions, be there any or not; else people's labels."""
        return "score" in self.boxes

    @property
    def scored(self) -> bool:
        """Whether these are predictions with scores."""
        return "score" in self.boxes and bool(self.boxes["score"].notna().any())

    @property
    def all_classes(self) -> list[str]:
        """The classes, and behind them those that only ignored boxes have."""
        return classes_of(self.classes, self.boxes)


def images_of(sizes: Mapping[str, ImageSize]) -> pd.DataFrame:
    """The images of a :class:`LabelSet`, in the order of ``sizes``."""
    known = [None if size == UNKNOWN_SIZE else size for size in sizes.values()]
    return pd.DataFrame(
        {
            "image": pd.array(list(sizes), dtype="str"),
            "width": pd.array([size and size.width for size in known], dtype="Int64"),
            "height": pd.array([size and size.height for size in known], dtype="Int64"),
        }
    )


def boxes_of(candidates: pd.DataFrame, label_file: str) -> pd.DataFrame:
    """The boxes of a :class:`LabelSet` from candidates or detections.

    Args:
        candidates: Columns ``slide``, ``class``, ``score`` and ``x_min, y_min, x_max, y_max``; others are passed over.
        label_file: Where they were read, or will lie.
    """
    boxes = candidates[["slide", "class", "score", *COORDINATES]].rename(columns={"slide": "image"})
    boxes = boxes.assign(ignored=False, label_file=label_file, line=pd.array([pd.NA] * len(boxes), dtype="Int64"))
    return boxes[[*BOX_COLUMNS, "score"]].astype({"image": "str", "class": "str", "score": "float64"})


def classes_of(listed: Iterable[str], boxes: pd.DataFrame) -> list[str]:
    """Classes in the order of the label file's own list, and those that only boxes name behind them."""
    return list(dict.fromkeys([*listed, *sorted(boxes["class"].unique())]))
