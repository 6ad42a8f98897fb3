"""How long an evaluation of many slides takes, beside pycocotools and FiftyOne on the same candidates.

    python benchmarks/evaluation_speed.py                          # ours alone, half a minute
    python benchmarks/evaluation_speed.py --against pycocotools fiftyone   # with the references: an hour or more

Every one runs in a process of its own, on the same drawn candidates: 2,000 slides of 4056 x 3040 pixels in 200 groups,
300,000 labelled boxes of five classes, of which one in fifty is of the rarest, and 400,000 candidates.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

CLASSES = ["Cladosporium", "Puccinia", "Epicoccum", "Fusarium", "Alternaria"]
SHARES = [0.6, 0.2, 0.1, 0.08, 0.02]
WIDTH, HEIGHT = 4056, 3040
CAP = 2000


def drawn(slides: int, candidates: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Candidates, boxes table and images table: nine labelled boxes of ten are found, and false alarms are added."""
    rng = np.random.default_rng(0)
    images = pd.DataFrame({"image": [f"slide_{number:05}.jpg" for number in range(slides)], "width": WIDTH})
    images = images.assign(height=HEIGHT, group=[f"trap_{number // 10:04}" for number in range(slides)])
    images = images.assign(source=images["image"], split="test", um_per_px=0.4, sha256="")

    def corners(count: int) -> np.ndarray:
        corner, side = rng.uniform((0, 0), (WIDTH - 60, HEIGHT - 60), (count, 2)), rng.uniform(15, 60, (count, 2))
        return np.hstack([corner, corner + side])

    count = candidates * 3 // 4
    names, place = np.array(CLASSES), images["image"].to_numpy()
    slide, kind, truth = rng.integers(0, slides, count), rng.choice(5, count, p=SHARES), corners(count)
    box = ["x_min", "y_min", "x_max", "y_max"]
    boxes = pd.DataFrame({"image": place[slide], "class": names[kind]}).assign(
        **dict(zip(box, truth.T, strict=True)), ignored=rng.random(count) < 0.01, label_file="labels.json", line=1
    )
    found = rng.random(count) < 0.9
    called = np.where(rng.random(count) < 0.95, kind, rng.integers(0, 5, count))
    near = np.clip(truth + rng.normal(0, 2, (count, 4)), 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
    false = candidates - int(found.sum())
    table = pd.DataFrame(
        {
            "slide": np.concatenate([place[slide[found]], place[rng.integers(0, slides, false)]]),
            "class": np.concatenate([names[called[found]], names[rng.integers(0, 5, false)]]),
            "detector_score": np.concatenate([rng.beta(4, 2, found.sum()), 0.01 + 0.98 * rng.beta(1, 4, false)]),
            "class_score": rng.beta(5, 1, candidates),
            "detector_class": "spore",
        }
    )
    table[box] = np.concatenate([near[found], corners(false)])
    table["score"] = table["detector_score"] * table["class_score"]
    order = ["slide", "class", "score", "detector_class", "detector_score", "class_score", *box]
    return table[order], boxes, images


def ours(candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame) -> dict[str, Any]:
    """The whole evaluation, written with its report, tables and plots."""
    from spore_yolo.evaluation.report import evaluate_candidates, write_evaluation
    from spore_yolo.inference.manifest import OperatingPoint

    begin = time.perf_counter()
    point = OperatingPoint.model_validate({"detector": 0.3, "class": dict.fromkeys(CLASSES, 0.5)})
    evaluation = evaluate_candidates(candidates, boxes, images, CLASSES, point)
    measured = time.perf_counter()
    about = {
        "dataset": "drawn",
        "dataset_fingerprint": "",
        "split": "test",
        "operating_point": point.model_dump(by_alias=True),
        "iou": 0.5,
        "targets": ["Alternaria"],
        "classes_merged_to_spore": False,
        "warnings": [],
        "pair": None,
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        "megapixels": evaluation.scored.megapixels,
    }
    with tempfile.TemporaryDirectory() as folder:
        write_evaluation(Path(folder) / "out", evaluation, candidates, about | evaluation.metrics, "drawn")
    written = time.perf_counter()
    overall = evaluation.metrics["overall"]
    return {
        "steps": {"figures": measured - begin, "files, plots and report": written - measured},
        "figures": {key: overall[key]["value"] for key in ("ap50", "ap50_95", "ar")},
    }


def pycocotools(candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame) -> dict[str, Any]:
    """AP, AP50 and AR alone."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from spore_yolo.evaluation.coco_form import coco_input

    truth, results, most = coco_input(candidates, boxes, images, CLASSES)
    begin = time.perf_counter()
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.params.maxDets = [1, 10, max(CAP, most)]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    seconds = time.perf_counter() - begin
    precision, recall = evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]
    figures = {"ap50": precision[0].mean(), "ap50_95": precision.mean(), "ar": recall.mean()}
    return {"steps": {"AP and AR": seconds}, "figures": {key: float(value) for key, value in figures.items()}}


def fiftyone(candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame) -> dict[str, Any]:
    """Its own import of the boxes, object by object, and its own evaluation, with COCO's AP; no crowds."""
    from spore_yolo.evaluation.fiftyone_database import own_fiftyone

    with own_fiftyone() as fo:
        begin = time.perf_counter()
        dataset = fo.Dataset("speed")

        def detections(rows: pd.DataFrame, scored: bool) -> Any:
            return fo.Detections(
                detections=[
                    fo.Detection(
                        label=name,
                        bounding_box=[x_min / WIDTH, y_min / HEIGHT, (x_max - x_min) / WIDTH, (y_max - y_min) / HEIGHT],
                        **({"confidence": score} if scored else {}),
                    )
                    for name, score, x_min, y_min, x_max, y_max in zip(
                        rows["class"],
                        rows["score"] if scored else rows["class"],
                        *(rows[column] for column in ("x_min", "y_min", "x_max", "y_max")),
                        strict=True,
                    )
                ]
            )

        labelled, found = boxes[~boxes["ignored"]].groupby("image"), candidates.groupby("slide")
        dataset.add_samples(
            [
                fo.Sample(
                    filepath=f"/{image}",
                    ground_truth=detections(labelled.get_group(image), scored=False),
                    predictions=detections(found.get_group(image), scored=True),
                )
                for image in images["image"]
            ],
            progress=False,
        )
        imported = time.perf_counter()
        results = dataset.evaluate_detections(
            "predictions",
            gt_field="ground_truth",
            eval_key="eval",
            classes=CLASSES,
            compute_mAP=True,
            max_preds=CAP,
            progress=False,
        )
        figures = {"ap50_95": float(results.mAP())}
        evaluated = time.perf_counter()
    return {"steps": {"import": imported - begin, "evaluation": evaluated - imported}, "figures": figures}


WITNESSES = {"ours": ours, "pycocotools": pycocotools, "fiftyone": fiftyone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=2000)
    parser.add_argument("--candidates", type=int, default=400_000)
    parser.add_argument("--against", nargs="*", default=[], choices=["pycocotools", "fiftyone"])
    parser.add_argument("--alone", choices=list(WITNESSES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        data = drawn(arguments.slides, arguments.candidates)
        cpu = time.process_time()
        result = WITNESSES[arguments.alone](*data)
        result["cpu"] = time.process_time() - cpu
        result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(result))
        return
    from spore_yolo.files.provenance import code_commit, package_versions

    print(f"commit {code_commit()}; {package_versions()}")
    print(f"{arguments.slides:,} slides, {arguments.candidates:,} candidates")
    results = {}
    for name in ["ours", *arguments.against]:
        command = [sys.executable, __file__, "--alone", name, "--slides", str(arguments.slides)]
        command += ["--candidates", str(arguments.candidates)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        results[name] = json.loads(output.splitlines()[-1])
        print(name, results[name], flush=True)
    whole = sum(results["ours"]["steps"].values())
    rows = [
        [name, step, f"{seconds:.1f}", f"{seconds / whole:.1f}", f"{result['cpu']:.1f}", f"{result['memory']:.2f}"]
        for name, result in results.items()
        for step, seconds in result["steps"].items()
    ]
    rows.append(["ours", "all", f"{whole:.1f}", "1.0", f"{results['ours']['cpu']:.1f}", ""])
    headers = ["", "step", "s", "times ours in all", "CPU s of all steps", "peak GB"]
    print(tabulate(rows, headers, disable_numparse=True))
    keys = ("ap50", "ap50_95", "ar")
    rows = [[name, *(result["figures"].get(key) for key in keys)] for name, result in results.items()]
    print(tabulate(rows, ["", *keys], floatfmt=".7f"))


if __name__ == "__main__":
    main()
