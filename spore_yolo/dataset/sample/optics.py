"""What light does with a body: it is taken away by colour and thickness, bent at rims, and blurred out of focus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spore_yolo.dataset.sample.shapes import Body, Plane, blurred, cloud, spore_body
from spore_yolo.dataset.sample.taxa import Taxon

Colours = npt.NDArray[np.float32]

DEPTH_OF_FIELD_UM = 2.0
"""Distance from the focal plane at which the blur is 1.4 times that in focus."""


SEEN = 0.35
"""A pixel belongs to the visible body if this share of its blurred light comes from it; people box no less."""


@dataclass
class Drawn:
    """Something ready to be laid on a field.

    Attributes:
        light: Shape ``(height, width, 3)``; the share of the light that it lets through, above 1 where it focuses it.
        mask: Shape ``(height, width)``, bool; its visible body.
        length: Length along the axis in pixels.
        width: Greatest width across it.
        focus: Distance from the focal plane in um.
    """

    light: Colours
    mask: npt.NDArray[np.bool_]
    length: float
    width: float
    focus: float


def blur_of(focus: float, sharpness: float) -> float:
    """Standard deviation of the blur in pixels, from the distance to the focal plane in um."""
    return sharpness * float(np.hypot(1, focus / DEPTH_OF_FIELD_UM))


def expose(absorbed: Colours, bent: Plane, coverage: Plane, body: Body, focus: float, blur: float) -> Drawn:
    """Turns absorbance and refraction into light, blurs it, and takes for the body what still looks covered."""
    light = np.exp(-absorbed) * (1 + bent)[:, :, None]
    return Drawn(blurred(light, blur), blurred(coverage, blur) > SEEN, body.length, body.width, focus)


def draw_spore(rng: np.random.Generator, taxon: Taxon, *, scale: float, focus: float, sharpness: float) -> Drawn:
    """Draws one individual on its own patch.

    Args:
        rng: Random numbers.
        taxon: What to draw.
        scale: Magnification; 1 draws ``taxon.length`` pixels.
        focus: Distance from the focal plane in um; its sign decides on which side of a rim the bright fringe lies.
        sharpness: Blur in focus, in pixels.
    """
    blur = blur_of(focus, sharpness)
    body = spore_body(rng, taxon, scale, margin=4 + 3 * blur)
    depth = body.depth
    coverage = np.clip(depth + 0.5, 0, 1)
    radius = max(1.0, float(depth.max()))
    thick = np.sqrt(np.clip(1 - (1 - np.clip(depth / radius, 0, 1)) ** 2, 0, 1))
    wall = coverage * np.exp(-np.square(np.maximum(0, depth - taxon.wall * scale * 0.5) / (taxon.wall * scale * 0.6)))
    grain = cloud(rng, depth.shape, max(2.5, radius * 0.7), 3, 0.75)
    shade = taxon.density * float(np.exp(rng.normal(0, 0.16)))
    inside = coverage * (0.3 + 0.7 * thick) * np.maximum(0.1, 1 + taxon.texture * grain)
    if taxon.pallor:
        inside *= 1 - taxon.pallor * np.clip((thick - 0.55) / 0.45, 0, 1) ** 1.5
    absorbed = shade * inside + taxon.wall_density * (wall + 0.75 * body.septa * coverage)
    if taxon.nucleus:
        lobes = thick + 0.22 * cloud(rng, depth.shape, radius * 0.9)
        absorbed += taxon.nucleus * blurred((lobes > 0.8).astype(np.float32), 1.2) * coverage
    # A body denser than the medium is a lens: bright in its middle, and a fringe along the rim whose side depends on
    # which way it is out of focus (the Becke line).
    side = np.float32(np.tanh(focus / 2) + 0.55)
    lens = coverage * (thick**2 * 0.7 - 0.12)
    outer = np.exp(-np.square((depth + 1.6 * scale**0.5) / (1.3 + 0.4 * blur)))
    inner = np.exp(-np.square((depth - taxon.wall * scale - 1.5) / 1.6)) * coverage
    rim = np.exp(-np.square((depth - 0.3) / 0.9))
    bent = taxon.glass * (lens * 0.6 + side * 0.32 * outer + 0.25 * inner - 0.55 * rim)
    tint = np.asarray(taxon.colour, np.float32) * rng.normal(1, 0.045, 3).astype(np.float32)
    colours = absorbed[:, :, None] * tint
    return expose(colours, bent, coverage, body, focus, blur)
