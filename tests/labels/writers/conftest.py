from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.files.images import ImageSize
from spore_yolo.labels.label_set import LabelSet, images_of
from spore_yolo.labels.table import UNKNOWN_SIZE, boxes_table


@pytest.fixture
def make_labels() -> Callable[..., LabelSet]:
    """Makes labels from sizes (``None``: unknown) and rows ``image, class, x_min, y_min, x_max, y_max[, ignored]``."""

    def make(
        sizes: dict[str, tuple[int, int] | None],
        rows: list[tuple[object, ...]],
        classes: list[str],
        scores: list[float] | None = None,
    ) -> LabelSet:
        boxes = boxes_table((*row[:6], row[6] if len(row) > 6 else False, "f", None) for row in rows)
        if scores is not None:
            boxes = boxes.assign(score=scores)
        known = {name: UNKNOWN_SIZE if size is None else ImageSize(*size) for name, size in sizes.items()}
        return LabelSet(images_of(known), boxes, classes)

    return make
