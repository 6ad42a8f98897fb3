from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, MEASURE_COLUMNS

Run = Callable[..., tuple[int, str, str]]


def test_everything_that_predict_writes(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    code, out, err = spore_yolo("predict", "--run", "runs/spots", "--source", drawn.folder, "--output", "found")
    assert code == 0, err
    found = tmp_path / "found"
    predictions = pd.read_csv(found / "predictions.csv")
    assert predictions.columns.tolist() == CANDIDATE_COLUMNS
    assert len(predictions) == 81
    assert predictions["class_score"].isna().all()
    for name, boxes in drawn.boxes.items():
        rows = predictions[predictions["slide"].str.endswith(name)]
        assert sorted(map(tuple, rows[COORDINATES].round().astype(int).to_numpy().tolist())) == sorted(boxes)
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
    assert "next: look through the contact sheets in found/contact_sheets/" in out
    book = pd.read_excel(found / "counts.xlsx", sheet_name=None)
    assert book["counts"]["all"].tolist() == [9] * 9 + [0, 81]
    assert len(book["detections"]) == 81
    with Image.open(found / "contact_sheets" / "spore.jpg") as sheet:
        assert sheet.width > sheet.height > 600
    # Every file that is there is named, and none that is not.
    named = {line.split()[0] for line in out.splitlines() if line.startswith("found/")}
    assert named == {str(path.relative_to(tmp_path)) for path in found.iterdir()} - {"found/classes.txt"}


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
    from spore_yolo.cli import prediction_output

    calls: list[int] = []

    def write(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise fault

    monkeypatch.setattr(prediction_output, "write_marked", write)
    code, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")
    assert code == 1
    assert ("interrupted" if isinstance(fault, KeyboardInterrupt) else "the disk is full") in err
    assert "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if "found" in path.name]


def test_a_cap_that_is_reached_is_told(spore_yolo: Run, spot_pair: Path, drawn: Any) -> None:
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


def change_manifest(folder: Path, **changes: Any) -> None:
    content = yaml.safe_load((folder / "pair.yaml").read_text())
    (folder / "pair.yaml").write_text(yaml.safe_dump({**content, **changes}))


def test_targets_lead_and_debris_is_no_detection(spore_yolo: Run, whole_pair: Path, drawn: Any, tmp_path: Path) -> None:
    code, out, err = spore_yolo("predict", "--pair", whole_pair, "--source", drawn.folder, "--output", "found")
    assert code == 0, err
    found = tmp_path / "found"
    counts, candidates = pd.read_csv(found / "counts.csv"), pd.read_csv(found / "candidates.csv")
    assert counts.columns.tolist() == ["slide", "smut", "rust", "all"]
    assert "smut (target)" in out.splitlines()[0]
    called = candidates["class"].value_counts()
    assert called["debris"] > 0
    assert counts["smut"].sum() == called["smut"] > 0 and counts["rust"].sum() == called["rust"] > 0
    predictions = pd.read_csv(found / "predictions.csv")
    assert set(predictions["class"]) == {"rust", "smut"}
    assert len(predictions) == counts["all"].sum() == called["rust"] + called["smut"]
    totals = next(line for line in out.splitlines() if line.startswith("all slides")).split()[2:]
    assert totals == [str(called["smut"]), str(called["rust"]), str(len(predictions))]
    assert "class_score >= 0.5 (rust), 0.5 (smut)" in out
    assert {path.stem for path in (found / "contact_sheets").iterdir()} == {"rust", "smut"}
    assert {line.split()[0] for path in (found / "labels").iterdir() for line in path.read_text().splitlines()} == {
        *("0", "1")
    }


def test_at_changes_the_detector_threshold_and_leaves_those_of_the_classes(
    spore_yolo: Run, whole_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    change_manifest(whole_pair, operating_point={"detector": 0.95, "class": {"rust": 0.85}})
    base = ["predict", "--pair", whole_pair, "--source", drawn.folder, "--output", "found"]
    assert spore_yolo(*base)[0] == 0
    assert pd.read_csv(tmp_path / "found" / "predictions.csv").empty
    assert spore_yolo(*base, "--at", "0.5", "--force")[0] == 0
    assert set(pd.read_csv(tmp_path / "found" / "predictions.csv")["class"]) == {"smut"}
    about = json.loads((tmp_path / "found" / "prediction.json").read_text())
    assert about["operating_point"] == {"detector": 0.5, "class": {"rust": 0.85}}


@pytest.mark.parametrize(
    ("stated", "trained", "scale", "note"),
    [
        pytest.param("0.5", None, 0.5, None, id="stated"),
        pytest.param("0.5", 0.5, 0.5, None, id="stated, and the pair's is the same"),
        pytest.param("0.5", 0.25, 0.5, "warning: the pair was trained on slides of 0.25", id="another magnification"),
        pytest.param(None, 0.25, 0.25, "note: lengths assume 0.25 µm per pixel", id="the pair's is assumed"),
        pytest.param(None, None, None, None, id="unknown"),
    ],
)
def test_sizes_where_the_scale_is_known(
    spore_yolo: Run,
    spot_pair: Path,
    drawn: Any,
    tmp_path: Path,
    stated: str | None,
    trained: float | None,
    scale: float | None,
    note: str | None,
) -> None:
    change_manifest(spot_pair, um_per_px=trained)
    options = [] if stated is None else ["--um-per-px", stated]
    code, out, err = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", *options)
    assert code == 0, err
    found = tmp_path / "found"
    predictions = pd.read_csv(found / "predictions.csv")
    assert pd.read_csv(found / "candidates.csv").columns.tolist() == CANDIDATE_COLUMNS
    about = json.loads((found / "prediction.json").read_text())
    assert about["um_per_px"] == scale
    assert [line for line in out.splitlines() if "µm per pixel" in line] == about["notes"]
    assert about["notes"][0].startswith(note) if note else about["notes"] == []
    if scale is None:
        assert predictions.columns.tolist() == CANDIDATE_COLUMNS
        return
    assert predictions.columns.tolist() == CANDIDATE_COLUMNS + MEASURE_COLUMNS
    # The drawn spots are upright rectangles.
    sides = np.sort(predictions[COORDINATES[2:]].to_numpy() - predictions[COORDINATES[:2]].to_numpy(), axis=1) * scale
    np.testing.assert_allclose(predictions[["width_um", "length_um"]], sides, rtol=0.12)
    outlined = predictions["measured_by"] == "outline"
    assert outlined.mean() > 0.8
    np.testing.assert_allclose(predictions.loc[outlined, "area_um2"], sides[outlined].prod(axis=1), rtol=0.12)
    assert sum(about["measured_by"].values()) == 81


def test_measures_have_their_columns_where_nothing_was_found(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    slide = drawn.folder / "slide_9.png"
    code, out, err = spore_yolo(
        "predict", "--pair", spot_pair, "--source", slide, "--output", "found", "--um-per-px", "0.5"
    )
    assert code == 0, err
    header = CANDIDATE_COLUMNS + MEASURE_COLUMNS
    assert pd.read_csv(tmp_path / "found" / "predictions.csv").columns.tolist() == header
    assert "next: nothing passed the operating point" in out
    assert not (tmp_path / "found" / "contact_sheets").exists()


def test_no_images_means_neither_marked_slides_nor_contact_sheets(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    code, out, _ = spore_yolo(
        "predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--no-images"
    )
    assert code == 0
    assert {path.name for path in (tmp_path / "found").iterdir() if path.is_dir()} == {"labels"}
    assert "next: open found/counts.xlsx" in out


def test_what_has_no_place_is_told(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.cli import prediction_output
    from spore_yolo.inference import contact_sheet
    from spore_yolo.labels import workbook

    monkeypatch.setattr(contact_sheet, "CROPS_A_SHEET", 10)
    monkeypatch.setattr(workbook, "EXCEL_ROWS", 52)
    monkeypatch.setattr(prediction_output, "MOST_ROWS", 4)
    _, out, _ = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")
    notes = [
        "note: the contact sheets of spore leave out the 31 detections with the lowest scores",
        "warning: counts.xlsx holds the first 50 of 81 detections, Excel opens no more rows; predictions.csv has all",
    ]
    assert [line for line in out.splitlines() if line.startswith(("note", "warning"))] == notes
    assert json.loads((tmp_path / "found" / "prediction.json").read_text())["notes"] == notes
    assert sorted(path.name for path in (tmp_path / "found" / "contact_sheets").iterdir()) == [
        *(f"spore-{page}.jpg" for page in range(2, 6)),
        "spore.jpg",
    ]
    assert "… 6 slides with fewer" in out


def test_a_file_name_that_is_no_text(spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    import os

    odd = os.fsdecode(b"slide_\xff.png")
    shutil.copy(drawn.folder / "slide_0.png", tmp_path / odd)
    code, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", tmp_path / odd, "--output", "found")
    assert code == 2
    assert "expected a file name in UTF-8" in err
