from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from spore_yolo.evaluation.crops import CROP_COLUMNS, crop_figures, crops_table
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from tests.evaluation.hand_worked import stated

Make = Callable[..., pd.DataFrame]
POINT = OperatingPoint.model_validate({"detector": 0.3, "class": {"rust": 0.5}})


def side(iou: float) -> float:
    """How wide a box of height 20 in the corner of a label of 20 x 20 must be for this IoU."""
    return 20 * iou


@pytest.mark.parametrize(
    ("box", "truth", "left_out"),
    [
        pytest.param((0, 0, 20, 20), "rust", "", id="on the label"),
        pytest.param((0, 0, side(0.5), 20), "rust", "", id="half of it: IoU of exactly 0.5"),
        pytest.param((0, 0, side(0.49), 20), "", "between", id="a little less"),
        pytest.param((0, 0, side(0.1), 20), "", "between", id="IoU of exactly 0.1"),
        pytest.param((0, 0, side(0.09), 20), DEBRIS, "", id="next to nothing of it"),
        pytest.param((500, 0, 520, 20), DEBRIS, "", id="far away"),
        pytest.param((110, 110, 120, 120), "", "ignored", id="inside an ignored box, however small"),
        pytest.param((130, 100, 150, 120), "", "ignored", id="half of it on an ignored box"),
        pytest.param((135, 100, 175, 140), DEBRIS, "", id="a corner on an ignored box"),
        pytest.param((100, 100, 200, 200), "", "ignored", id="so large that an ignored box is a tenth of it"),
        pytest.param((300, 0, 320, 20), "smut", "", id="a label inside an ignored box is still known"),
        pytest.param((300, 0, 320, 6), "", "ignored", id="but near it, in the ignored box, nobody knows"),
    ],
)
def test_what_a_crop_is(
    box: tuple[float, ...],
    truth: str,
    left_out: str,
    make_images: Make,
    make_boxes: Make,
    make_pair_candidates: Make,
) -> None:
    boxes = make_boxes(
        [
            ("1.jpg", "rust", 0, 0, 20, 20),
            ("1.jpg", "rust", 100, 100, 140, 140),  # ignored
            ("1.jpg", "smut", 300, 0, 320, 20),
            ("1.jpg", "smut", 290, 0, 340, 60),  # ignored
        ],
        ignored=(1, 3),
    )
    candidates = make_pair_candidates([("1.jpg", "rust", 0.9, 0.9, *box)])
    crops = crops_table(candidates, boxes, make_images({"1.jpg": "g"}), POINT)
    assert crops.columns.tolist() == CROP_COLUMNS
    assert crops[["truth", "left_out"]].to_numpy().tolist() == [[truth, left_out]]


def test_truth_is_the_label_that_is_overlapped_best(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20), ("1.jpg", "smut", 4, 0, 24, 20)])
    rows = [("1.jpg", "rust", 0.9, 0.9, x, 0, x + 20, 20) for x in (1, 3)]
    crops = crops_table(make_pair_candidates(rows), boxes, make_images({"1.jpg": "g"}), POINT)
    assert crops["truth"].tolist() == ["rust", "smut"]


@pytest.mark.parametrize(
    ("detector_score", "class_score", "called"),
    [
        pytest.param(0.3, 0.5, "rust", id="just passes both"),
        pytest.param(0.29, 0.9, DEBRIS, id="too weak for the detector's threshold"),
        pytest.param(0.9, 0.49, DEBRIS, id="too unsure for the class's"),
        pytest.param(0.05, 0.9, DEBRIS, id="the weakest crop"),
        pytest.param(0.049, 0.9, None, id="no crop"),
    ],
)
def test_called_is_the_final_class_at_the_operating_point(
    detector_score: float,
    class_score: float,
    called: str | None,
    make_images: Make,
    make_boxes: Make,
    make_pair_candidates: Make,
) -> None:
    candidates = make_pair_candidates([("1.jpg", "rust", detector_score, class_score, 0, 0, 20, 20)])
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    crops = crops_table(candidates, boxes, make_images({"1.jpg": "g"}), POINT)
    assert crops["called"].tolist() == ([] if called is None else [called])


def test_several_candidates_of_one_label_all_count(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    rows = [("1.jpg", "rust", 0.9, 0.9, 0, 0, 20, 20), ("1.jpg", "rust", 0.8, 0.2, 1, 0, 21, 20)]
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    crops = crops_table(make_pair_candidates(rows), boxes, make_images({"1.jpg": "g"}), POINT)
    assert stated(crop_figures(crops, ["rust"])["rust"]["recall"]) == {"value": 0.5, "n": 2}


def test_no_candidates_and_no_labels(make_images: Make, make_boxes: Make, make_pair_candidates: Make) -> None:
    crops = crops_table(make_pair_candidates([]), make_boxes([]), make_images({"1.jpg": "g"}), POINT)
    figures = crop_figures(crops, ["rust"])["rust"]
    assert stated(figures["recall"]) == stated(figures["specificity"]) == {"value": None, "n": 0}
