"""CSV: a row a box, and a row for each image without boxes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from spore_yolo.files.atomic import atomic_file
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.by_image import COORDINATE_DECIMALS, in_order
from spore_yolo.labels.writers.candidates import SCORE_DECIMALS


def write_csv(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a CSV file with the columns of :func:`flat_table`."""
    with atomic_file(target) as temporary:
        flat_table(labels).to_csv(temporary, index=False)
    return []


def flat_table(labels: LabelSet) -> pd.DataFrame:
    """Labels as one table: a row a box, and a row with nothing but the image for each image without boxes.

    Columns ``image``, ``class``, ``x_min, y_min, x_max, y_max`` (pixels, 0-based, max exclusive), ``ignored``,
    ``score`` for predictions, and ``image_width`` and ``image_height``, missing where nobody knows them.
    """
    boxes, numbers = in_order(labels, labels.boxes)
    names = ["image", "class", *COORDINATES, "ignored", *(["score"] if labels.predicted else [])]
    table = boxes[names].reset_index(drop=True).round(dict.fromkeys(COORDINATES, COORDINATE_DECIMALS))
    table = table.round({"score": SCORE_DECIMALS}).astype({"ignored": "boolean"})
    # Images that no box names come in at the place that the list of images gives them.
    sizes = labels.images[["image", "width", "height"]].astype({"width": "Int64", "height": "Int64"})
    place = pd.DataFrame({"image": labels.images["image"], "place": range(len(labels.images))})
    empty = place[~place["place"].isin(numbers)]
    table = pd.concat([table.assign(place=numbers), empty], ignore_index=True).sort_values("place", kind="stable")
    table = table.merge(sizes.set_axis(["image", "image_width", "image_height"], axis=1), on="image", how="left")
    return table[[*names, "image_width", "image_height"]]
