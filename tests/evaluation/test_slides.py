from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from spore_yolo.evaluation.scoring import score_candidates
from spore_yolo.evaluation.slides import slide_figures

Make = Callable[..., pd.DataFrame]
HERE, THERE = (0, 0, 20, 20), (300, 0, 320, 20)
LABEL, IGNORED = ("1.jpg", "rust", *HERE), ("1.jpg", "rust", *THERE)
OTHER_IGNORED = ("1.jpg", "smut", *THERE)


@pytest.mark.parametrize(
    ("labels", "ignored", "found", "outcome"),
    [
        pytest.param([LABEL], (), [HERE], "tp", id="present and found"),
        pytest.param([LABEL], (), [THERE], "tp", id="present and reported, though elsewhere"),
        pytest.param([LABEL], (), [], "fn", id="present and not reported"),
        pytest.param([], (), [HERE], "fp", id="absent and reported"),
        pytest.param([], (), [], "tn", id="absent and not reported"),
        pytest.param([LABEL, IGNORED], (1,), [], "fn", id="a label beside an ignored box"),
        pytest.param([LABEL, IGNORED], (1,), [THERE], "tp", id="present, and reported on an ignored box"),
        pytest.param([IGNORED], (0,), [], "left_out", id="only an ignored box of the class, not reported"),
        pytest.param([IGNORED], (0,), [HERE], "left_out", id="only an ignored box of the class, reported elsewhere"),
        pytest.param([OTHER_IGNORED], (0,), [THERE], "left_out", id="reported only on an ignored box of another class"),
        pytest.param([OTHER_IGNORED], (0,), [HERE, THERE], "fp", id="reported beside that box too"),
        pytest.param([OTHER_IGNORED], (0,), [], "tn", id="an ignored box of another class, not reported"),
    ],
)
def test_each_kind_of_slide(
    labels: list[tuple[str, str, float, float, float, float]],
    ignored: tuple[int, ...],
    found: list[tuple[float, float, float, float]],
    outcome: str,
    make_images: Make,
    make_boxes: Make,
    make_candidates: Make,
) -> None:
    boxes = make_boxes(labels, ignored)
    candidates = make_candidates([("1.jpg", "rust", 0.9, *box) for box in found])
    scored = score_candidates(candidates, boxes, make_images({"1.jpg": "g"}), ["rust", "smut"])
    figures = slide_figures(scored, boxes)["rust"]
    counts = {name: figures[name] for name in ("tp", "fp", "tn", "fn", "left_out")}
    assert counts == {name: int(name == outcome) for name in counts}


def test_without_slides_that_lack_the_class_specificity_is_unknown(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    boxes = make_boxes([LABEL])
    scored = score_candidates(make_candidates([]), boxes, make_images({"1.jpg": "g"}), ["rust"])
    assert slide_figures(scored, boxes)["rust"]["specificity"] == {"value": None, "n": 0}
