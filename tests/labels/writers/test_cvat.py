from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import defusedxml.ElementTree

from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import write_labels

Make = Callable[..., LabelSet]


def test_file(tmp_path: Path, make_labels: Make) -> None:
    rows = [('a "1".jpg', "rust & co", 0.125, 1, 10, 20), ("b.jpg", "smut", 1, 1, 2, 2, True)]
    labels = make_labels({'a "1".jpg': (30, 40), "b.jpg": None}, rows, ["rust & co", "smut"], [0.5, float("nan")])
    (note,) = write_labels(labels, tmp_path / "o.xml", "cvat")
    assert "score and ignored" in note
    root = defusedxml.ElementTree.parse(tmp_path / "o.xml").getroot()
    assert root.findtext("version") == "1.1"
    declared = root.findall("meta/task/labels/label")
    assert [label.findtext("name") for label in declared] == ["rust & co", "smut"]
    for label in declared:
        kinds = {item.findtext("name"): item.findtext("input_type") for item in label.findall("attributes/attribute")}
        assert kinds == {"score": "text", "ignored": "checkbox"}
    first, second = root.findall("image")
    assert first.attrib == {"id": "0", "name": 'a "1".jpg', "width": "30", "height": "40"}
    assert second.attrib == {"id": "1", "name": "b.jpg"}
    (box,) = first.findall("box")
    assert [float(box.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr")] == [0.125, 1, 10, 20]
    assert (box.attrib["label"], box.attrib["source"]) == ("rust & co", "auto")
    values = {item.attrib["name"]: item.text for item in box}
    assert values == {"score": "0.5", "ignored": "false"}
    assert {item.attrib["name"]: item.text for item in second.findall("box/*")} == {"ignored": "true"}


def test_plain_labels_declare_no_attributes(tmp_path: Path, make_labels: Make) -> None:
    labels = make_labels({"a.jpg": (30, 40)}, [("a.jpg", "rust", 1, 1, 9, 9)], ["rust"])
    assert write_labels(labels, tmp_path / "o.xml", "cvat") == []
    root = defusedxml.ElementTree.parse(tmp_path / "o.xml").getroot()
    assert not list(root.iter("attribute"))
    assert root.find("image/box").attrib["source"] == "manual"  # type: ignore[union-attr]
