from __future__ import annotations

import pytest

from spore_yolo.evaluation.report import Evaluation, evaluate_pair
from spore_yolo.evaluation.side_by_side import side_by_side_text, specificity_text
from tests.evaluation import hand_worked
from tests.evaluation.test_hand_worked import manifest


def evaluated(detector_classes: list[str]) -> Evaluation:
    """The hand-worked case; a detector that names classes names each candidate as the classifier does."""
    whole = manifest()
    part = whole.detector.model_copy(update={"classes": detector_classes, "one_class": len(detector_classes) == 1})
    candidates = hand_worked.candidates()
    if not part.one_class:
        candidates = candidates.assign(detector_class=candidates["class"].replace("debris", "rust"))
    return evaluate_pair(
        candidates,
        hand_worked.boxes(),
        hand_worked.images(),
        whole.model_copy(update={"detector": part}),
        hand_worked.point(),
        label_calls=hand_worked.label_calls(),
    )


def rows(text: str) -> dict[str, str]:
    lines = [line.replace(" (target)", "(target)").split() for line in text.splitlines()[3:]]
    return {name: " ".join(cells) for name, *cells in lines}


def test_shows_which_part_loses_what() -> None:
    metrics = evaluated(["spore"]).metrics
    table = rows(side_by_side_text(metrics, ["smut"]))
    assert list(table) == ["smut(target)", "rust", "ergot", "all"]
    # Boxes; detector alone: recall, precision, false alarms a slide; found; named right; pair: the same three.
    assert table["smut(target)"] == "3 1.000 - - 1.000 0.333 0.333 0.500 0.20"
    assert table["rust"] == "4 0.250 - - 0.250 0.500 0.250 0.200 0.80"
    assert table["ergot"] == "0 - - - - - - 0.000 0.20"
    assert table["all"] == "7 0.571 0.500 0.80 0.571 0.429 0.286 0.250 1.20"


def test_a_detector_that_names_classes_has_its_own_precision() -> None:
    """At 0.35 it finds S2 and S3 (c4, c5) under their name, c6 is ignored, c3 is called rust."""
    table = rows(side_by_side_text(evaluated(hand_worked.CLASSES).metrics, ["smut"]))
    assert table["smut(target)"] == "3 0.667 1.000 0.00 1.000 0.333 0.333 0.500 0.20"


def test_recall_and_specificity_with_the_number_they_are_a_share_of() -> None:
    lines = specificity_text(evaluated(["spore"]).metrics, ["rust"]).splitlines()
    assert lines[0].split() == ["class", "crops:", "crops:", "slides:", "slides:"]
    assert " ".join(lines[3].split()) == "rust (target) 0.667 of 3 0.750 of 8 0.500 of 2 0.333 of 3"
    assert " ".join(lines[5].split()) == "ergot - of 0 0.909 of 11 - of 0 0.800 of 5"


@pytest.mark.parametrize("classes", [["spore"], hand_worked.CLASSES], ids=["one class", "its own classes"])
def test_fits_a_terminal(classes: list[str]) -> None:
    metrics = evaluated(classes).metrics
    text = side_by_side_text(metrics, []) + "\n" + specificity_text(metrics, [])
    assert max(len(line) for line in text.splitlines()) <= 120
