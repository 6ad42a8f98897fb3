from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from spore_yolo.evaluation.metrics import compute_metrics, metrics_text
from spore_yolo.evaluation.scoring import matches_table, merged_to_spore, score_candidates

Make = Callable[..., pd.DataFrame]
NO_AP = {"rust": (None, None), "Alternaria": (None, None)}


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


def test_every_number_of_the_hand_made_case(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    scored = score_candidates(candidates, boxes, images, ["rust", "Alternaria"])
    metrics = compute_metrics(scored, 0.5, NO_AP)

    rust = metrics["per_class"]["rust"]
    assert (rust["boxes"], rust["tp"], rust["fp"], rust["fn"]) == (3, 1, 3, 2)
    assert rust["recall"] == 1 / 3
    assert rust["precision"] == 1 / 4
    assert rust["false_alarms_per_slide"] == 3 / 4
    assert rust["false_alarms_per_megapixel"] == 3 / 2  # four slides of half a megapixel

    alternaria = metrics["per_class"]["Alternaria"]
    assert (alternaria["tp"], alternaria["fp"], alternaria["fn"]) == (0, 1, 1)
    assert alternaria["recall"] == 0.0

    overall = metrics["overall"]
    assert (overall["boxes"], overall["tp"], overall["fp"], overall["fn"]) == (4, 1, 4, 3)
    assert metrics["per_group"]["g1"]["fp"] == 3
    assert metrics["per_group"]["g3"] == {"boxes": 0, "tp": 0, "fp": 1, "fn": 0, "recall": None, "precision": 0.0}


def test_lower_operating_point_finds_more(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    scored = score_candidates(candidates, boxes, images, ["rust", "Alternaria"])
    assert compute_metrics(scored, 0.4, NO_AP)["per_class"]["rust"]["tp"] == 2
    assert compute_metrics(scored, 0.99, NO_AP)["overall"]["precision"] is None


def test_matches_table_tells_what_became_of_each(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    table = matches_table(score_candidates(candidates, boxes, images, ["rust", "Alternaria"]), 0.5)
    assert table.columns[:4].tolist() == ["slide", "group", "class", "outcome"]
    assert table["outcome"].value_counts().to_dict() == {"fp": 4, "fn": 3, "tp": 1, "ignored": 1}
    missed = table[(table["slide"] == "3.jpg") & (table["outcome"] == "fn")]
    assert missed[["x_min", "x_max"]].to_numpy().tolist() == [[0.0, 20.0]]
    assert missed["group"].tolist() == ["g2"]


def test_one_class_detector_is_scored_on_merged_labels(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    merged = candidates.assign(**{"class": "spore"})
    scored = score_candidates(merged, merged_to_spore(boxes), images, ["spore"])
    figures = compute_metrics(scored, 0.5, {"spore": (None, None)})["per_class"]["spore"]
    assert (figures["tp"], figures["fp"], figures["fn"]) == (2, 3, 2)


def test_no_candidates_at_all(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    _, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    metrics = compute_metrics(score_candidates(make_candidates([]), boxes, images, ["rust", "Alternaria"]), 0.5, NO_AP)
    assert metrics["overall"]["recall"] == 0.0
    assert metrics["overall"]["precision"] is None


def test_table_leads_with_the_target(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = hand_made(make_images, make_boxes, make_candidates)
    scored = score_candidates(candidates, boxes, images, ["rust", "Alternaria"])
    lines = metrics_text(compute_metrics(scored, 0.5, NO_AP), ["Alternaria"]).splitlines()
    assert lines[2].startswith("Alternaria (target)")
    assert lines[-1].startswith("all")
