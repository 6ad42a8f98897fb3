"""What a starting point is worth: one training from each, read on the way.

    python benchmarks/starting_points.py train --dataset bccd --start scratch --output runs/starts/bccd-scratch
    python benchmarks/starting_points.py read --dataset bccd runs/starts/bccd-*

`train` keeps the averaged weights as they were after so many minutes; `read` measures AP50 and the recall at precision
0.75 of all of them on the validation slides, side by side. Minutes are those of the training on the cores it got.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

STARTS = ("scratch", "sample")


def train(arguments: argparse.Namespace) -> None:
    from ultralytics.utils.callbacks import default_callbacks

    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.dataset.tiles import TileSettings, cut_tiles
    from spore_yolo.experiments.detector_run import largest_box
    from spore_yolo.inference.tiling import overlap_for
    from spore_yolo.training.detector import TrainingSettings, train_detector

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    largest = largest_box(dataset)
    output: Path = arguments.output
    (output / "tiles").mkdir(parents=True)
    overlap = overlap_for(largest, 1)
    tiles = cut_tiles(dataset, output / "tiles", TileSettings(640, 1, overlap, 0.1, False), arguments.seed)
    record: dict[str, Any] = {"start": arguments.start, "dataset": dataset.name, "largest_box": largest, "reads": {}}
    record["max_boxes"] = tiles.max_boxes
    clock = {"left": sorted(arguments.at)}

    def keep(trainer: Any) -> None:
        if clock["left"] and time.time() - trainer.train_time_start >= 60 * clock["left"][0]:
            _keep(trainer, output, clock["left"].pop(0), record)

    def keep_last(trainer: Any) -> None:
        if clock["left"]:
            _keep(trainer, output, clock["left"].pop(0), record)

    default_callbacks["on_train_batch_end"].append(keep)
    default_callbacks["on_train_end"].append(keep_last)
    weights = arguments.start if arguments.start in STARTS else Path(arguments.start)
    train_detector(
        TrainingSettings(weights=weights, minutes=max(arguments.at), seed=arguments.seed, extra={"val": False}),
        tiles,
        output,
    )


def _keep(trainer: Any, output: Path, minutes: float, record: dict[str, Any]) -> None:
    import copy

    import torch

    from spore_yolo.training.checkpoint import finish_checkpoint

    raw = output / "raw.pt"
    torch.save({"model": copy.deepcopy(trainer.ema.ema).float(), "ema": None}, raw)
    finish_checkpoint(raw, output / f"at-{minutes:g}.pt", 640)
    raw.unlink()
    record["reads"][f"{minutes:g}"] = {
        "images_seen": trainer.images_seen,
        "seconds": round(time.time() - trainer.train_time_start, 1),
    }
    (output / "record.json").write_text(json.dumps(record, indent=1) + "\n")


def read(arguments: argparse.Namespace) -> None:
    from tabulate import tabulate
    from tqdm import tqdm

    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.evaluation.average_precision import average_precision
    from spore_yolo.evaluation.operating_point import choose_point, curve_of
    from spore_yolo.evaluation.scoring import score_candidates
    from spore_yolo.files.images import read_image
    from spore_yolo.inference.detector import Detector
    from spore_yolo.inference.tiling import TilingSettings
    from spore_yolo.prediction.looking import joined, proposals_table

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split("val")
    rows = []
    for run in arguments.runs:
        record = json.loads((run / "record.json").read_text())
        tiling = TilingSettings(640, 1, record["largest_box"], 0.6, max(300, 5 * record["max_boxes"]))
        for minutes, seen in record["reads"].items():
            detector = Detector.load(run / f"at-{minutes}.pt")
            found = [
                proposals_table(image, detector.slide(read_image(dataset.path_of(image)), tiling), detector.names)
                for image in tqdm(images["image"], desc=f"{run.name} at {minutes}")
            ]
            candidates = joined(found)
            known = [ap50 for ap50, _ in average_precision(candidates, boxes, images, dataset.classes).values() if ap50]
            ap50 = sum(known) / len(dataset.classes)
            point = choose_point(
                curve_of(score_candidates(candidates, boxes, images, dataset.classes), dataset.classes)
            )
            recall = f"{point.recall:.3f}" if point.reached else f"none reaches it (best {point.precision:.2f})"
            rows.append([Path(record["start"]).name, minutes, seen["images_seen"], f"{ap50:.3f}", recall])
    print(f"\n{dataset.name}, validation: {len(images)} slides, {len(boxes):,} boxes\n")
    headers = ["start", "minutes", "tiles seen", "AP50", "recall at precision 0.75"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("--start", required=True, help="scratch, sample, or a checkpoint")
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--at", type=float, nargs="+", default=[5, 10, 15], help="minutes at which the weights are kept")
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(run=train)
    other = commands.add_parser("read")
    other.add_argument("runs", type=Path, nargs="+")
    other.set_defaults(run=read)
    for command in (one, other):
        command.add_argument("--dataset", required=True)
        command.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
