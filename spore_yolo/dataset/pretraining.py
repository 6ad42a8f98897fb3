"""Draws what the shipped weights were trained on: tiles and crops of invented taxa, none of them of the sample's."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from spore_yolo.dataset.crops import CropFolder
from spore_yolo.dataset.sample import Field, Taxon, draw_field, pretraining_rng, random_scene, random_taxa
from spore_yolo.dataset.tiles import TileFolder
from spore_yolo.files.cores import core_count
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.crops import Pixels, cut_crops
from spore_yolo.inference.manifest import DEBRIS

SPLITS = ("train", "val")

TAXA_TOGETHER = 5
"""Taxa on one field that crops are cut from, where there are so many."""

CLASSIFIER_FIELDS = 10_000_000
"""Numbers of the fields that crops are cut from begin here, so that they are other fields than the detector's tiles."""


def draw_tiles(folder: Path, counts: tuple[int, int], size: int, seed: int) -> TileFolder:
    """Draws tiles with all spores labelled as the one class ``spore``.

    Args:
        folder: Where to write; it must be empty or not exist.
        counts: Number of tiles in train and in val.
        size: Side of a tile in pixels.
        seed: The same seed draws the same tiles.
    """
    for split in SPLITS:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
    jobs = [(n, SPLITS[n >= counts[0]]) for n in range(sum(counts))]
    boxes = list(_drawn(partial(_draw_tile, folder, size, seed), jobs, "drawing tiles"))
    result = TileFolder(folder / "data.yaml", ["spore"])
    for split in SPLITS:
        of_split = [number for (_, name), number in zip(jobs, boxes, strict=True) if name == split]
        result.counts[split], result.empty[split] = len(of_split), of_split.count(0)
    content = {"path": str(folder.resolve()), "train": "images/train", "val": "images/val", "names": {0: "spore"}}
    write_yaml(result.data_yaml, content)
    return TileFolder(result.data_yaml, result.classes, {}, {}, result.counts, result.empty, max(boxes))


def draw_crops(
    folder: Path, taxa: int, counts: tuple[int, int], margins: tuple[float, float], size: int, seed: int
) -> CropFolder:
    """Draws fields of some invented taxa and cuts a crop round each spore and each piece of debris.

    Args:
        folder: Where to write; it must be empty or not exist.
        taxa: How many taxa, each a class; debris is one more.
        counts: Number of fields for train and for val.
        margins: The context on each side lies between these shares of the box's longer side.
        size: Side of a crop in pixels.
        seed: The same seed draws the same crops.
    """
    classes = [*(f"taxon_{number:02}" for number in range(taxa)), DEBRIS]
    for split in SPLITS:
        for name in classes:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
    invented = random_taxa(pretraining_rng(seed, CLASSIFIER_FIELDS - 1), taxa)
    jobs = [(n, SPLITS[n >= counts[0]]) for n in range(sum(counts))]
    for _ in _drawn(partial(_draw_crops, folder, invented, margins, size, seed), jobs, "drawing crops"):
        pass
    return CropFolder(folder, sorted(classes))


def _drawn(draw: Callable[[tuple[int, str]], int], jobs: Sequence[tuple[int, str]], title: str) -> Iterator[int]:
    # A fresh process each: a fork of one that has threads may never wake up.
    with ProcessPoolExecutor(core_count(), multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        try:
            yield from tqdm(pool.map(draw, jobs, chunksize=16), total=len(jobs), desc=title, unit="field")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one_thread() -> None:
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def _draw_tile(folder: Path, size: int, seed: int, job: tuple[int, str]) -> int:
    number, split = job
    rng = pretraining_rng(seed, number)
    taxa, style = random_scene(rng)
    field = draw_field(rng, taxa, width=size, height=size, style=style)
    boxes = np.array([placed.box for placed in field.objects if placed.labelled], dtype=np.float64).reshape(-1, 4)
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2 / size, (boxes[:, 2:] - boxes[:, :2]) / size
    text = "".join("0 " + " ".join(f"{value:.6f}" for value in row) + "\n" for row in np.hstack([centre, sides]))
    (folder / "labels" / split / f"{number:07}.txt").write_text(text, encoding="utf-8")
    _write(folder / "images" / split / f"{number:07}.jpg", field.pixels)
    return len(boxes)


def _draw_crops(
    folder: Path, taxa: list[Taxon], margins: tuple[float, float], size: int, seed: int, job: tuple[int, str]
) -> int:
    number, split = job
    rng = pretraining_rng(seed, CLASSIFIER_FIELDS + number)
    chosen = rng.choice(len(taxa), min(TAXA_TOGETHER, len(taxa)), replace=False)
    # Light, stain and clutter of any scene; its own taxa are not used.
    _, style = random_scene(rng)
    counts = {taxa[index].name: int(rng.integers(1, 7)) for index in chosen}
    field = draw_field(rng, [taxa[index] for index in chosen], width=640, height=640, style=style, counts=counts)
    names = {taxon.name: f"taxon_{index:02}" for index, taxon in enumerate(taxa)}
    return sum(
        _write_crop(folder / split / (names[placed.kind] if placed.labelled else DEBRIS), number, field, index, crop)
        for index, (placed, crop) in enumerate(
            (placed, cut_crops(field.pixels, np.array([placed.box], np.float64), float(rng.uniform(*margins)), size)[0])
            for placed in field.objects
        )
    )


def _write_crop(folder: Path, number: int, field: Field, index: int, crop: Pixels) -> int:
    _write(folder / f"{number:07}_{field.objects[index].id:04}_{index:04}.png", crop)
    return 1


def _write(path: Path, pixels: Pixels) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]):
        raise OSError(28, "cannot write the picture; is the disk full?", str(path))
