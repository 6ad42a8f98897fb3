from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
import supervision as sv
from PIL import Image

from spore_yolo.inference import drawing
from spore_yolo.inference.drawing import marked, marked_jpeg
from spore_yolo.inference.slides import ArraySlide


def found(boxes: Sequence[Sequence[float]]) -> sv.Detections:
    return sv.Detections(
        xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        confidence=np.full(len(boxes), 0.9),
        class_id=np.zeros(len(boxes), dtype=int),
        data={"class_name": np.array(["rust"] * len(boxes))},
    )


def white(width: int, height: int) -> ArraySlide:
    return ArraySlide(np.full((height, width, 3), 255, dtype=np.uint8))


def test_a_frame_goes_round_the_spore_and_leaves_it_free() -> None:
    slide = white(400, 300)
    scene = marked(slide, found([[100, 100, 140, 130]] * 61))  # without text
    changed = (scene != 255).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (columns[0], rows[0]) == (99, 99)
    assert abs(int(columns[-1]) - 141) <= 1 and abs(int(rows[-1]) - 131) <= 1
    assert not changed[102:129, 102:139].any()
    assert (slide.read((0, 0, 400, 300)) == 255).all()


def test_few_detections_have_their_class_and_score() -> None:
    plain = (marked(white(400, 300), found([[100, 100, 140, 130]] * 61)) != 255).any(axis=2)
    with_text = (marked(white(400, 300), found([[100, 100, 140, 130]])) != 255).any(axis=2)
    assert with_text[:98].sum() > 100 > plain[:98].sum()


def test_a_large_slide_is_reduced_and_boxes_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MAX_SIDE", 200)
    scene = marked(white(800, 600), found([[400, 200, 480, 280]] * 61))
    assert scene.shape == (150, 200, 3)
    changed = (scene != 255).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    np.testing.assert_allclose([columns[0], rows[0], columns[-1], rows[-1]], [99, 49, 121, 71], atol=1)


def test_a_slide_without_detections_stays_as_it_is() -> None:
    assert (marked(white(40, 30), found([])) == 255).all()


def test_colours_stay_what_they_are() -> None:
    pixels = np.zeros((30, 40, 3), dtype=np.uint8)
    pixels[:] = (200, 100, 20)
    with Image.open(io.BytesIO(marked_jpeg(ArraySlide(pixels), found([])))) as picture:
        np.testing.assert_allclose(np.asarray(picture)[15, 20], (200, 100, 20), atol=4)
