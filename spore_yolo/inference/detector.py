"""Runs a YOLOv8 checkpoint over the tiles of a slide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spore_yolo.inference.merging import merge_tiles
from spore_yolo.inference.network import load_network
from spore_yolo.inference.tiling import GREY, Tile, TileGrid, overlap_for, rescale

CANDIDATE_SCORE = 0.01
"""The detector_score from which on a proposal is a candidate."""

STRIDE = 32

Pixels = npt.NDArray[np.uint8]
Found = npt.NDArray[np.float64]
"""What one tile gave: ``(n, 6)``, ``x_min, y_min, x_max, y_max`` in pixels of the model, score, class number."""


@dataclass(frozen=True)
class TilingSettings:
    """How a detector goes over a slide.

    Attributes:
        tile_size: Side of a tile in pixels of the model.
        scale: Pixels of the model per pixel of the slide.
        largest_box: Longest side of the largest spore, in pixels of the slide.
        nms_iou: IoU above which two boxes of one tile are one spore.
        max_detections_per_tile: Most candidates that one tile may give.
        batch: Tiles a forward pass.
    """

    tile_size: int
    scale: float
    largest_box: float
    nms_iou: float
    max_detections_per_tile: int
    batch: int = 4

    @property
    def tile_side(self) -> int:
        """Side of a tile in pixels of the slide."""
        return round(self.tile_size / self.scale)

    def grid(self, width: int, height: int) -> TileGrid:
        """The tiles of a slide of that size in pixels."""
        return TileGrid(width, height, self.tile_side, overlap_for(self.largest_box, self.scale))


@dataclass(frozen=True)
class Candidates:
    """What a detector proposes on one slide.

    Attributes:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide, by falling score.
        scores: ``(N,)``, detector_score.
        classes: ``(N,)``, class numbers.
        capped_tiles: Tiles that gave as many candidates as they may; more spores may lie there.
        oversized: For each candidate, whether it is larger than the largest spore that the tiles overlap for; at the
            edge of a tile it may be cut.
    """

    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    capped_tiles: int
    oversized: npt.NDArray[np.bool_]


class Detector:
    """A YOLOv8 detector, loaded once.

    Loading a checkpoint runs code in it: point it only at files that you trust.

    Args:
        checkpoint: The ``.pt`` file.
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

    Raises:
        SporeYoloError: The file is missing or is no detector.
    """

    def __init__(self, checkpoint: Path, device: str | None = None) -> None:
        self._network, self._device, self.names = load_network(checkpoint, "detect", device)

    def slide(self, pixels: Pixels, settings: TilingSettings) -> Candidates:
        """Detects on a whole slide, each spore once.

        Args:
            pixels: RGB array ``(height, width, 3)`` of the whole slide.
            settings: How to tile.
        """
        return self.slide_at(pixels, settings, [settings.nms_iou])[0]

    def slide_at(self, pixels: Pixels, settings: TilingSettings, nms_ious: Sequence[float]) -> list[Candidates]:
        """As :meth:`slide`, for several NMS thresholds at the price of one; ``settings.nms_iou`` is not used."""
        height, width = pixels.shape[:2]
        tiles = settings.grid(width, height).tiles
        found: list[list[Found]] = [[] for _ in nms_ious]
        for begin in range(0, len(tiles), settings.batch):
            windows = []
            for tile in tiles[begin : begin + settings.batch]:
                window = pixels[tile.y_min : tile.y_max, tile.x_min : tile.x_max]
                windows.append(window if settings.scale == 1 else rescale(window, settings.scale))
            batches = self._forward(windows, nms_ious, settings.max_detections_per_tile)
            for collected, batch in zip(found, batches, strict=True):
                collected += batch
        return [_join(parts, tiles, settings) for parts in found]

    def _forward(self, windows: Sequence[Pixels], nms_ious: Sequence[float], max_detections: int) -> list[list[Found]]:
        """One forward pass; for each NMS threshold, what each window gave."""
        import torch
        from ultralytics.utils.nms import non_max_suppression

        height = max(STRIDE * math.ceil(window.shape[0] / STRIDE) for window in windows)
        width = max(STRIDE * math.ceil(window.shape[1] / STRIDE) for window in windows)
        batch = np.full((len(windows), height, width, 3), GREY, dtype=np.uint8)
        for index, window in enumerate(windows):
            batch[index, : window.shape[0], : window.shape[1]] = window
        with torch.inference_mode():
            pixels = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).float() / 255
            output = self._network(pixels)
            raw = output[0] if isinstance(output, list | tuple) else output
            # NMS changes its input, so each threshold gets a copy. It gives up after a time limit with a warning and
            # leaves the rest of a batch empty; here it may take as long as it needs.
            return [
                [
                    np.asarray(window.cpu().numpy(), dtype=np.float64)
                    for window in non_max_suppression(
                        raw.clone(), CANDIDATE_SCORE, iou, max_det=max_detections, max_time_img=float("inf")
                    )
                ]
                for iou in nms_ious
            ]


def _join(found: Sequence[Found], tiles: Sequence[Tile], settings: TilingSettings) -> Candidates:
    """Brings what the tiles of a slide found into pixels of the slide, each spore once."""
    parts = []
    for boxes, tile in zip(found, tiles, strict=True):
        # A rescaled window has a whole number of pixels; take the factor that was really used, a side at a time.
        shown = np.array([tile.x_max - tile.x_min, tile.y_max - tile.y_min])
        factor = np.tile(shown / np.maximum(1, np.round(shown * settings.scale)), 2)
        placed = boxes.copy()
        placed[:, :4] = boxes[:, :4] * factor + np.tile([tile.x_min, tile.y_min], 2)
        placed[:, :4] = np.clip(placed[:, :4], np.tile(tile.window[:2], 2), np.tile(tile.window[2:], 2))
        parts.append(placed)
    tile_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    rows = np.concatenate(parts)
    whole = (rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])
    rows, tile_of = rows[whole], tile_of[whole]
    keep = merge_tiles(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), tile_of, tiles, settings.scale)
    rows = rows[keep]
    longest = (rows[:, 2:4] - rows[:, :2]).max(axis=1, initial=0)
    # A tenth of leeway covers the detector's own jitter; a slide of one tile has no borders.
    oversized = (longest > 1.1 * settings.largest_box) & (len(tiles) > 1)
    capped = sum(len(boxes) >= settings.max_detections_per_tile for boxes in found)
    return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), capped, oversized)
