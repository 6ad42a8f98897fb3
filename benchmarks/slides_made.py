"""Puts slides of any size together from the labelled fields of a split, and reads them back; see ``slides.py``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.dataset.store import load_dataset
from spore_yolo.files.atomic import atomic_file
from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.images import read_image
from spore_yolo.labels.table import COORDINATES

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

LABEL_COLUMNS = ["image", "class", *COORDINATES, "ignored"]

STEP = 4
"""Each level of the pyramid is so many times smaller than the one before, as scanners write them."""

SMALLEST_LEVEL = 1024
"""No level is made whose longer side would have fewer pixels."""

TURNS = 4
"""Ways to lay a field down: as it is, mirrored left-right, mirrored up-down, both."""

QUALITY = 90
"""Of JPEG, as scanners write it."""


@dataclass(frozen=True)
class Field:
    """A labelled image.

    Attributes:
        pixels: ``(height, width, 3)``, RGB.
        boxes: Its boxes, columns ``class``, the box, ``ignored``.
    """

    pixels: Pixels
    boxes: pd.DataFrame


@dataclass(frozen=True)
class Mosaic:
    """A slide that is put together from fields and exists only row by row.

    Attributes:
        fields: All of one size.
        width, height: Of the slide in pixels.
        seed: Decides which field lies where, and how.
    """

    fields: list[Field]
    width: int
    height: int
    seed: int

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of a field."""
        height, width = self.fields[0].pixels.shape[:2]
        return height, width

    def layout(self) -> npt.NDArray[np.int64]:
        """``(rows, columns, 2)``: which field lies where, and which way.

        All fields in all ways are dealt out in a new order each time, so each is there equally often, and neighbours
        differ everywhere.
        """
        rows, columns = -(-self.height // self.cell[0]), -(-self.width // self.cell[1])
        rng = np.random.default_rng(self.seed)
        kinds = len(self.fields) * TURNS
        decks = [rng.permutation(kinds) for _ in range(-(-rows * columns // kinds))]
        dealt = np.concatenate(decks)[: rows * columns].reshape(rows, columns)
        return np.stack([dealt // TURNS, dealt % TURNS], axis=-1)

    def rows(self, top: int, bottom: int) -> Pixels:
        """The pixels from one row to another, over the full width."""
        high, wide = self.cell
        layout = self.layout()
        band = np.empty((bottom - top, self.width, 3), dtype=np.uint8)
        for row in range(top // high, -(-bottom // high)):
            begin, end = max(top, row * high), min(bottom, (row + 1) * high)
            for column, (number, turn) in enumerate(layout[row]):
                turned = _turned(self.fields[number].pixels, int(turn))
                left, right = column * wide, min(self.width, (column + 1) * wide)
                band[begin - top : end - top, left:right] = turned[
                    begin - row * high : end - row * high, : right - left
                ]
        return band

    def boxes(self) -> pd.DataFrame:
        """The labels in pixels of the slide; those that its border cuts are dropped if less than half is left."""
        high, wide = self.cell
        parts = []
        for (row, column), number, turn in _cells(self.layout()):
            boxes = self.fields[number].boxes.copy()
            corners = boxes[COORDINATES].to_numpy(dtype=np.float64, copy=True)
            if turn & 1:
                corners[:, [0, 2]] = wide - corners[:, [2, 0]]
            if turn & 2:
                corners[:, [1, 3]] = high - corners[:, [3, 1]]
            boxes[COORDINATES] = corners + np.tile([column * wide, row * high], 2)
            parts.append(boxes)
        boxes = pd.concat(parts, ignore_index=True)
        corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
        seen = np.clip(corners, 0, np.tile([self.width, self.height], 2))
        share = (seen[:, 2:] - seen[:, :2]).prod(axis=1) / (corners[:, 2:] - corners[:, :2]).prod(axis=1)
        boxes[COORDINATES] = seen
        return boxes[share >= 0.5].reset_index(drop=True)


def make(
    dataset: str,
    register: Path,
    split: str,
    size: tuple[int, int],
    output: Path,
    *,
    compression: str = "jpeg",
    tile: int = 512,
    seed: int = 0,
) -> int:
    """Writes a slide as a tiled, pyramidal BigTIFF, and its labels as CSV beside it.

    Returns:
        The number of labelled boxes.

    Raises:
        UsageError: The size is too small, or the output is no TIFF.
        SporeYoloError: The dataset has no such split.
    """
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError(f"--output: expected a file that ends in .tif or .tiff, found {output}")
    mosaic = Mosaic(_fields(dataset, register, split), *size, seed)
    boxes = mosaic.boxes()
    boxes.insert(0, "image", output.name)
    with atomic_file(output) as temporary, atomic_file(labels_path(output)) as labels:
        boxes[LABEL_COLUMNS].to_csv(labels, index=False, float_format="%.3f")
        _write(mosaic, temporary, compression, tile)
    return len(boxes)


def labels_path(slide: Path) -> Path:
    """Where the labels of a slide lie."""
    return slide.with_suffix(".csv")


def read_labels(slide: Path) -> pd.DataFrame:
    """The labels of a slide that :func:`make` wrote.

    Raises:
        SporeYoloError: There are none.
    """
    path = labels_path(slide)
    if not path.is_file():
        raise SporeYoloError(
            f"{path}: no such file; make the slide and its labels by: python benchmarks/slides.py make"
        )
    return pd.read_csv(path)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height out of ``8000x4500``.

    Raises:
        UsageError: It is something else.
    """
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None or "0" in found.groups():
        raise UsageError(f"--size: expected WIDTHxHEIGHT in pixels, such as 8000x4500, found {text!r}")
    return int(found[1]), int(found[2])


def _fields(dataset: str, register: Path, split: str) -> list[Field]:
    """The fields of a split that have its most frequent size."""
    data = load_dataset(dataset, register)
    images, boxes = data.split(split)
    sizes = images.groupby(["width", "height"])["image"].transform("size")
    alike = images[sizes == sizes.max()]
    first = alike.iloc[0]
    alike = alike[(alike["width"] == first["width"]) & (alike["height"] == first["height"])]
    if len(alike) < len(images):
        others = len(images) - len(alike)
        print(f"{others} of {len(images)} fields are not {first['width']} x {first['height']} px and are left out")
    return [
        Field(read_image(data.path_of(image)), boxes[boxes["image"] == image][["class", *COORDINATES, "ignored"]])
        for image in alike["image"]
    ]


def _write(mosaic: Mosaic, path: Path, compression: str, tile: int) -> None:
    """Writes the pyramid; memory holds one row of tiles and the levels below the first."""
    import tifffile

    jpeg = compression == "jpeg"
    options: dict[str, Any] = {
        "tile": (tile, tile),
        "photometric": "rgb",  # tifffile writes JPEG as YCbCr, as scanners do
        "compression": None if compression == "none" else compression,
        "compressionargs": {"level": QUALITY} if jpeg else None,
        "maxworkers": core_count(),
        "metadata": None,
    }
    levels = _level_sizes(mosaic.width, mosaic.height)
    reduced = [np.empty((high, wide, 3), dtype=np.uint8) for wide, high in levels[1:2]]

    def whole() -> Iterator[Pixels]:
        for top in range(0, mosaic.height, tile):
            band = mosaic.rows(top, min(mosaic.height, top + tile))
            if reduced:
                _shrink_into(reduced[0], band, top)
            yield from _tiles(band, tile)

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        shape = (mosaic.height, mosaic.width, 3)
        writer.write(whole(), shape=shape, dtype=np.uint8, description="spore-yolo benchmark slide", **options)
        for wide, high in levels[1:]:
            level = reduced[-1]
            if level.shape[:2] != (high, wide):
                source = level[: high * STEP, : wide * STEP]
                level = np.empty((high, wide, 3), dtype=np.uint8)
                cv2.resize(source, (wide, high), dst=level, interpolation=cv2.INTER_AREA)
                reduced.append(level)
            bands = (level[top : top + tile] for top in range(0, high, tile))
            tiles = itertools.chain.from_iterable(_tiles(band, tile) for band in bands)
            writer.write(tiles, shape=level.shape, dtype=np.uint8, subfiletype=1, **options)


def _level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    sizes = [(width, height)]
    while max(sizes[-1]) // STEP >= SMALLEST_LEVEL and min(sizes[-1]) >= STEP:
        sizes.append((sizes[-1][0] // STEP, sizes[-1][1] // STEP))
    return sizes


def _shrink_into(level: Pixels, band: Pixels, top: int) -> None:
    """Reduces a band of the slide into its place; tiles are a multiple of the step high."""
    begin = top // STEP
    high = min(len(level) - begin, len(band) // STEP)
    if high > 0:
        wide = level.shape[1]
        source = band[: high * STEP, : wide * STEP]
        level[begin : begin + high] = cv2.resize(source, (wide, high), interpolation=cv2.INTER_AREA)


def _tiles(band: Pixels, side: int) -> Iterator[Pixels]:
    """The tiles of a band from left to right, filled up with its outermost pixels to whole ones."""
    below = side - len(band)
    for left in range(0, band.shape[1], side):
        part = band[:, left : left + side]
        missing = ((0, below), (0, side - part.shape[1]), (0, 0))
        yield np.ascontiguousarray(part) if not below and part.shape[1] == side else np.pad(part, missing, mode="edge")


def _turned(pixels: Pixels, turn: int) -> Pixels:
    return pixels[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]


def _cells(layout: npt.NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], int, int]]:
    for place in np.ndindex(layout.shape[:2]):
        number, turn = layout[place]
        yield (place[0], place[1]), int(number), int(turn)
