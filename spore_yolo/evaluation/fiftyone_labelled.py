"""A dataset of FiftyOne of labels alone: what people labelled, before any pair looked at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spore_yolo.evaluation.fiftyone_appearance import set_appearance
from spore_yolo.evaluation.fiftyone_boxes import Traits
from spore_yolo.evaluation.fiftyone_dataset import declare_fields, new_ids, write_boxes
from spore_yolo.evaluation.fiftyone_views import FEW, Views
from spore_yolo.labels.table import COORDINATES

SAMPLE_FIELDS = {**dict.fromkeys(("slide", "split", "group"), "StringField"), "boxes": "IntField"}

BOX_FIELDS = {
    **{"size": "StringField", "class_boxes": "IntField", "ignored": "BooleanField"},
    **dict.fromkeys(("side_px", "side_um", "density", "neighbour", "aspect", "off_size", "off_aspect"), "FloatField"),
}
"""What a labelled box bears besides label and box; see ``docs/describe.md``."""

OFF = 2.0
"""From how many times the median of its class on a size, or an aspect, is odd."""


@dataclass(frozen=True)
class Labelled:
    """Labels to look at.

    Attributes:
        boxes: The boxes table, ignored ones too.
        images: The images table of the same slides.
        files: For each image the file that a browser shows.
        classes: Class names.
        targets: The classes that the user is after; may be empty.
        info: What the dataset says of itself.
    """

    boxes: pd.DataFrame
    images: pd.DataFrame
    files: Mapping[str, Path]
    classes: Sequence[str]
    targets: Sequence[str]
    info: Mapping[str, Any] = field(default_factory=dict)


def build_labelled(fiftyone: Any, name: str, shown: Labelled) -> Any:
    """Builds the dataset from nothing; one of that name is deleted first.

    A sample is a slide. Boxes are in ``ground_truth``, those that count in nothing in ``ignored``.

    Args:
        fiftyone: The module; see :func:`spore_yolo.evaluation.fiftyone_database.own_fiftyone`.
        name: Name of the dataset.
        shown: What there is to look at.

    Returns:
        The ``fiftyone.Dataset``.
    """
    dataset = fiftyone.Dataset(name, overwrite=True)
    boxes = labelled_boxes(shown.boxes, shown.images)
    fields = {"ground_truth": boxes[~boxes["ignored"]], "ignored": boxes[boxes["ignored"]]}
    scaled = bool(shown.images["um_per_px"].notna().any())
    declare_fields(fiftyone, dataset, SAMPLE_FIELDS, dict.fromkeys(fields, BOX_FIELDS), scaled)
    counts = fields["ground_truth"]["slide"].value_counts()
    ids = dataset.add_samples(
        [
            fiftyone.Sample(
                filepath=str(shown.files[row.image]),
                tags=[row.split],
                metadata=fiftyone.ImageMetadata(width=int(row.width), height=int(row.height)),
                slide=row.image,
                split=row.split,
                group=row.group,
                boxes=int(counts.get(row.image, 0)),
                **({} if np.isnan(row.um_per_px) else {"um_per_px": float(row.um_per_px)}),
            )
            for row in shown.images.itertuples()
        ],
        progress=False,
    )
    samples = dict(zip(shown.images["image"], ids, strict=True))
    for path, table in fields.items():
        write_boxes(dataset, samples, shown.images, path, table.assign(_id=new_ids(len(table))), list(BOX_FIELDS))
    dataset.info = {**shown.info, "targets": list(shown.targets)}
    dataset.default_classes = list(shown.classes)
    dataset.save()
    set_appearance(fiftyone, dataset, shown.classes)
    _add_views(fiftyone, dataset, shown.targets)
    return dataset


def labelled_boxes(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The boxes with what each bears.

    Args:
        boxes: The boxes table.
        images: The images table of the same slides.

    Returns:
        Columns ``slide, class, ignored``, the box, and those of ``BOX_FIELDS``: ``aspect`` is the longer by the shorter
        side; ``off_size`` and ``off_aspect`` tell how many times larger or smaller than the median of its class the
        side and the aspect are, 1 and more.
    """
    table = Traits(boxes, images).of_labels()
    corners = table[COORDINATES].to_numpy(dtype=np.float64)
    extent = corners[:, 2:] - corners[:, :2]
    table = table.assign(aspect=extent.max(axis=1) / extent.min(axis=1))
    for name, off in {"side_px": "off_size", "aspect": "off_aspect"}.items():
        ratio = table[name] / table.groupby("class")[name].transform("median")
        table[off] = np.maximum(ratio, 1 / ratio)
    return table


def _add_views(fiftyone: Any, dataset: Any, targets: Sequence[str]) -> None:
    """Saves the views that answer what there is, where it is rare, and what looks odd."""
    views = Views(fiftyone, dataset)
    seen = views.field
    labels = dataset.count_values("ground_truth.detections.label")
    rarest = sorted(labels, key=lambda name: (labels[name], name))
    views.save(
        "rare first", views.patches("ground_truth", None, "class_boxes"), "All labelled boxes, rare classes first"
    )
    for label in rarest[:FEW]:
        mine = seen("label") == label
        views.save(
            f"{label}: smallest first",
            views.patches("ground_truth", mine, "side_px"),
            f"The {labels[label]:,} boxes of {label}, the smallest first",
        )
        views.save(
            f"{label}: largest first", views.patches("ground_truth", mine, "-side_px"), f"{label}, the largest first"
        )
    if targets:
        views.save(
            "targets",
            views.patches("ground_truth", seen("label").is_in(list(targets)), "side_px"),
            f"Labelled boxes of {', '.join(targets)}",
        )
    views.save(
        "odd sizes",
        views.patches("ground_truth", seen("off_size") >= OFF, "-off_size"),
        f"Boxes {OFF:g} times as large or small as the median of their class, and more; the oddest first",
    )
    views.save(
        "odd shapes",
        views.patches("ground_truth", seen("off_aspect") >= OFF, "-off_aspect"),
        f"Boxes {OFF:g} times as long or short for their width as the median of their class; the oddest first",
    )
    views.save(
        "touching",
        views.patches("ground_truth", seen("neighbour") == 0, "class_boxes"),
        "Labelled boxes that touch or overlap another one; rare classes first",
    )
    if dataset.count("ignored.detections"):
        views.save("ignored", views.patches("ignored"), "Boxes that count in nothing")
    views.save("densest slides", dataset.sort_by("boxes", reverse=True), "Slides by falling number of labelled boxes")
    empty = (seen("boxes") == 0) & (seen("ignored.detections").length() == 0)
    views.save("empty slides", dataset.match(empty), "Slides without any label")
    views.save("groups", dataset.group_by("group"), "A slide a group; open one to go through its slides")
    splits = sorted(dataset.distinct("split"))
    for split in splits if len(splits) > 1 else []:
        views.save(f"split {split}", dataset.match(seen("split") == split), f"The slides of {split}")
