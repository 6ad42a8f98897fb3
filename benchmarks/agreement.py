"""Do others count the same? What became of each label and each detection, by us and by other programs.

    python benchmarks/agreement.py --run runs/NAME --dataset NAME [--split test] [--datasets datasets.yaml]

Prints how many labels, detections and figures were compared with each witness, of how many it says another thing, and
the largest difference between figures. Exits with 1 if any box differs or any figure by more than 1e-6. The witnesses:

fiftyone      what became of each label and each detection: evaluate_detections on the dataset of ``spore-yolo browse``
pycocotools   AP50, AP50-95 and AR of every class, and their means
scikit-learn  the confusion matrix, from the pairs that pycocotools makes of all boxes as one class; recall and
              specificity over crops and slides, from crops.csv's and slides.csv's own columns
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from spore_yolo.cli.evaluate import comparable
from spore_yolo.cli.options import (
    add_operating_point,
    add_pair,
    add_register,
    candidate_score,
    chosen_pair,
    chosen_point,
    overlap,
)
from spore_yolo.dataset.store import load_dataset
from spore_yolo.evaluation.average_precision import average_precision
from spore_yolo.evaluation.coco_form import coco_input
from spore_yolo.evaluation.confusion import BACKGROUND
from spore_yolo.evaluation.fiftyone_boxes import Shown, outcomes_of
from spore_yolo.evaluation.report import evaluate_candidates
from spore_yolo.evaluation.scoring import SPORE, Scored, detections_of, merged_to_spore, score_candidates
from spore_yolo.experiments.remembering import look_once
from spore_yolo.inference.manifest import read_manifest
from spore_yolo.inference.pair import pair_folder
from spore_yolo.labels.table import COORDINATES

Objects = Counter[tuple[Any, ...]]
"""Labels and detections: what it is, slide, class, the box to a hundredth of a pixel, and what became of it."""


Figures = dict[str, tuple[float, float]]
"""What a figure is of, ours and theirs."""

TOLERANCE = 1e-6


def objects(kind: str, table: pd.DataFrame) -> Objects:
    """The rows of a table with the columns ``slide, class, outcome`` and the box."""
    table = table.assign(kind=kind, **{name: table[name].round(2) + 0.0 for name in COORDINATES})
    return Counter(table[["kind", "slide", "class", *COORDINATES, "outcome"]].itertuples(index=False, name=None))


def ours(shown: Shown) -> Objects:
    detections = detections_of(shown.candidates, shown.point)
    scored: Scored = score_candidates(detections, shown.boxes, shown.images, shown.classes, shown.iou)
    found = (scored.truth["found_by"] >= 0).map({True: "tp", False: "fn"})
    labels = objects("label", scored.truth.assign(outcome=found))
    return labels + objects("detection", scored.candidates.assign(outcome=outcomes_of(scored)))


def by_fiftyone(shown: Shown) -> Objects:
    from spore_yolo.evaluation.fiftyone_database import own_fiftyone
    from spore_yolo.evaluation.fiftyone_dataset import build_dataset

    with own_fiftyone() as fiftyone:
        dataset = build_dataset(fiftyone, "agreement", shown)
        extent = shown.images.set_index("image")[["width", "height"]]
        result: Objects = Counter()
        for kind, path in {"label": "ground_truth", "detection": "predictions"}.items():
            inner = [f"{path}.detections.{name}" for name in ("label", "eval", "bounding_box")]
            rows = [
                (slide, *box)
                for slide, *of_slide in zip(*dataset.values(["slide", *inner]), strict=True)
                for box in zip(*of_slide, strict=True)
            ]
            table = pd.DataFrame(rows, columns=["slide", "class", "outcome", "box"])
            x, y, w, h = (table["box"].str[place].astype("float64") for place in range(4))
            width, height = (table["slide"].map(extent[name]) for name in ("width", "height"))
            corners = [x * width, y * height, (x + w) * width, (y + h) * height]
            result += objects(kind, table.assign(**dict(zip(COORDINATES, corners, strict=True))))
    return result


WITNESSES: dict[str, Callable[[Shown], Objects]] = {"fiftyone": by_fiftyone}


def coco_evaluation(shown: Shown, candidates: pd.DataFrame, boxes: pd.DataFrame, classes: list[str]) -> Any:
    """Pycocotools' evaluation, with its cap above the fullest slide."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results, most = coco_input(candidates, boxes, shown.images, classes)
    coco = COCO()
    coco.dataset = truth
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.maxDets = [1, 10, max(100, most)]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def ap_of_pycocotools(shown: Shown) -> Figures:
    """Ours and theirs of every AP and AR."""
    classes = list(shown.classes)
    ours = average_precision(shown.candidates, shown.boxes, shown.images, classes)
    evaluation = coco_evaluation(shown, shown.candidates, shown.boxes, classes)
    precision, recall = evaluation.eval["precision"][:, :, :, 0, -1], evaluation.eval["recall"][:, :, 0, -1]
    theirs = {
        (name, key): value
        for place, name in enumerate(classes)
        for key, value in {
            "ap50": precision[0, :, place].mean(),
            "ap50_95": precision[:, :, place].mean(),
            "ar": recall[:, place].mean(),
        }.items()
        if recall[0, place] >= 0
    }
    for key in ("ap50", "ap50_95", "ar"):
        theirs["mean", key] = np.mean([value for (_, one), value in theirs.items() if one == key])
    return {
        f"{name} {key}": (ours[None if name == "mean" else name][key]["value"], float(value))
        for (name, key), value in theirs.items()
    }


