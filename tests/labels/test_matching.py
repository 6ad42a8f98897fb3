from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.labels.matching import box_iou, match_boxes

NONE = np.zeros((0, 4))


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param((0, 0, 10, 10), 1.0, id="the same box"),
        pytest.param((0, 0, 10, 5), 0.5, id="half of it"),
        pytest.param((5, 0, 15, 10), 50 / 150, id="shifted by half"),
        pytest.param((10, 0, 20, 10), 0.0, id="touching boxes share no area"),
        pytest.param((3, 3, 3, 3), 0.0, id="a box without area"),
    ],
)
def test_iou(other: tuple[float, float, float, float], expected: float) -> None:
    assert box_iou(boxes((0, 0, 10, 10)), boxes(other))[0, 0] == pytest.approx(expected)


def test_surest_candidate_takes_the_box_that_it_overlaps_most() -> None:
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    candidates = boxes((1, 0, 11, 10), (0, 0, 10, 10), (20, 0, 30, 9))
    matching = match_boxes(candidates, np.array([0.9, 0.8, 0.7]), truth, NONE)
    # The first, though the second fits better, since it is surer; the second then has nothing left to find.
    assert matching.truth_of.tolist() == [0, -1, 1]
    assert matching.iou[2] == pytest.approx(0.9)


def test_iou_of_exactly_the_threshold_matches() -> None:
    matching = match_boxes(boxes((0, 0, 10, 5)), np.array([0.5]), boxes((0, 0, 10, 10)), NONE, iou=0.5)
    assert matching.truth_of.tolist() == [0]


def test_candidate_on_an_ignored_box_counts_in_nothing() -> None:
    ignored = boxes((0, 0, 100, 100))
    matching = match_boxes(boxes((10, 10, 20, 20), (95, 0, 115, 10)), np.array([0.9, 0.8]), NONE, ignored)
    # A quarter of the second lies on it: it is a false alarm.
    assert matching.on_ignored.tolist() == [True, False]


def test_labelled_box_inside_an_ignored_one_is_still_found() -> None:
    matching = match_boxes(boxes((10, 10, 20, 20)), np.array([0.9]), boxes((10, 10, 20, 20)), boxes((0, 0, 99, 99)))
    assert matching.truth_of.tolist() == [0]
    assert not matching.on_ignored[0]


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    def some(most: int) -> np.ndarray:
        count = draw(st.integers(0, most))
        corner = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=count, max_size=count))
        size = draw(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=count, max_size=count))
        return boxes(*[(x, y, x + w, y + h) for (x, y), (w, h) in zip(corner, size, strict=True)])

    candidates = some(12)
    scores = draw(st.permutations([(i + 1) / 20 for i in range(len(candidates))]))
    return candidates, np.array(scores), some(8), some(3)


@settings(max_examples=150, deadline=None)
@given(scenes())
def test_agrees_with_pycocotools(scene: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    from pycocotools.cocoeval import COCOeval

    candidates, scores, truth, ignored = scene
    matching = match_boxes(candidates, scores, truth, ignored)

    evaluation = COCOeval(iouType="bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.maxDets = [1000]
    evaluation.params.imgIds, evaluation.params.catIds = [1], [1]

    def annotation(number: int, box: np.ndarray, crowd: int) -> dict[str, object]:
        area = float((box[2] - box[0]) * (box[3] - box[1]))
        xywh = [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
        return {"id": number, "bbox": xywh, "area": area, "iscrowd": crowd, "ignore": crowd, "_ignore": crowd}

    gts = [annotation(i + 1, box, 0) for i, box in enumerate(truth)]
    gts += [annotation(1001 + i, box, 1) for i, box in enumerate(ignored)]
    dts = [{**annotation(i + 1, box, 0), "score": float(scores[i])} for i, box in enumerate(candidates)]
    evaluation._gts[1, 1], evaluation._dts[1, 1] = gts, dts
    evaluation.ious = {(1, 1): evaluation.computeIoU(1, 1)}
    result = evaluation.evaluateImg(1, 1, [0, 1e10], 1000)
    if result is None:
        assert len(candidates) == 0
        return
    theirs = {
        int(i): (int(m), bool(g))
        for i, m, g in zip(result["dtIds"], result["dtMatches"][0], result["dtIgnore"][0], strict=True)
    }
    for index in range(len(candidates)):
        match, ignore = theirs[index + 1]
        assert matching.truth_of[index] == (match - 1 if 0 < match <= 1000 else -1)
        assert matching.on_ignored[index] == ignore
