from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.dataset.register import read_register
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.table import RawBox, RawLabels

Run = Callable[..., tuple[int, str, str]]


def test_import_prints_the_summary_and_what_to_do_next(spore_yolo: Run, drawn: Any) -> None:
    code, out, err = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    assert code == 0, err
    assert "empty slides: 10.0%" in out
    assert "every image (or source of variants) is its own group" in out
    assert "next: spore-yolo train-detector --dataset toy" in out
    again = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")[1]
    assert "nothing has changed" in again
    described = spore_yolo("describe", "toy")[1]
    assert described.splitlines()[0] in out


def test_options_move_every_place(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    options = ["--data", place / "imports", "--datasets", place / "register.yaml"]
    code, _, err = spore_yolo(
        "import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", *options
    )
    assert code == 0, err
    assert (place / "imports" / "toy" / "boxes.csv").exists()
    assert not (tmp_path / "data").exists()
    assert spore_yolo("describe", "toy", "--datasets", place / "register.yaml")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--split", "60,20"], 2, "--split: expected three or four whole numbers", id="split"),
        pytest.param(["--group-by", "("], 2, "--group-by: not a regular expression", id="regex"),
        pytest.param(["--group-by", "(trap)"], 1, "finds no group for this image", id="no image matches"),
        pytest.param(["--targets", "mould"], 2, "--targets: no such class: mould", id="target"),
        pytest.param(["--columns", "image"], 2, "--columns: expected OURS=THEIRS", id="columns"),
        pytest.param(["--columns", "image=nothing"], 2, "column names", id="unknown column"),
        pytest.param(["--classes", "map.yaml"], 1, "map.yaml: no such file", id="class map"),
        pytest.param(["--um-per-px", "-1"], 2, "above 0", id="scale"),
        pytest.param(["--labels", "nowhere.csv"], 1, "nowhere.csv: no such file", id="labels"),
        pytest.param(["--images", "nowhere"], 1, "expected a folder with images, found nothing", id="images"),
        pytest.param(["--format", "pdf"], 2, "invalid choice: 'pdf'", id="format"),
    ],
)
def test_wrong_options_say_what_was_expected(
    spore_yolo: Run, drawn: Any, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    base = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    got, _, err = spore_yolo(*base, *arguments)
    assert got == code
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "datasets.yaml").exists()


def test_name_that_is_a_path(spore_yolo: Run, drawn: Any) -> None:
    base = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    code, _, err = spore_yolo("import", "../toy", *base)
    assert code == 2
    assert "NAME: expected letters" in err


