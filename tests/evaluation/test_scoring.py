from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from spore_yolo.evaluation.metrics import compute_metrics
from spore_yolo.evaluation.scoring import (
    Scored,
    as_detector_alone,
    detections_of,
    matches_table,
    merged_to_spore,
    score_candidates,
)
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from tests.evaluation.hand_worked import values

Make = Callable[..., pd.DataFrame]
NO_AP: dict[str | None, dict[str, Any]] = {"rust": {}, "Alternaria": {}, "spore": {}, None: {}}


def hand_made(make_images: Make, make_boxes: Make, make_candidates: Make) -> tuple[pd.DataFrame, ...]:
    """Four slides worked out on paper."""
    images = make_images({"1.jpg": "g1", "2.jpg": "g1", "3.jpg": "g2", "4.jpg": "g3"})
    boxes = make_boxes(
        [
            ("1.jpg", "rust", 0, 0, 20, 20),  # found, and found a second time by a weaker candidate
            ("1.jpg", "rust", 100, 0, 120, 20),  # missed: the only candidate near it has IoU 0.3
            ("2.jpg", "Alternaria", 0, 0, 50, 50),  # named rust
            ("3.jpg", "rust", 0, 0, 20, 20),  # found by a candidate below the operating point
            ("3.jpg", "rust", 200, 200, 260, 260),  # ignored, with a candidate on it
        ],
        ignored=(4,),
    )
    candidates = make_candidates(
        [
            ("1.jpg", "rust", 0.9, 0, 0, 20, 20),
            ("1.jpg", "rust", 0.6, 1, 0, 21, 20),
            ("1.jpg", "rust", 0.8, 100, 0, 120, 6),
            ("2.jpg", "rust", 0.7, 0, 0, 50, 50),
            ("3.jpg", "rust", 0.4, 0, 0, 20, 20),
            ("3.jpg", "rust", 0.95, 210, 210, 230, 230),
            ("4.jpg", "Alternaria", 0.5, 300, 300, 320, 320),  # an empty slide with a false alarm
        ]
    )
    return candidates, boxes, images


def at(candidates: pd.DataFrame, threshold: float) -> pd.DataFrame:
    return detections_of(candidates, OperatingPoint(detector=threshold))


def found_scores(scored: Scored) -> pd.Series:
    """The score of what found each labelled box, NaN if nothing did."""
    return scored.candidates["score"].reindex(scored.truth["found_by"])


def test_every_number_of_the_hand_made_case(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    metrics = compute_metrics(score_candidates(at(candidates, 0.5), boxes, images, ["rust", "Alternaria"]), NO_AP)

    rust = metrics["per_class"]["rust"]
    assert (rust["boxes"], rust["tp"], rust["fp"], rust["fn"]) == (3, 1, 3, 2)
    assert values(rust, "recall", "precision", "false_alarms_per_slide") == (1 / 3, 1 / 4, 3 / 4)
    assert rust["false_alarms_per_megapixel"]["value"] == 3 / 2  # four slides of half a megapixel

    alternaria = metrics["per_class"]["Alternaria"]
    assert (alternaria["tp"], alternaria["fp"], alternaria["fn"]) == (0, 1, 1)
    assert alternaria["recall"]["value"] == 0.0

    overall = metrics["overall"]
    assert (overall["boxes"], overall["tp"], overall["fp"], overall["fn"]) == (4, 1, 4, 3)
    assert metrics["per_group"]["g1"]["fp"] == 3
    assert metrics["per_group"]["g3"] == {"boxes": 0, "tp": 0, "fp": 1, "fn": 0, "recall": None, "precision": 0.0}


def test_lower_operating_point_finds_more(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)

    def metrics(threshold: float) -> dict[str, Any]:
        scored = score_candidates(at(candidates, threshold), boxes, images, ["rust", "Alternaria"])
        return compute_metrics(scored, NO_AP)

    assert metrics(0.4)["per_class"]["rust"]["tp"] == 2
    assert metrics(0.99)["overall"]["precision"]["value"] is None


@pytest.mark.parametrize("threshold", [0.01, 0.2, 0.5, 0.8])
def test_without_a_classifier_filtering_first_changes_nothing(
    threshold: float, random_split: Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]
) -> None:
    candidates, boxes, images = random_split(3)
    first = score_candidates(at(candidates, threshold), boxes, images, ["a", "b"])
    whole = score_candidates(candidates, boxes, images, ["a", "b"])
    kept = whole.candidates[whole.candidates["score"] >= threshold].reset_index(drop=True)
    assert kept.equals(first.candidates)
    assert found_scores(whole).ge(threshold).tolist() == found_scores(first).notna().tolist()