def shares_of_scikit_learn(shown: Shown) -> Figures:
    """Ours and theirs of the confusion matrix' cells, and of recall and specificity over crops and slides."""
    from sklearn.metrics import confusion_matrix as theirs_of
    from sklearn.metrics import recall_score

    classes = list(shown.classes)
    evaluation = evaluate_candidates(shown.candidates, shown.boxes, shown.images, classes, shown.point, shown.iou)
    detections = detections_of(shown.candidates, shown.point).reset_index(drop=True)
    merged = merged_to_spore(shown.boxes)
    matched = coco_evaluation(shown, detections.assign(**{"class": SPORE}), merged, [SPORE])
    labels = shown.boxes[~shown.boxes["ignored"]]["class"].tolist()
    # coco_input numbers annotations in the order of the boxes table; there is one class, so ignored ones once.
    label_of = dict(enumerate(shown.boxes["class"], start=1))
    pairs, found = [], set()
    for of_slide in filter(None, matched.evalImgs):
        matches = zip(of_slide["dtIds"], of_slide["dtMatches"][0], of_slide["dtIgnore"][0], strict=True)
        for detection, label, ignored in matches:
            if not ignored:
                pairs.append((label_of[int(label)] if label else BACKGROUND, detections["class"][detection - 1]))
                found |= {int(label)} - {0}
    missed = [number for number, ignored in enumerate(shown.boxes["ignored"], start=1) if not ignored]
    pairs += [(label_of[number], BACKGROUND) for number in missed if number not in found]
    assert sum(label != BACKGROUND for label, _ in pairs) == len(labels)
    names = [*classes, BACKGROUND]
    cells = theirs_of(*zip(*pairs, strict=True), labels=names)
    figures: Figures = {
        f"confusion {row} called {column}": (evaluation.confusion.loc[row, column], cells[i, j])
        for i, row in enumerate(names)
        for j, column in enumerate(names)
    }
    crops, slides = evaluation.crops[evaluation.crops["left_out"] == ""], evaluation.slides[evaluation.slides["known"]]
    for name in classes:
        of_class = slides[slides["class"] == name]
        said = {
            "crops": (crops["truth"] == name, crops["called"] == name),
            "slides": (of_class["present"], of_class["reported"]),
        }
        for over, (truth, called) in said.items():
            for key, positive in {"recall": True, "specificity": False}.items():
                value = evaluation.metrics["per_class"][name][f"{key}_{over}"]["value"]
                if value is not None:
                    figures[f"{name} {key} over {over}"] = (value, recall_score(truth, called, pos_label=positive))
    return figures


FIGURES: dict[str, Callable[[Shown], Figures]] = {
    "pycocotools": ap_of_pycocotools,
    "scikit-learn": shares_of_scikit_learn,
}


def load(arguments: argparse.Namespace) -> Shown:
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split(arguments.split)
    folder = pair_folder(chosen_pair(arguments))
    manifest = read_manifest(folder)
    boxes, merged = comparable(boxes, dataset, manifest)
    looked = look_once(folder, manifest, dataset, images, arguments.split, arguments.device)
    return Shown(
        candidates=looked.candidates,
        boxes=boxes.assign(sharpness=looked.sharpness),
        images=images,
        files=looked.files,
        classes=[SPORE] if merged else manifest.classes,
        targets=[],
        point=chosen_point(manifest, arguments),
        iou=arguments.iou,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_pair(parser)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--split", default="test", choices=["train", "val", "test", "calibration"])
    add_operating_point(parser)
    parser.add_argument("--at", type=candidate_score, metavar="SCORE", help="lowest detector_score")
    parser.add_argument("--iou", type=overlap, default=0.5)
    parser.add_argument("--device")
    add_register(parser)
    arguments = parser.parse_args()
    shown = load(arguments)
    expected = ours(shown)
    counts = Counter(f"{kind} {outcome}" for kind, *_, outcome in expected.elements())
    print(f"ours: {', '.join(f'{number:,} {name}' for name, number in sorted(counts.items()))}")
    differing = 0
    for name, witness in WITNESSES.items():
        found = witness(shown)
        differing += (differ := (expected - found).total())
        print(f"{name}: {expected.total():,} compared, {found.total():,} told, {differ:,} differ")
        for row in list(expected - found)[:10]:
            print("  ours:", *row)
        for row in list(found - expected)[:10]:
            print("  theirs:", *row)
        differing += abs(found.total() - expected.total())
    for name, compared in FIGURES.items():
        figures = compared(shown)
        gaps = {what: abs(float(own) - float(other)) for what, (own, other) in figures.items()}
        print(f"{name}: {len(figures):,} figures compared, largest difference {max(gaps.values()):.1e}")
        for what in [what for what, gap in gaps.items() if not gap <= TOLERANCE][:10]:
            print(f"  {what}: ours {figures[what][0]}, theirs {figures[what][1]}")
            differing += 1
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
