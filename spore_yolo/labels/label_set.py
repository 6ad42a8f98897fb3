"""Checked boxes on known images: what is written out, and what a format holds when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from spore_yolo.files.images import ImageSize
from spore_yolo.labels.table import UNKNOWN_SIZE


@dataclass(frozen=True)
class LabelSet:
    """Labels or predictions, ready to be written in any format.

    Attributes:
        images: A row an image, those without boxes included, in the order in which they are written: ``image``, and
            ``width`` and ``height`` in pixels as displayed (``Int64``, missing where nobody knows them).
        boxes: A boxes table; predictions have a column ``score`` besides, which is NaN where a model gave none.
        classes: Class names in the order of their numbers.
    """

    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: list[str]

    @property
    def scored(self) -> bool:
        """Whether these are predictions with scores."""
        return "score" in self.boxes and bool(self.boxes["score"].notna().any())


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


def classes_of(listed: Iterable[str], boxes: pd.DataFrame) -> list[str]:
    """Classes in the order of the label file's own list, and those that only boxes name behind them."""
    return list(dict.fromkeys([*listed, *sorted(set(boxes["class"]))]))
