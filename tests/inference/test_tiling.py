from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.tiling import BAND, JITTER, TileGrid, distance_to_core, overlap_for, rescale

CORE = (10.0, 20.0, 30.0, 40.0)


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    size = draw(st.integers(2, 60))
    return TileGrid(draw(st.integers(1, 200)), draw(st.integers(1, 200)), size, draw(st.integers(0, size - 1)))


@given(grids())
@settings(max_examples=60, deadline=None)
def test_tiles__every_pixel_has_one_owner(grid: TileGrid) -> None:
    x, y = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    owners = np.zeros(grid.height * grid.width, dtype=int)
    points = np.column_stack([x.ravel(), y.ravel()])
    if len(grid.tiles) <= 100:
        for tile in grid.tiles:
            owners += distance_to_core(points, tile.core) == 0
        assert (owners == 1).all()
        return
    # Thousands of tiles: those of one row or column share their edges, so look along each axis once.
    for axis, along in ((0, points[:, 0]), (1, points[:, 1])):
        cores = sorted({(tile.core[axis], tile.core[axis + 2]) for tile in grid.tiles})
        inside = np.array([(along >= low) & (along < high) for low, high in cores])
        assert (inside.sum(axis=0) == 1).all()


@given(grids())
@settings(max_examples=150, deadline=None)
def test_tiles__windows_and_cores(grid: TileGrid) -> None:
    at = {(tile.row, tile.column): tile for tile in grid.tiles}
    assert list(at) == sorted(at), "row by row"
    assert len(at) == len(grid.tiles)
    for (row, column), tile in at.items():
        assert 0 <= tile.x_min < tile.x_max <= grid.width
        assert 0 <= tile.y_min < tile.y_max <= grid.height
        assert tile.x_max - tile.x_min == min(grid.size, grid.width)
        assert tile.y_max - tile.y_min == min(grid.size, grid.height)
        right, below = at.get((row, column + 1)), at.get((row + 1, column))
        if right is not None:
            assert tile.x_max - right.x_min >= grid.overlap
            assert tile.core[2] == right.core[0]
            assert tile.x_max - tile.core[2] >= grid.overlap / 2
            assert right.core[0] - right.x_min >= grid.overlap / 2
        else:
            assert (tile.x_max, tile.core[2]) == (grid.width, math.inf)
        if below is not None:
            assert tile.y_max - below.y_min >= grid.overlap
            assert tile.core[3] == below.core[1]
            assert tile.y_max - tile.core[3] >= grid.overlap / 2
            assert below.core[1] - below.y_min >= grid.overlap / 2
        else:
            assert (tile.y_max, tile.core[3]) == (grid.height, math.inf)
        if column == 0:
            assert (tile.x_min, tile.core[0]) == (0, -math.inf)
        if row == 0:
            assert (tile.y_min, tile.core[1]) == (0, -math.inf)


@pytest.mark.parametrize(
    ("grid", "windows"),
    [
        pytest.param(TileGrid(50, 30, 64, 16), [(0, 0, 50, 30)], id="a small slide is one tile of its own size"),
        pytest.param(TileGrid(64, 64, 64, 16), [(0, 0, 64, 64)], id="a slide of a tile's size"),
        pytest.param(TileGrid(65, 64, 64, 16), [(0, 0, 64, 64), (1, 0, 65, 64)], id="a pixel more: two tiles"),
        pytest.param(TileGrid(64, 112, 64, 16), [(0, 0, 64, 64), (0, 48, 64, 112)], id="two tiles fit exactly"),
        pytest.param(TileGrid(9, 9, 10, 50), [(0, 0, 9, 9)], id="one tile needs no overlap"),
        pytest.param(
            TileGrid(20, 20, 10, 0),
            [(0, 0, 10, 10), (10, 0, 20, 10), (0, 10, 10, 20), (10, 10, 20, 20)],
            id="no overlap, row by row",
        ),
    ],
)
def test_tiles__known_windows(grid: TileGrid, windows: list[tuple[int, int, int, int]]) -> None:
    assert [tile.window for tile in grid.tiles] == windows


