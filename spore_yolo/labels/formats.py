"""The names of the label formats; this module loads nothing, so that a command line can list them."""

from __future__ import annotations

from collections.abc import Mapping

FORMAT_NAMES: Mapping[str, str] = {
    "coco": "COCO JSON",
    "voc": "Pascal VOC XML",
    "yolo": "YOLO text files",
    "csv": "a CSV or TSV table",
    "parquet": "a Parquet table",
    "darwin": "V7 Darwin JSON 2.0",
    "labelme": "LabelMe JSON",
    "cvat": "CVAT XML for images",
    "label-studio": "Label Studio JSON",
    "via": "VGG Image Annotator JSON",
    "createml": "CreateML JSON",
    "points": "text files with centre points",
}
"""What each format is called in a sentence."""

LABEL_FORMATS = tuple(FORMAT_NAMES)
"""Formats that can be read."""

PREDICTION_FORMATS = ("coco", "voc", "yolo", "csv", "parquet", "darwin", "labelme", "cvat", "label-studio")
"""Formats whose readers know scores."""

TABLE_FORMATS = ("csv", "parquet")
"""Formats that have columns."""

POINT_FORMATS = ("points", *TABLE_FORMATS)
"""Formats that may hold centre points in place of boxes."""

AUTO = "auto"
"""In place of a format: see what it is."""

FIFTYONE = "fiftyone"
"""In place of a format: labels out of FiftyOne's database, which are no file."""
