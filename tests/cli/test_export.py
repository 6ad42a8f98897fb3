from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.cli.export import SUFFIXES
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.writers import FOLDER_FORMATS, WRITERS
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS
from tests.conftest import Drawn

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spots(spore_yolo: Run, drawn: Drawn, tmp_path: Path) -> Run:
    """The program, where the drawn slides are registered as ``spots``; class smut is ignored on them."""
    (tmp_path / "map.yaml").write_text("ignore: [smut]\n")
    arguments = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--classes", "map.yaml"]
    code, _, err = spore_yolo("import", "spots", *arguments)
    assert code == 0, err
    return spore_yolo


def _smut(drawn: Drawn) -> int:
    return int((pd.read_csv(drawn.labels)["class"] == "smut").sum())


def test_the_formats_are_those_that_can_be_written() -> None:
    assert set(SUFFIXES) == set(WRITERS)
    assert {name for name, suffix in SUFFIXES.items() if not suffix} == FOLDER_FORMATS


@pytest.mark.parametrize("label_format", list(SUFFIXES))
def test_a_dataset_in_every_format(spots: Run, drawn: Drawn, tmp_path: Path, label_format: str) -> None:
    output = tmp_path / f"out{SUFFIXES[label_format]}"
    code, out, err = spots("export", "spots", "--format", label_format, "--output", output)
    assert code == 0, err
    assert "10 images (1 without boxes), labels: " in out
    sizes = {name: ImageSize(300, 220) for name in drawn.boxes}
    path = output / "tasks.json" if label_format == "label-studio" else output
    labels = read_labels(path, KnownImages(sizes, tmp_path / "no images", "here"), label_format)
    assert labels.problems == []
    found = {name: sorted(tuple(map(round, box[2:6])) for box in labels.boxes if box.image == name) for name in sizes}
    if label_format in ("yolo", "darwin"):
        assert f"note: {_smut(drawn)} ignored boxes were left out" in out
        assert sum(map(len, found.values())) == 81 - _smut(drawn)
    else:
        assert found == {name: sorted(boxes) for name, boxes in drawn.boxes.items()}
        assert sum(box.ignored for box in labels.boxes) == (_smut(drawn))
    assert "next: " in out


def test_one_split_and_a_class_map(spots: Run, tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("rename: {rust: Puccinia}\ndrop: [smut]\n")
    arguments = ["--format", "csv", "--split", "val", "--classes", "names.yaml"]
    code, out, err = spots("export", "spots", *arguments, "--output", "val.csv")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "val.csv")
    images = pd.read_csv(tmp_path / "data" / "spots" / "images.csv")
    assert set(table["image"]) == set(images[images["split"] == "val"]["image"])
    assert set(table["class"].dropna()) == {"Puccinia"}
    assert not table["ignored"].dropna().any()
    assert "(ignored)" not in out


def test_what_predict_found_goes_out_as_predictions(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    code, _, err = spore_yolo(
        "predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--no-images"
    )
    assert code == 0, err
    code, out, err = spore_yolo("export", "found", "--format", "label-studio", "--output", "tasks")
    assert code == 0, err
    assert "10 images (1 without boxes), predictions: tasks" in out
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    assert len(tasks) == 10 and all("annotations" not in task for task in tasks)
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert len(regions) == 81
    scores = pd.read_csv(tmp_path / "found" / "predictions.csv")["score"]
    assert sorted(region["score"] for region in regions) == sorted(scores.tolist())
    code, out, err = spore_yolo("export", "found", "--format", "yolo", "--output", "yolo", "--min-score", "0.99")
    assert code == 0, err
    assert "10 images (10 without boxes)" in out


def test_the_candidates_of_an_evaluation(spore_yolo: Run, tmp_path: Path) -> None:
    rows = [
        ("a.jpg", "rust", 0.8, "spore", 0.9, 0.9, 10.0, 20.0, 30.0, 60.0),
        ("a.jpg", "debris", 0.5, "spore", 0.6, 0.9, 50.0, 20.0, 70.0, 60.0),
    ]
    pd.DataFrame(rows, columns=CANDIDATE_COLUMNS).to_csv(tmp_path / "candidates.csv", index=False)
    code, out, err = spore_yolo("export", "candidates.csv", "--format", "coco", "--output", "out.json")
    assert code == 0, err
    assert "1 predictions called debris are no spores" in out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "rust"}]
    assert [(item["bbox"], item["score"]) for item in content["annotations"]] == [([10, 20, 20, 40], 0.8)]
    assert content["images"] == [{"id": 1, "file_name": "a.jpg"}]
    assert "nobody knows the size of 1 images" in out