def test_a_rejected_candidate_takes_no_box_from_one_that_passes(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    images, boxes = make_images({"1.jpg": "g"}), make_boxes([("1.jpg", "rust", 0, 0, 10, 10)])
    candidates = make_pair_candidates(
        [
            ("1.jpg", "rust", 0.9, 0.45, 0, 0, 10, 10),  # score 0.405, the higher one, but named too unsurely
            ("1.jpg", "rust", 0.5, 0.8, 1, 0, 11, 10),  # score 0.4
        ]
    )
    point = OperatingPoint.model_validate({"detector": 0.1, "class": {"rust": 0.5}})
    scored = score_candidates(detections_of(candidates, point), boxes, images, ["rust"])
    assert scored.candidates["truth"].tolist() == [0]
    assert found_scores(scored).tolist() == [pytest.approx(0.4)]


def test_debris_is_no_detection_and_is_left_out_of_the_matching(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    images, boxes = make_images({"1.jpg": "g"}), make_boxes([("1.jpg", "rust", 0, 0, 10, 10)])
    candidates = make_pair_candidates([("1.jpg", DEBRIS, 0.9, 0.9, 0, 0, 10, 10)])
    assert len(detections_of(candidates, OperatingPoint(detector=0.1))) == 0
    assert len(score_candidates(candidates, boxes, images, ["rust"]).candidates) == 0


def test_the_detector_alone_has_its_own_class_and_score(make_pair_candidates: Make) -> None:
    alone = as_detector_alone(make_pair_candidates([("1.jpg", DEBRIS, 0.9, 0.5, 0, 0, 10, 10)]))
    assert alone["class"].tolist() == ["spore"]
    assert alone["score"].tolist() == [0.9]
    assert alone["class_score"].isna().all()


def test_matches_table_tells_what_became_of_each(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    table = matches_table(score_candidates(at(candidates, 0.5), boxes, images, ["rust", "Alternaria"]))
    assert table.columns[:4].tolist() == ["slide", "group", "class", "outcome"]
    assert table["outcome"].value_counts().to_dict() == {"fp": 4, "fn": 3, "tp": 1, "ignored": 1}
    missed = table[(table["slide"] == "3.jpg") & (table["outcome"] == "fn")]
    assert missed[["x_min", "x_max"]].to_numpy().tolist() == [[0.0, 20.0]]
    assert missed["group"].tolist() == ["g2"]


def test_one_class_detector_is_scored_on_merged_labels(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    merged = at(candidates, 0.5).assign(**{"class": "spore"})
    scored = score_candidates(merged, merged_to_spore(boxes), images, ["spore"])
    figures = compute_metrics(scored, NO_AP)["per_class"]["spore"]
    assert (figures["tp"], figures["fp"], figures["fn"]) == (2, 3, 2)


def test_no_candidates_at_all(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    _, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    scored = score_candidates(at(make_candidates([]), 0.5), boxes, images, ["rust", "Alternaria"])
    metrics = compute_metrics(scored, NO_AP)
    assert values(metrics["overall"], "recall", "precision") == (0.0, None)
    assert (matches_table(scored)["outcome"] == "fn").all()
