from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.average_precision import average_precision, coco_input
from spore_yolo.evaluation.operating_point import curve_of
from spore_yolo.evaluation.scoring import score_candidates

Split = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
Make = Callable[..., pd.DataFrame]


def pycocotools_ap(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame
) -> dict[str, tuple[float, float]]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results, most = coco_input(candidates, boxes, images, ["a", "b"])
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.params.maxDets = [1, 10, max(100, most)]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return {name: (float(precision[0, :, k].mean()), float(precision[:, :, k].mean())) for k, name in enumerate("ab")}


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_pycocotools(seed: int, random_split: Callable[[int], Split]) -> None:
    candidates, boxes, images = random_split(seed)
    ours = average_precision(candidates, boxes, images, ["a", "b"])
    theirs = pycocotools_ap(candidates, boxes, images)
    for name in "ab":
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_our_matching_counts_what_pycocotools_counts(seed: int, random_split: Callable[[int], Split]) -> None:
    candidates, boxes, images = random_split(seed)
    scored = score_candidates(candidates, boxes, images, ["a", "b"])
    for name in "ab":
        curve = curve_of(scored, [name])
        # COCO's AP from our own curve: the best precision at each recall or beyond, at 101 recalls.
        best = np.maximum.accumulate(curve.precision[::-1])[::-1]
        places = np.searchsorted(curve.recall, np.linspace(0, 1, 101), side="left")
        ap = np.mean([best[place] if place < len(best) else 0.0 for place in places])
        assert ap == pytest.approx(average_precision(candidates, boxes, images, ["a", "b"])[name][0], abs=1e-3)


def test_more_than_a_hundred_spores_on_a_slide_all_count(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    corners = [(20 * (i % 40), 20 * (i // 40)) for i in range(400)]
    boxes = make_boxes([("1.jpg", "a", x, y, x + 15, y + 15) for x, y in corners])
    candidates = make_candidates(
        [("1.jpg", "a", 0.9 - i / 1000, x, y, x + 15, y + 15) for i, (x, y) in enumerate(corners)]
    )
    ap50, _ = average_precision(candidates, boxes, make_images({"1.jpg": "g"}), ["a"])["a"]
    assert ap50 == pytest.approx(1.0)  # with COCO's 100 boxes an image it would be 0.25


def test_class_without_labels_has_no_ap(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "a", 0, 0, 10, 10)])
    candidates = make_candidates([("1.jpg", "b", 0.5, 0, 0, 10, 10)])
    ap = average_precision(candidates, boxes, make_images({"1.jpg": "g"}), ["a", "b"])
    assert ap["b"] == (None, None)
    assert ap["a"] == (0.0, 0.0)


def test_no_candidates_is_zero_for_classes_with_labels(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    boxes = make_boxes([("1.jpg", "a", 0, 0, 10, 10)])
    ap = average_precision(make_candidates([]), boxes, make_images({"1.jpg": "g"}), ["a", "b"])
    assert ap == {"a": (0.0, 0.0), "b": (None, None)}
