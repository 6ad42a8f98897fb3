"""A small valid label file of each format: what `label_fuzzing.py` and the tests of hostile input begin with.

All of them speak of the images of :func:`save_images`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IMAGES = {"a.jpg": (100, 80), "b.png": (60, 40), "day 1/c.png": (64, 64)}
"""Width and height of the images in pixels."""

Files = dict[str, bytes]
"""The bytes of each file, by its path below the folder of the labels."""


@dataclass(frozen=True)
class Seed:
    """Valid labels of one format.

    Attributes:
        label_format: A key of ``READERS``.
        files: The label files.
        path: The path below the folder of the labels that a user gives; empty for the folder itself.
        options: Settings of ``ReadOptions``.
    """

    label_format: str
    files: Files
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def save_images(folder: Path) -> None:
    """Saves the images that the seeds speak of."""
    from PIL import Image

    for name, size in IMAGES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, 128).save(path)


def seeds() -> list[Seed]:
    """One or more of each format."""
    return [
        _json_file("coco", "labels.json", COCO),
        _json_file("coco", "found.json", COCO_RESULTS, scores=True, ids_file="labels.json", more={"labels.json": COCO}),
        Seed("voc", {"a.xml": VOC.encode(), "b.xml": _of_b(VOC.encode())}),
        Seed("yolo", YOLO),
        Seed("yolo", {"a.txt": b"0 0.5 0.5 0.2 0.2 0.9\n1 0.1 0.1 0.1 0.1 1e-3\n"}, options={"scores": True}),
        Seed("csv", {"labels.csv": CSV}, "labels.csv"),
        Seed("csv", {"found.tsv": TSV}, "found.tsv", {"scores": True}),
        Seed(
            "csv", {"points.csv": b"image,x,y,class\na.jpg,20,30,rust\nb.png,5,5,\n"}, "points.csv", {"point_size": 9.0}
        ),
        Seed("parquet", {"labels.parquet": _parquet()}, "labels.parquet"),
        Seed("darwin", {"a.json": _json(DARWIN), "b.json": _of_b(_json(DARWIN))}),
        Seed("labelme", {"a.json": _json(LABELME), "b.json": _of_b(_json(LABELME))}),
        Seed("cvat", {"annotations.xml": CVAT}, "annotations.xml"),
        _json_file("label-studio", "project.json", LABEL_STUDIO),
        _json_file("via", "via.json", VIA),
        _json_file("createml", "labels.json", CREATEML),
        Seed("points", {"a.txt": b"20 30 0\n40.5 50 1\n", "b.txt": b"5 5 11\n"}, options={"point_size": 12.0}),
    ]


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _json_file(label_format: str, name: str, value: Any, more: Mapping[str, Any] | None = None, **options: Any) -> Seed:
    files = {name: _json(value)} | {other: _json(content) for other, content in (more or {}).items()}
    return Seed(label_format, files, name, options)


def _of_b(labels: bytes) -> bytes:
    """The labels of a.jpg as those of b.png."""
    changes = {"a.jpg": "b.png", "100": "60", "80": "40", "rust": "smut"}
    return re.sub("|".join(changes), lambda found: changes[found[0]], labels.decode()).encode()


def _parquet() -> bytes:
    import pandas as pd

    stream = io.BytesIO()
    pd.read_csv(io.BytesIO(CSV)).to_parquet(stream)
    return stream.getvalue()


POLYGON = [[10, 10, 50, 12, 30, 44.5]]

COCO = {
    "info": {"description": "seed", "year": 2024},
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 100, "height": 80},
        {"id": 12, "file_name": "b.png", "width": 60, "height": 40},
        {"id": "x", "file_name": "day 1/c.png"},
    ],
    "categories": [{"id": 3, "name": "rust", "supercategory": "fungus"}, {"id": 1, "name": "smut"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [11.25, 20, 30, 40], "area": 1200, "iscrowd": 0},
        {"id": 2, "image_id": 12, "category_id": 1, "bbox": [1.5, 2.25, 10, 10], "segmentation": [], "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 1, "segmentation": POLYGON},
        {
            "id": 4,
            "image_id": 12,
            "category_id": 3,
            "segmentation": {"size": [40, 60], "counts": [410, 10, 30, 10, 30, 10, 1900]},
            "iscrowd": 1,
        },
        {
            "id": 5,
            "image_id": 12,
            "category_id": 3,
            "segmentation": {"size": [40, 60], "counts": "j<:n0000^j1"},
        },
        {"id": 6, "image_id": "x", "category_id": 3, "bbox": [0, 0, 64, 64], "score": 0.5},
    ],
}

COCO_RESULTS = [
    {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.9},
    {"image_id": 12, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1e-3},
]

VOC = """\
<?xml version="1.0" encoding="utf-8"?>
<annotation>
  <folder>images</folder>
  <filename>a.jpg</filename>
  <size><width>100</width><height>80</height><depth>3</depth></size>
  <object>
    <name>rust</name><pose>Unspecified</pose><truncated>0</truncated><difficult>1</difficult>
    <bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
  </object>
  <object><name>smut</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20.5</xmax><ymax>10</ymax></bndbox></object>
