"""Puts spores and debris on one field and photographs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.dataset.sample.clutter import draw_debris
from spore_yolo.dataset.sample.optics import Colours, Drawn, draw_spore
from spore_yolo.dataset.sample.shapes import resized
from spore_yolo.dataset.sample.styles import Style, empty_ground
from spore_yolo.dataset.sample.taxa import Taxon

CLUMP, DEBRIS, SPORE = 1, 2, 3  # what lies on a pixel, 0 for nothing

STRIP = 32  # rows that are photographed at a time, so that they stay in the processor's cache

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """Something that lies on a field.

    Attributes:
        id: Its number on the field, from 1; spores come first.
        kind: Its taxon, or the kind of debris.
        labelled: Whether it is a spore, which people label.
        box: ``x_min, y_min, x_max, y_max`` round its visible body, in whole pixels, max exclusive.
        length: Length along its axis in pixels.
        width: Greatest width across it in pixels.
        area: Visible pixels.
        focus: Distance from the focal plane in um; the sign says on which side.
        touches_clump: Whether it touches a soil clump.
    """

    id: int
    kind: str
    labelled: bool
    box: tuple[int, int, int, int]
    length: float
    width: float
    area: int
    focus: float
    touches_clump: bool


@dataclass
class Field:
    """A drawn field and the truth about it.

    Attributes:
        pixels: Shape ``(height, width, 3)``, RGB, 8 bit.
        objects: Everything on it, spores first.
        labels: Shape ``(height, width)``; the id of the spore that covers a pixel, 0 elsewhere; debris is not in it.
    """

    pixels: npt.NDArray[np.uint8]
    objects: list[Placed]
    labels: npt.NDArray[np.uint16]

    @property
    def spores(self) -> list[Placed]:
        """The labelled objects."""
        return [placed for placed in self.objects if placed.labelled]

    def mask(self, spore: Placed) -> Mask:
        """Where a spore is, shape ``(height, width)``; what another spore covers is left out."""
        return np.asarray(self.labels == spore.id)


def draw_field(
    rng: np.random.Generator,
    taxa: Sequence[Taxon],
    *,
    width: int = 2028,
    height: int = 1520,
    style: Style | None = None,
    counts: Mapping[str, int] | None = None,
    touching: Mapping[str, float] | None = None,
) -> Field:
    """Draws one microscope field.

    Args:
        rng: Random numbers; the same state draws the same field.
        taxa: What may lie on it.
        width: Pixels across.
        height: Pixels down.
        style: Light, stain, camera and clutter; a plain air-sampler field if not given.
        counts: Spores of each taxon; without it, numbers follow ``style.density``, and one taxon outnumbers the others.
            Where there is no room left, fewer are placed.
        touching: By taxon, the chance that a spore is laid against a soil clump, where the field has one.
    """
    style = style or Style()
    canvas = _Canvas(empty_ground(rng, style, width, height), style)
    for kind, mean in style.clutter.items():
        for _ in range(rng.poisson(mean * width * height / 1e6)):
            piece = draw_debris(rng, kind, scale=style.scale, sharpness=style.sharpness)
            canvas.place(rng, piece, kind, CLUMP if kind == "soil" else DEBRIS)
    counts = _random_counts(rng, taxa, style.density * width * height / 1e6) if counts is None else counts
    # The largest first, since they need the most room.
    for taxon in sorted(taxa, key=lambda taxon: -taxon.length):
        for _ in range(counts.get(taxon.name, 0)):
            focus = float(rng.normal(0, style.focus_spread))
            spore = draw_spore(rng, taxon, scale=style.scale, focus=focus, sharpness=style.sharpness)
            leaning = rng.random() < (touching or {}).get(taxon.name, 0.0)
            canvas.place(rng, spore, taxon.name, SPORE, leaning=leaning)
    return canvas.photograph(rng)


def _random_counts(rng: np.random.Generator, taxa: Sequence[Taxon], mean: float) -> dict[str, int]:
    shares = 0.4 ** np.arange(len(taxa))
    return {
        taxon.name: int(number) for taxon, number in zip(taxa, rng.poisson(mean * shares / shares.sum()), strict=True)
    }


class _Canvas:
    """A field in the making."""

    def __init__(self, ground: Colours, style: Style) -> None:
        self.light = ground
        self.style = style
        self.height, self.width = ground.shape[:2]
        self.taken = np.zeros((self.height, self.width), np.uint8)
        self.labels = np.zeros((self.height, self.width), np.uint16)
        self.spores: list[Placed] = []
        self.debris: list[Placed] = []
        self.rims: Points | None = None

    def place(self, rng: np.random.Generator, drawn: Drawn, kind: str, layer: int, *, leaning: bool = False) -> None:
        """Lays an object where there is room for it; drops it if sixty tries find none."""
        for attempt in range(60):
            centre = self._beside_a_clump(rng, drawn) if leaning and attempt < 20 else None
            if centre is None:
                centre = (float(rng.uniform(0, self.width)), float(rng.uniform(0, self.height)))
            if self._lay(drawn, centre, kind, layer):
                return

    def _lay(self, drawn: Drawn, centre: tuple[float, float], kind: str, layer: int) -> bool:
        high, wide = drawn.mask.shape
        left, top = round(centre[0] - wide / 2), round(centre[1] - high / 2)
        x_0, y_0, x_1, y_1 = max(0, left), max(0, top), min(self.width, left + wide), min(self.height, top + high)
        if x_0 >= x_1 or y_0 >= y_1:
            return False
        on_field = np.s_[y_0:y_1, x_0:x_1]
        on_patch = np.s_[y_0 - top : y_1 - top, x_0 - left : x_1 - left]
        mask = drawn.mask[on_patch]
        area = int(mask.sum())
        below = self.taken[on_field][mask]
        cut_off = area < 0.6 * drawn.mask.sum() and layer != CLUMP
        if cut_off or area < 12:
            return False
        if layer == SPORE:
            crowded = (below == SPORE).mean() > self.style.overlap or (below == DEBRIS).mean() > 0.1
            if crowded or (below == CLUMP).mean() > 0.22:
                return False
        elif layer == DEBRIS and (below == DEBRIS).mean() > 0.3:
            return False
        light = drawn.light[on_patch]
        contrast = np.float32(self.style.contrast)
        self.light[on_field] *= np.maximum(1 + contrast * (light - 1), 0.02)
        box = _box(mask, x_0, y_0)
        near = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
        touches = layer != CLUMP and bool((self.taken[on_field][near] == CLUMP).any())
        is_spore = layer == SPORE
        number = (len(self.spores) if is_spore else len(self.debris)) + 1
        placed = Placed(number, kind, is_spore, box, drawn.length, drawn.width, area, drawn.focus, touches)
        (self.spores if is_spore else self.debris).append(placed)
        self.taken[on_field][mask] = np.maximum(below, layer) if layer != CLUMP else CLUMP
        if is_spore:
            self.labels[on_field][mask] = number
        return True

    def _beside_a_clump(self, rng: np.random.Generator, drawn: Drawn) -> tuple[float, float] | None:
        """A centre that puts an object against the outline of a clump, ``None`` where there is no clump."""
        if self.rims is None:
            small = cv2.resize(self.taken, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_NEAREST)
            clumps = np.asarray(small == CLUMP, np.uint8)
            outlines = cv2.findContours(clumps, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
            long = [outline[:, 0, :] for outline in outlines if len(outline) > 40]
            self.rims = np.concatenate(long).astype(np.float64) * 4 if long else np.zeros((0, 2))
        if not len(self.rims):
            return None
        place = self.rims[rng.integers(len(self.rims))]
        away = rng.uniform(0, 2 * math.pi)
        reach = rng.uniform(0.3, 0.55) * drawn.width + rng.uniform(0, 0.2) * drawn.length
        return float(place[0] + reach * math.cos(away)), float(place[1] + reach * math.sin(away))

    def photograph(self, rng: np.random.Generator) -> Field:
        """Adds the sensor's noise and white balance, and rounds to 8 bits."""
        # Interpolated colour filters make noise coarser than a pixel, and little of it coloured.
        grey = rng.standard_normal((self.height, self.width), dtype=np.float32)
        grey = cv2.GaussianBlur(grey, (3, 3), 0.6) * np.float32(1.5 * self.style.noise)
        third = (self.height // 3 + 1, self.width // 3 + 1, 3)
        colour = rng.standard_normal(third, dtype=np.float32) * np.float32(0.45 * self.style.noise)
        colour = resized(colour, (self.width, self.height), cv2.INTER_LINEAR)
        tint = np.asarray(self.style.tint, np.float32)
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        for top in range(0, self.height, STRIP):
            rows = np.s_[top : top + STRIP]
            light = self.light[rows] * tint
            # Shot noise grows with the root of the light.
            shot = np.sqrt(np.clip(light[:, :, 1:2], 4, 255) / 200)
            light += (colour[rows] + grey[rows, :, None]) * shot
            pixels[rows] = np.clip(light + 0.5, 0, 255)
        first = len(self.spores)
        debris = [replace(piece, id=first + piece.id) for piece in self.debris]
        return Field(pixels, self.spores + debris, self.labels)


def _box(mask: Mask, left: int, top: int) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(left + columns[0]), int(top + rows[0]), int(left + columns[-1] + 1), int(top + rows[-1] + 1)
