"""What ``spore-yolo predict`` makes of one slide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.files.images import ImageSize
from spore_yolo.inference.contact_sheet import BestScores, Crop, cut, windows_round
from spore_yolo.inference.drawing import marked_jpeg
from spore_yolo.inference.measuring import Measurement, measure
from spore_yolo.inference.windows import read_windows
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction.looking import candidates_table
from spore_yolo.prediction.parts import FileMark, SlidePart
from spore_yolo.prediction.scale import scale_of

if TYPE_CHECKING:
    from spore_yolo.inference.manifest import OperatingPoint
    from spore_yolo.inference.pair import Pair
    from spore_yolo.inference.slides import Slide

REACH = 2
"""Pixels around a crop's window that are read, too; no outline is looked for beyond them."""


@dataclass(frozen=True)
class SlideLooker:
    """Looks at slides one by one.

    Attributes:
        pair: The pair that looks.
        point: The operating point.
        um_per_px: The scale stated for all slides.
        resample: Whether a slide of another scale than the pair's is brought to that.
        batch: Tiles a forward pass; ``None`` leaves it to the backend.
        skip_empty: Whether tiles on which nothing lies are left out.
        images: Whether marked slides and contact sheets are wanted.
        places: The place of each slide among all.
        best: The detections that may come on a contact sheet, of the slides that are done.
        computed_by: What computes here, see :func:`spore_yolo.prediction.deciding.computed_by`.
    """

    pair: Pair
    point: OperatingPoint
    um_per_px: float | None
    resample: bool
    batch: int | None
    skip_empty: bool
    images: bool
    places: Mapping[str, int]
    best: BestScores
    computed_by: Mapping[str, Any]

    def look(
        self, name: str, slide: Slide, file: FileMark, progress: Callable[[float], None] | None = None
    ) -> tuple[SlidePart, bytes | None]:
        """What was found on a slide, and the marked slide as JPEG.

        Args:
            name: What tables call the slide.
            slide: Opened.
            file: Its file as it was before it was opened.
            progress: Is told how many more pixels of the slide were looked at.

        Raises:
            SporeYoloError: The slide cannot be read.
        """
        scale = scale_of(self.um_per_px, slide.um_per_px, self.pair.manifest.um_per_px)
        candidates = self.pair.candidates(
            slide,
            um_per_px=scale.of_slide,
            resample=self.resample,
            batch=self.batch,
            progress=progress,
            skip_empty=self.skip_empty,
        )
        detections = self.pair.detections(candidates, self.point)
        table = candidates_table(name, detections)
        sizes, crops = self._seen(name, slide, table, scale.um_per_px)
        oversized = np.asarray(candidates.data["oversized"], dtype=bool)
        visible = np.asarray(candidates.data["detector_score"]) >= self.point.detector
        part = SlidePart(
            slide=name,
            file=file,
            size=ImageSize(slide.width, slide.height),
            scale=scale,
            resampled=float(candidates.metadata["resampled"]) != 1,
            skipped_tiles=int(candidates.metadata["skipped_tiles"]),
            capped=bool(candidates.metadata["capped_tiles"]),
            oversized=bool((oversized & visible).any()),
            candidates=candidates_table(name, candidates),
            detections=table if scale.um_per_px is None else _measured(table, sizes, scale.um_per_px),
            crops=crops,
            computed_by=self.computed_by,
        )
        return part, marked_jpeg(slide, detections) if self.images else None

    def _seen(
        self, name: str, slide: Slide, table: pd.DataFrame, um_per_px: float | None
    ) -> tuple[list[Measurement], list[Crop]]:
        """What needs the pixels round the detections: their sizes, if the scale is known, and the crops."""
        boxes = table[COORDINATES].to_numpy(dtype=np.float64)
        classes, scores = table["class"].tolist(), table["score"].to_numpy(dtype=np.float64)
        shown = np.zeros(len(boxes), dtype=bool)
        if self.images:
            shown = self.best.can_be_shown(self.places[name], classes, scores)
        rows: npt.NDArray[np.int64] = np.flatnonzero(shown | (um_per_px is not None))
        sizes: dict[int, Measurement] = {}
        crops: dict[int, Crop] = {}
        if len(rows) == 0:
            return [], []
        windows = windows_round(boxes[rows]) + REACH * np.array([-1, -1, 1, 1])
        for numbers, pixels, corner in read_windows(slide, windows):
            for row in rows[numbers].tolist():
                if um_per_px is not None:
                    sizes[row] = measure(pixels, boxes[row] - np.tile(corner, 2))
                if shown[row]:
                    crops[row] = cut(pixels, corner, boxes[row], classes[row], float(scores[row]))
        return [sizes[row] for row in sorted(sizes)], [crops[row] for row in sorted(crops)]


def _measured(table: pd.DataFrame, sizes: list[Measurement], um_per_px: float) -> pd.DataFrame:
    """The detections of one slide with the columns :data:`spore_yolo.labels.writers.candidates.MEASURE_COLUMNS`."""
    return table.assign(
        length_um=[size.length_px * um_per_px for size in sizes],
        width_um=[size.width_px * um_per_px for size in sizes],
        area_um2=[size.area_px * um_per_px**2 for size in sizes],
        measured_by=[size.by for size in sizes],
    )
