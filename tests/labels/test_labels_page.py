"""The examples of docs/labels.md are what it says they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers import READERS, read_labels
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.recognise import recognise
from spore_yolo.labels.table import COORDINATES, check_boxes

PAGE = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##)", PAGE, flags=re.MULTILINE | re.DOTALL))
EXAMPLES = {
    name: re.findall(r"^`([^`\n]+)`\n\n```\w+\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for name, text in SECTIONS.items()
}


def test_every_format_has_an_example() -> None:
    assert list(EXAMPLES) == list(dict.fromkeys([*EXAMPLES, *READERS])) and set(EXAMPLES) == set(READERS)
    assert [name for name, files in EXAMPLES.items() if not files] == ["parquet"], "which is no text"


@pytest.mark.parametrize("label_format", [name for name in READERS if name != "parquet"])
def test_example(label_format: str, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    for name, text in EXAMPLES[label_format]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    recognised = recognise(folder)
    assert recognised.label_format == label_format
    sizes = {"slide_1.jpg": ImageSize(1000, 800)}
    options = ReadOptions(point_size=70.0 if label_format == "points" else None)
    labels = read_labels(recognised.path, KnownImages(sizes, tmp_path, "in the example"), label_format, options)
    assert labels.problems == []
    checked = check_boxes(labels.boxes, sizes)
    assert checked.problems == []
    assert checked.table["class"].tolist() == ["Alternaria"]
    expected = [95, 205, 165, 275] if label_format == "points" else [100, 200, 160, 280]
    assert checked.table[COORDINATES].to_numpy().tolist() == [expected]