def test_every_bad_line_is_listed(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    text = drawn.labels.read_text().splitlines()
    bad = [
        "slide_0.png,5,5,5,9,rust",
        "slide_0.png,nan,5,9,9,rust",
        "slide_1.png,500,5,510,9,rust",
        "no.png,1,1,2,2,rust",
    ]
    drawn.labels.write_text("\n".join([*text, *bad]) + "\n")
    base = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    code, _, err = spore_yolo(*base)
    assert code == 1
    for number, what in enumerate(("a box with an area", "four numbers", "lies outside", "unknown image")):
        line = len(text) + 1 + number
        assert any(f"labels.csv:{line}: " in row and what in row for row in err.splitlines()), (what, err)
    assert not (tmp_path / "data").exists()
    code, out, err = spore_yolo(*base, "--skip-bad")
    assert code == 0, err
    assert "4 bad boxes or images left out" in out
    assert len((tmp_path / "data" / "toy" / "skipped.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize("command", [["describe"], ["train-detector"], ["train-detector", "--dataset", "moss"]])
def test_without_a_known_dataset_the_registered_ones_are_listed(
    spore_yolo: Run, drawn: Any, command: list[str]
) -> None:
    spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    code, _, err = spore_yolo(*command)
    assert code == 2
    assert "registered in datasets.yaml: toy" in err


def test_nothing_of_the_users_is_replaced(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    place = tmp_path / "data" / "toy"
    place.mkdir(parents=True)
    raw = drawn.folder.rename(place / "raw")
    base = ["import", "toy", "--labels", drawn.labels, "--format", "csv"]
    code, _, err = spore_yolo(*base, "--images", raw, "--force")
    assert code == 2
    assert "which the import replaces" in err
    raw = raw.rename(drawn.folder)
    (place / "thesis.txt").write_text("dear")
    code, _, err = spore_yolo(*base, "--images", raw, "--force")
    assert code == 2
    assert "is no import of ours" in err
    assert (place / "thesis.txt").read_text() == "dear"


def test_a_damaged_import_is_mended_by_importing_again(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    base = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    spore_yolo(*base)
    (tmp_path / "data" / "toy" / "boxes.csv").unlink()
    assert spore_yolo("describe", "toy")[0] == 1
    assert spore_yolo(*base)[0] == 0
    assert spore_yolo("describe", "toy")[0] == 0
    (tmp_path / "data" / "toy" / "boxes.csv").write_text(
        (tmp_path / "data" / "toy" / "boxes.csv").read_text().replace("rust", "smut")
    )
    code, _, err = spore_yolo("describe", "toy")
    assert code == 1
    assert "boxes.csv: was changed since the import" in err


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_layout_that_was_emptied_is_made_again(spore_yolo: Run, drawn: Any, tmp_path: Path, part: str) -> None:
    base = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    spore_yolo(*base)
    shutil.rmtree(tmp_path / "data" / "toy" / part)
    assert "nothing has changed" not in spore_yolo(*base)[1]
    assert any((tmp_path / "data" / "toy" / part).rglob("slide_0.*"))


def test_tables_of_the_user_inside_the_import_are_not_replaced(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    base = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    spore_yolo(*base)
    own = tmp_path / "data" / "toy" / "classes.yaml"
    own.write_text("rename: {rust: Rust}\n")
    code, _, err = spore_yolo(*base, "--classes", own, "--force")
    assert code == 2
    assert "which the import replaces" in err
    assert own.exists()


def test_darwin(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    for name, boxes in drawn.boxes.items():
        annotations = [
            {"name": "rust", "slot_names": ["0"], "bounding_box": {"x": x0, "y": y0, "w": x1 - x0, "h": y1 - y0}}
            for x0, y0, x1, y1 in boxes
        ]
        slot = {"type": "image", "slot_name": "0", "width": 300, "height": 220}
        content = {"version": "2.0", "item": {"name": name, "path": "/", "slots": [slot]}, "annotations": annotations}
        path = tmp_path / "darwin" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    code, _, err = spore_yolo(
        "import", "toy", "--images", drawn.folder, "--labels", path.parent, "--format", "darwin", "--data", "imports"
    )
    assert code == 0, err
    boxes_table = pd.read_csv(tmp_path / "imports" / "toy" / "boxes.csv")
    found = sorted(boxes_table[["image", "x_min", "y_min", "x_max", "y_max"]].itertuples(index=False, name=None))
    assert found == sorted((name, *corners) for name, boxes in drawn.boxes.items() for corners in boxes)


def test_auto_says_what_it_took_the_labels_for(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    code, out, err = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels)
    assert code == 0, err
    assert f"format: took {drawn.labels} for a CSV or TSV table (it has columns of boxes)" in out
    entry = read_register(tmp_path / "datasets.yaml")["toy"]
    assert entry.format == "csv"
    assert "null" not in (tmp_path / "datasets.yaml").read_text()
    again = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")[1]
    assert "nothing has changed" in again


def test_images_beside_the_labels(spore_yolo: Run, drawn: Any) -> None:
    drawn.folder.rename(drawn.folder.parent / "images")
    code, out, err = spore_yolo("import", "toy", "--labels", drawn.labels)
    assert code == 0, err
    assert f"images: took those in {drawn.folder.parent / 'images'}" in out
    (drawn.folder.parent / "images").rename(drawn.folder)
    code, _, err = spore_yolo("import", "toy", "--labels", drawn.labels)
    assert code == 2
    assert "--images: expected the folder of the images" in err


def test_points(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    labels = tmp_path / "points"
    labels.mkdir()
    for name, boxes in drawn.boxes.items():
        rows = [f"{(x0 + x1) // 2} {(y0 + y1) // 2} {x0 % 2}" for x0, y0, x1, y1 in boxes]
        (labels / name).with_suffix(".txt").write_text("\n".join(rows))
    (tmp_path / "map.yaml").write_text("rename: {0: rust, 1: smut}\n")
    base = ["import", "toy", "--images", drawn.folder, "--labels", labels, "--classes", tmp_path / "map.yaml"]
    code, _, err = spore_yolo(*base)
    assert code == 2
    assert "--point-size: " in err
    code, out, err = spore_yolo(*base, "--point-size", "16")
    assert code == 0, err
    assert "points became squares of 16 pixels" in out
    entry = read_register(tmp_path / "datasets.yaml")["toy"]
    assert (entry.format, entry.point_size, entry.class_map, entry.classes) == (
        "points",
        16,
        "map.yaml",
        ["rust", "smut"],
    )


def test_columns_are_registered(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("class", "what"))
    code, _, err = spore_yolo(
        "import", "toy", "--labels", drawn.labels, "--images", drawn.folder, "--columns", "class=what"
    )
    assert code == 0, err
    assert read_register(tmp_path / "datasets.yaml")["toy"].columns == {"class": "what"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ["--format", "coco", "--point-size", "9"], "--point-size: goes with labels that are points", id="size"
        ),
        pytest.param(["--format", "coco", "--columns", "class=what"], "--columns: column names can be", id="columns"),
        pytest.param(["--field", "truth"], "--field: goes with --format fiftyone", id="field"),
        pytest.param(["--format", "fiftyone", "--point-size", "9"], "--point-size: does not go with", id="fiftyone"),
    ],
)
def test_options_of_other_formats(spore_yolo: Run, drawn: Any, options: list[str], message: str) -> None:
    code, _, err = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, *options)
    assert code == 2
    assert message in err


def test_fiftyone_is_asked_for_the_labels(
    spore_yolo: Run, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def labels(name: str, images: KnownImages, field: str | None = None) -> RawLabels:
        asked.append((name, field))
        boxes = [
            RawBox(image, "rust", x_min, y_min, x_max, y_max, False, Path("fiftyone"), None)
            for image, rows in drawn.boxes.items()
            for x_min, y_min, x_max, y_max in rows
        ]
        return RawLabels(boxes, labelled_images=set(images.sizes))

    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr("spore_yolo.evaluation.fiftyone_labels.fiftyone_labels", labels)
    options = ["--labels", "my spores", "--format", "fiftyone", "--field", "truth"]
    code, _, err = spore_yolo("import", "toy", "--images", drawn.folder, *options)
    assert code == 0, err
    assert asked == [("my spores", "truth")]
    entry = read_register(tmp_path / "datasets.yaml")["toy"]
    assert (entry.labels, entry.format) == ("my spores", "fiftyone")
