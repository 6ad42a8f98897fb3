"""The figures of a dataset: how much there is of what, how large, how dense, where it lies, and in which groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.dataset.split import SPLITS
from spore_yolo.dataset.store import SPARE, Dataset
from spore_yolo.labels.matching import overlaps
from spore_yolo.labels.table import COORDINATES

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The shares of boxes, or slides, that :class:`Spread` has the values of."""

HEAT = (3, 12)
"""The fewest and the most fields along each side of the map of where boxes lie on the slide."""

PER_FIELD = 60
"""Boxes that a field of the map has on average; with fewer, chance would draw patterns."""

CROWDED = 0.1
"""IoU with another box from which on a box counts as one of a crowd; below, boxes merely touch at their corners."""


@dataclass(frozen=True)
class Spread:
    """How a number spreads: its least and largest value, and the values below which 5, 25, 50, 75 and 95 % lie."""

    least: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    largest: float


@dataclass(frozen=True)
class Part:
    """The figures of a split, or of all splits together; ignored boxes count as boxes only in ``empty``.

    Attributes:
        images, groups, sources, boxes: How many.
        empty: Images without a box, ignored ones included.
        per_image: Boxes an image.
        per_megapixel: Boxes a million pixels of an image.
        per_mm2: Boxes a square millimetre, of the images whose scale is known; ``None`` where none is.
        megapixels: Million pixels in all.
        mm2: Square millimetres of the images whose scale is known; ``None`` where none is.
    """

    images: int
    groups: int
    sources: int
    boxes: int
    empty: int
    per_image: Spread
    per_megapixel: Spread
    per_mm2: Spread | None
    megapixels: float
    mm2: float | None

    @property
    def empty_share(self) -> float:
        """The share of images without a box."""
        return self.empty / self.images


@dataclass(frozen=True)
class ClassFigures:
    """The figures of a class, ignored boxes left out.

    Attributes:
        name: Its name.
        boxes, groups, slides: How many boxes there are in each split, and how many groups and slides that have one.
        longer_px, shorter_px: The longer and the shorter side of its boxes in pixels; ``None`` without boxes.
        longer_um, shorter_um: The same in micrometres, of the boxes whose scale is known; ``None`` where none is.
        aspect: The longer side by the shorter one.
        crowded: Share of its boxes that another box overlaps with an IoU of :data:`CROWDED`.
        ignored: Boxes of it that are ignored.
    """

    name: str
    boxes: dict[str, int]
    groups: dict[str, int]
    slides: dict[str, int]
    longer_px: Spread | None
    shorter_px: Spread | None
    longer_um: Spread | None
    shorter_um: Spread | None
    aspect: Spread | None
    crowded: float | None
    ignored: int

    @property
    def total(self) -> int:
        """Boxes in all splits."""
        return sum(self.boxes.values())


@dataclass(frozen=True)
class GroupFigures:
    """The figures of a group: its split, its images, and its boxes of each class that it has."""

    name: str
    split: str
    images: int
    boxes: dict[str, int]

    @property
    def total(self) -> int:
        """Boxes of all classes."""
        return sum(self.boxes.values())


@dataclass(frozen=True)
class Statistics:
    """The figures of a dataset. Variants that no split holds are only counted.

    Attributes:
        whole: Of all splits together.
        splits: Of each split.
        classes: Of each class, in the order of the dataset.
        groups: Of each group, that with the most boxes first.
        imbalance: Boxes of the commonest class per box of the rarest that has any; ``None`` with fewer than two.
        crowded: Share of boxes that another one overlaps with an IoU of :data:`CROWDED`; ``None`` without boxes.
        touching: Share of boxes that another one touches or overlaps at all; ``None`` without boxes.
        ignored: Ignored boxes.
        spare: Images that are variants which no split holds.
        variants: How many sources have 1, 2, ... images, spare ones included.
        scaled: Images whose scale is known.
        um_per_px: The smallest and the largest scale, in micrometres a pixel; ``None`` where none is known.
        heat: Share of boxes whose centre lies in each field of the slide, rows from above, each from the left.
    """

    whole: Part
    splits: dict[str, Part]
    classes: list[ClassFigures]
    groups: list[GroupFigures]
    imbalance: float | None
    crowded: float | None
    touching: float | None
    ignored: int
    spare: int
    variants: dict[int, int]
    scaled: int
    um_per_px: tuple[float, float] | None
    heat: list[list[float]]

    def content(self) -> dict[str, Any]:
        """All of it as plain lists, names and numbers."""
        return asdict(self)