@pytest.mark.parametrize(("width", "height"), [(11, 5), (5, 11)], ids=["wide", "high"])
@pytest.mark.parametrize("overlap", [10, 11], ids=["as large as a tile", "larger"])
def test_tile_grid__overlap_too_large(width: int, height: int, overlap: int) -> None:
    with pytest.raises(SporeYoloError, match=f"10 px cannot overlap by {overlap} px"):
        TileGrid(width, height, 10, overlap)


@given(st.floats(4, 80), st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0]), st.data())
@settings(max_examples=60, deadline=None)
def test_overlap_for__each_tile_that_may_report_a_spore_sees_it_whole(
    largest: float, scale: float, data: st.DataObject
) -> None:
    grid = TileGrid(700, 520, 200, overlap_for(largest, scale))
    half = largest / 2
    x, y = (data.draw(st.floats(half, side - half)) for side in (grid.width, grid.height))
    reporting = [tile for tile in grid.tiles if distance_to_core(np.array([[x, y]]), tile.core)[0] <= BAND / scale]
    assert reporting
    room = half + JITTER / scale
    for tile in reporting:
        assert max(x - room, 0) >= tile.x_min - 1e-9
        assert max(y - room, 0) >= tile.y_min - 1e-9
        assert min(x + room, grid.width) <= tile.x_max + 1e-9
        assert min(y + room, grid.height) <= tile.y_max + 1e-9


@pytest.mark.parametrize(
    ("largest", "scale", "overlap"),
    [
        pytest.param(40.0, 1.0, 64, id="spore, two bands of 8 and two jitters of 4"),
        pytest.param(40.0, 2.0, 52, id="the model's pixels are half a pixel of the slide"),
        pytest.param(40.0, 0.5, 88, id="or two"),
        pytest.param(40.1, 1.0, 65, id="rounded up"),
    ],
)
def test_overlap_for__known(largest: float, scale: float, overlap: int) -> None:
    assert overlap_for(largest, scale) == overlap


@pytest.mark.parametrize(
    ("point", "distance"),
    [
        pytest.param((20, 30), 0.0, id="inside"),
        pytest.param((10, 20), 0.0, id="on the lower corner is inside"),
        pytest.param((np.nextafter(30, 0), 30), 0.0, id="just below the upper edge is inside"),
        pytest.param((7, 30), 3.0, id="left"),
        pytest.param((34, 30), 4.0, id="right"),
        pytest.param((20, 15), 5.0, id="above"),
        pytest.param((20, 46), 6.0, id="below"),
        pytest.param((7, 46), 6.0, id="past a corner the larger of the two counts"),
    ],
)
def test_distance_to_core(point: tuple[float, float], distance: float) -> None:
    assert distance_to_core(np.array([point], dtype=np.float64), CORE)[0] == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize(
    "point", [(30, 30), (20, 40), (30, 40), (10, 40)], ids=["right", "lower", "corner", "left low"]
)
def test_distance_to_core__the_upper_edge_is_outside(point: tuple[float, float]) -> None:
    assert 0 < distance_to_core(np.array([point], dtype=np.float64), CORE)[0] < 1e-9


def test_distance_to_core__many_and_none() -> None:
    assert distance_to_core(np.array([[20.0, 30.0], [7.0, 30.0]]), CORE).tolist() == pytest.approx([0, 3])
    assert distance_to_core(np.empty((0, 2)), CORE).shape == (0,)
    infinite = (-math.inf, -math.inf, math.inf, math.inf)
    assert distance_to_core(np.array([[1e9, -1e9]]), infinite).tolist() == [0]


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 2.0])
def test_rescale__size_and_places(scale: float) -> None:
    pixels = np.full((40, 60, 3), 200, dtype=np.uint8)
    pixels[10:20, 20:40] = 0
    scaled = rescale(pixels, scale)
    assert scaled.dtype == np.uint8
    assert scaled.shape == (round(40 * scale), round(60 * scale), 3)
    rows, columns = np.nonzero(scaled[:, :, 0] < 100)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert found == pytest.approx([20 * scale, 10 * scale, 40 * scale, 20 * scale], abs=1)