def test_labels_of_any_format_without_their_images(spore_yolo: Run, drawn: Drawn, tmp_path: Path) -> None:
    code, out, err = spore_yolo("export", drawn.labels, "--format", "voc", "--output", "voc")
    assert code == 0, err
    assert "was taken for a CSV" in out
    code, out, err = spore_yolo("export", "voc", "--images", drawn.folder, "--format", "yolo", "--output", "yolo")
    assert code == 0, err
    known = KnownImages({name: ImageSize(300, 220) for name in drawn.boxes}, tmp_path / "none", "here")
    labels = read_labels(tmp_path / "yolo", known, "yolo", ReadOptions())
    assert sorted(tuple(map(round, box[2:6])) for box in labels.boxes) == sorted(
        box for boxes in drawn.boxes.values() for box in boxes
    )


def test_problems_stop_the_export(spore_yolo: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "image,class,x_min,y_min,x_max,y_max\na.jpg,rust,1,2,nan,4\nb.jpg,rust,5,5,5,9\n"
    )
    code, out, err = spore_yolo("export", "labels.csv", "--format", "coco", "--output", "out.json")
    assert code == 1 and not out
    assert "labels.csv:2" in err and "labels.csv:3: SPR013" in err and "nothing was written" in err
    assert not (tmp_path / "out.json").exists()


def test_yolo_needs_sizes(spore_yolo: Run, drawn: Drawn, tmp_path: Path) -> None:
    code, _, err = spore_yolo("export", drawn.labels, "--format", "yolo", "--output", "yolo")
    assert code == 1
    assert "nobody knows the size of 10 images" in err and "slide_4.png" in err and "… and 5 more" in err
    assert "--images" in err
    assert not (tmp_path / "yolo").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["nothing", "--output", "o.json"], "expected a registered dataset", id="no such thing"),
        pytest.param(["spots", "--output", "o.json", "--images", "slides"], "--images: goes with a path", id="images"),
        pytest.param(["spots", "--output", "o.json", "--min-score", "0.5"], "--min-score: goes with", id="score"),
        pytest.param(["labels.csv", "--output", "o.json", "--split", "val"], "only a registered dataset", id="split"),
        pytest.param(["labels.csv", "--output", "o.json", "--min-score", "0.5"], "there are no scores", id="no scores"),
        pytest.param(["spots", "--output", "o.txt"], "expected a file that ends in .json", id="suffix"),
        pytest.param(["spots", "--output", "there.json"], "add --force", id="exists"),
        pytest.param(["there.json", "--output", "there.json", "--force"], "replaced as a whole", id="its own source"),
    ],
)
def test_wrong_use(spots: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    there = tmp_path / "there.json"
    there.write_text('{"images": [], "categories": [], "annotations": []}')
    code, _, err = spots("export", *arguments, "--format", "coco")
    assert code == 2
    assert message in err
    assert there.read_text() == '{"images": [], "categories": [], "annotations": []}'


def test_force_replaces_labels_and_nothing_else(spots: Run, tmp_path: Path) -> None:
    (tmp_path / "out" / "labels").mkdir(parents=True)
    (tmp_path / "out" / "labels" / "old.txt").write_text("")
    assert spots("export", "spots", "--format", "yolo", "--output", "out")[0] == 2
    assert spots("export", "spots", "--format", "yolo", "--output", "out", "--force")[0] == 0
    assert not (tmp_path / "out" / "labels" / "old.txt").exists()
    (tmp_path / "out" / "slide.png").write_bytes(b"an image")
    code, _, err = spots("export", "spots", "--format", "yolo", "--output", "out", "--force")
    assert code == 2 and "slide.png" in err
    assert (tmp_path / "out" / "slide.png").exists() and (tmp_path / "out" / "data.yaml").exists()


def test_the_commands_of_the_page_run_as_they_stand(
    spore_yolo: Run, spot_pair: Path, drawn: Drawn, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[1:] for line in re.findall(r"^\$ spore-yolo (export .*)$", page, re.MULTILINE)]
    assert len(commands) >= 5
    import_arguments = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    assert spore_yolo("import", "rust", *import_arguments)[0] == 0
    look = ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--no-images"]
    assert spore_yolo(*look)[0] == 0
    for command in commands:
        code, _, err = spore_yolo("export", *command)
        assert code == 0, err
        assert (tmp_path / command[command.index("--output") + 1]).exists()