def statistics_of(dataset: Dataset) -> Statistics:
    """Counts and measures what a dataset holds."""
    images = dataset.images[dataset.images["split"].isin(SPLITS)].reset_index(drop=True)
    names = [split for split in SPLITS if (images["split"] == split).any()]
    everything = _measured(dataset, images)
    boxes = everything[~everything["ignored"]]
    images = images.assign(
        labelled=images["image"].map(boxes["image"].value_counts()).fillna(0).astype("int64"),
        empty=~images["image"].isin(everything["image"]),
    )
    classes = [_class_figures(name, everything[everything["class"] == name], names) for name in dataset.classes]
    present = [figures.total for figures in classes if figures.total]
    scale = images["um_per_px"].dropna()
    sources = dataset.images["source"].value_counts().value_counts()
    return Statistics(
        whole=_part(images),
        splits={name: _part(images[images["split"] == name]) for name in names},
        classes=classes,
        groups=_groups(images, boxes),
        imbalance=max(present) / min(present) if len(present) > 1 else None,
        crowded=_share(boxes["iou"] >= CROWDED),
        touching=_share(boxes["iou"] > 0),
        ignored=int(everything["ignored"].sum()),
        spare=int((dataset.images["split"] == SPARE).sum()),
        variants={int(count): int(number) for count, number in sources.sort_index().items()},
        scaled=len(scale),
        um_per_px=(float(scale.min()), float(scale.max())) if len(scale) else None,
        heat=_heat(boxes),
    )


def spread(values: Sequence[float] | npt.NDArray[np.float64] | pd.Series) -> Spread | None:
    """How numbers spread, those that are not known left out; ``None`` where none is known."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return Spread(*(float(value) for value in np.quantile(known, QUANTILES))) if len(known) else None


def _measured(dataset: Dataset, images: pd.DataFrame) -> pd.DataFrame:
    """The boxes of the images, ignored ones too, with their image's columns and what is measured of each."""
    boxes = dataset.boxes.merge(images, on="image")
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
    extent = corners[:, 2:] - corners[:, :2]
    longer, shorter = extent.max(axis=1), extent.min(axis=1)
    scale = boxes["um_per_px"].to_numpy(dtype=np.float64)
    sides = boxes[["width", "height"]].to_numpy(dtype=np.float64)
    centre = (corners[:, :2] + corners[:, 2:]) / 2 / sides
    return boxes.assign(
        longer_px=longer,
        shorter_px=shorter,
        longer_um=longer * scale,
        shorter_um=shorter * scale,
        aspect=longer / shorter,
        iou=_best_iou(boxes, corners),
        across=centre[:, 0],
        down=centre[:, 1],
    )


def _best_iou(boxes: pd.DataFrame, corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The IoU of each box with the other box of its image that it overlaps most; 0 where there is none."""
    slide = boxes.groupby("image").ngroup().to_numpy(dtype=np.int64)
    pairs = overlaps(corners, corners, (slide, slide))
    best = np.zeros(len(boxes))
    other = pairs.first != pairs.second
    np.maximum.at(best, pairs.first[other], pairs.iou[other])
    return best


def _part(images: pd.DataFrame) -> Part:
    pixels = (images["width"] * images["height"]).to_numpy(dtype=np.float64)
    area = pixels * images["um_per_px"].to_numpy(dtype=np.float64) ** 2 / 1e6
    labelled = images["labelled"].to_numpy(dtype=np.float64)
    per_image, per_megapixel = spread(labelled), spread(labelled / pixels * 1e6)
    assert per_image is not None
    assert per_megapixel is not None
    return Part(
        images=len(images),
        groups=int(images["group"].nunique()),
        sources=int(images["source"].nunique()),
        boxes=int(images["labelled"].sum()),
        empty=int(images["empty"].sum()),
        per_image=per_image,
        per_megapixel=per_megapixel,
        per_mm2=spread(labelled / area),
        megapixels=float(pixels.sum() / 1e6),
        mm2=None if np.isnan(area).all() else float(np.nansum(area)),
    )


def _class_figures(name: str, everything: pd.DataFrame, splits: Sequence[str]) -> ClassFigures:
    boxes = everything[~everything["ignored"]]
    of_split = {split: boxes[boxes["split"] == split] for split in splits}
    return ClassFigures(
        name=name,
        boxes={split: len(part) for split, part in of_split.items()},
        groups={split: int(part["group"].nunique()) for split, part in of_split.items()},
        slides={split: int(part["image"].nunique()) for split, part in of_split.items()},
        longer_px=spread(boxes["longer_px"]),
        shorter_px=spread(boxes["shorter_px"]),
        longer_um=spread(boxes["longer_um"]),
        shorter_um=spread(boxes["shorter_um"]),
        aspect=spread(boxes["aspect"]),
        crowded=_share(boxes["iou"] >= CROWDED),
        ignored=int(everything["ignored"].sum()),
    )


def _groups(images: pd.DataFrame, boxes: pd.DataFrame) -> list[GroupFigures]:
    counts: dict[str, dict[str, int]] = {}
    for (group, name), number in boxes.groupby(["group", "class"]).size().items():
        counts.setdefault(group, {})[name] = int(number)
    figures = [
        GroupFigures(str(group), str(part["split"].iloc[0]), len(part), counts.get(str(group), {}))
        for group, part in images.groupby("group")
    ]
    return sorted(figures, key=lambda group: (-group.total, group.name))


def _share(which: pd.Series) -> float | None:
    return float(which.mean()) if len(which) else None


def _heat(boxes: pd.DataFrame) -> list[list[float]]:
    side = int(np.clip((len(boxes) / PER_FIELD) ** 0.5, *HEAT))
    fields, _, _ = np.histogram2d(boxes["down"], boxes["across"], bins=side, range=[[0, 1], [0, 1]])
    return [[float(share) for share in row] for row in fields / max(1, len(boxes))]
