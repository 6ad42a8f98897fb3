"""From anyone's predictions to an evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]

# Two labels of rust on a.png, one of smut on b.png, none on c.png. The predictions hit one of the rust labels exactly,
# miss the other, call the smut rust, and raise a false alarm on c.png.
LABELS = {
    "a.png": [("rust", (10, 10, 30, 30)), ("rust", (50, 40, 70, 60))],
    "b.png": [("smut", (5, 5, 25, 35))],
    "c.png": [],
}
FOUND = {
    "a.png": [("rust", (10, 10, 30, 30), 0.875)],
    "b.png": [("rust", (5, 5, 25, 35), 0.5)],
    "c.png": [("smut", (60, 60, 120, 75), 0.25)],
}
CLASSES = ["rust", "smut"]
SIZE = (100, 80)


class Case:
    """The case above, in files of every format.

    Attributes:
        root: The folder of all of it.
        slides: The folder of the images.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.slides = root / "slides"
        self.slides.mkdir()
        for name in LABELS:
            Image.new("L", SIZE, 128).save(self.slides / name)

    def labels(self, label_format: str) -> Path:
        return self._write(f"truth-{label_format}", label_format, LABELS)

    def found(self, label_format: str, scores: bool = True, found: Any = None) -> Path:
        content = FOUND if found is None else found
        if not scores:
            content = {name: [box[:2] for box in boxes] for name, boxes in content.items()}
        return self._write(f"found-{label_format}", label_format, content)

    def _write(self, name: str, label_format: str, content: dict[str, Any]) -> Path:
        path = self.root / name
        rows = [(image, *box) for image, boxes in content.items() for box in boxes]
        if label_format == "csv":
            lines = ["image,class,x_min,y_min,x_max,y_max" + (",score" if any(len(row) == 4 for row in rows) else "")]
            lines += [",".join(map(str, (image, kind, *corners, *score))) for image, kind, corners, *score in rows]
            lines += [f"{image},,,,,{',' * lines[0].count('score')}" for image, boxes in content.items() if not boxes]
            path.write_text("\n".join(lines) + "\n")
        elif label_format == "coco":
            images = [{"id": n, "file_name": name, "width": 100, "height": 80} for n, name in enumerate(LABELS)]
            boxes = [
                {
                    "id": number,
                    "image_id": list(LABELS).index(image),
                    "category_id": CLASSES.index(kind) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    **({"score": score[0]} if score else {}),
                }
                for number, (image, kind, (x0, y0, x1, y1), *score) in enumerate(rows)
            ]
            categories = [{"id": number, "name": kind} for number, kind in enumerate(CLASSES, start=1)]
            whole = {"images": images, "categories": categories, "annotations": boxes}
            path.write_text(json.dumps(boxes if "found" in name else whole))
        else:
            path.mkdir()
            for image, boxes in content.items():
                self._write_one(path / Path(image).with_suffix(""), label_format, image, boxes)
            if label_format == "yolo":
                (path / "classes.txt").write_text("\n".join(CLASSES))
        return path

    def _write_one(self, path: Path, label_format: str, image: str, boxes: list[Any]) -> None:
        if label_format == "yolo":
            lines = []
            for kind, (x0, y0, x1, y1), *score in boxes:
                box = ((x0 + x1) / 200, (y0 + y1) / 160, (x1 - x0) / 100, (y1 - y0) / 80)
                lines.append(" ".join(map(str, (CLASSES.index(kind), *box, *score))))
            if lines:
                path.with_suffix(".txt").write_text("\n".join(lines))
        elif label_format == "voc":
            objects = "".join(
                f"<object><name>{kind}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
                f"<ymax>{y1}</ymax></bndbox></object>"
                for kind, (x0, y0, x1, y1) in boxes
            )
            size = "<size><width>100</width><height>80</height></size>"
            text = f"<annotation><filename>{image}</filename>{size}{objects}</annotation>"
            path.with_suffix(".xml").write_text(text)
        else:
            item = {"name": image, "path": "/", "slots": [{"type": "image", "width": 100, "height": 80}]}
            annotations = [
                {
                    "name": kind,
                    "bounding_box": {"x": x0, "y": y0, "w": x1 - x0, "h": y1 - y0},
                    **({"inference": {"confidence": score[0]}} if score else {}),
                }
                for kind, (x0, y0, x1, y1), *score in boxes
            ]
            content = {"version": "2.0", "item": item, "annotations": annotations}
            path.with_suffix(".json").write_text(json.dumps(content))


