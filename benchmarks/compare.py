"""Ways to find spores on whole slides, side by side on one split, with one scorer.

    python benchmarks/compare.py --pair runs/magnaporthe/pair --dataset magnaporthe --split test \
        --whole runs/whole-1280/weights/best.pt:1280 --whole runs/whole-640/weights/best.pt:640

The detector of the pair goes over tiles that are joined (a) by spore-yolo, (b) by plain NMS, (c) by SAHI with its
default merge and (d) by SAHI with NMS; each checkpoint of --whole looks at whole slides shrunk to the given size. All
ways give candidates from score 0.01 on. AP50 needs no threshold; "recall at precision 0.75" is read off each way's own
curve on the split itself, so that no way profits from where another's operating point lies.

Needs the extra "benchmarks".
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tabulate import tabulate
from torchvision.ops import batched_nms

from spore_yolo.dataset.store import load_dataset
from spore_yolo.evaluation.average_precision import average_precision
from spore_yolo.evaluation.operating_point import choose_point, curve_of
from spore_yolo.evaluation.scoring import score_candidates
from spore_yolo.files.atomic import write_text
from spore_yolo.files.images import read_image
from spore_yolo.inference import scanning
from spore_yolo.inference.pair import Pair, load, tiling_of
from spore_yolo.inference.proposals import CANDIDATE_SCORE
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction.looking import joined

Rows = np.ndarray
"""``(n, 6)``: x_min, y_min, x_max, y_max in pixels of the slide, score, class number."""

MAX_DETECTIONS = 5000


def joined_by_us(pair: Pair) -> Callable[[np.ndarray], Rows]:
    def look(pixels: np.ndarray) -> Rows:
        found = pair.detector.slide(pixels, tiling_of(pair.manifest.detector))
        return np.column_stack([found.boxes, found.scores, found.classes])

    return look


def joined_by_nms(pair: Pair) -> Callable[[np.ndarray], Rows]:
    """The same tiles and candidates, all of them through one more NMS."""
    settings = tiling_of(pair.manifest.detector)

    def look(pixels: np.ndarray) -> Rows:
        kept: list[Rows] = []
        original = scanning.merge_tiles

        def keep_all(boxes: Rows, scores: Rows, classes: Rows, *_: object) -> np.ndarray:
            rows = torch.from_numpy(np.column_stack([boxes, scores, classes]))
            order = batched_nms(rows[:, :4], rows[:, 4], rows[:, 5].long(), settings.nms_iou)
            kept.append(rows[order].numpy())
            return order.numpy()

        scanning.merge_tiles = keep_all  # type: ignore[assignment]
        try:
            pair.detector.slide(pixels, settings)
        finally:
            scanning.merge_tiles = original
        return kept[0]

    return look


def joined_by_sahi(pair: Pair, merge: str) -> Callable[[np.ndarray], Rows]:
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    part = pair.manifest.detector
    settings = tiling_of(part)
    model = AutoDetectionModel.from_pretrained(
        model_type="ultralytics",
        model_path=str(pair.folder / part.file),
        confidence_threshold=CANDIDATE_SCORE,
        device="cpu",
        image_size=part.tile_size,
    )
    ratio = settings.grid(10**6, 10**6).overlap / settings.tile_side

    def look(pixels: np.ndarray) -> Rows:
        result = get_sliced_prediction(
            pixels,
            model,
            slice_height=settings.tile_side,
            slice_width=settings.tile_side,
            overlap_height_ratio=ratio,
            overlap_width_ratio=ratio,
            perform_standard_pred=False,
            postprocess_type=merge,
            # Without it SAHI takes another merge than asked for when the confidence is below 0.1.
            force_postprocess_type=True,
            verbose=0,
        )
        rows = [[*p.bbox.to_xyxy(), p.score.value, p.category.id] for p in result.object_prediction_list]
        return np.array(rows, dtype=np.float64).reshape(-1, 6)

    return look


def whole(checkpoint: str, size: int) -> Callable[[np.ndarray], Rows]:
    from ultralytics import YOLO

    model = YOLO(checkpoint)

    def look(pixels: np.ndarray) -> Rows:
        shown = np.ascontiguousarray(pixels[:, :, ::-1])
        options = {"imgsz": size, "conf": CANDIDATE_SCORE, "max_det": MAX_DETECTIONS, "verbose": False, "device": "cpu"}
        return np.asarray(model.predict(shown, **options)[0].boxes.data.cpu().numpy(), dtype=np.float64)

    return look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--whole", action="append", default=[], metavar="CHECKPOINT:IMGSZ")
    parser.add_argument("--output", type=Path, default=Path("runs/compare.json"))
    arguments = parser.parse_args()

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split(arguments.split)
    pair = load(arguments.pair)
    classes = pair.manifest.classes
    ways = {
        "tiles joined by spore-yolo": joined_by_us(pair),
        "tiles joined by plain NMS": joined_by_nms(pair),
        "tiles joined by SAHI, its default merge": joined_by_sahi(pair, "GREEDYNMM"),
        "tiles joined by SAHI, NMS": joined_by_sahi(pair, "NMS"),
    }
    for item in arguments.whole:
        checkpoint, _, size = item.rpartition(":")
        ways[f"whole slides at {size}"] = whole(checkpoint, int(size))

    results = []
    for name, look in ways.items():
        tables, seconds = [], 0.0
        for image in images["image"]:
            pixels = read_image(dataset.path_of(image))
            start = time.perf_counter()
            rows = look(pixels)
            seconds += time.perf_counter() - start
            table = pd.DataFrame(rows[:, :4], columns=COORDINATES)
            names = np.array(classes, dtype=object)[rows[:, 5].astype(int)]
            tables.append(table.assign(**{"slide": image, "class": names, "score": rows[:, 4]}))
        candidates = joined(tables)[["slide", "class", "score", *COORDINATES]]
        fields = [("all", images, boxes, candidates)]
        for group, part in images.groupby("group"):
            here = candidates[candidates["slide"].isin(part["image"])]
            fields.append((str(group), part, boxes[boxes["image"].isin(part["image"])], here))
        for field, *figures in fields:
            some_images, some_boxes, some_candidates = figures
            ap = average_precision(some_candidates, some_boxes, some_images, classes)
            known = [value for value, _ in ap.values() if value is not None]
            point = choose_point(curve_of(score_candidates(some_candidates, some_boxes, some_images, classes), classes))
            results.append(
                {
                    "way": name,
                    "group": field,
                    "boxes": int((~some_boxes["ignored"]).sum()),
                    "ap50": sum(known) / len(known) if known else None,
                    "recall_at_precision_0.75": point.recall if point.reached else None,
                    "seconds": seconds if field == "all" else None,
                }
            )
        print(f"{name}: done", flush=True)
    write_text(arguments.output, json.dumps(results, indent=1))
    table = pd.DataFrame(results)
    total = table[table["group"] == "all"].drop(columns="group")
    print(tabulate(total, headers="keys", showindex=False, floatfmt=".3f", missingval="-"))
    if dataset.images["group"].nunique() <= 40:
        print("\nAP50 of each field:")
        print(tabulate(table.pivot(index="way", columns="group", values="ap50"), headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
