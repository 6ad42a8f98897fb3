"""What of spore-yolo's recall plain `yolo predict` keeps, on whole slides, without spore_yolo in reach.

    python benchmarks/plain_ultralytics.py --pair runs/magnaporthe/pair --dataset magnaporthe --split test

Runs `yolo predict model=PAIR/detector.pt source=SLIDE conf=T max_det=3000` for every slide in a process that cannot
import spore_yolo, and scores both ways at the pair's operating point.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from spore_yolo.dataset.store import load_dataset
from spore_yolo.evaluation.scoring import score_candidates
from spore_yolo.inference.pair import load
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction.looking import look_at

BLOCKER = """\
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "spore_yolo":
            raise ModuleNotFoundError("spore_yolo is out of reach here")
sys.meta_path.insert(0, Blocker())
"""


def plain(checkpoint: Path, slide: Path, threshold: float, size: tuple[int, int], classes: list[str]) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(BLOCKER)
        environment = {**os.environ, "PYTHONPATH": folder, "YOLO_CONFIG_DIR": folder, "YOLO_AUTOINSTALL": "false"}
        yolo = Path(sys.executable).with_name("yolo")
        command = [str(yolo), "predict", f"model={checkpoint.resolve()}", f"source={slide.resolve()}"]
        command += [f"conf={threshold}", "max_det=3000", "save_txt=True", "save_conf=True", "save=False"]
        command += [f"project={folder}", "name=found"]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)
        text = Path(folder, "found", "labels", f"{slide.stem}.txt")
        rows = np.loadtxt(text, ndmin=2) if text.exists() else np.zeros((0, 6))
    centre, half = rows[:, 1:3] * size, rows[:, 3:5] * size / 2
    table = pd.DataFrame(np.hstack([centre - half, centre + half]), columns=COORDINATES)
    return table.assign(**{"class": [classes[int(i)] for i in rows[:, 0]], "score": rows[:, 5]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--most", type=int, default=10**9, help="so many slides of each size at the most")
    arguments = parser.parse_args()

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split(arguments.split)
    images = images.groupby(["width", "height"]).head(arguments.most)
    boxes = boxes[boxes["image"].isin(images["image"])]
    pair = load(arguments.pair)
    classes, threshold = pair.manifest.classes, pair.manifest.operating_point.detector
    ours, _ = look_at(pair, [(image, dataset.path_of(image)) for image in images["image"]], len(images), threshold)
    theirs = [
        plain(
            pair.folder / pair.manifest.detector.file,
            dataset.path_of(row.image),
            threshold,
            (row.width, row.height),
            classes,
        ).assign(slide=row.image)
        for row in images.itertuples()
    ]

    def figures(candidates: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        scored = score_candidates(candidates[candidates["score"] >= threshold], boxes, images, classes)
        return scored.truth.assign(found=scored.truth["found_by"] >= 0), scored.candidates

    our_truth, our_found = figures(ours)
    their_truth, their_found = figures(pd.concat(theirs, ignore_index=True))
    size_of = {row.image: f"{row.width} x {row.height}" for row in images.itertuples()}
    rows = []
    by_size = {size: [image for image in size_of if size_of[image] == size] for size in sorted(set(size_of.values()))}
    for name, chosen in (by_size | {"all": list(size_of)}).items():
        ours_here, theirs_here = (t[t["slide"].isin(chosen)]["found"].mean() for t in (our_truth, their_truth))
        precision = [(f[f["slide"].isin(chosen)]["truth"] >= 0).mean() for f in (our_found, their_found)]
        rows.append([name, len(chosen), ours_here, precision[0], theirs_here, precision[1], theirs_here / ours_here])
    headers = ["slide size", "slides", "recall", "precision", "plain recall", "plain precision", "kept"]
    print(tabulate(rows, headers, floatfmt=".3f"))


if __name__ == "__main__":
    main()