@pytest.fixture
def with_plots() -> None:
    """The plots and the report are made."""


@pytest.fixture(autouse=True)
def no_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots and no report, which take seconds, but in the tests that ask for them."""
    if "with_plots" not in request.fixturenames:
        for name in ("plot_precision_recall", "plot_confusion", "write_report"):
            monkeypatch.setattr(f"spore_yolo.evaluation.report.{name}", lambda *arguments: None)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def metrics_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (folder / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    return content


def evaluate(spore_yolo: Run, *arguments: str | Path) -> dict[str, Any]:
    code, out, err = spore_yolo("evaluate", *arguments, "--output", "out")
    assert code == 0, err
    metrics = metrics_of(Path("out"))
    assert metrics["pair"] is None
    for warning in metrics["warnings"]:
        assert f"note: {warning}" in out
    return metrics


@pytest.mark.parametrize("truth_format", ["coco", "voc", "csv", "darwin", "yolo"])
def test_hand_worked_figures(spore_yolo: Run, case: Case, truth_format: str) -> None:
    images: list[str | Path] = ["--images", case.slides] if truth_format in ("yolo", "csv") else []
    metrics = evaluate(
        spore_yolo,
        *("--truth", case.labels(truth_format), "--truth-format", truth_format, *images),
        *("--predictions", case.found("csv"), "--predictions-format", "csv", "--targets", "smut"),
    )
    counts = {
        name: [figures[key] for key in ("boxes", "tp", "fp", "fn")] for name, figures in metrics["per_class"].items()
    }
    assert counts == {"rust": [2, 1, 1, 1], "smut": [1, 0, 1, 1]}
    rust = metrics["per_class"]["rust"]
    assert (rust["recall"]["value"], rust["precision"]["value"]) == (0.5, 0.5)
    assert rust["slides"] == {"tp": 1, "fp": 1, "tn": 1, "fn": 0, "left_out": 0}
    assert metrics["overall"]["false_alarms_per_slide"]["value"] == pytest.approx(2 / 3)
    assert metrics["overall"]["false_alarms_per_megapixel"]["value"] == pytest.approx(2 / 0.024)
    assert (metrics["slides"], metrics["groups"], metrics["megapixels"]) == (3, 3, 0.024)
    assert (metrics["split"], metrics["targets"]) == (None, ["smut"])
    assert metrics["dataset"] == metrics["truth"]["path"] == str(case.root / f"truth-{truth_format}")
    assert metrics["operating_point"] == {"detector": 0.0, "class": {}}
    assert metrics["truth"]["boxes"] == 3
    assert metrics["predictions"] == {
        "path": str(case.root / "found-csv"),
        "format": "csv",
        "scores": True,
        "boxes": 3,
    }


def test_the_same_predictions_in_each_format(spore_yolo: Run, case: Case) -> None:
    """A box that lies partly outside is clipped in all of them."""
    figures, tables = [], []
    for name in ("coco", "yolo", "csv", "darwin"):
        metrics = evaluate(
            spore_yolo,
            *("--truth", case.labels("coco") if name == "coco" else case.root / "truth-coco", "--truth-format", "coco"),
            *("--predictions", case.found(name), "--predictions-format", name),
        )
        figures.append({key: metrics[key] for key in ("overall", "per_class", "per_group", "crops", "warnings")})
        tables.append(Path("out/candidates.csv").read_text())
    assert figures[1:] == figures[:1] * 3
    assert tables[1:] == tables[:1] * 3
    assert tables[0].splitlines()[-1] == "c.png,smut,0.25,smut,0.25,,60.0,60.0,100.0,75.0"


@pytest.mark.parametrize("label_format", ["coco", "yolo", "csv", "darwin"])
def test_without_scores_there_are_counts_and_no_ranking(spore_yolo: Run, case: Case, label_format: str) -> None:
    metrics = evaluate(
        spore_yolo,
        *("--truth", case.labels("coco"), "--truth-format", "coco"),
        *("--predictions", case.found(label_format, scores=False), "--predictions-format", label_format),
    )
    overall = metrics["overall"]
    assert [overall[key] for key in ("boxes", "tp", "fp", "fn")] == [3, 1, 2, 2]
    assert metrics["predictions"]["scores"] is False
    assert metrics["operating_point"] is None
    assert overall["ap50"] is None or overall["ap50"]["value"] is None
    assert any("no scores" in warning for warning in metrics["warnings"])
    candidates = pd.read_csv("out/candidates.csv")
    assert candidates[["score", "detector_score", "class_score"]].isna().all(axis=None)


@pytest.mark.usefixtures("with_plots")
@pytest.mark.parametrize("scores", [True, False])
def test_all_files_are_written(spore_yolo: Run, case: Case, scores: bool) -> None:
    arguments = ("--truth", case.labels("coco"), "--predictions", case.found("coco", scores), "--format", "coco")
    code, out, err = spore_yolo("evaluate", *arguments, "--images", case.slides, "--output", "out")
    assert code == 0, err
    written = {path.name for path in Path("out").iterdir()}
    tables = {"matches.csv", "slides.csv", "crops.csv", "confusion.csv", "candidates.csv", "metrics.json"}
    assert written == tables | {"report.html", "confusion.png"} | ({"precision_recall.png"} if scores else set())
    assert all(name in out for name in written)
    assert "rust" in Path("out/report.html").read_text()


def test_one_format_for_both(spore_yolo: Run, case: Case) -> None:
    metrics = evaluate(
        spore_yolo, "--truth", case.labels("darwin"), "--predictions", case.found("darwin"), "--format", "darwin"
    )
    assert metrics["overall"]["tp"] == 1
    assert metrics["truth"]["format"] == metrics["predictions"]["format"] == "darwin"


def test_only_predictions_with_the_score_count(spore_yolo: Run, case: Case) -> None:
    arguments = ("--truth", case.labels("coco"), "--predictions", case.found("coco"), "--format", "coco")
    everything = evaluate(spore_yolo, *arguments)
    metrics = evaluate(spore_yolo, *arguments, "--at", "0.4")
    assert (metrics["overall"]["fp"], everything["overall"]["fp"]) == (1, 2)
    assert metrics["overall"]["ap50"] == everything["overall"]["ap50"], "AP takes all predictions"
    assert metrics["operating_point"] == {"detector": 0.4, "class": {}}


def test_sizes_that_nobody_knows(spore_yolo: Run, case: Case) -> None:
    metrics = evaluate(spore_yolo, "--truth", case.labels("csv"), "--predictions", case.found("csv"), "--format", "csv")
    assert metrics["megapixels"] is None
    assert metrics["overall"]["false_alarms_per_megapixel"]["value"] is None
    assert metrics["overall"]["false_alarms_per_slide"]["value"] == pytest.approx(2 / 3)
    assert any("nobody knows the size of 3 images" in warning for warning in metrics["warnings"])


def test_groups_by_expression(spore_yolo: Run, case: Case) -> None:
    arguments = ("--truth", case.labels("coco"), "--predictions", case.found("coco"), "--format", "coco")
    assert any("own group" in warning for warning in evaluate(spore_yolo, *arguments)["warnings"])
    metrics = evaluate(spore_yolo, *arguments, "--group-by", "([ab]|c)")
    assert set(metrics["per_group"]) == {"a", "b", "c"}
    assert not any("own group" in warning for warning in metrics["warnings"])


def test_what_the_user_should_know(spore_yolo: Run, case: Case) -> None:
    many = [("rust", (number % 90, 2, number % 90 + 9, 9), 0.5) for number in range(100)]
    found = {"a.png": many, "b.png": [("rust", (200, 5, 225, 35), 0.5), ("smut", (5, 5, 5, 35), 0.5)]}
    metrics = evaluate(
        spore_yolo, "--truth", case.labels("coco"), "--format", "coco", "--predictions", case.found("coco", found=found)
    )
    for part in (
        "1 predicted boxes lie wholly outside of their image; left out",
        "1 predicted boxes have no area; left out",
        "2 of 3 images have no predictions",
        "1 images have exactly 100 predictions and none has more",
    ):
        assert any(part in warning for warning in metrics["warnings"]), part
    assert metrics["predictions"]["boxes"] == 100


def test_class_map_goes_for_both(spore_yolo: Run, case: Case) -> None:
    (case.root / "map.yaml").write_text("rename: {rust: spore, smut: spore}\n")
    metrics = evaluate(
        spore_yolo,
        *("--truth", case.labels("csv"), "--predictions", case.found("csv"), "--format", "csv"),
        *("--classes", case.root / "map.yaml"),
    )
    assert list(metrics["per_class"]) == ["spore"]
    assert [metrics["overall"][key] for key in ("boxes", "tp", "fp", "fn")] == [3, 2, 1, 1]


@pytest.mark.parametrize(
    ("class_map", "expected"),
    [
        pytest.param("drop: [bunt]", {"rust": 1, "smut": 0}, id="dropped"),
        pytest.param("ignore: [bunt]", {"rust": 1, "smut": 0}, id="ignored"),
        pytest.param("rename: {bunt: smut}", {"rust": 1, "smut": 1}, id="renamed"),
        pytest.param("rename: {bunt: bunt}", {"rust": 1, "smut": 0, "bunt": 1}, id="kept: every box is a false alarm"),
    ],
)
def test_class_that_the_labels_have_not(spore_yolo: Run, case: Case, class_map: str, expected: dict[str, int]) -> None:
    found = {"b.png": [("rust", (5, 5, 25, 35), 0.5), ("bunt", (60, 60, 75, 75), 0.25)]}
    arguments = ("--truth", case.labels("csv"), "--predictions", case.found("csv", found=found), "--format", "csv")
    code, _, err = spore_yolo("evaluate", *arguments, "--output", "out")
    assert code == 1
    assert "the predictions have classes that the labels have not: bunt; the labels have rust, smut" in err
    assert "--classes MAP.yaml" in err
    (case.root / "map.yaml").write_text(class_map)
    metrics = evaluate(spore_yolo, *arguments, "--classes", case.root / "map.yaml")
    assert {name: figures["fp"] for name, figures in metrics["per_class"].items()} == expected


def test_class_map_that_names_a_class_of_nobody(spore_yolo: Run, case: Case) -> None:
    (case.root / "map.yaml").write_text("drop: [ergot]\n")
    arguments = ("--truth", case.labels("csv"), "--predictions", case.found("csv"), "--format", "csv")
    code, _, err = spore_yolo("evaluate", *arguments, "--classes", case.root / "map.yaml", "--output", "out")
    assert code == 1
    assert "class ergot" in err
    assert not Path("out").exists()


def test_ignored_labels_are_neither_hit_nor_missed(spore_yolo: Run, case: Case) -> None:
    (case.root / "map.yaml").write_text("ignore: [smut]\n")
    metrics = evaluate(
        spore_yolo,
        *("--truth", case.labels("csv"), "--predictions", case.found("csv"), "--format", "csv"),
        *("--classes", case.root / "map.yaml"),
    )
    assert (metrics["truth"]["boxes"], metrics["truth"]["ignored"]) == (2, 1)
    assert list(metrics["per_class"]) == ["rust"]
    assert metrics["overall"]["fp"] == 0, "the box on the ignored smut is no false alarm"


def test_debris_of_a_pair_is_left_out(spore_yolo: Run, case: Case) -> None:
    found = {**FOUND, "c.png": [("debris", (60, 60, 75, 75), 0.25)]}
    arguments = ("--truth", case.labels("csv"), "--predictions", case.found("csv", found=found), "--format", "csv")
    metrics = evaluate(spore_yolo, *arguments)
    assert metrics["predictions"]["boxes"] == 2
    assert "1 predictions called debris are no spores; left out" in metrics["warnings"]


def test_own_names_of_columns(spore_yolo: Run, case: Case) -> None:
    """The two files need not call a column alike."""
    for path, names in (
        (case.labels("csv"), {"class": "what"}),
        (case.found("csv"), {"score": "sure", "image": "pic"}),
    ):
        table = pd.read_csv(path).rename(columns=names)
        table.to_csv(path, index=False)
    arguments = ("--truth", case.root / "truth-csv", "--predictions", case.root / "found-csv", "--format", "csv")
    metrics = evaluate(spore_yolo, *arguments, "--columns", "class=what,score=sure,image=pic")
    assert metrics["overall"]["tp"] == 1
    assert metrics["predictions"]["scores"] is True
    code, _, err = spore_yolo("evaluate", *arguments, "--columns", "class=nothing", "--output", "out2")
    assert code == 2
    assert "--columns: expected columns of" in err
    assert "found nothing" in err


def test_dataset_is_the_truth(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    code, _, err = spore_yolo(
        *("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--targets", "smut")
    )
    assert code == 0, err
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    names = images.loc[images["split"] == "test", "image"].tolist()
    labels = pd.read_csv(drawn.labels)
    labels[labels["image"].isin(names)].to_csv("found.csv", index=False)
    base = ("evaluate", "--dataset", "toy", "--predictions", "found.csv", "--predictions-format", "csv")
    code, out, err = spore_yolo(*base, "--output", "out")
    assert code == 0, err
    metrics = metrics_of(Path("out"))
    assert (metrics["dataset"], metrics["split"], metrics["targets"]) == ("toy", "test", ["smut"])
    assert metrics["overall"]["recall"]["value"] == metrics["overall"]["precision"]["value"] == 1.0
    assert metrics["truth"]["dataset_fingerprint"]
    assert "smut (target)" in out
    code, _, err = spore_yolo(*base, "--output", "val", "--split", "val")
    assert code == 1
    assert "found.csv:2: SPR002 unknown image: no " in err
    assert "in toy, split val" in err
    assert not Path("val").exists()


def test_class_numbers_mean_those_of_the_truth(spore_yolo: Run, case: Case) -> None:
    path = case.found("yolo")
    (path / "classes.txt").unlink()
    moved = path.rename(case.root / "elsewhere")
    truth = case.labels("yolo")
    metrics = evaluate(
        spore_yolo, "--truth", truth, "--format", "yolo", "--images", case.slides, "--predictions", moved
    )
    assert metrics["overall"]["tp"] == 1
    assert any("class numbers are taken to mean 0 rust, 1 smut" in warning for warning in metrics["warnings"])


def test_results_by_the_numbers_of_another_file(spore_yolo: Run, case: Case) -> None:
    arguments = ("--truth", case.labels("voc"), "--truth-format", "voc", "--predictions", case.found("coco"))
    code, _, err = spore_yolo("evaluate", *arguments, "--predictions-format", "coco", "--output", "out")
    assert code == 1
    assert "--coco-ids" in err
    metrics = evaluate(spore_yolo, *arguments, "--predictions-format", "coco", "--coco-ids", case.labels("coco"))
    assert metrics["overall"]["tp"] == 1


def test_many_problems_are_counted_and_the_first_are_listed(spore_yolo: Run, case: Case) -> None:
    found = {f"{number}.png": [("rust", (1, 1, 9, 9), 0.5)] * 2 for number in range(30)}
    arguments = ("--truth", case.labels("csv"), "--predictions", case.found("csv", found=found), "--format", "csv")
    code, _, err = spore_yolo("evaluate", *arguments, "--output", "out")
    assert code == 1
    assert "The predictions have 60 problems; nothing was evaluated:" in err
    assert err.count("unknown image: no ") == 20
    assert "found-csv:2: SPR002 unknown image: no 0.png among the images of" in err
    assert "… and 40 more" in err
    assert not Path("out").exists()


def test_bad_labels_are_not_evaluated(spore_yolo: Run, case: Case) -> None:
    path = case.labels("csv")
    path.write_text(path.read_text() + "a.png,rust,90,10,130,30\n")
    code, _, err = spore_yolo(
        *("evaluate", "--truth", path, "--images", case.slides, "--format", "csv"),
        *("--predictions", case.found("csv"), "--output", "out"),
    )
    assert code == 1
    assert "The labels have 1 problem; nothing was evaluated:" in err
    assert "truth-csv:6: SPR015 expected a box on the image" in err
    assert "--skip-bad" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[" * 200_000, "nested too deeply", id="nested too deeply"),
        pytest.param('[{"image_id": 0, "category_id": 1, "bbox": [NaN, 1, 2, 3]}]', "four numbers", id="NaN"),
        pytest.param('[{"image_id": 0, "category_id": 1, "bbox": [1e999, 1, 2, 3]}]', "four numbers", id="infinity"),
        pytest.param(
            '[{"image_id": 0, "category_id": 1, "bbox": [1' + "0" * 400 + ", 1, 2, 3]}]", "four numbers", id="huge"
        ),
        pytest.param('[{"bbox": [1, 2, 3, 4]}]', "unknown image id None", id="no ids"),
        pytest.param('{"images": [{"id": 0, "file_name": "../../a.png"}]}', "'categories'", id="half a file"),
    ],
)
def test_hostile_json(spore_yolo: Run, case: Case, content: str, message: str) -> None:
    (case.root / "found.json").write_text(content)
    code, _, err = spore_yolo(
        *("evaluate", "--truth", case.labels("coco"), "--predictions", case.root / "found.json"),
        *("--format", "coco", "--output", "out"),
    )
    assert code == 1
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "--truth PATH or by --dataset NAME", id="compared with nothing"),
        pytest.param(["--truth", "t", "--dataset", "toy"], "--truth PATH or by --dataset NAME", id="with two things"),
        pytest.param(["--truth", "t", "--format", "points"], "invalid choice: 'points'", id="predictions as points"),
        pytest.param(
            ["--truth", "t", "--format", "coco", "--output", "o", "--point-size", "9"],
            "--point-size: goes with points, csv, parquet only",
            id="a size of points without points",
        ),
        pytest.param(["--truth", "t", "--format", "csv"], "--output: expected the folder", id="no output"),
        pytest.param(["--dataset", "toy", "--format", "csv", "--images", "s"], "--images: the dataset", id="images"),
        pytest.param(["--dataset", "toy", "--format", "csv", "--group-by", "(a)"], "--group-by: the data", id="groups"),
        pytest.param(
            ["--dataset", "toy", "--format", "csv", "--operating-point", "p"], "--operating-point", id="a pair's point"
        ),
        pytest.param(["--truth", "t", "--format", "csv", "--output", "."], "choose another folder", id="output full"),
        pytest.param(
            ["--truth", "t", "--format", "csv", "--output", "o", "--columns", "image"],
            "--columns: expected",
            id="columns",
        ),
        pytest.param(
            ["--truth", "found", "--format", "yolo", "--output", "o"],
            "--images: expected the folder",
            id="yolo's sizes",
        ),
    ],
)
def test_options_that_do_not_fit(spore_yolo: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "found").mkdir()
    code, _, err = spore_yolo("evaluate", "--predictions", "found", *arguments)
    assert code == 2
    assert message in err


def test_output_that_holds_the_input(spore_yolo: Run, case: Case) -> None:
    folder = case.root / "earlier"
    folder.mkdir()
    (folder / "metrics.json").touch()
    found = case.found("csv").rename(folder / "candidates.csv")
    code, _, err = spore_yolo(
        "evaluate", "--truth", case.labels("csv"), "--predictions", found, "--format", "csv", "--output", folder
    )
    assert code == 2
    assert "which is replaced as a whole" in err
    assert found.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(["--targets", "ergot"], "--targets: no such class: ergot", id="unknown target"),
        pytest.param(["--at", "0.5"], "--at: the predictions have no scores", id="a threshold without scores"),
    ],
)
def test_options_that_the_data_does_not_fit(spore_yolo: Run, case: Case, more: list[str], message: str) -> None:
    arguments = ("--truth", case.labels("csv"), "--predictions", case.found("csv", scores=False), "--format", "csv")
    code, _, err = spore_yolo("evaluate", *arguments, *more, "--output", "out")
    assert code == 2
    assert message in err


def test_labels_of_debris_need_another_name(spore_yolo: Run, case: Case) -> None:
    path = case.labels("csv")
    path.write_text(path.read_text().replace("smut", "debris"))
    arguments = ("--truth", path, "--predictions", case.found("csv"), "--format", "csv", "--output", "out")
    code, _, err = spore_yolo("evaluate", *arguments)
    assert code == 1
    assert "class 'debris'" in err


def test_labels_without_any_class(spore_yolo: Run, case: Case) -> None:
    (case.root / "t.csv").write_text("image,class,x_min,y_min,x_max,y_max\na.png,,,,,\n")
    (case.root / "p.csv").write_text("image,class,x_min,y_min,x_max,y_max\n")
    code, _, err = spore_yolo(
        "evaluate", "--truth", "t.csv", "--predictions", "p.csv", "--format", "csv", "--output", "out"
    )
    assert code == 1
    assert "no boxes and no list of classes" in err


def test_nothing_was_found(spore_yolo: Run, case: Case) -> None:
    metrics = evaluate(
        spore_yolo, "--truth", case.labels("coco"), "--predictions", case.found("coco", found={}), "--format", "coco"
    )
    assert [metrics["overall"][key] for key in ("boxes", "tp", "fp", "fn")] == [3, 0, 0, 3]
    assert "3 of 3 images have no predictions; nothing was found on them" in metrics["warnings"]


def test_auto_says_what_it_took_the_files_for(spore_yolo: Run, case: Case) -> None:
    labels, found = case.labels("coco"), case.found("csv")
    code, out, err = spore_yolo("evaluate", "--truth", labels, "--predictions", found, "--output", "out")
    assert code == 0, err
    assert f"--truth: took {labels} for COCO JSON" in out
    assert f"--predictions: took {found} for a CSV or TSV table" in out
    told = spore_yolo(
        "evaluate", "--truth", labels, "--predictions", found, "--output", "out2", "--truth-format", "coco"
    )
    assert told[0] == 0
    assert "--truth: took" not in told[1]


def test_predictions_that_cannot_have_scores(spore_yolo: Run, case: Case) -> None:
    (case.root / "points").mkdir()
    (case.root / "points" / "a.txt").write_text("50 40 0\n")
    code, _, err = spore_yolo(
        "evaluate", "--truth", case.labels("coco"), "--predictions", case.root / "points", "--output", "out"
    )
    assert code == 2
    assert "--predictions-format: expected one of coco, voc, yolo, csv, parquet" in err
    assert "found points" in err
