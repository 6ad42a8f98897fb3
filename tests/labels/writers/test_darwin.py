from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import write_labels

Make = Callable[..., LabelSet]


def test_file(tmp_path: Path, make_labels: Make) -> None:
    rows = [("day/a.jpg", "rust", 0.1, 0.2, 10, 20), ("day/a.jpg", "unsure", 1, 1, 2, 2, True)]
    labels = make_labels({"day/a.jpg": (30, 40), "b.jpg": None}, rows, ["rust"], [0.5, 0.25])
    assert write_labels(labels, tmp_path / "o", "darwin") == [
        "1 ignored boxes were left out: Darwin has no place for them"
    ]
    content = json.loads((tmp_path / "o" / "day" / "a.json").read_text())
    assert content["version"] == "2.0"
    assert (content["item"]["name"], content["item"]["path"]) == ("a.jpg", "/day")
    (slot,) = content["item"]["slots"]
    assert (slot["type"], slot["width"], slot["height"]) == ("image", 30, 40)
    assert [source["file_name"] for source in slot["source_files"]] == ["a.jpg"]
    (annotation,) = content["annotations"]
    assert annotation["name"] == "rust" and annotation["slot_names"] == [slot["slot_name"]]
    assert annotation["bounding_box"] == {"x": 0.1, "y": 0.2, "w": 9.9, "h": 19.8}
    assert annotation["inference"]["confidence"] == 0.5
    empty = json.loads((tmp_path / "o" / "b.json").read_text())
    assert empty["annotations"] == [] and empty["item"]["path"] == "/" and "width" not in empty["item"]["slots"][0]
