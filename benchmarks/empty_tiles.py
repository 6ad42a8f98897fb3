"""What leaving out empty tiles gains on slides that are mostly bare: labelled fields with bare ground all round.

    spore-yolo learn-empty --pair PAIR --dataset NAME --test
    python benchmarks/empty_tiles.py --pair PAIR --dataset NAME
    python benchmarks/empty_tiles.py --pair PAIR --dataset sample --drawn

Each slide is three fields wide and high, with a test field in the middle. The ground round it is made of the field's
own quietest patches, those in which the full pixels vary least, laid at random and brought to one brightness: it has
the noise of the camera and of the compression, but no shadows, bands or scratches. With --drawn, for an import of the
drawn sample, it is drawn as the sample draws it, with vignetting, bands, grid lines and noise, but nothing on it.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from tabulate import tabulate

from spore_yolo.dataset.sample.field import draw_field
from spore_yolo.dataset.sample.plan import FieldPlan, plan_sample
from spore_yolo.dataset.sample.writing import JPEG_QUALITY
from spore_yolo.dataset.store import load_dataset
from spore_yolo.files.images import read_image
from spore_yolo.inference.pair import Pair, load, tiling_of
from spore_yolo.inference.tiling import distance_to_core
from spore_yolo.labels.table import COORDINATES

Pixels = npt.NDArray[np.uint8]


PATCH = 64
QUIETEST = 0.03
"""Share of the patches that the ground is made of."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    parser.add_argument("--drawn", action="store_true", help="draw the ground; for the drawn sample")
    parser.add_argument("--seed", type=int, default=0, help="that the sample was drawn with (default: %(default)s)")
    parser.add_argument("--timed", type=int, default=1, help="slides that the detector looks at (default: %(default)s)")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    pair = load(arguments.pair)
    plans = {plan.image: plan for plan in plan_sample(len(dataset.images), arguments.seed)}
    images, boxes = dataset.split("test")
    rows, timed = [], []
    for number, image in enumerate(images["image"]):
        field = read_image(dataset.path_of(image))
        spores = boxes.loc[boxes["image"] == image, COORDINATES].to_numpy(dtype=np.float64)
        if arguments.drawn:
            plan = plans[next(name for name in plans if str(image).endswith(name))]
            slide = surrounded(field, partial(drawn_ground, plan, field))
        else:
            slide = surrounded(field, partial(patched_ground, field))
        rows.append({"slide": image, **looked(pair, slide, spores + np.tile([field.shape[1], field.shape[0]], 2))})
        if number < arguments.timed:
            timed.append({"slide": image, **detected(pair, slide)})
    table = pd.DataFrame(rows)
    print(tabulate(table, headers="keys", showindex=False))
    total = table.drop(columns="slide").sum()
    print(f"left out: {total['left out']:,} of {total['tiles']:,} tiles, {total['left out'] / total['tiles']:.1%}")
    print(f"lost: {total['lost']} of {total['spores']:,} spores\n")
    print(tabulate(timed, headers="keys", floatfmt=".1f"))


def looked(pair: Pair, slide: Pixels, spores: npt.NDArray[np.float64]) -> dict[str, int]:
    """Tiles that are left out, and the spores that are lost with them."""
    centres = (spores[:, :2] + spores[:, 2:]) / 2
    settings = tiling_of(pair.manifest.detector)
    tiles = settings.grid(slide.shape[1], slide.shape[0]).tiles
    empty = [
        tile
        for tile in tiles
        if pair.emptiness.is_empty(slide[tile.y_min : tile.y_max, tile.x_min : tile.x_max], settings.scale)
    ]
    lost = sum(int((distance_to_core(centres, tile.core) == 0).sum()) for tile in empty)
    return {"tiles": len(tiles), "left out": len(empty), "spores": len(spores), "lost": lost}


def detected(pair: Pair, slide: Pixels) -> dict[str, float]:
    """What is found with and without, and in what time."""
    begun = time.perf_counter()
    every = pair.detections(pair.candidates(slide))
    between = time.perf_counter()
    found = pair.detections(pair.candidates(slide, skip_empty=True))
    ended = time.perf_counter()
    return {
        "detections": len(every),
        "with it": len(found),
        "seconds": between - begun,
        "seconds with it": ended - between,
    }


def surrounded(field: Pixels, ground: Callable[[int], Pixels]) -> Pixels:
    """The field with bare ground all round, ``(3 h, 3 w, 3)``."""
    height, width = field.shape[:2]
    slide = np.empty((3 * height, 3 * width, 3), dtype=np.uint8)
    for place in range(9):
        top, left = place // 3 * height, place % 3 * width
        slide[top : top + height, left : left + width] = field if place == 4 else ground(place)
    return slide


def patched_ground(field: Pixels, place: int) -> Pixels:
    """Ground as large as a field, of its quietest patches."""
    height, width = field.shape[:2]
    corners = [(y, x) for y in range(0, height - PATCH, PATCH // 2) for x in range(0, width - PATCH, PATCH // 2)]
    patches = np.array([field[y : y + PATCH, x : x + PATCH] for y, x in corners], dtype=np.float32)
    quiet = patches[np.argsort(patches.std(axis=(1, 2)).max(axis=1))[: max(4, round(QUIETEST * len(patches)))]]
    quiet += np.median(quiet, axis=(0, 1, 2)) - quiet.mean(axis=(1, 2), keepdims=True)
    rng = np.random.default_rng(place)
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    chosen = quiet[rng.integers(len(quiet), size=(rows, columns))]
    ground = chosen.transpose(0, 2, 1, 3, 4).reshape(rows * PATCH, columns * PATCH, 3)
    return np.clip(ground.round(), 0, 255).astype(np.uint8)[:height, :width]


def drawn_ground(plan: FieldPlan, field: Pixels, place: int) -> Pixels:
    """The ground of a drawn field, stored as the sample's fields are."""
    rng = np.random.default_rng([plan.number, place])
    style = replace(plan.style, clutter={})
    pixels = draw_field(rng, [], width=field.shape[1], height=field.shape[0], style=style, counts={}).pixels
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(stored))


if __name__ == "__main__":
    main()
