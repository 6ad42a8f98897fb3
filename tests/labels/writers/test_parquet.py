from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet

from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import write_labels

Make = Callable[..., LabelSet]


def test_types(tmp_path: Path, make_labels: Make) -> None:
    labels = make_labels({"a.jpg": (30, 40), "b.jpg": None}, [("a.jpg", "smut", 5, 6, 7.5, 8, True)], ["smut"], [0.5])
    write_labels(labels, tmp_path / "o.parquet", "parquet")
    table = pyarrow.parquet.read_table(tmp_path / "o.parquet")
    kinds = {field.name: str(field.type).removeprefix("large_") for field in table.schema}
    assert kinds == {
        "image": "string",
        "class": "string",
        **dict.fromkeys(["x_min", "y_min", "x_max", "y_max"], "double"),
        "ignored": "bool",
        "score": "double",
        "image_width": "int64",
        "image_height": "int64",
    }
    first, second = table.to_pylist()
    assert first == dict(zip(kinds, ["a.jpg", "smut", 5, 6, 7.5, 8, True, 0.5, 30, 40], strict=True))
    assert second == {**dict.fromkeys(kinds), "image": "b.jpg"}
