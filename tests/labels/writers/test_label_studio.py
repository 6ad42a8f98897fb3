from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import defusedxml.ElementTree
import pytest

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import write_labels

Make = Callable[..., LabelSet]


def test_labels_are_annotations(tmp_path: Path, make_labels: Make) -> None:
    rows = [("day 1/a&b.jpg", "rust", 50, 20, 100, 40), ("day 1/a&b.jpg", "unsure", 0, 0, 2, 2, True)]
    labels = make_labels({"day 1/a&b.jpg": (200, 80), "c.jpg": (5, 5)}, rows, ['"rust"', "rust"])
    (note,) = write_labels(labels, tmp_path / "o", "label-studio", tmp_path / "slides")
    assert "1 ignored boxes" in note
    first, second = json.loads((tmp_path / "o" / "tasks.json").read_text())
    asked = parse_qs(urlsplit(first["data"]["image"]).query)
    assert asked == {"d": ["slides/day 1/a&b.jpg"]}, "below the folder that holds the images folder"
    region, ignored = first["annotations"][0]["result"]
    assert (region["original_width"], region["original_height"], region["type"]) == (200, 80, "rectanglelabels")
    assert {**region["value"]} == {
        "x": 25,
        "y": 25,
        "width": 25,
        "height": 25,
        "rotation": 0,
        "rectanglelabels": ["rust"],
    }
    assert "meta" not in region and ignored["meta"] == {"text": ["ignored"]}
    assert second["annotations"] == [{"result": []}]
    assert "predictions" not in first
    config = defusedxml.ElementTree.parse(tmp_path / "o" / "label_config.xml").getroot()
    control = config.find("RectangleLabels")
    assert control is not None
    assert (control.attrib["name"], control.attrib["toName"]) == (region["from_name"], region["to_name"])
    assert [item.attrib["value"] for item in control] == ['"rust"', "rust", "unsure"]


def test_predictions_are_predictions(tmp_path: Path, make_labels: Make) -> None:
    rows = [("a.jpg", "rust", 0, 0, 1, 1), ("a.jpg", "rust", 1, 1, 2, 2)]
    write_labels(
        make_labels({"a.jpg": (4, 4), "b.jpg": (4, 4)}, rows, ["rust"], [0.5, 0.25]), tmp_path / "o", "label-studio"
    )
    first, second = json.loads((tmp_path / "o" / "tasks.json").read_text())
    assert "annotations" not in first
    (prediction,) = first["predictions"]
    assert prediction["score"] == 0.375
    assert [region["score"] for region in prediction["result"]] == [0.5, 0.25]
    assert len({region["id"] for region in prediction["result"]}) == 2
    assert second["predictions"][0]["result"] == []


def test_no_images_and_no_sizes(tmp_path: Path, make_labels: Make) -> None:
    write_labels(make_labels({}, [], []), tmp_path / "o", "label-studio")
    assert json.loads((tmp_path / "o" / "tasks.json").read_text()) == []
    with pytest.raises(InputProblems, match="nobody knows the size of 1 images"):
        write_labels(make_labels({"a.jpg": None}, [], []), tmp_path / "p", "label-studio")
