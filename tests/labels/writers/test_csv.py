from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import write_labels

Make = Callable[..., LabelSet]


def test_file(tmp_path: Path, make_labels: Make) -> None:
    rows = [("b.jpg", 'rust, "brown"', 1.00004, 2, 3, 4), ("a.jpg", "smut", 5, 6, 7.5, 8, True)]
    labels = make_labels({"a.jpg": (30, 40), "empty.jpg": None, "b.jpg": None}, rows, ["smut"])
    assert write_labels(labels, tmp_path / "o.csv", "csv") == []
    assert (tmp_path / "o.csv").read_text().splitlines() == [
        "image,class,x_min,y_min,x_max,y_max,ignored,image_width,image_height",
        "a.jpg,smut,5.0,6.0,7.5,8.0,True,30,40",
        "empty.jpg,,,,,,,,",
        'b.jpg,"rust, ""brown""",1.0,2.0,3.0,4.0,False,,',
    ]


def test_predictions_have_a_score(tmp_path: Path, make_labels: Make) -> None:
    labels = make_labels({"a.jpg": (30, 40)}, [("a.jpg", "smut", 5, 6, 7.5, 8)], ["smut"], [0.1234567])
    write_labels(labels, tmp_path / "o.csv", "csv")
    assert (tmp_path / "o.csv").read_text().splitlines() == [
        "image,class,x_min,y_min,x_max,y_max,ignored,score,image_width,image_height",
        "a.jpg,smut,5.0,6.0,7.5,8.0,False,0.12346,30,40",
    ]
