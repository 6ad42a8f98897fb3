from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.table import boxes_table
from spore_yolo.labels.writers import write_labels
from spore_yolo.labels.writers.yolo import yolo_text

Make = Callable[..., LabelSet]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 60000),
    st.integers(1, 60000),
    st.tuples(*[st.floats(0, 1)] * 4).filter(lambda c: c[0] != c[1] and c[2] != c[3]),
)
def test_text_read_back_to_a_thousandth_of_a_pixel(
    width: int, height: int, parts: tuple[float, float, float, float]
) -> None:
    x_min, x_max = sorted(part * width for part in parts[:2])
    y_min, y_max = sorted(part * height for part in parts[2:])
    text = yolo_text(boxes_table([("i", "b", x_min, y_min, x_max, y_max, False, "f", 1)]), (width, height), ["a", "b"])
    number, x, y, w, h = (float(field) for field in text.split())
    assert number == 1
    read = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
    assert read == pytest.approx([x_min, y_min, x_max, y_max], abs=1e-3)


def test_text_known() -> None:
    table = boxes_table(
        [("i", "b", 10, 20, 30, 60, False, "f", 1), ("i", "a", 0, 0, 100, 200, False, "f", 2)],
    )
    lines = ["1 0.20000000 0.20000000 0.20000000 0.20000000", "0 0.50000000 0.50000000 1.00000000 1.00000000"]
    assert yolo_text(table, (100, 200), ["a", "b"]).splitlines() == lines
    scored = table.assign(score=[0.123456, float("nan")])
    assert yolo_text(scored, (100, 200), ["a", "b"]).splitlines() == [f"{lines[0]} 0.12346", lines[1]]
    assert yolo_text(boxes_table(), (100, 200), ["a"]) == ""
    assert yolo_text(pd.DataFrame(columns=["class", "score", "x_min", "y_min", "x_max", "y_max"]), (9, 9), []) == ""


def test_folder(tmp_path: Path, make_labels: Make) -> None:
    sizes = {"images/train/a.jpg": (100, 200), "b.png": (50, 50), "b.jpg": (50, 50)}
    rows = [("b.png", "b", 0, 0, 25, 25), ("images/train/a.jpg", "unsure", 1, 1, 9, 9, True)]
    notes = write_labels(make_labels(sizes, rows, ["a", "b"]), tmp_path / "out", "yolo")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == ["out/data.yaml", "out/labels/b.jpg.txt", "out/labels/b.png.txt", "out/labels/train/a.txt"]
    assert (tmp_path / "out/labels/b.png.txt").read_text() == "1 0.25000000 0.25000000 0.50000000 0.50000000\n"
    assert (tmp_path / "out/labels/train/a.txt").read_text() == ""
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text()) == {"names": {0: "a", 1: "b"}}
    assert notes[0] == "1 ignored boxes were left out: YOLO has no place for them"
    assert notes[1].startswith("2 label files could not have the name of their image alone")


def test_names_that_lead_outside(tmp_path: Path, make_labels: Make) -> None:
    names = ["../../up.jpg", "/etc/passwd.jpg", "C:\\x\\y.jpg", "..\\..\\z.jpg", "a/../../b.jpg"]
    labels = make_labels(dict.fromkeys(names, (9, 9)), [(name, "a", 1, 1, 5, 5) for name in names], ["a"])
    write_labels(labels, tmp_path / "deep" / "out", "yolo")
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")]
    assert sorted(written) == [f"deep/out/labels/{name}.txt" for name in ("a/b", "etc/passwd", "up", "x/y", "z")]


def test_unknown_sizes(tmp_path: Path, make_labels: Make) -> None:
    labels = make_labels({f"{number}.jpg": None for number in range(7)}, [], ["a"])
    (tmp_path / "out").mkdir()
    with pytest.raises(
        InputProblems, match=r"(?s)nobody knows the size of 7 images.*0\.jpg.*4\.jpg.*and 2 more"
    ) as caught:
        write_labels(labels, tmp_path / "out", "yolo")
    assert "5.jpg" not in str(caught.value) and "--images" in str(caught.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"], "nothing was written"