</annotation>
"""

YOLO: Files = {
    "labels/a.txt": b"0 0.5 0.5 0.2 0.2\n1 0.25 0.25 0.1 0.1\n",
    "labels/b.txt": b"1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n",
    "labels/day 1/c.txt": b"0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5 0.05 0.3\n",
    "data.yaml": b"path: .\ntrain: images\nnames: {0: rust, 1: smut}\n",
}

CSV = b"""\
image,x_min,y_min,x_max,y_max,class
a.jpg,10,20,30,40,rust
a.jpg,1.5,2,3,4.25,"smut, black"
b.png,,,,,
day 1/c.png,0,0,64,64,rust
"""

TSV = b"""\
filename\tleft\ttop\twidth\theight\tlabel\tconfidence
a.jpg\t10\t20\t30\t40\trust\t0.75
b.png\t1\t2\t3\t4\tsmut\t1
"""

DARWIN = {
    "version": "2.0",
    "schema_ref": "https://darwin-public.s3.eu-west-1.amazonaws.com/darwin_json/2.0/schema.json",
    "item": {
        "name": "a.jpg",
        "path": "/",
        "source_info": {"item_id": "0192", "dataset": {"name": "seed", "slug": "seed"}},
        "slots": [
            {
                "type": "image",
                "slot_name": "0",
                "width": 100,
                "height": 80,
                "source_files": [{"file_name": "a.jpg", "url": "https://example.org/a"}],
            }
        ],
    },
    "annotations": [
        {
            "id": "1",
            "name": "rust",
            "bounding_box": {"x": 10.5, "y": 20, "w": 30, "h": 20},
            "inference": {"confidence": 0.9, "model": {"name": "m"}},
            "slot_names": ["0"],
        },
        {
            "id": "2",
            "name": "smut",
            "polygon": {"paths": [[{"x": 1, "y": 2}, {"x": 9, "y": 2}, {"x": 5, "y": 12.5}]]},
            "bounding_box": {"x": 1, "y": 2, "w": 8, "h": 10.5},
            "slot_names": ["0"],
        },
        {"id": "3", "name": "rust", "polygon": {"path": [{"x": 1, "y": 2}, {"x": 9, "y": 2}, {"x": 5, "y": 12}]}},
        {"id": "4", "name": "blurred", "tag": {}, "slot_names": ["0"]},
        {
            "id": "5",
            "name": "rust",
            "ellipse": {"center": {"x": 20, "y": 20}, "radius": {"x": 5, "y": 3}, "angle": 0.5},
        },
    ],
}

LABELME = {
    "version": "5.2.1",
    "flags": {},
    "shapes": [
        {"label": "rust", "points": [[10.5, 20], [30, 40]], "group_id": None, "shape_type": "rectangle", "flags": {}},
        {"label": "smut", "points": [[1, 2], [9, 2], [5, 12.5]], "shape_type": "polygon"},
        {"label": "rust", "points": [[20, 20], [25, 20]], "shape_type": "circle"},
        {"label": "rust", "points": [[20, 20]], "shape_type": "point"},
        {"label": "rust", "points": [[1, 2], [20, 20]], "shape_type": "line"},
    ],
    "imagePath": "a.jpg",
    "imageData": None,
    "imageHeight": 80,
    "imageWidth": 100,
}

CVAT = b"""\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels>
    <label><name>rust</name><color>#fa3253</color><attributes></attributes></label>
    <label><name>smut</name></label>
  </labels></task></meta>
  <image id="0" name="a.jpg" width="100" height="80">
    <box label="rust" source="manual" occluded="0" xtl="10.50" ytl="20.00" xbr="30" ybr="40" z_order="0">
      <attribute name="score">0.5</attribute>
    </box>
    <box label="smut" xtl="30" ytl="30" xbr="50" ybr="40" rotation="30.5"></box>
    <polygon label="smut" points="1,2;9,2;5,12.5"></polygon>
    <ellipse label="rust" cx="20" cy="20" rx="5" ry="3" rotation="10"></ellipse>
    <mask label="rust" rle="3, 4, 2" left="10" top="10" width="3" height="3"></mask>
    <points label="rust" points="20,20"></points>
    <polyline label="rust" points="20,20;30,30"></polyline>
    <tag label="blurred"></tag>
  </image>
  <image id="1" name="b.png" width="60" height="40" subset="train"></image>
