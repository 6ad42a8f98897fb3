"""What detectors of 8 bits are calibrated on: tiles of the training split, as the pair itself cuts them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spore_yolo.labels.table import COORDINATES

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.dataset.store import Dataset
    from spore_yolo.inference.manifest import DetectorPart
    from spore_yolo.inference.tiling import Tile

Pixels = npt.NDArray[np.uint8]

TILES = 160
"""Ranges of values hardly change beyond some hundred images."""

STRIDE = 32


def training_tiles(dataset: Dataset, part: DetectorPart, count: int, seed: int) -> list[Pixels]:
    """Tiles of the training slides, chosen by chance; half of them hold the centre of a labelled box, if there are any.

    On most slides most tiles are empty, and ranges that only empty tiles show would cut off what spores are told by.

    Args:
        dataset: The dataset.
        part: Which tiles the pair's detector looks at.
        count: How many, at most.
        seed: Decides on the choice; the same dataset and seed give the same tiles.

    Returns:
        RGB windows ``(height, width, 3)`` in pixels of the slide.
    """
    from spore_yolo.inference.pair import tiling_of

    images, boxes = dataset.split("train")
    boxes = boxes[~boxes["ignored"]]
    rng = np.random.default_rng(seed)
    # Slides are as good as their tiles, and reading one costs more than looking at a few tiles of it.
    rows = images.iloc[rng.permutation(len(images))[:count]]
    each = max(2, math.ceil(count / len(rows)))
    tiling = tiling_of(part)
    found: list[Pixels] = []
    for row in rows.itertuples():
        tiles = tiling.grid(int(row.width), int(row.height)).tiles
        chosen = _choose(tiles, boxes[boxes["image"] == row.image], each, rng)
        found += _read_tiles(dataset.path_of(str(row.image)), [tiles[index] for index in chosen])
        if len(found) >= count:
            break
    return found[:count]


def _choose(tiles: list[Tile], boxes: pd.DataFrame, count: int, rng: np.random.Generator) -> list[int]:
    """Numbers of tiles; half of them with the centre of a box, as far as there are such."""
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    cores = np.array([tile.core for tile in tiles]).reshape(-1, 4)
    full = [number for number, core in enumerate(cores) if _inside(centres, core)]
    others = sorted(set(range(len(tiles))) - set(full))
    some = rng.permutation(full)[: max(math.ceil(count / 2), count - len(others))]
    rest = rng.permutation(others)[: count - len(some)]
    return sorted(int(number) for number in np.concatenate([some, rest]))


def _inside(centres: npt.NDArray[np.float64], core: npt.NDArray[np.float64]) -> bool:
    return bool(((centres >= core[:2]) & (centres < core[2:])).all(axis=1).any())


def _read_tiles(path: Path, tiles: list[Tile]) -> list[Pixels]:
    from spore_yolo.inference.slides import open_slide

    with open_slide(path) as slide:
        return [np.array(slide.read(tile.window), dtype=np.uint8) for tile in tiles]


def as_detector_input(tile: Pixels, part: DetectorPart) -> Pixels:
    """A window as the detector gets it: at its scale, filled up to a multiple of its stride; ``(1, H, W, 3)``."""
    from spore_yolo.inference.tiling import GREY, rescale

    window = tile if part.scale == 1 else rescale(tile, part.scale)
    height, width = (STRIDE * math.ceil(side / STRIDE) for side in window.shape[:2])
    batch = np.full((1, height, width, 3), GREY, dtype=np.uint8)
    batch[0, : window.shape[0], : window.shape[1]] = window
    return batch
