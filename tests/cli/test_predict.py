from __future__ import annotations

import argparse
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

from spore_yolo.cli.predict import focal_plane
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
    assert counts.columns.tolist() == ["slide", "spore", "all", "megapixels", "um_per_px", "mm2"]
    assert counts["all"].tolist() == [9] * 9 + [0]
    assert counts["megapixels"].tolist() == [0.066] * 10
    assert counts[["um_per_px", "mm2"]].isna().all(axis=None)
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
    ("source", "message"),
    [
        pytest.param("nowhere", "--source: nowhere: no such file, folder or glob match", id="nothing there"),
        pytest.param("empty", "expected slides", id="a folder without slides"),
        pytest.param(
            "gs://bucket/slides/", "expected a path, or s3://bucket/prefix, found", id="another kind of bucket"
        ),
    ],
)
def test_sources_that_name_nothing(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    good = drawn.folder / "slide_1.png"
    code, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", good, source, "--output", "found")
    assert code == 2
    assert message in err
    assert not [path for path in tmp_path.iterdir() if "found" in path.name]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device", "parts/3")])
def test_a_stop_at_the_first_slide_leaves_nothing(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    from spore_yolo.prediction.parts import SlidePart

    def write(*arguments: Any) -> None:
        raise fault

    monkeypatch.setattr(SlidePart, "write", write)
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


def say_scale(monkeypatch: pytest.MonkeyPatch, of: Callable[[Path], float | None]) -> None:
    """Lets files say their scale."""
    from spore_yolo.prediction import running

    original = running.open_slide

    def open_slide(path: Path, **options: Any) -> Any:
        slide = original(path, **options)
        slide.um_per_px = of(path)
        return slide

    monkeypatch.setattr(running, "open_slide", open_slide)


def change_manifest(folder: Path, **changes: Any) -> None:
    content = yaml.safe_load((folder / "pair.yaml").read_text())
    (folder / "pair.yaml").write_text(yaml.safe_dump({**content, **changes}))


def test_targets_lead_and_debris_is_no_detection(spore_yolo: Run, whole_pair: Path, drawn: Any, tmp_path: Path) -> None:
    code, out, err = spore_yolo("predict", "--pair", whole_pair, "--source", drawn.folder, "--output", "found")
    assert code == 0, err
    found = tmp_path / "found"
    counts, candidates = pd.read_csv(found / "counts.csv"), pd.read_csv(found / "candidates.csv")
    assert counts.columns.tolist()[:4] == ["slide", "smut", "rust", "all"]
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


UNKNOWN = "warning: the scale (µm per pixel) of 10 slides is not known, nor that of the pair: nothing is measured there"
NO_PAIR = "warning: the pair does not say at what scale (µm per pixel) it was trained: 10 slides of 0.5 were taken as"


@pytest.mark.parametrize(
    ("options", "of_file", "trained", "scale", "source", "note"),
    [
        pytest.param("--mpp 0.5", None, None, 0.5, "stated", NO_PAIR, id="stated, the pair's unknown"),
        pytest.param("--mpp 0.5", None, 0.5, 0.5, "stated", None, id="stated, the pair's the same"),
        pytest.param("--um-per-px 0.5", None, 0.5, 0.5, "stated", None, id="the other name of the option"),
        pytest.param("", 0.5, 0.5, 0.5, "file", None, id="said by the files"),
        pytest.param("", 0.5, None, 0.5, "file", NO_PAIR, id="said by the files, the pair's unknown"),
        pytest.param(
            *("--mpp 0.5", 0.25, 0.5, 0.5, "stated"),
            "warning: --mpp was taken for 10 slides whose files say another scale: 0.25 µm per pixel",
            id="stated against the files",
        ),
        pytest.param(
            *("", 0.5, 0.6, 0.5, "file"),
            "note: 10 slides of 0.5 µm per pixel were resampled to the pair's 0.6",
            id="another magnification",
        ),
        pytest.param(
            *("--no-resample", 0.5, 0.25, 0.5, "file"),
            "warning: the pair was trained on slides of 0.25 µm per pixel, 10 slides have 0.5; spores are 0.5 times",
            id="another magnification, not resampled",
        ),
        pytest.param(
            *("", None, 0.25, 0.25, "pair"),
            "warning: the scale of 10 slides is not known: 0.25 µm per pixel, that of the slides that the pair was",
            id="the pair's is assumed",
        ),
        pytest.param("", None, None, None, "unknown", UNKNOWN, id="unknown"),
    ],
)
def test_sizes_where_the_scale_is_known(
    spore_yolo: Run,
    spot_pair: Path,
    drawn: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    of_file: float | None,
    trained: float | None,
    scale: float | None,
    source: str,
    note: str | None,
) -> None:
    change_manifest(spot_pair, um_per_px=trained)
    say_scale(monkeypatch, lambda path: of_file)
    base = ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found"]
    code, out, err = spore_yolo(*base, *options.split())
    assert code == 0, err
    found = tmp_path / "found"
    predictions = pd.read_csv(found / "predictions.csv")
    assert pd.read_csv(found / "candidates.csv").columns.tolist() == CANDIDATE_COLUMNS
    about = json.loads((found / "prediction.json").read_text())
    assert (about["um_per_px"], about["um_per_px_from"]) == (scale, {source: 10})
    assert [line for line in out.splitlines() if "µm per pixel" in line] == about["notes"]
    assert about["notes"][0].startswith(note) if note else about["notes"] == []
    assert len(about["notes"]) == (note is not None)
    if scale is None:
        assert predictions.columns.tolist() == CANDIDATE_COLUMNS
        return
    assert predictions.columns.tolist() == CANDIDATE_COLUMNS + MEASURE_COLUMNS
    # The drawn spots are upright rectangles.
    sides = np.sort(predictions[COORDINATES[2:]].to_numpy() - predictions[COORDINATES[:2]].to_numpy(), axis=1) * scale
    np.testing.assert_allclose(predictions[["width_um", "length_um"]], sides, rtol=0.12)
    outlined = predictions["measured_by"] == "outline"
    # On a slide that is resampled the stand-in's boxes end at whole pixels of the model.
    leeway = 0.12 if about["resampled"] == 0 else 0.2
    assert outlined.mean() > 0.8
    np.testing.assert_allclose(predictions.loc[outlined, "area_um2"], sides[outlined].prod(axis=1), rtol=leeway)
    assert sum(about["measured_by"].values()) == 81


def test_each_slide_is_measured_at_its_own_scale(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales = {"slide_0.png": 0.5, "slide_1.png": 0.25}
    say_scale(monkeypatch, lambda path: scales.get(path.name))
    sources = [drawn.folder / f"slide_{number}.png" for number in range(3)]
    code, out, err = spore_yolo("predict", "--pair", spot_pair, "--source", *sources, "--output", "found")
    assert code == 0, err
    counts = pd.read_csv(tmp_path / "found" / "counts.csv")
    np.testing.assert_array_equal(counts["um_per_px"], [0.5, 0.25, np.nan])
    np.testing.assert_allclose(counts["mm2"], [0.066 * 0.25, 0.066 * 0.0625, np.nan], atol=1e-6)
    predictions = pd.read_csv(tmp_path / "found" / "predictions.csv")
    for place, scale in enumerate([0.5, 0.25, np.nan]):
        rows = predictions[predictions["slide"].str.endswith(f"slide_{place}.png")]
        longest = (rows[COORDINATES[2:]].to_numpy() - rows[COORDINATES[:2]].to_numpy()).max(axis=1)
        np.testing.assert_allclose(rows["length_um"], longest * scale, rtol=0.12)
    about = json.loads((tmp_path / "found" / "prediction.json").read_text())
    assert (about["um_per_px"], about["um_per_px_from"]) == (None, {"file": 2, "unknown": 1})
    assert "2 slides of 0.25 to 0.5 were taken as they are" in out
    assert "(µm per pixel) of 1 slide is not known" in out


def test_measures_have_their_columns_where_nothing_was_found(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    slide = drawn.folder / "slide_9.png"
    code, out, err = spore_yolo("predict", "--pair", spot_pair, "--source", slide, "--output", "found", "--mpp", "0.5")
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
    from spore_yolo.inference import contact_sheet
    from spore_yolo.labels import workbook
    from spore_yolo.prediction import summary as prediction_summary

    monkeypatch.setattr(contact_sheet, "CROPS_A_SHEET", 10)
    monkeypatch.setattr(workbook, "EXCEL_ROWS", 52)
    monkeypatch.setattr(prediction_summary, "MOST_ROWS", 4)
    _, out, _ = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")
    notes = [
        f"{UNKNOWN}, and spores of another magnification than the pair knows may be missed; say it with --mpp",
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


def test_the_choices_are_those_of_the_room_below() -> None:
    from spore_yolo.cli import predict
    from spore_yolo.inference.backends import BACKENDS

    assert predict.BACKENDS == BACKENDS


@pytest.mark.parametrize(("text", "z"), [("best", "best"), ("max-contrast", "max-contrast"), ("1", 1), ("12", 12)])
def test_a_focal_plane(text: str, z: Any) -> None:
    assert focal_plane(text) == z


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "sharpest", "²"])
def test_what_is_no_focal_plane(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected best, max-contrast or a number from 1 on"):
        focal_plane(text)


def test_a_pair_that_does_not_know_empty_tiles_skips_none(spore_yolo: Run, spot_pair: Path, drawn: Any) -> None:
    code, _, err = spore_yolo(
        "predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--skip-empty"
    )
    assert code == 2
    assert "the pair cannot tell empty tiles" in err and "learn-empty" in err


@pytest.mark.parametrize("z", ["0", "-1", "sharp", "1.5"])
def test_planes_that_are_none(spore_yolo: Run, spot_pair: Path, drawn: Any, z: str) -> None:
    code, _, err = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", f"--z={z}")
    assert code == 2
    assert "expected best, max-contrast or a number from 1 on" in err
