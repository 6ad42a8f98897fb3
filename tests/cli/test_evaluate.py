from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.evaluation.hand_worked import stated, values

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any) -> Run:
    code, _, err = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    assert code == 0, err
    return spore_yolo


def test_a_detector_that_finds_every_spot(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    code, out, err = imported("evaluate", "--run", "runs/spots", "--dataset", "toy", "--split", "test")
    assert code == 0, err
    folder = tmp_path / "runs" / "spots" / "evaluation" / "toy-test"
    metrics = json.loads((folder / "metrics.json").read_text())
    overall = metrics["overall"]
    assert (overall["recall"]["value"], overall["precision"]["value"], overall["fp"]) == (1.0, 1.0, 0)
    assert overall["ap50"]["value"] == pytest.approx(1.0)
    assert (metrics["slides"], metrics["groups"], metrics["split"]) == (2, 2, "test")
    assert metrics["operating_point"] == {"detector": 0.5, "class": {}}
    assert metrics["classes_merged_to_spore"] is True
    assert set(metrics["per_class"]) == {"spore"}
    assert "all labels were merged" in out
    assert "2 groups are too few to tell" in out
    matches = pd.read_csv(folder / "matches.csv")
    assert (matches["outcome"] == "tp").all()
    assert len(matches) == overall["tp"]
    assert (folder / "precision_recall.png").stat().st_size > 5000
    # The last slide is empty but in another split; without negatives specificity is unknown, not 100%.
    spore = metrics["per_class"]["spore"]
    assert stated(spore["recall_slides"]) == {"value": 1.0, "n": 2}
    assert stated(spore["specificity_slides"]) == stated(spore["specificity_crops"]) == {"value": None, "n": 0}
    assert "- of 0" in out
    assert "detector_alone" not in metrics


def test_at_another_threshold_into_another_folder(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    base = ["evaluate", "--pair", spot_pair, "--dataset", "toy", "--split", "val"]
    assert imported(*base, "--at", "0.95", "--output", "report")[0] == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["overall"]["recall"]["value"] == 0.0
    assert metrics["overall"]["precision"]["value"] is None
    assert metrics["overall"]["ap50"]["value"] == pytest.approx(1.0)  # AP does not depend on the operating point


def test_split_that_is_torn_by_hand_is_refused(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    path = tmp_path / "data" / "toy" / "images.csv"
    table = pd.read_csv(path)
    table.loc[table["split"] == "test", "group"] = table.loc[table["split"] == "train", "group"].iloc[0]
    table.to_csv(path, index=False)
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "images.csv:" in err
    assert "is in" in err
    assert "and test (line" in err or "and train (line" in err


def test_classes_that_do_not_fit(imported: Run, spot_pair: Path) -> None:
    import yaml

    content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
    content["detector"]["one_class"] = False
    (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content))
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "the pair finds spore, dataset toy has" in err


def test_slide_that_went_missing_since_the_import(imported: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    for path in drawn.folder.iterdir():
        path.unlink()
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "no such file" in err
    assert not (spot_pair.parent / "evaluation").exists()


@pytest.mark.parametrize("part", ["images.csv", "boxes.csv", "manifest.json"])
def test_import_with_a_part_missing(imported: Run, spot_pair: Path, tmp_path: Path, part: str) -> None:
    (tmp_path / "data" / "toy" / part).unlink()
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert part in err
    assert "import" in err


def test_test_slides_that_the_pair_was_trained_on_are_refused(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    test = images.loc[images["split"] == "test", "sha256"]
    (spot_pair / "trained_on.txt").write_text(f"{test.iloc[0]}\n")
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "1 of the 2 slides of toy, test, were in the pair's own train or validation split" in err


def test_a_folder_of_other_things_is_not_replaced(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy", "--output", "mine")
    assert code == 2
    assert "holds other things" in err
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_threshold_below_the_candidates(imported: Run, spot_pair: Path) -> None:
    code, _, err = imported("evaluate", "--pair", spot_pair, "--dataset", "toy", "--at", "0.005")
    assert code == 2
    assert "where candidates begin" in err


def test_run_that_is_not_finished(imported: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "half").mkdir(parents=True)
    code, _, err = imported("evaluate", "--run", "runs/half", "--dataset", "toy")
    assert code == 1
    assert "go on with it: spore-yolo train-detector --resume --name half" in err


def test_leak_is_found_through_the_runs_folder_too(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    (spot_pair / "trained_on.txt").write_text(f"{images.loc[images['split'] == 'test', 'sha256'].iloc[0]}\n")
    for option in (["--run", spot_pair.parent], ["--pair", spot_pair.parent]):
        code, _, err = imported("evaluate", *option, "--dataset", "toy")
        assert code == 1
        assert "figures on them would lie" in err


def named_right(folder: Path, labels: Path) -> pd.Series:
    """The share of each class's boxes whose candidate bears its name; the detector draws each box exactly."""
    corners = ["x_min", "y_min", "x_max", "y_max"]
    truth, found = pd.read_csv(labels).dropna(), pd.read_csv(folder / "candidates.csv")
    both = found.merge(truth, left_on=["slide", *corners], right_on=["image", *corners], suffixes=("", "_label"))
    assert len(both) == len(found)
    return (both["class"] == both["class_label"]).groupby(both["class_label"]).mean()


def test_a_pair_with_a_classifier(imported: Run, whole_pair: Path, drawn: Any, tmp_path: Path) -> None:
    code, out, err = imported("evaluate", "--run", "runs/whole", "--dataset", "toy", "--split", "train")
    assert code == 0, err
    folder = tmp_path / "runs" / "whole" / "evaluation" / "toy-train"
    assert {path.name for path in folder.iterdir()} == {
        *("report.html", "metrics.json", "matches.csv", "slides.csv", "crops.csv", "confusion.csv", "candidates.csv"),
        *("precision_recall.png", "confusion.png"),
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["targets"] == ["smut"]
    assert metrics["operating_point"] == {"detector": 0.5, "class": {"rust": 0.5, "smut": 0.5}}
    assert metrics["classes_merged_to_spore"] is False
    expected = named_right(folder, drawn.labels)
    assert 0 < expected["rust"] < 1
    for name, share in expected.items():
        figures = metrics["per_class"][name]
        assert figures["found_at_all"]["value"] == 1.0
        # The detector's boxes are the labelled ones, so all three say the same.
        assert figures["recall"]["value"] == figures["recall_crops"]["value"] == pytest.approx(share)
        assert metrics["classifier_on_labels"]["per_class"][name]["recall"]["value"] == pytest.approx(share)
    alone = metrics["detector_alone"]
    assert (alone["threshold"], alone["classes_merged_to_spore"]) == (0.5, True)
    assert values(alone["overall"], "recall", "precision") == (1.0, 1.0)
    # The table that shows which part loses what comes first, and the target leads it.
    rows = [line for line in out.splitlines() if line.startswith(("smut", "rust"))]
    assert [row.startswith("smut (target)") for row in rows] == [True, False, True, False]
    assert out.index("named") < out.index(rows[0]) < out.index("specificity") < out.rindex("smut (target)")
    assert "class_score >= 0.5 rust, 0.5 smut" in out
    confusion = pd.read_csv(folder / "confusion.csv", index_col="truth")
    assert confusion.loc[["rust", "smut"]].to_numpy().sum() == metrics["overall"]["boxes"]


def test_at_moves_the_detector_threshold_only(imported: Run, whole_pair: Path, tmp_path: Path) -> None:
    base = ["evaluate", "--pair", whole_pair, "--dataset", "toy", "--split", "train", "--output", "report"]
    assert imported(*base, "--at", "0.95")[0] == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["operating_point"] == {"detector": 0.95, "class": {"rust": 0.5, "smut": 0.5}}
    assert metrics["overall"]["recall"]["value"] == 0.0
    assert metrics["overall"]["found_at_all"]["value"] == 0.0
    assert metrics["detector_alone"]["overall"]["recall"]["value"] == 1.0  # at its own threshold


def test_thresholds_of_the_classes_count(imported: Run, whole_pair: Path, tmp_path: Path) -> None:
    import yaml

    content = yaml.safe_load((whole_pair / "pair.yaml").read_text())
    content["operating_point"]["class"]["rust"] = 0.9  # the stand-in is never surer than 0.8
    content["figures"] = {"detector_alone": {"threshold": 0.4}}
    (whole_pair / "pair.yaml").write_text(yaml.safe_dump(content))
    assert imported("evaluate", "--pair", whole_pair, "--dataset", "toy", "--split", "train")[0] == 0
    metrics = json.loads((whole_pair.parent / "evaluation" / "toy-train" / "metrics.json").read_text())
    assert metrics["per_class"]["rust"]["recall"]["value"] == 0.0
    assert metrics["per_class"]["rust"]["specificity_crops"]["value"] == 1.0
    assert metrics["classifier_on_labels"]["per_class"]["rust"]["recall"]["value"] == 0.0
    assert metrics["per_class"]["smut"]["recall"]["value"] > 0
    assert metrics["detector_alone"]["threshold"] == 0.4


def test_a_dataset_with_a_class_called_debris_is_refused(
    spore_yolo: Run, whole_pair: Path, drawn: Any, tmp_path: Path
) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("smut", "debris"))
    imported = spore_yolo("import", "dirt", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    assert imported[0] == 0
    code, _, err = spore_yolo("evaluate", "--pair", whole_pair, "--dataset", "dirt", "--split", "train")
    assert code == 1
    assert "dataset dirt has a class 'debris'" in err
    assert "class map" in err


def test_a_dataset_of_other_classes_is_refused(spore_yolo: Run, whole_pair: Path, drawn: Any) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("smut", "ergot"))
    imported = spore_yolo("import", "other", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    assert imported[0] == 0
    code, _, err = spore_yolo("evaluate", "--pair", whole_pair, "--dataset", "other", "--split", "train")
    assert code == 1
    assert "the pair finds rust, smut, dataset other has" in err
