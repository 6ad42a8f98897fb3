"""Our readers and those of others on the same files; `benchmarks/label_agreement.py` holds more sets and FiftyOne."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.label_agreement import (
    Boxes,
    LabelledSet,
    by_pycocotools,
    by_supervision,
    compared,
    draw,
    explained,
    ours,
)

Reader = Callable[[LabelledSet], Boxes]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LabelledSet]:
    """One set in three formats: turned images, ids in no order, crowds, boxes of one pixel."""
    return {labelled.label_format: labelled for labelled in draw(tmp_path_factory.mktemp("drawn") / "set")}


@pytest.mark.parametrize("read", [by_supervision, by_pycocotools])
def test_coco(drawn: dict[str, LabelledSet], read: Reader) -> None:
    """The others leave boxes as the file has them; it states the stored sizes, so half of ours are turned."""
    own, source, _, refused = ours(drawn["coco"])
    theirs = read(drawn["coco"])
    assert refused == 0
    upright = {image for image, size in source.sizes.items() if size.orientation == 1}
    assert len(upright) == 8
    assert compared(
        {image: boxes for image, boxes in own.items() if image in upright},
        {image: boxes for image, boxes in theirs.items() if image in upright},
    ).same
    assert not compared(own, theirs).same
    reason, left = explained(own, theirs, source.sizes)
    assert "unturned" in reason and ";" not in reason
    assert left.same


def thick(boxes: Boxes) -> Boxes:
    """The boxes with more than two pixels a side."""
    kept = {image: (corners[:, 2:] - corners[:, :2] > 2).all(axis=1) for image, (_, corners) in boxes.items()}
    return {
        image: ([name for name, good in zip(names, kept[image], strict=True) if good], corners[kept[image]])
        for image, (names, corners) in boxes.items()
    }


@pytest.mark.parametrize("label_format", ["voc", "yolo"])
def test_files_that_we_write_are_read_alike(drawn: dict[str, LabelledSet], label_format: str) -> None:
    """What we read as COCO and wrote is the same to supervision, turned images included."""
    own, _, labels, _ = ours(drawn[label_format])
    agreement = compared(own, by_supervision(drawn[label_format]))
    assert agreement.same and agreement.boxes == len(labels.boxes)
    first, _, _, _ = ours(drawn["coco"])
    if label_format == "voc":  # YOLO has no crowds; VOC cannot tell boxes of one pixel from clicks and has them wider
        assert compared(thick(first), thick(own)).same


def test_a_difference_is_seen() -> None:
    """The comparison itself: a box more, another class, a pixel."""
    boxes: Boxes = {"a.jpg": (["rust", "smut"], np.array([[0.0, 0, 9, 9], [20, 20, 30, 30]]))}
    assert compared(boxes, boxes).same
    assert compared(boxes, {}).unpaired == 2
    assert compared(boxes, {"a.jpg": (["rust", "rust"], boxes["a.jpg"][1])}).classes == 1
    moved = {"a.jpg": (["smut", "rust"], np.array([[20.0, 20, 30, 30], [0, 1, 9, 9]]))}
    assert compared(boxes, moved).largest == 1
    assert not compared(boxes, moved).same


def test_voc(tmp_path: Path) -> None:
    """VOC counts from 1 and its maximum belongs to the box: supervision reads it so as well."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Image.new("L", (100, 80)).save(tmp_path / "images" / "a.jpg")
    box = "<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>100</xmax><ymax>20</ymax></bndbox>"
    size = "<size><width>100</width><height>80</height><depth>1</depth></size>"
    text = f"<annotation><filename>a.jpg</filename>{size}<object><name>rust</name>{box}</object></annotation>"
    (tmp_path / "labels" / "a.xml").write_text(text)
    labelled = LabelledSet("one", "voc", tmp_path / "images", tmp_path / "labels")
    own, _, _, _ = ours(labelled)
    assert own["a.jpg"][1].tolist() == [[0, 10, 100, 20]]
    assert compared(own, by_supervision(labelled)).same
