"""Burnt-in scale bars and text are found, and what nature and chambers show is not taken for them."""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from spore_yolo.dataset.markings import find_markings

Pixels = npt.NDArray[np.uint8]

COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def ground() -> Pixels:
    """A noisy field with dark, blurred discs."""
    rng = np.random.default_rng(0)
    pixels = np.full((300, 400, 3), (186, 178, 160), dtype=np.uint8)
    for x, y in rng.integers(20, (380, 180), (12, 2)):
        cv2.circle(pixels, (int(x), int(y)), 12, (60, 45, 30), -1)
    noisy = cv2.GaussianBlur(pixels, (0, 0), 1.5) + rng.normal(0, 3, pixels.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def covered(markings: list[tuple[float, float, float, float]], box: tuple[int, int, int, int]) -> float:
    """The share of a box's width that a marking at the same height covers."""
    same = [m for m in markings if m[1] < box[3] and m[3] > box[1]]
    return max((min(m[2], box[2]) - max(m[0], box[0]) for m in same), default=0) / (box[2] - box[0])


def test_nothing_on_a_clean_field() -> None:
    assert find_markings(ground()) == []


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ticks", [False, True], ids=["plain", "with ticks"])
@pytest.mark.parametrize("quality", [None, 90], ids=["png", "jpeg"])
def test_scale_bar(colour: str, ticks: bool, quality: int | None) -> None:
    pixels = ground()
    pixels[270:275, 280:360] = COLOURS[colour]
    if ticks:
        pixels[262:283, 280:282] = pixels[262:283, 358:360] = COLOURS[colour]
    (bar,) = find_markings(pixels if quality is None else as_jpeg(pixels, quality))
    expected = (280, 262, 360, 283) if ticks else (280, 270, 360, 275)
    assert np.abs(np.subtract(bar, expected)).max() <= 2


def test_upright_scale_bar() -> None:
    pixels = ground()
    pixels[210:280, 20:26] = 0
    assert find_markings(pixels) == [(20, 210, 26, 280)]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("text", "quality"), [("50 um", None), ("2019-06-11 14:02", None), ("2019-06-11 14:02", 92), ("x400", None)]
)
def test_text_of_opencv(colour: str, quality: int | None, text: str) -> None:
    pixels = ground()
    cv2.putText(pixels, text, (60, 280), cv2.FONT_HERSHEY_SIMPLEX, 0.9, COLOURS[colour], 2)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 2)
    found = find_markings(pixels if quality is None else as_jpeg(pixels, quality))
    assert covered(found, (60, 280 - height, 60 + width, 280)) > 0.7


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("size", [16, 24, 40])
def test_text_of_a_font(colour: str, size: int) -> None:
    image = Image.fromarray(ground())
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    draw.text((30, 240), "100 µm", fill=COLOURS[colour], font=font)
    box = draw.textbbox((30, 240), "100 µm", font=font)
    assert covered(find_markings(np.asarray(image)), (int(box[0]), int(box[1]), int(box[2]), int(box[3]))) > 0.7


def test_lines_of_a_counting_chamber_are_no_scale_bars() -> None:
    pixels = ground()
    for y in (40, 120, 200, 280):
        pixels[y : y + 3, 10:130] = pixels[y : y + 3, 140:390] = 0
    assert find_markings(pixels) == []


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda pixels: pixels.__setitem__(slice(0, 20), 0), id="black frame"),
        pytest.param(lambda pixels: pixels.__setitem__(slice(None), 255), id="burnt-out ground"),
        pytest.param(lambda pixels: pixels.__setitem__((slice(270, 275), slice(280, 290)), 0), id="a few pixels"),
        pytest.param(lambda pixels: cv2.line(pixels, (250, 250), (350, 280), (0, 0, 0), 3), id="slanting hair"),
        pytest.param(
            lambda pixels: [cv2.circle(pixels, (40 * k, 270), 10, (255, 255, 255), -1) for k in range(1, 9)],
            id="row of bubbles",
        ),
        pytest.param(
            lambda pixels: pixels.__setitem__(
                slice(None),
                np.clip(pixels - 250.0 * np.exp(-(((np.arange(300) - 270) / 8.0) ** 2))[:, None, None], 0, 255),
            ),
            id="blurred fibre across the field",
        ),
    ],
)
def test_what_is_no_marking(draw: object) -> None:
    assert callable(draw)
    pixels = ground()
    draw(pixels)
    assert find_markings(pixels) == []
