"""The floors of ``slides.py``: the forward passes alone, of what was cut beforehand, in a process of its own."""

from __future__ import annotations

import copy
import itertools
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from slides_contestants import Job, load_pair, peak_mb
from slides_scoring import Found

from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends.runner import Runner, pool_for
from spore_yolo.inference.crops import crop_windows, cut_crops
from spore_yolo.inference.pair import Pair, tiling_of
from spore_yolo.inference.slides import Slide, open_slide
from spore_yolo.inference.tiling import rescale

Pixels = npt.NDArray[np.uint8]

BATCHES = {"floor-detector": (1, 2, 4, 8), "floor-classifier": (32, 64, 128, 256)}

HELD = {"floor-detector": 400, "floor-classifier": 4096}
"""So many images are held in memory at most; of more, a sample is taken and repeated."""

SAMPLE = {"floor-detector": 200, "floor-classifier": 2048}
"""Multiples of all batch sizes, so that a sample is whole batches."""

TIMED = {"floor-detector": 2000, "floor-classifier": 600_000}
"""So many images are timed at most, a minute or two as ours take: a shorter part would see another mood of the machine.
The time of more is in proportion."""

TRIED = {"floor-detector": 48, "floor-classifier": 1024}
"""Variants are compared on so many images."""


def variants(floor: str) -> list[dict[str, int]]:
    """All batch sizes, by workers side by side and by one call at a time with all cores."""
    return [{"batch": batch, "side_by_side": side} for side in (1, 0) for batch in BATCHES[floor]]


def run_floor(job: Job) -> dict[str, Any]:
    """Times the variants of a job on the whole slide's number of images."""
    pair = load_pair(job)
    images, count = _images(job, pair)
    runners = _runners(job, pair)
    record: dict[str, Any] = {"count": count, "sample": len(images), "variants": []}
    for variant in job.variants:
        timed = min(count, TIMED[job.contestant])
        seconds = _timed(runners, images, timed, variant)
        if seconds is not None:
            record["variants"].append({**variant, "seconds": seconds * count / max(1, timed)})
    return record | {"peak_mb": peak_mb()}


def choose_floor(job: Job) -> list[dict[str, Any]]:
    """Milliseconds an image of each variant on a part of the images, the better of two passes."""
    pair = load_pair(job)
    images, count = _images(job, pair)
    images = images[: TRIED[job.contestant]]
    count = min(count, len(images))
    runners = _runners(job, pair)
    speeds = []
    for variant in variants(job.contestant):
        times = [_timed(runners, images, count, variant) for _ in range(2)]
        if times[0] is not None:
            speeds.append(
                {**variant, "ms_per_image": 1000 * min(one for one in times if one is not None) / max(1, count)}
            )
    return speeds


def _runners(job: Job, pair: Pair) -> tuple[Runner, Runner | None]:
    """The network, and the same for one call at a time with all cores, where the backend has that."""
    if job.contestant == "floor-detector":
        runner = pair.detector.runner
    else:
        assert pair.classifier is not None
        runner = pair.classifier.runner
    return runner, _alone(runner)


def _alone(runner: Any) -> Runner | None:
    if runner.backend == "torch":
        one: Runner = runner
        return one
    if runner.backend.startswith("openvino"):
        one = copy.copy(runner)
        # Not a setting of the runner, which always works side by side: here one stream gets all cores.
        vars(one).update(_settings=runner._settings | {"NUM_STREAMS": 1}, _compiled=OrderedDict())
        return one
    return None


def _timed(runners: tuple[Runner, Runner | None], images: Pixels, count: int, variant: dict[str, int]) -> float | None:
    """Seconds for so many images; ``None`` if the backend has no such variant."""
    size = variant["batch"]
    batches = [images[begin : begin + size] for begin in range(0, len(images), size)]
    whole, rest = divmod(count, size)
    todo = list(itertools.islice(itertools.cycle(batches), whole))
    todo += [images[:rest]] if rest else []
    shapes = {len(batch): batch for batch in todo}.values()
    if variant["side_by_side"]:
        runner = runners[0]
        with pool_for(runner) as pool:
            _drop(pool.map(runner, [batch for batch in shapes for _ in range(runner.workers)]))
            begin = time.perf_counter()
            _drop(pool.map(runner, todo))
            return time.perf_counter() - begin
    alone = runners[1]
    if alone is None:
        return None
    if alone.backend == "torch":
        import torch

        torch.set_num_threads(core_count())
    _drop(map(alone, shapes))
    begin = time.perf_counter()
    _drop(map(alone, todo))
    return time.perf_counter() - begin


def _drop(outputs: Iterable[Any]) -> None:
    for _ in outputs:
        pass


def _images(job: Job, pair: Pair) -> tuple[Pixels, int]:
    """Tiles or crops ``(N, side, side, 3)``, and how many of them the slide has."""
    return _tiles(job, pair) if job.contestant == "floor-detector" else _crops(job, pair)


def _tiles(job: Job, pair: Pair) -> tuple[Pixels, int]:
    settings = tiling_of(pair.manifest.detector)
    size = (settings.tile_size, settings.tile_size)
    with open_slide(job.slide) as slide:
        tiles = settings.grid(slide.width, slide.height).tiles
        if min(slide.width, slide.height) < settings.tile_side:
            raise SporeYoloError(f"{job.slide}: expected a slide of at least one tile, {settings.tile_side} px")
        chosen = [tiles[place] for place in _sample(len(tiles), job.contestant)]
        return np.stack([rescale(slide.read(tile.window), settings.scale, size) for tile in chosen]), len(tiles)


def _crops(job: Job, pair: Pair) -> tuple[Pixels, int]:
    assert job.crops_of is not None
    boxes = Found.read(job.crops_of).boxes
    with open_slide(job.slide) as slide:
        return crops_of(pair, slide, boxes[_sample(len(boxes), job.contestant)]), len(boxes)


def crops_of(pair: Pair, slide: Slide, boxes: npt.NDArray[np.float64]) -> Pixels:
    """The crops of boxes, ``(N, side, side, 3)``, as the pair's classifier gets them."""
    part = pair.namer.part
    crops = np.empty((len(boxes), part.crop_size, part.crop_size, 3), dtype=np.uint8)
    windows = crop_windows(boxes, part.margin)
    seen = np.clip(windows, 0, np.tile([slide.width, slide.height], 2))
    for place, (x_min, y_min, x_max, y_max) in enumerate(seen.tolist()):
        shift = np.tile([x_min, y_min], 2)
        one = slice(place, place + 1)
        pixels = slide.read((x_min, y_min, x_max, y_max))
        crops[one] = cut_crops(pixels, boxes[one] - shift, part.margin, part.crop_size, windows[one] - shift)
    return crops


def _sample(count: int, floor: str) -> list[int]:
    """Places of all, or of a sample that is spread over all of them."""
    return list(range(count)) if count <= HELD[floor] else spread(count, SAMPLE[floor])


def spread(count: int, most: int) -> list[int]:
    """Places of all, or of so many that are spread over all of them."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()]
