"""Training tiles: windows cut from the slides at training scale, with the boxes that lie in them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from spore_yolo.dataset.store import Dataset
from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_image
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.tiling import GREY, TileGrid, rescale
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.yolo import yolo_text

MIN_VISIBLE = 0.4
"""A box of which a tile shows less than this share of the area is no object there: too little is seen of it."""

JPEG_QUALITY = 96


@dataclass(frozen=True)
class TileSettings:
    """How training tiles are cut.

    Attributes:
        size: Side of a tile in pixels of the model.
        scale: Pixels of the model per pixel of the slide; 2 shows everything at twice its size.
        overlap: Least overlap of neighbouring tiles in pixels of the slide.
        empty_share: Largest share of tiles without a box among the training tiles; validation keeps all.
        one_class: All classes become the one class ``spore``.
    """

    size: int
    scale: float
    overlap: int
    empty_share: float
    one_class: bool


@dataclass
class TileFolder:
    """Tiles on disk in the YOLO layout.

    Attributes:
        data_yaml: The file to train on.
        classes: Class names in the order of their numbers.
        sources: For each training tile (file stem), the source of its slide.
        variants: For each source, how many exported variants of it are in train.
        counts: Number of tiles in train and val.
        empty: Number of those without a box.
        max_boxes: Most boxes on one tile.
    """

    data_yaml: Path
    classes: list[str]
    sources: dict[str, str] = field(default_factory=dict)
    variants: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)
    max_boxes: int = 0


def cut_tiles(dataset: Dataset, folder: Path, settings: TileSettings, seed: int, quiet: bool = False) -> TileFolder:
    """Cuts the tiles of the training and validation slides.

    Ignored boxes are painted over with the slide's own median colour, so that they are neither spore nor background.

    Args:
        dataset: The dataset.
        folder: Where the tiles go; it must exist.
        settings: How to cut.
        seed: Decides which empty tiles are kept.
        quiet: No progress bar.
    """
    classes = ["spore"] if settings.one_class else dataset.classes
    result = TileFolder(folder / "data.yaml", classes)
    rng = np.random.default_rng(seed)
    for split in ("train", "val"):
        images, boxes = dataset.split(split)
        if settings.one_class:
            boxes = boxes.assign(**{"class": "spore"})
        of_image = dict(tuple(boxes.groupby("image", sort=False)))
        plans = [
            plan
            for number, row in enumerate(images.itertuples())
            for plan in _plans(
                number, row.image, (row.width, row.height), of_image.get(row.image, boxes.iloc[:0]), settings
            )
        ]
        if split == "train":
            plans = _thin_empty(plans, settings.empty_share, rng)
            sources = images.set_index("image")["source"]
            result.sources = {plan.name: str(sources[plan.image]) for plan in plans}
            result.variants = {str(source): int(n) for source, n in images["source"].value_counts().items()}
        if not any(len(plan.boxes) for plan in plans):
            raise SporeYoloError(f"dataset {dataset.name} has no box in {split}; there is nothing to learn from")
        _write(plans, dataset, folder, split, settings, classes, quiet)
        result.counts[split] = len(plans)
        result.empty[split] = sum(plan.boxes.empty for plan in plans)
        result.max_boxes = max(result.max_boxes, *(len(plan.boxes) for plan in plans))
    write_yaml(
        result.data_yaml,
        {
            "path": str(folder.resolve()),
            "train": "images/train",
            "val": "images/val",
            "names": dict(enumerate(classes)),
        },
    )
    sources_file = {"sources": result.sources, "variants": result.variants, "max_boxes": result.max_boxes}
    (folder / "sources.json").write_text(json.dumps(sources_file), encoding="utf-8")
    return result


@dataclass(frozen=True)
class _Plan:
    name: str
    image: str
    window: tuple[int, int, int, int]
    boxes: pd.DataFrame
    ignored: npt.NDArray[np.float64]


def _pixels_of(box: npt.NDArray[np.float64]) -> tuple[slice, slice]:
    left, top, right, bottom = box
    return slice(math.floor(top), math.ceil(bottom)), slice(math.floor(left), math.ceil(right))


def _plans(
    number: int, image: str, size: tuple[int, int], boxes: pd.DataFrame, settings: TileSettings
) -> Iterator[_Plan]:
    # The number keeps names apart where only a folder or a suffix tells two slides apart.
    width, height = size
    stem = image.replace("/", "__")
    side = round(settings.size / settings.scale)
    for tile in TileGrid(width, height, side, settings.overlap).tiles:
        seen = visible(boxes, tile.window)
        ignored = seen.loc[seen["ignored"], COORDINATES].to_numpy(dtype=np.float64)
        name = f"{number}_{stem}_{tile.x_min}_{tile.y_min}"
        yield _Plan(name, image, tile.window, seen[~seen["ignored"]], ignored)


def visible(boxes: pd.DataFrame, window: tuple[int, int, int, int]) -> pd.DataFrame:
    """The boxes of which a window shows enough, clipped to it, in pixels of the window.

    Ignored boxes are kept however little is seen of them, since all of that is painted over.

    Args:
        boxes: A boxes table.
        window: ``(x_min, y_min, x_max, y_max)`` in pixels of the slide.
    """
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
    clipped = np.clip(corners, [window[0], window[1]] * 2, [window[2], window[3]] * 2)
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    seen = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    keep = (seen >= MIN_VISIBLE * area) | (boxes["ignored"].to_numpy() & (seen > 0))
    inside = boxes[keep].copy()
    inside[COORDINATES] = clipped[keep] - np.array([window[0], window[1]] * 2)
    return inside


def _thin_empty(plans: list[_Plan], share: float, rng: np.random.Generator) -> list[_Plan]:
    if share >= 1:
        return plans
    empty = [index for index, plan in enumerate(plans) if plan.boxes.empty]
    wanted = math.floor(share / (1 - share) * (len(plans) - len(empty)))
    if len(empty) <= wanted:
        return plans
    dropped = set(rng.permutation(empty)[wanted:].tolist())
    return [plan for index, plan in enumerate(plans) if index not in dropped]


def _write(
    plans: list[_Plan],
    dataset: Dataset,
    folder: Path,
    split: str,
    settings: TileSettings,
    classes: list[str],
    quiet: bool,
) -> None:
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    by_image: dict[str, list[_Plan]] = {}
    for plan in plans:
        by_image.setdefault(plan.image, []).append(plan)

    def write(image: str) -> None:
        pixels = read_image(dataset.path_of(image))
        ground = np.median(pixels[::8, ::8].reshape(-1, 3), axis=0)
        for plan in by_image[image]:
            x_min, y_min, x_max, y_max = plan.window
            tile = pixels[y_min:y_max, x_min:x_max].copy()
            for box in plan.ignored:
                tile[_pixels_of(box)] = ground
            if len(plan.ignored):
                # A spore behind an ignored object is still one to find; its own pixels come back.
                for box in plan.boxes[COORDINATES].to_numpy(dtype=np.float64):
                    tile[_pixels_of(box)] = pixels[y_min:y_max, x_min:x_max][_pixels_of(box)]
            if settings.scale != 1:
                tile = rescale(tile, settings.scale)
            # A slide smaller than a tile is filled up, since the model would enlarge it otherwise.
            height, width = tile.shape[:2]
            whole = np.full((max(settings.size, height), max(settings.size, width), 3), GREY, dtype=np.uint8)
            whole[:height, :width] = tile
            tile = whole
            shown = (x_max - x_min) / width, (y_max - y_min) / height
            text = yolo_text(plan.boxes, (tile.shape[1] * shown[0], tile.shape[0] * shown[1]), classes)
            path = folder / "images" / split / f"{plan.name}.jpg"
            written = cv2.imwrite(
                str(path), cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            )
            if not written:
                raise OSError(28, "cannot write the tile; is the disk full?", str(path))
            (folder / "labels" / split / f"{plan.name}.txt").write_text(text, encoding="utf-8")

    # Each worker holds a whole slide.
    with ThreadPoolExecutor(max_workers=core_count()) as pool:
        try:
            list(
                tqdm(pool.map(write, by_image), total=len(by_image), desc=f"tiles {split}", unit="slide", disable=quiet)
            )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
