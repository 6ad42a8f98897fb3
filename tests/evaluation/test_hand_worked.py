"""The case of hand_worked.py, every number worked out on paper.

**Detections** at the operating point (detector_score >= 0.2; class_score >= 0.5 rust, 0.4 smut, 0.5 ergot), by score:
c6 smut, c0 rust, c1 rust, c3 rust, c2 rust, c5 smut, c10 rust, c8 smut, c11 ergot. No detections are c4 (0.35 < 0.4),
c7 (0.15 < 0.2), c13 (0.04), and c9 and c12, which are called debris.

**Boxes**, class by class at IoU >= 0.5:

=====  =====  =====================================  ==  ==  ==  =======  =========
class  boxes  what becomes of the detections         tp  fp  fn  recall   precision
=====  =====  =====================================  ==  ==  ==  =======  =========
rust   4      c0 finds R1; c1, c2, c3, c10 nothing   1   4   3   1/4      1/5
smut   3      c5 finds S3; c8 nothing; c6 on I1      1   1   2   1/3      1/2
ergot  0      c11 finds nothing                      0   1   0   unknown  0/1
all    7                                             2   6   5   2/7      2/8
=====  =====  =====================================  ==  ==  ==  =======  =========

**AP** over all candidates that are no debris. Rust by score: c0 hit, c1, c3, c2, c10, c7 hit (R4), c13: recall 1/4 at
precision 1, recall 2/4 at precision 2/6. Of COCO's 101 recalls 0, 0.01 ... 1 those up to 0.25 (26) have precision 1 and
those up to 0.50 (25 more) 1/3: (26 + 25/3) / 101. Smut by score: c6 is ignored, c5 hit, c4 hit (S2), c8: recall 2/3 at
precision 1, so 67 of 101. All hits have IoU 1, so the mean over IoU 0.5 to 0.95 is the same.

**Crops** (detector_score >= 0.05, so not c13): c2 is left out as between (0.3), c6 as ignored. The other eleven:

======  ======  =========
truth   called  crops
======  ======  =========
rust    rust    c0, c1
rust    debris  c7
smut    rust    c3
smut    debris  c4
smut    smut    c5
debris  rust    c10
debris  smut    c8
debris  ergot   c11
debris  debris  c9, c12
======  ======  =========

Rust: 3 positives, 2 of them called so; of 8 negatives c3 and c10 are called rust. Smut: 3 positives, 1; of 8 negatives
c8. Ergot: no positives; of 11 negatives c11.

**Slides.** Rust is on s1 (reported) and s3 (not: c7 was rejected), and not on s2 (c3), s4 (c10), both reported, nor on
s5. Smut is on s2 (c5); s3 has only an ignored box of it and is left out; s1, s4 and s5 have none and none is reported.
Ergot is nowhere and is reported on s4.

**Confusion**, boxes matched whatever their class: c0 - R1, c3 - S1, c5 - S3; nothing under c1, c2, c10 (rust), c8
(smut), c11 (ergot); nothing on R2, R3, R4 and S2.

**Found at all** from detector_score 0.2 on, whatever called: R1 (c0), S1 (c3), S2 (c4), S3 (c5).

**Detector alone** at 0.35, all classes merged: c6 (on I1), c0, c1, c5, c3, c4, c9, c2, c10. Hits c0, c3, c4, c5; false
c1, c2, c9, c10; missed R2, R3, R4. Crops: of c0, c1, c3, c4, c5, c7 all but c7 pass; of the debris c8, c9, c10, c11,
c12 c9 and c10 pass. Slides: s1, s2, s3 have spores and are reported (s3 by c6 alone); s4 has none and is reported; s5
has none and is not.

**Classifier on labels**: R1, R2 right, R3 debris, R4 wrong; S1 wrong, S2 debris, S3 right.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from spore_yolo.evaluation.report import Evaluation, evaluate_pair
from spore_yolo.evaluation.scoring import matches_table
from spore_yolo.inference.manifest import DEBRIS, PAIR_VERSION, ClassifierPart, DetectorPart, PairManifest
from tests.evaluation import hand_worked
from tests.evaluation.hand_worked import stated, values

UNKNOWN = {"value": None, "n": 0}


def manifest() -> PairManifest:
    detector = DetectorPart(
        file="detector.pt",
        sha256="",
        model="yolov8n",
        classes=["spore"],
        one_class=True,
        tile_size=640,
        scale=1.0,
        largest_box=60,
        nms_iou=0.7,
        max_detections_per_tile=300,
    )
    classifier = ClassifierPart(
        file="classifier.pt",
        sha256="",
        model="yolov8n-cls",
        classes=[*hand_worked.CLASSES, DEBRIS],
        crop_size=64,
        margin=0.2,
        temperature=1.0,
    )
    return PairManifest(
        pair_version=PAIR_VERSION,
        classes=hand_worked.CLASSES,
        targets=hand_worked.TARGETS,
        detector=detector,
        classifier=classifier,
        operating_point=hand_worked.point(),
        figures={"detector_alone": {"threshold": hand_worked.DETECTOR_ALONE}},
    )


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate_pair(
        hand_worked.candidates(),
        hand_worked.boxes(),
        hand_worked.images(),
        manifest(),
        hand_worked.point(),
        label_calls=hand_worked.label_calls(),
    )


@pytest.fixture(scope="module")
def per_class(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    return evaluation.metrics["per_class"]


def part(figures: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(stated(figures[name]) for name in names)


def test_boxes(evaluation: Evaluation, per_class: dict[str, dict[str, Any]]) -> None:
    names = ("boxes", "tp", "fp", "fn", "recall", "precision", "false_alarms_per_slide", "false_alarms_per_megapixel")
    # Five slides, two and a half megapixels.
    assert values(per_class["rust"], *names) == (4, 1, 4, 3, 1 / 4, 1 / 5, 4 / 5, 4 / 2.5)
    assert values(per_class["smut"], *names) == (3, 1, 1, 2, 1 / 3, 1 / 2, 1 / 5, 1 / 2.5)
    assert values(per_class["ergot"], *names) == (0, 0, 1, 0, None, 0.0, 1 / 5, 1 / 2.5)
    assert values(evaluation.metrics["overall"], *names) == (7, 2, 6, 5, 2 / 7, 2 / 8, 6 / 5, 6 / 2.5)


def test_groups(evaluation: Evaluation) -> None:
    names = ("boxes", "tp", "fp", "fn", "recall", "precision")
    per_group = evaluation.metrics["per_group"]
    assert part(per_group["g1"], *names) == (6, 2, 3, 4, 2 / 6, 2 / 5)  # s1: c0, c1, c2; s2: c3, c5
    assert part(per_group["g2"], *names) == (1, 0, 1, 1, 0.0, 0.0)  # c8; R4 missed
    assert part(per_group["g3"], *names) == (0, 0, 2, 0, None, 0.0)  # c10, c11
    assert part(per_group["g4"], *names) == (0, 0, 0, 0, None, None)


def test_average_precision(evaluation: Evaluation, per_class: dict[str, dict[str, Any]]) -> None:
    rust, smut = (26 + 25 / 3) / 101, 67 / 101
    assert values(per_class["rust"], "ap50", "ap50_95") == pytest.approx((rust, rust))
    assert values(per_class["smut"], "ap50", "ap50_95") == pytest.approx((smut, smut))
    assert values(per_class["ergot"], "ap50", "ap50_95") == (None, None)
    assert evaluation.metrics["overall"]["ap50"]["value"] == pytest.approx((rust + smut) / 2)


def test_what_became_of_each_box(evaluation: Evaluation) -> None:
    outcomes = matches_table(evaluation.scored).groupby(["slide", "outcome"]).size().to_dict()
    assert outcomes == {
        ("s1.jpg", "tp"): 1,
        ("s1.jpg", "fp"): 2,
        ("s1.jpg", "fn"): 2,
        ("s2.jpg", "tp"): 1,
        ("s2.jpg", "fp"): 1,
        ("s2.jpg", "fn"): 2,
        ("s3.jpg", "ignored"): 1,
        ("s3.jpg", "fp"): 1,
        ("s3.jpg", "fn"): 1,
        ("s4.jpg", "fp"): 2,
    }


def test_crops(evaluation: Evaluation, per_class: dict[str, dict[str, Any]]) -> None:
    names = ("crops", "recall_crops", "specificity_crops")
    assert part(per_class["rust"], *names) == (
        {"tp": 2, "fp": 2, "tn": 6, "fn": 1},
        {"value": 2 / 3, "n": 3},
        {"value": 6 / 8, "n": 8},
    )
    assert part(per_class["smut"], *names) == (
        {"tp": 1, "fp": 1, "tn": 7, "fn": 2},
        {"value": 1 / 3, "n": 3},
        {"value": 7 / 8, "n": 8},
    )
    assert part(per_class["ergot"], *names) == (
        {"tp": 0, "fp": 1, "tn": 10, "fn": 0},
        UNKNOWN,
        {"value": 10 / 11, "n": 11},
    )
    counts = evaluation.metrics["crops"]
    assert counts == {"least_detector_score": 0.05, "n": 11, "left_out_between": 1, "left_out_ignored": 1}


def test_what_each_crop_is_and_is_called(evaluation: Evaluation) -> None:
    crops = evaluation.crops
    pairs = crops[crops["left_out"] == ""].groupby(["truth", "called"]).size().to_dict()
    assert pairs == {
        ("rust", "rust"): 2,
        ("rust", DEBRIS): 1,
        ("smut", "rust"): 1,
        ("smut", DEBRIS): 1,
        ("smut", "smut"): 1,
        (DEBRIS, "rust"): 1,
        (DEBRIS, "smut"): 1,
        (DEBRIS, "ergot"): 1,
        (DEBRIS, DEBRIS): 2,
    }


def test_slides(per_class: dict[str, dict[str, Any]]) -> None:
    names = ("slides", "recall_slides", "specificity_slides")
    assert part(per_class["rust"], *names) == (
        {"tp": 1, "fp": 2, "tn": 1, "fn": 1, "left_out": 0},
        {"value": 1 / 2, "n": 2},
        {"value": 1 / 3, "n": 3},
    )
    assert part(per_class["smut"], *names) == (
        {"tp": 1, "fp": 0, "tn": 3, "fn": 0, "left_out": 1},
        {"value": 1.0, "n": 1},
        {"value": 1.0, "n": 3},
    )
    assert part(per_class["ergot"], *names) == (
        {"tp": 0, "fp": 1, "tn": 4, "fn": 0, "left_out": 0},
        UNKNOWN,
        {"value": 4 / 5, "n": 5},
    )


def test_confusion(evaluation: Evaluation) -> None:
    names = ["rust", "smut", "ergot", "background"]
    expected = pd.DataFrame(
        [[1, 0, 0, 3], [1, 1, 0, 1], [0, 0, 0, 0], [3, 1, 1, 0]], index=pd.Index(names, name="truth"), columns=names
    )
    pd.testing.assert_frame_equal(evaluation.confusion, expected)


def test_found_at_all(evaluation: Evaluation, per_class: dict[str, dict[str, Any]]) -> None:
    assert stated(per_class["rust"]["found_at_all"]) == {"value": 1 / 4, "n": 4}
    assert stated(per_class["smut"]["found_at_all"]) == {"value": 3 / 3, "n": 3}
    assert stated(per_class["ergot"]["found_at_all"]) == UNKNOWN
    assert stated(evaluation.metrics["overall"]["found_at_all"]) == {"value": 4 / 7, "n": 7}


def test_detector_alone(evaluation: Evaluation) -> None:
    alone = evaluation.metrics["detector_alone"]
    assert (alone["threshold"], alone["classes_merged_to_spore"]) == (0.35, True)
    spore = alone["per_class"]["spore"]
    names = ("boxes", "tp", "fp", "fn", "recall", "precision", "false_alarms_per_slide")
    assert values(spore, *names) == values(alone["overall"], *names) == (7, 4, 4, 3, 4 / 7, 4 / 8, 4 / 5)
    assert part(spore, "recall_crops", "specificity_crops") == ({"value": 5 / 6, "n": 6}, {"value": 3 / 5, "n": 5})
    assert part(spore, "recall_slides", "specificity_slides") == ({"value": 1.0, "n": 3}, {"value": 1 / 2, "n": 2})
    assert stated(alone["found_at_all"]) == {
        "rust": {"value": 1 / 4, "n": 4},
        "smut": {"value": 3 / 3, "n": 3},
        "ergot": UNKNOWN,
    }


def test_classifier_on_labels(evaluation: Evaluation) -> None:
    figures = stated(evaluation.metrics["classifier_on_labels"])
    assert figures["overall"] == {"accuracy": {"value": 3 / 7, "n": 7}, "called_debris": {"value": 2 / 7, "n": 7}}
    assert figures["per_class"] == {
        "rust": {"recall": {"value": 2 / 4, "n": 4}, "called_debris": {"value": 1 / 4, "n": 4}},
        "smut": {"recall": {"value": 1 / 3, "n": 3}, "called_debris": {"value": 1 / 3, "n": 3}},
        "ergot": {"recall": UNKNOWN, "called_debris": UNKNOWN},
    }


def test_scikit_learn_says_the_same_of_the_pairs_written_down_here(
    evaluation: Evaluation, per_class: dict[str, dict[str, Any]]
) -> None:
    """Truth and call of every crop, slide and box, copied from the tables above and not from our program."""
    metrics = pytest.importorskip("sklearn.metrics")
    crops = {
        "truth": ["rust"] * 3 + ["smut"] * 3 + [DEBRIS] * 5,
        "called": ["rust", "rust", DEBRIS, "rust", DEBRIS, "smut", "rust", "smut", "ergot", DEBRIS, DEBRIS],
    }
    slides = {  # of s1 to s5, without s3 for smut
        "rust": ([True, False, True, False, False], [True, True, False, True, False]),
        "smut": ([False, True, False, False], [False, True, False, False]),
        "ergot": ([False] * 5, [False, False, False, True, False]),
    }
    for name in hand_worked.CLASSES:
        by_crop = [crop == name for crop in crops["truth"]], [crop == name for crop in crops["called"]]
        for over, (truth, called) in {"crops": by_crop, "slides": slides[name]}.items():
            specificity = metrics.recall_score(truth, called, pos_label=False)
            assert per_class[name][f"specificity_{over}"]["value"] == pytest.approx(specificity)
            if any(truth):
                recall = metrics.recall_score(truth, called)
                assert per_class[name][f"recall_{over}"]["value"] == pytest.approx(recall)
    # R1, S1, S3, then R2, R3, R4, S2, then c1, c2, c10, c8, c11.
    truth = ["rust", "smut", "smut", "rust", "rust", "rust", "smut"] + ["background"] * 5
    called = ["rust", "rust", "smut"] + ["background"] * 4 + ["rust", "rust", "rust", "smut", "ergot"]
    theirs = metrics.confusion_matrix(truth, called, labels=[*hand_worked.CLASSES, "background"])
    assert evaluation.confusion.to_numpy().tolist() == theirs.tolist()
