from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


def test_everything_that_predict_writes(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    code, out, err = spore_yolo("predict", "--run", "runs/spots", "--source", drawn.folder, "--output", "found")
    assert code == 0, err
    found = tmp_path / "found"
    predictions = pd.read_csv(found / "predictions.csv")
    assert predictions.columns.tolist() == [
        *("slide", "class", "score", "detector_score", "class_score", "x_min", "y_min", "x_max", "y_max")
    ]
    assert len(predictions) == 81
    assert predictions["class_score"].isna().all()
    for name, boxes in drawn.boxes.items():
        rows = predictions[predictions["slide"].str.endswith(name)]
        assert sorted(map(tuple, rows.iloc[:, 5:].round().astype(int).to_numpy().tolist())) == sorted(boxes)
    counts = pd.read_csv(found / "counts.csv")
    assert counts["all"].tolist() == [9] * 9 + [0]
    coco = json.loads((found / "predictions.coco.json").read_text())
    assert (len(coco["images"]), len(coco["annotations"])) == (10, 81)
    assert len((found / "labels" / "slide_0.txt").read_text().splitlines()) == 9
    assert (found / "labels" / "slide_9.txt").read_text() == ""
    marked = np.array(Image.open(found / "images" / "slide_0.jpg"))
    assert marked.shape == (220, 300, 3)
    assert np.abs(marked.astype(int) - np.array(Image.open(drawn.folder / "slide_0.png"))).max() > 60
    assert "81 detections on 10 slides" in out
    assert "next: look at the marked slides in found/images/" in out


def test_candidates_below_the_operating_point_stay_out_of_predictions(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    slide = drawn.folder / "slide_0.png"
    assert spore_yolo("predict", "--pair", spot_pair, "--source", slide, "--output", "found", "--at", "0.95")[0] == 0
    assert len(pd.read_csv(tmp_path / "found" / "candidates.csv")) == 9
    assert pd.read_csv(tmp_path / "found" / "predictions.csv").empty


def test_globs_and_slides_that_share_a_name(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    for day in ("day_1", "day_2"):
        (tmp_path / day).mkdir()
        shutil.copy(drawn.folder / "slide_0.png", tmp_path / day / "field.png")
    code, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", "day_*/*.png", "--output", "found")
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "found" / "labels").iterdir()) == [
        "day_1__field.png.txt",
        "day_2__field.png.txt",
    ]


def test_results_are_not_overwritten_unasked(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    base = ["predict", "--pair", spot_pair, "--source", drawn.folder / "slide_0.png", "--output", "found"]
    assert spore_yolo(*base)[0] == 0
    code, _, err = spore_yolo(*base)
    assert code == 2
    assert "add --force" in err
    assert spore_yolo(*base, "--force")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    code, _, err = spore_yolo(*base[:-1], "mine", "--force")
    assert code == 2
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        pytest.param("nowhere", 2, "--source: nowhere: no such file, folder or glob match", id="nothing there"),
        pytest.param("empty", 2, "expected slides", id="a folder without slides"),
        pytest.param("text.png", 1, "text.png: expected an image", id="text"),
        pytest.param("cut.jpg", 1, "cut.jpg: expected a whole image, found a truncated", id="truncated"),
    ],
)
def test_bad_slides(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, source: str, code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("not a picture")
    Image.open(drawn.folder / "slide_0.png").save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-2000])
    good = drawn.folder / "slide_1.png"
    got, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", good, source, "--output", "found")
    assert got == code
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "found").exists()
    assert not list(tmp_path.glob(".found*"))


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device", "labels/slide_3.txt")])
def test_a_stop_in_the_middle_leaves_nothing(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    from spore_yolo.inference import drawing

    calls: list[int] = []

    def write(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise fault

    monkeypatch.setattr(drawing, "write_marked", write)
    code, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")
    assert code == 1
    assert ("interrupted" if isinstance(fault, KeyboardInterrupt) else "the disk is full") in err
    assert "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if "found" in path.name]


def test_a_cap_that_is_reached_is_told(spore_yolo: Run, spot_pair: Path, drawn: Any) -> None:
    import yaml

    content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
    content["detector"]["max_detections_per_tile"] = 1
    content["detector"]["largest_box"] = 10
    (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content))
    _, out, _ = spore_yolo(
        "predict", "--pair", spot_pair, "--source", drawn.folder / "slide_0.png", "--output", "found"
    )
    assert "warning: a tile reached the cap of 1 candidates" in out
    assert "warning: objects larger than the largest labelled spore (10 px)" in out


def test_earlier_results_are_no_slides(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    slides = drawn.folder
    base = [
        "predict",
        "--pair",
        spot_pair,
        "--source",
        slides,
        slides / ".." / slides.name,
        "--output",
        slides / "found",
    ]
    assert spore_yolo(*base)[0] == 0
    assert spore_yolo(*base, "--force")[0] == 0
    assert len(pd.read_csv(slides / "found" / "counts.csv")) == 10


@pytest.mark.parametrize("device", ["0,1", "gpu", "99"])
def test_devices_that_are_none(spore_yolo: Run, spot_pair: Path, drawn: Any, device: str) -> None:
    code, _, err = spore_yolo(
        "predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--device", device
    )
    assert code == 2
    assert "--device: expected cpu, mps or the number of one GPU" in err


def test_results_are_not_replaced_by_nothing(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    assert spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")[0] == 0
    code, _, err = spore_yolo(
        "predict", "--pair", spot_pair, "--source", "found/images", "--output", "found", "--force"
    )
    assert code == 2
    assert "counts as results" in err
    assert len(pd.read_csv(tmp_path / "found" / "predictions.csv")) == 81