</annotations>
"""

_RESULT = {
    "id": "r1",
    "type": "rectanglelabels",
    "from_name": "label",
    "to_name": "image",
    "original_width": 100,
    "original_height": 80,
    "image_rotation": 0,
    "value": {"x": 10, "y": 25, "width": 30, "height": 50, "rotation": 0, "rectanglelabels": ["rust"]},
}

LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
        "annotations": [
            {
                "id": 5,
                "was_cancelled": False,
                "result": [
                    _RESULT,
                    _RESULT | {"value": {**_RESULT["value"], "rotation": 5}},
                    _RESULT
                    | {
                        "type": "polygonlabels",
                        "value": {"points": [[10, 10], [50, 10], [30, 60]], "polygonlabels": ["smut"]},
                    },
                    _RESULT
                    | {
                        "type": "ellipselabels",
                        "value": {
                            "x": 50,
                            "y": 50,
                            "radiusX": 5,
                            "radiusY": 9,
                            "rotation": 0,
                            "ellipselabels": ["smut"],
                        },
                    },
                    _RESULT
                    | {"type": "brushlabels", "value": {"format": "rle", "rle": [0, 0, 1, 2], "brushlabels": ["rust"]}},
                    {"type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": ["good"]}},
                ],
            }
        ],
        "predictions": [{"model_version": "m", "score": 0.5, "result": [_RESULT | {"score": 0.75}]}],
    },
    {"id": 2, "data": {"image": "s3://bucket/b.png"}, "annotations": [], "predictions": []},
]

VIA = {
    "_via_settings": {"ui": {}, "core": {}, "project": {"name": "seed"}},
    "_via_img_metadata": {
        "a.jpg1234": {
            "filename": "a.jpg",
            "size": 1234,
            "regions": [
                {
                    "shape_attributes": {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40},
                    "region_attributes": {"class": "rust"},
                },
                {
                    "shape_attributes": {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 2, 12]},
                    "region_attributes": {"class": "smut"},
                },
                {
                    "shape_attributes": {"name": "circle", "cx": 30, "cy": 30, "r": 5.5},
                    "region_attributes": {"class": "rust"},
                },
                {
                    "shape_attributes": {"name": "ellipse", "cx": 30, "cy": 30, "rx": 5, "ry": 3, "theta": 0.5},
                    "region_attributes": {"class": "rust"},
                },
                {"shape_attributes": {"name": "point", "cx": 3, "cy": 3}, "region_attributes": {"class": "rust"}},
            ],
            "file_attributes": {},
        },
        "b.png55": {"filename": "b.png", "size": 55, "regions": [], "file_attributes": {}},
    },
    "_via_attributes": {"region": {"class": {"type": "dropdown", "options": {"rust": "", "smut": ""}}}, "file": {}},
}

CREATEML = [
    {
        "image": "a.jpg",
        "annotations": [
            {"label": "rust", "coordinates": {"x": 25, "y": 40, "width": 30, "height": 40}},
            {"label": "smut", "coordinates": {"x": 5.5, "y": 5, "width": 3, "height": 4}, "confidence": 0.5},
        ],
    },
    {"image": "b.png", "annotations": []},
]
