"""A split that is small enough to be worked out on paper; test_hand_worked.py does so, number by number.

Five slides of 1000 x 500 pixels in four groups, half a megapixel each. The pair: a one-class detector and a classifier
that names rust (the target), smut and ergot; nobody labelled ergot here. The operating point: detector_score >= 0.2,
and class_score >= 0.5 for rust, 0.4 for smut, 0.5 for ergot. The detector alone stops at 0.35.

=====  =====  ========================  ==============================================================================
slide  group  labels                    candidates
=====  =====  ========================  ==============================================================================
s1     g1     R1 R2 R3 rust             c0 finds R1, c1 finds it a second time; R2 is missed; c2 has IoU 0.3 with R3
s2     g1     S1 S2 S3 smut             c3 lies on S1 and is called rust; c4 on S2 is named smut, too unsurely; c5: S3
s3     g2     R4 rust, I1 ignored smut  c6 lies inside I1; c7 on R4 is too weak for the detector's threshold; c8 is
                                        debris and called smut; c9 is debris and called debris
s4     g3     none                      c10 is debris and called rust, c11 is debris and called ergot
s5     g4     none                      c12 is debris and called debris; c13 is below 0.05: no crop
=====  =====  ========================  ==============================================================================
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from spore_yolo.labels.table import COORDINATES, boxes_table
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS

CLASSES = ["rust", "smut", "ergot"]
TARGETS = ["rust"]
DETECTOR_ALONE = 0.35
"""The threshold that the detector was given before there was a classifier."""


def images() -> pd.DataFrame:
    """The images table: five slides, the last two without a spore."""
    groups = {"s1.jpg": "g1", "s2.jpg": "g1", "s3.jpg": "g2", "s4.jpg": "g3", "s5.jpg": "g4"}
    return pd.DataFrame({"image": list(groups), "group": list(groups.values()), "width": 1000, "height": 500})


def boxes() -> pd.DataFrame:
    """The boxes table: four of rust, three of smut, one that is ignored."""
    rows = [
        ("s1.jpg", "rust", 0, 0, 20, 20, False),  # R1
        ("s1.jpg", "rust", 100, 0, 120, 20, False),  # R2
        ("s1.jpg", "rust", 200, 0, 220, 20, False),  # R3
        ("s2.jpg", "smut", 0, 0, 40, 40, False),  # S1
        ("s2.jpg", "smut", 100, 100, 140, 140, False),  # S2
        ("s2.jpg", "smut", 300, 100, 340, 140, False),  # S3
        ("s3.jpg", "rust", 0, 0, 20, 20, False),  # R4
        ("s3.jpg", "smut", 200, 200, 260, 260, True),  # I1
    ]
    return boxes_table([(*row, "labels.csv", number) for number, row in enumerate(rows, start=2)])


def candidates() -> pd.DataFrame:
    """The columns of ``candidates.csv``, in the order c0 to c13; ``score`` is the product of the other two."""
    rows = [
        ("s1.jpg", "rust", 0.90, 0.90, 0, 0, 20, 20),  # c0, score 0.81, IoU 1 with R1
        ("s1.jpg", "rust", 0.80, 0.75, 1, 0, 21, 20),  # c1, score 0.60, IoU 380 / 420 = 0.905 with R1
        ("s1.jpg", "rust", 0.50, 0.80, 200, 0, 220, 6),  # c2, score 0.40, IoU 120 / 400 = 0.3 with R3
        ("s2.jpg", "rust", 0.70, 0.60, 0, 0, 40, 40),  # c3, score 0.42, IoU 1 with S1
        ("s2.jpg", "smut", 0.60, 0.35, 100, 100, 140, 140),  # c4, score 0.21, IoU 1 with S2
        ("s2.jpg", "smut", 0.80, 0.50, 300, 100, 340, 140),  # c5, score 0.40, IoU 1 with S3
        ("s3.jpg", "smut", 0.95, 0.90, 210, 210, 230, 230),  # c6, score 0.855, inside I1 (IoU 400 / 3600 = 0.111)
        ("s3.jpg", "rust", 0.15, 0.90, 0, 0, 20, 20),  # c7, score 0.135, IoU 1 with R4
        ("s3.jpg", "smut", 0.30, 0.60, 400, 400, 420, 420),  # c8, score 0.18
        ("s3.jpg", DEBRIS, 0.60, 0.95, 500, 100, 520, 120),  # c9, score 0.57
        ("s4.jpg", "rust", 0.40, 0.55, 300, 300, 320, 320),  # c10, score 0.22
        ("s4.jpg", "ergot", 0.25, 0.60, 600, 300, 620, 320),  # c11, score 0.15
        ("s5.jpg", DEBRIS, 0.30, 0.80, 10, 10, 30, 30),  # c12, score 0.24
        ("s5.jpg", "rust", 0.04, 0.90, 10, 60, 30, 80),  # c13, score 0.036
    ]
    table = pd.DataFrame(rows, columns=["slide", "class", "detector_score", "class_score", *COORDINATES])
    table = table.assign(score=table["detector_score"] * table["class_score"], detector_class="spore")
    return table.astype(dict.fromkeys(COORDINATES, "float64"))[CANDIDATE_COLUMNS]


def point() -> OperatingPoint:
    """The operating point of the pair."""
    return OperatingPoint.model_validate({"detector": 0.2, "class": {"rust": 0.5, "smut": 0.4, "ergot": 0.5}})


def label_calls() -> pd.DataFrame:
    """What the classifier calls the seven labelled boxes themselves, as if each had been cropped by hand."""
    labelled = boxes()
    labelled = labelled[~labelled["ignored"]].rename(columns={"image": "slide"})
    # In the order R1, R2, R3, S1, S2, S3, R4.
    calls = ["rust", "rust", DEBRIS, "rust", DEBRIS, "smut", "smut"]
    return labelled.assign(called=calls)[["slide", "class", "called"]].reset_index(drop=True)


def stated(figures: Any) -> Any:
    """Figures without how far they carry, in mappings too: ``{"value", "n"}``."""
    if not isinstance(figures, dict):
        return figures
    if "interval" in figures:
        return {"value": figures["value"], "n": figures["n"]}
    return {name: stated(one) for name, one in figures.items()}


def values(figures: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """The values of some figures, and counts as they are."""
    found = (figures[name] for name in names)
    return tuple(one["value"] if isinstance(one, dict) else one for one in found)
