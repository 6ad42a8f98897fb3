"""Crops in batches and crops on sheets, side by side: how fast, how alike, and what either makes of the pair's figures.

    python -m benchmarks.sheets --pair benchmarks/models/magnaporthe --dataset magnaporthe

A way is `batch:CROPS` or `sheet:SIDE:GUTTER:FILL`; see benchmarks/sheet_runner.py for the fills. The crops are
those that the detector gives the classifier on the split, in the order in which it does; for the timing they are
repeated, or some left out, until there are as many as `--timed` says. Every way runs in the workers that the pair runs
in; `batch:CROPS:WORKERS` in others, each with its share of the cores. Ways take turns, since other programs come and
go: "ratio" is the median, over the rounds, of a way's crops a second over those of the first way in the same round.
"CPU ms" is the median of what a crop takes of all cores together, which other programs disturb less.

What the detector says is computed once and the same for all ways. Names and probabilities are compared with those of
the first way. Accuracy and log loss are over the candidates from detector_score 0.05 on whose truth is known; AP50,
recall and precision are the pair's at its stored operating point. Choose on validation; look at test once, with
`--split test` and the ways that are left.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

from benchmarks.sheet_runner import SheetRunner
from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.crops import LEAST_SCORE, crops_table
from spore_yolo.evaluation.report import evaluate_candidates
from spore_yolo.inference.backends.runner import Floats, Pixels, Runner, pool_for
from spore_yolo.inference.backends.torch_runner import TorchRunner
from spore_yolo.inference.classifier import CropNamer, calibrated
from spore_yolo.inference.pair import Pair, load, tiling_of
from spore_yolo.inference.scanning import Candidates, scan
from spore_yolo.inference.slides import open_slide
from spore_yolo.prediction.looking import joined, proposals_table

WAYS = [
    *(f"batch:{crops}" for crops in (128, 32, 64, 256)),
    "batch:128:1",
    *(f"sheet:{side}:0:zero" for side in (512, 1024, 2048)),
    *(f"sheet:1024:32:{fill}" for fill in ("black", "grey", "edge", "mirror", "zero")),
    *(f"sheet:1024:64:{fill}" for fill in ("grey", "edge", "mirror")),
]


class Remembering:
    """A runner that computes the answer to each batch once."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._known = runner, dict[bytes, Floats]()
        self.backend, self.workers, self.batch = runner.backend, runner.workers, runner.batch

    def enter_thread(self) -> None:
        """Prepares a worker."""
        self._runner.enter_thread()

    def __call__(self, batch: Pixels) -> Floats:
        """One forward pass, or what it gave."""
        key = batch.tobytes()
        if key not in self._known:
            self._known[key] = self._runner(batch)
        return self._known[key]


