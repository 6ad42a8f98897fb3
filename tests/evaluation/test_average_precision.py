from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.average_precision import KEYS, average_precision
from spore_yolo.evaluation.coco_form import coco_input
from spore_yolo.evaluation.intervals import jackknife_interval
from spore_yolo.evaluation.operating_point import curve_of
from spore_yolo.evaluation.scoring import score_candidates

Split = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
Make = Callable[..., pd.DataFrame]


def pycocotools_figures(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: list[str]
) -> dict[str | None, dict[str, float]]:
    """AP50, AP50-95 and AR of pycocotools; its means over classes are under None, those without labels have none."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results, most = coco_input(candidates, boxes, images, classes)
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.params.maxDets = [1, 10, max(100, most)]
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = evaluation.eval["precision"][:, :, :, 0, -1], evaluation.eval["recall"][:, :, 0, -1]
    figures: dict[str | None, dict[str, float]] = {
        name: {
            "ap50": float(precision[0, :, k].mean()),
            "ap50_95": float(precision[:, :, k].mean()),
            "ar": float(recall[:, k].mean()),
        }
        for k, name in enumerate(classes)
        if recall[0, k] >= 0
    }
    if figures:
        figures[None] = {key: float(np.mean([one[key] for one in figures.values()])) for key in KEYS}
    return figures


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_pycocotools(seed: int, random_split: Callable[[int], Split]) -> None:
    candidates, boxes, images = random_split(seed)
    ours = average_precision(candidates, boxes, images, ["a", "b", "never labelled"])
    theirs = pycocotools_figures(candidates, boxes, images, ["a", "b", "never labelled"])
    assert set(theirs) == {"a", "b", None}
    for name, figures in theirs.items():
        assert {key: ours[name][key]["value"] for key in KEYS} == pytest.approx(figures, abs=1e-9)


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
        ours = average_precision(candidates, boxes, images, ["a", "b"])[name]["ap50"]["value"]
        assert ap == pytest.approx(ours, abs=1e-3)


def test_more_than_a_hundred_spores_on_a_slide_all_count(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    corners = [(20 * (i % 40), 20 * (i // 40)) for i in range(400)]
    boxes = make_boxes([("1.jpg", "a", x, y, x + 15, y + 15) for x, y in corners])
    candidates = make_candidates(
        [("1.jpg", "a", 0.9 - i / 1000, x, y, x + 15, y + 15) for i, (x, y) in enumerate(corners)]
    )
    ap = average_precision(candidates, boxes, make_images({"1.jpg": "g"}), ["a"])["a"]
    assert ap["ap50"]["value"] == pytest.approx(1.0)  # with COCO's 100 boxes an image it would be 0.25


def test_class_without_labels_has_no_ap(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "a", 0, 0, 10, 10)])
    candidates = make_candidates([("1.jpg", "b", 0.5, 0, 0, 10, 10)])
    ap = average_precision(candidates, boxes, make_images({"1.jpg": "g"}), ["a", "b"])
    assert [ap["b"][key]["value"] for key in KEYS] == [None, None, None]
    assert [ap["a"][key]["value"] for key in KEYS] == [0.0, 0.0, 0.0]
    assert ap[None]["ap50"]["value"] == 0.0


def test_no_candidates_is_zero_for_classes_with_labels(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    boxes = make_boxes([("1.jpg", "a", 0, 0, 10, 10)])
    ap = average_precision(make_candidates([]), boxes, make_images({"1.jpg": "g"}), ["a", "b"])
    assert (ap["a"]["ap50"]["value"], ap["b"]["ap50"]["value"]) == (0.0, None)


def test_without_scores_nobody_knows(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "a", 0, 0, 10, 10)])
    candidates = make_candidates([("1.jpg", "a", np.nan, 0, 0, 10, 10)])
    assert average_precision(candidates, boxes, make_images({"1.jpg": "g"}), ["a"])["a"]["ap50"]["value"] is None


def grouped(groups: int, make_images: Make, make_boxes: Make, make_candidates: Make) -> Split:
    """A slide a group with ten boxes, of which a number that differs from slide to slide is found."""
    rng = np.random.default_rng(1)
    images = make_images({f"{slide:02}.jpg": f"g{slide:02}" for slide in range(groups)})
    boxes, candidates = [], []
    for slide in images["image"]:
        for place in range(10):
            boxes.append((slide, "a", 20 * place, 0, 20 * place + 10, 10))
            candidates.append((slide, "a", rng.random(), 20 * place, rng.choice([0, 30]), 20 * place + 10, 40))
            candidates[-1] = (*candidates[-1][:6], candidates[-1][4] + 10)
    return make_candidates(candidates), make_boxes(boxes), images


def test_interval_is_that_of_leaving_out_group_after_group(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    candidates, boxes, images = grouped(9, make_images, make_boxes, make_candidates)
    ap = average_precision(candidates, boxes, images, ["a"])["a"]["ap50"]
    without = []
    for group in images["group"].unique():
        some = images[images["group"] != group]
        part = candidates[candidates["slide"].isin(some["image"])], boxes[boxes["image"].isin(some["image"])], some
        without.append(pycocotools_figures(*part, ["a"])["a"]["ap50"])
    assert (ap["n"], ap["groups"]) == (90, 9)
    assert ap["interval"] == pytest.approx(jackknife_interval(ap["value"], np.array(without), "share"))


def test_seven_groups_are_too_few_to_tell(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = grouped(7, make_images, make_boxes, make_candidates)
    ap = average_precision(candidates, boxes, images, ["a"])["a"]["ap50"]
    assert (ap["interval"], ap["more_groups"]) == (None, 1)


def test_many_groups_are_left_out_in_blocks(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    candidates, boxes, images = grouped(100, make_images, make_boxes, make_candidates)
    low, high = average_precision(candidates, boxes, images, ["a"])["a"]["ap50"]["interval"]
    assert 0 < low < high < 1
    assert high - low < 0.2
