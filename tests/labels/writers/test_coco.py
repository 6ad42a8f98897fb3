from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import coco as module
from spore_yolo.labels.writers import write_labels

Make = Callable[..., LabelSet]


def test_read_by_pycocotools(tmp_path: Path, make_labels: Make) -> None:
    from pycocotools.coco import COCO

    sizes = {"c/3.jpg": (10, 10), "a/1.jpg": (100, 80), "b/2.jpg": (200, 100)}
    rows = [("b/2.jpg", "rust", 0, 0, 50.125, 25), ("a/1.jpg", "Alternaria", 10, 20.00005, 30, 60)]
    labels = make_labels(sizes, rows, ["rust", "Alternaria", "smut"], [0.1234567, 0.9])
    assert write_labels(labels, tmp_path / "p.json", "coco") == []
    coco = COCO(str(tmp_path / "p.json"))
    assert [image["file_name"] for image in coco.dataset["images"]] == list(sizes), "those without boxes included"
    assert [item["name"] for item in coco.dataset["categories"]] == ["rust", "Alternaria", "smut"]
    first, second = coco.loadAnns([1, 2])
    assert coco.loadImgs(first["image_id"])[0]["file_name"] == "a/1.jpg", "boxes come in the order of the images"
    assert first["bbox"] == [10, pytest.approx(20.00005, abs=1e-4), 20, pytest.approx(39.99995, abs=1e-4)]
    assert (first["score"], first["category_id"], first["iscrowd"]) == (0.9, 2, 0)
    assert (second["bbox"], second["area"], second["score"]) == ([0, 0, 50.125, 25], 1253.125, 0.12346)


def test_ignored_boxes_are_crowds_of_a_class_of_their_own(tmp_path: Path, make_labels: Make) -> None:
    rows = [("a.jpg", "unsure", 1, 1, 9, 9, True), ("a.jpg", "rust", 2, 2, 4, 4, True)]
    write_labels(make_labels({"a.jpg": (10, 10)}, rows, ["rust"]), tmp_path / "o.json", "coco")
    content = json.loads((tmp_path / "o.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "rust"}, {"id": 2, "name": "unsure"}]
    assert [(item["category_id"], item["iscrowd"]) for item in content["annotations"]] == [(2, 1), (1, 1)]
    assert all("score" not in item for item in content["annotations"])


def test_unknown_sizes_are_left_out_and_said(tmp_path: Path, make_labels: Make) -> None:
    (note,) = write_labels(make_labels({"a.jpg": None, "b.jpg": (5, 6)}, [], []), tmp_path / "o.json", "coco")
    assert "nobody knows the size of 1 images" in note
    assert json.loads((tmp_path / "o.json").read_text()) == {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg", "width": 5, "height": 6}],
        "categories": [],
        "annotations": [],
    }


def test_many_boxes_are_written_in_parts(tmp_path: Path, make_labels: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a.jpg", "rust", number, 0, number + 1, 5) for number in range(7)]
    monkeypatch.setattr(module, "CHUNK", 3)
    write_labels(make_labels({"a.jpg": (10, 10)}, rows, ["rust"]), tmp_path / "o.json", "coco")
    found = json.loads((tmp_path / "o.json").read_text())["annotations"]
    assert [(item["id"], item["bbox"][0]) for item in found] == [(number + 1, number) for number in range(7)]
