"""The benchmark's slides and figures, against what can be seen with the eye."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COORDINATES = ["x_min", "y_min", "x_max", "y_max"]


@pytest.fixture(scope="module", autouse=True)
def _reach():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def labels(*boxes, ignored=()):
    table = pd.DataFrame([*boxes, *ignored], columns=COORDINATES, dtype=float)
    return table.assign(**{"class": "a", "ignored": [False] * len(boxes) + [True] * len(ignored)})


def painted(mark: int):
    """A field of 60 x 40 px whose two boxes are filled with colours that no other field has."""
    from slides_made import Field

    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[3:9, 5:15] = mark
    pixels[30:40, 50:60] = mark + 1
    return Field(pixels, labels((5, 3, 15, 9), (50, 30, 60, 40)))


def test_every_label_of_a_made_slide_lies_on_its_spore_and_no_spore_lacks_one():
    from slides_made import Mosaic

    mosaic = Mosaic([painted(10), painted(20), painted(30)], 1000, 700, seed=3)
    pixels, boxes = mosaic.rows(0, 700), mosaic.boxes()
    seen = np.zeros((700, 1000), dtype=bool)
    for x_min, y_min, x_max, y_max in boxes[COORDINATES].astype(int).itertuples(index=False):
        inside = pixels[y_min:y_max, x_min:x_max]
        assert inside.min() > 0
        assert len(np.unique(inside)) == 1
        seen[y_min:y_max, x_min:x_max] = True
    missed = (pixels[..., 0] > 0) & ~seen
    assert not missed[: 700 - 10, : 1000 - 10].any()  # only at the border may less than half be left
    assert len(np.unique(mosaic.layout().reshape(-1, 2), axis=0)) == 12


def test_rows_are_the_same_however_they_are_asked_for():
    from slides_made import Mosaic

    mosaic = Mosaic([painted(10), painted(20)], 333, 250, seed=0)
    parts = [mosaic.rows(top, min(250, top + 64)) for top in range(0, 250, 64)]
    assert (np.concatenate(parts) == mosaic.rows(0, 250)).all()


def test_a_written_slide_is_the_mosaic_and_its_levels_are_smaller(tmp_path):
    from slides_made import Mosaic, _write

    mosaic = Mosaic([painted(10), painted(20)], 4500, 1030, seed=0)
    _write(mosaic, tmp_path / "slide.tif", "deflate", 256)
    with tifffile.TiffFile(tmp_path / "slide.tif") as file:
        assert file.is_bigtiff
        assert [page.shape[:2] for page in file.pages] == [(1030, 4500), (257, 1125)]
        assert all(page.is_tiled for page in file.pages)
        assert (file.pages[0].asarray() == mosaic.rows(0, 1030)).all()
        blocks = mosaic.rows(0, 1028).reshape(257, 4, 1125, 4, 3).mean(axis=(1, 3))
        assert np.abs(file.pages[1].asarray() - blocks).max() <= 0.51


def test_a_double_is_an_unmatched_detection_on_a_label_that_another_one_has():
    from slides_scoring import Found, Windows, quality

    windows = Windows([(0, 100), (80, 180)], [(0, 100)])
    found = Found(
        np.array(
            [
                (82, 10, 96, 30),  # has the first label, in the overlap of the two tiles
                (83, 11, 96, 30),  # its double there
                (20, 50, 40, 70),  # has the second label, deep in one tile
                (21, 50, 41, 70),  # its double there
                (140, 50, 160, 70),  # a false alarm on nothing
                (55, 80, 65, 90),  # lies on an ignored box and counts in nothing
            ],
            dtype=float,
        ),
        np.array([0.9, 0.8, 0.9, 0.3, 0.5, 0.5]),
        np.array(["a"] * 6),
    )
    truth = labels((82, 10, 96, 30), (20, 50, 40, 70), (150, 5, 160, 15), ignored=[(50, 75, 70, 95)])
    figures = quality(found, truth, windows)
    assert (figures["doubles"], figures["doubles_at_borders"]) == (2, 1)
    assert figures["recall"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["precision"] == pytest.approx(2 / 5, abs=1e-4)


def test_another_class_in_the_same_place_is_no_double():
    from slides_scoring import Found, Windows, quality

    found = Found(np.array([(0, 0, 10, 10)] * 2, dtype=float), np.array([0.9, 0.8]), np.array(["a", "b"]))
    figures = quality(found, labels((0, 0, 10, 10)), Windows([(0, 100)], [(0, 100)]))
    assert (figures["doubles"], figures["recall"], figures["precision"]) == (0, 1.0, 0.5)
