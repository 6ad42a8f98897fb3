from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from spore_yolo.evaluation.confusion import BACKGROUND, confusion_matrix, found_at_all
from spore_yolo.inference.manifest import DEBRIS
from tests.evaluation.hand_worked import stated

Make = Callable[..., pd.DataFrame]
Split = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def test_a_wrong_name_is_one_error_not_two(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    candidates = make_candidates([("1.jpg", "smut", 0.9, 0, 0, 20, 20)])
    matrix = confusion_matrix(candidates, boxes, make_images({"1.jpg": "g"}), ["rust", "smut"])
    assert matrix.to_numpy().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert matrix.index.tolist() == matrix.columns.tolist() == ["rust", "smut", BACKGROUND]


def test_the_surer_takes_the_box_whatever_its_name(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    rows = [("1.jpg", "rust", 0.5, 0, 0, 20, 20), ("1.jpg", "smut", 0.9, 1, 0, 21, 20)]
    matrix = confusion_matrix(make_candidates(rows), boxes, make_images({"1.jpg": "g"}), ["rust", "smut"])
    # By class the first would be a hit; here it is a second detection of something that has been found.
    assert matrix.to_numpy().tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_detection_on_an_ignored_box_counts_in_nothing(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 60, 60)], ignored=(0,))
    candidates = make_candidates([("1.jpg", "rust", 0.9, 10, 10, 20, 20)])
    assert confusion_matrix(candidates, boxes, make_images({"1.jpg": "g"}), ["rust"]).to_numpy().sum() == 0


@pytest.mark.parametrize("seed", range(3))
def test_rows_count_every_label_and_columns_every_detection(seed: int, random_split: Callable[[int], Split]) -> None:
    candidates, boxes, images = random_split(seed)
    matrix = confusion_matrix(candidates, boxes, images, ["a", "b"])
    labelled = boxes[~boxes["ignored"]]["class"].value_counts()
    assert matrix.sum(axis=1)[["a", "b"]].to_dict() == labelled.to_dict()
    assert matrix.loc[BACKGROUND, BACKGROUND] == 0
    assert matrix[["a", "b"]].to_numpy().sum() <= len(candidates)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed: int, random_split: Callable[[int], Split]) -> None:
    """From the pairs that pycocotools makes of the same boxes as one class."""
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from spore_yolo.evaluation.coco_form import coco_input

    candidates, boxes, images = random_split(seed)
    one = {"class": "spore"}
    truth, results, most = coco_input(candidates.assign(**one), boxes.assign(**one), images, ["spore"])
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.params.maxDets, evaluation.params.iouThrs = [most], evaluation.params.iouThrs[:1]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    called = dict(enumerate(candidates["class"], start=1))  # loadRes numbers results from 1 on
    label = dict(enumerate(boxes["class"], start=1))
    wanted = {number for number, ignored in enumerate(boxes["ignored"], start=1) if not ignored}
    pairs = []
    for one_slide in filter(None, evaluation.evalImgs):
        matches = zip(one_slide["dtIds"], one_slide["dtMatches"][0], one_slide["dtIgnore"][0], strict=True)
        for number, match, ignore in matches:
            if not ignore:
                pairs.append((label[int(match)] if match else BACKGROUND, called[number]))
                wanted.discard(int(match))
    pairs += [(label[number], BACKGROUND) for number in wanted]
    theirs = sklearn_metrics.confusion_matrix(*zip(*pairs, strict=True), labels=["a", "b", BACKGROUND])
    assert confusion_matrix(candidates, boxes, images, ["a", "b"]).to_numpy().tolist() == theirs.tolist()


def test_found_at_all_counts_wrong_names_and_debris(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    boxes = make_boxes([("1.jpg", "rust", x, 0, x + 20, 20) for x in (0, 100, 200, 300)])
    rows = [
        ("1.jpg", "smut", 0.9, 0.9, 0, 0, 20, 20),
        ("1.jpg", DEBRIS, 0.5, 0.9, 100, 0, 120, 20),
        ("1.jpg", "rust", 0.49, 0.9, 200, 0, 220, 20),  # below the threshold
    ]
    found = found_at_all(make_pair_candidates(rows), boxes, make_images({"1.jpg": "g"}), ["rust", "smut"], 0.5)
    assert stated(found["per_class"]) == {"rust": {"value": 0.5, "n": 4}, "smut": {"value": None, "n": 0}}
    assert stated(found["overall"]) == {"value": 0.5, "n": 4}


def test_found_at_all_ranks_by_detector_score(make_images: Make, make_boxes: Make, make_pair_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "rust", 10, 0, 30, 20), ("1.jpg", "rust", 16, 0, 36, 20)])
    rows = [
        ("1.jpg", "rust", 0.6, 0.99, 4, 0, 24, 20),  # score 0.594; IoU 0.54 with the first label, 0.25 with the second
        ("1.jpg", "rust", 0.9, 0.1, 12, 0, 32, 20),  # score 0.09; IoU 0.82 and 0.67
    ]
    found = found_at_all(make_pair_candidates(rows), boxes, make_images({"1.jpg": "g"}), ["rust"], 0.5)
    # The stronger comes first and takes the first label, which leaves nothing for the other; by score both would match.
    assert stated(found["overall"]) == {"value": 0.5, "n": 2}