class Recording(Remembering):
    """A classifier that keeps the crops it was given, all of a slide at once."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.crops: list[Pixels] = []
        self.batch = 1 << 40

    def __call__(self, batch: Pixels) -> Floats:
        """Forward passes, in batches."""
        self.crops.append(batch)
        return np.concatenate([self._runner(batch[at : at + 128]) for at in range(0, len(batch), 128)])


def runner_for(way: str, runner: TorchRunner, crop_size: int) -> Runner:
    """The classifier, run in a way."""
    kind, *numbers = way.split(":")
    if kind == "batch":
        batches = copy.copy(runner)
        batches.batch, batches.workers = int(numbers[0]), int(numbers[1]) if numbers[1:] else runner.workers
        return batches
    return SheetRunner(runner, crop_size, int(numbers[0]), int(numbers[1]), numbers[2])  # type: ignore[arg-type]


def named_by(namer: CropNamer, runner: Runner) -> CropNamer:
    """The same with a classifier that runs in another way."""
    classifier = copy.copy(namer.classifier)
    classifier.runner = runner
    return replace(namer, classifier=classifier)


def looks(
    pair: Pair, detector: Runner, namer: CropNamer, slides: list[tuple[str, Path]]
) -> Iterator[tuple[str, Candidates]]:
    """What the pair finds on slides."""
    for name, path in slides:
        with open_slide(path) as slide:
            yield name, scan(slide, detector, tiling_of(pair.manifest.detector), namer=namer)[0]


def figures(
    pair: Pair, namer: CropNamer, found: list[tuple[str, Candidates]], images: pd.DataFrame, boxes: pd.DataFrame
) -> list[str]:
    """Accuracy, log loss, AP50, recall and precision."""
    tables, shares = [], []
    for slide, candidates in found:
        assert candidates.probabilities is not None
        names, sure = namer.name(candidates.probabilities)
        table = proposals_table(slide, candidates, pair.manifest.detector.classes)
        tables.append(table.assign(**{"class": names, "class_score": sure, "score": table["detector_score"] * sure}))
        shares.append(candidates.probabilities)
    table, point = joined(tables), pair.manifest.operating_point
    metrics = evaluate_candidates(table, boxes, images, pair.manifest.classes, point).metrics["overall"]
    crops = crops_table(table, boxes, images, point)
    probabilities = np.concatenate(shares)[table["detector_score"].to_numpy() >= LEAST_SCORE]
    known = (crops["left_out"] == "").to_numpy()
    truth = crops["truth"].to_numpy()[known]
    right = (crops["class"].to_numpy()[known] == truth).mean()
    of_truth = probabilities[known, [namer.part.classes.index(name) for name in truth]]
    loss = -np.log(np.maximum(of_truth, 1e-12)).mean()
    pair_figures = [f"{metrics[name]['value']:.4f}" for name in ("ap50", "recall", "precision")]
    return [f"{right:.4f}", f"{loss:.4f}", *pair_figures]


def timed_run(runner: Runner, crops: Pixels) -> tuple[float, float, npt.NDArray[np.float64]]:
    """The seconds and the seconds of processors that a way takes for crops, and what it says of them."""
    batches = [crops[at : at + runner.batch] for at in range(0, len(crops), runner.batch)]
    with pool_for(runner) as pool:
        list(pool.map(runner, [batches[0]] * runner.workers))
        start, busy = time.perf_counter(), time.process_time()
        logits = list(pool.map(runner, batches))
        return time.perf_counter() - start, time.process_time() - busy, np.concatenate(logits).astype(np.float64)


def measure(pair: Pair, dataset: Dataset, split: str, ways: list[str], rounds: int, most: int) -> None:
    """Prints the tables of one pair on one split."""
    images, boxes = dataset.split(split)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    namer = pair.namer
    runner = namer.classifier.runner
    assert isinstance(runner, TorchRunner)
    detector, recording = Remembering(pair.detector.runner), Recording(runner)
    for _ in looks(pair, detector, named_by(namer, recording), slides):
        pass
    crops = np.concatenate(recording.crops)
    timed = np.resize(crops, (most, *crops.shape[1:]))
    runners = {way: runner_for(way, runner, namer.part.crop_size) for way in ways}
    rates: dict[str, list[float]] = {way: [] for way in ways}
    busy: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, one in runners.items():
            seconds, of_processors, _ = timed_run(one, timed)
            rates[way].append(len(timed) / seconds)
            busy[way].append(1000 * of_processors / len(timed))
    said = {way: calibrated(timed_run(one, crops)[2], namer.part.temperature) for way, one in runners.items()}
    first = ways[0]
    names = {way: namer.name(probabilities)[0] for way, probabilities in said.items()}
    rows = []
    for way in ways:
        apart = np.abs(said[way] - said[first])
        ratio = np.median(np.array(rates[way]) / np.array(rates[first]))
        found = list(looks(pair, detector, named_by(namer, runners[way]), slides))
        speed = [
            f"{np.median(rates[way]):.0f}",
            f"{max(rates[way]):.0f}",
            f"{ratio:.2f}",
            f"{np.median(busy[way]):.2f}",
        ]
        alike = [f"{(names[way] == names[first]).mean():.2%}", f"{apart.max():.4f}", f"{apart.mean():.5f}"]
        rows.append([way, *speed, *alike, *figures(pair, namer, found, images, boxes)])
    print(
        f"{dataset.name}, {split}: {len(slides)} slides, {len(crops)} crops of {namer.part.crop_size} px;"
        f" {len(timed)} timed, {rounds} rounds, {runner.workers} workers on {runner.device}\n"
    )
    headers = ["way", "crops/s, median", "best", "ratio", "CPU ms", "names agree", "probability apart, most", "mean"]
    headers += ["accuracy", "log loss", "AP50", "recall", "precision"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    parser.add_argument("--split", default="val", help="(%(default)s)")
    parser.add_argument("--ways", nargs="+", default=WAYS, metavar="WAY", help="the first is what others are held to")
    parser.add_argument("--rounds", type=int, default=5, help="of the timing (%(default)s)")
    parser.add_argument("--timed", type=int, default=2048, help="crops in a round (%(default)s)")
    parser.add_argument("--device", default="cpu", help="as torch takes it (%(default)s)")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    pair = load(arguments.pair, arguments.device)
    measure(pair, dataset, arguments.split, arguments.ways, arguments.rounds, arguments.timed)


if __name__ == "__main__":
    main()
