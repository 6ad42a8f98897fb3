"""What going over a slide costs beside the forward passes: ``python benchmarks/slide_turns.py --help``.

On a machine whose speed goes up and down by a tenth within minutes, a ratio of two runs of minutes says little. Here
all contestants take turns in one process, a few seconds each, and the ratios are those of one round: the forward
passes of the detector alone on tiles that were cut beforehand, with several batch sizes; the classifier's on crops of
what the pair found; the detector and the pair over the slide's file, as shipped; the detector over the same pixels,
decoded in memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from slides_floors import crops_of, spread
from tabulate import tabulate

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends.machine import this_machine
from spore_yolo.inference.backends.packages import backend_versions
from spore_yolo.inference.backends.runner import Runner, pool_for
from spore_yolo.inference.pair import Pair, load, tiling_of
from spore_yolo.inference.scanning import scan
from spore_yolo.inference.slides import ArraySlide, Slide, open_slide

Pixels = npt.NDArray[np.uint8]

HELD = {"tiles": 240, "crops": 4096}
"""So many images are held at most; of more, a sample is taken and repeated."""

DETECTOR_BATCHES = (1, 2, 4)
CLASSIFIER_BATCHES = (64, 128, 256)


class Top(Slide):
    """The first rows of a slide."""

    def __init__(self, slide: Slide, rows: int) -> None:
        height = min(slide.height, rows)
        super().__init__(slide.name, slide.width, height, slide.um_per_px, slide.downsamples, slide.row_step)
        self._slide = slide

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """See :meth:`spore_yolo.inference.slides.Slide.read`."""
        return self._slide.read(window, level)


def passes(runner: Runner, images: Pixels, count: int, batch: int) -> None:
    """So many forward passes, over a sample of images again and again, by as many threads as the runner wants."""
    batches = [images[begin : begin + batch] for begin in range(0, len(images) - batch + 1, batch)]
    whole, rest = divmod(count, batch)
    todo = [batches[number % len(batches)] for number in range(whole)] + ([images[:rest]] if rest else [])
    with pool_for(runner) as pool:
        for _ in pool.map(runner, todo):
            pass


def contestants_of(pair: Pair, slide: Slide) -> dict[str, Callable[[], object]]:
    """What takes turns, by its name."""
    settings, runner = tiling_of(pair.manifest.detector), pair.detector.runner
    tiles = settings.grid(slide.width, slide.height).tiles
    if settings.scale != 1 or min(slide.width, slide.height) < settings.tile_side:
        raise SporeYoloError("expected a pair that looks at slides pixel by pixel, and rows for at least one tile")
    cut = np.stack([slide.read(tiles[at].window) for at in spread(len(tiles), HELD["tiles"])])
    whole = ArraySlide(slide.read((0, 0, slide.width, slide.height)))
    turns: dict[str, Callable[[], object]] = {
        f"forward passes of {len(tiles):,} tiles, batch {batch}": partial(passes, runner, cut, len(tiles), batch)
        for batch in DETECTOR_BATCHES
    }
    turns |= {
        "detector, from the file": partial(scan, slide, runner, settings),
        "detector, decoded in memory": partial(scan, whole, runner, settings),
    }
    if pair.classifier is not None:
        boxes = pair.candidates(slide).xyxy.astype(np.float64)
        crops, classifier = crops_of(pair, slide, boxes[spread(len(boxes), HELD["crops"])]), pair.classifier.runner
        turns |= {
            f"forward passes of {len(boxes):,} crops, batch {batch}": partial(
                passes, classifier, crops, len(boxes), batch
            )
            for batch in CLASSIFIER_BATCHES
        }
        turns["pair, from the file"] = partial(pair.candidates, slide)
    return turns


def report(seconds: dict[str, list[float]]) -> None:
    """The table, and the ratios."""
    median = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [[name, f"{median[name]:.2f}", f"{min(times):.2f}", f"{max(times):.2f}"] for name, times in seconds.items()]
    print(tabulate(rows, ["", "s, median", "min", "max"], tablefmt="github"))
    floors = [
        min((name for name in seconds if name.startswith("forward") and f" {what}," in name), key=median.__getitem__)
        for what in ("tiles", "crops")
        if any(f" {what}," in name for name in seconds)
    ]
    print(f"\nfloors, the fastest by their medians: {'; '.join(floors)}\n")
    rows = []
    for name, times in seconds.items():
        if name.startswith("forward"):
            continue
        below = floors if name.startswith("pair") else floors[:1]
        ratios = [time / sum(seconds[floor][at] for floor in below) for at, time in enumerate(times)]
        fastest = min(times) / sum(min(seconds[floor]) for floor in below)
        quarters = statistics.quantiles(ratios, n=4, method="inclusive")
        rows.append([name, f"{quarters[1]:.3f}", f"{quarters[0]:.3f} to {quarters[2]:.3f}", f"{fastest:.3f}"])
    headers = ["ratio to the floor", "median of rounds", "half of the rounds", "of the fastest"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--slide", type=Path, required=True)
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--backend", default="torch", help="what runs the networks (%(default)s)")
    parser.add_argument("--rows", type=int, default=10**9, help="look at so many rows of the slide (all)")
    parser.add_argument("--rounds", type=int, default=10, help="(%(default)s)")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error(f"--rounds: expected at least 2, found {arguments.rounds}")
    try:
        pair = load(arguments.pair, device="cpu", backend=arguments.backend)
        with open_slide(arguments.slide) as opened:
            slide = Top(opened, arguments.rows)
            turns = contestants_of(pair, slide)
            versions = " ".join(f"{name} {version}" for name, version in backend_versions(arguments.backend).items())
            machine = this_machine()
            print(f"{machine.cpu}, {machine.cores} cores, {arguments.backend} ({versions}); {' '.join(sys.argv)}")
            print(f"{slide.width} x {slide.height} px, batch {pair.detector.runner.batch}, {arguments.rounds} rounds\n")
            for turn in turns.values():
                turn()
            seconds: dict[str, list[float]] = {name: [] for name in turns}
            for _ in range(arguments.rounds):
                for name, turn in turns.items():
                    begin = time.perf_counter()
                    turn()
                    seconds[name].append(time.perf_counter() - begin)
    except SporeYoloError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    report(seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
