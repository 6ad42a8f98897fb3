"""Property tests of merging: a simulated detector looks at known spores tile by tile, and each must count once."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spore_yolo.inference import merging
from spore_yolo.inference.merging import merge_tiles, without_doubles
from spore_yolo.inference.tiling import BAND, JITTER, TileGrid, overlap_for

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Generator = np.random.Generator

LEAST_VISIBLE = 0.2
"""The simulated detector reports a spore when a tile shows at least this share of its area."""

SURE = (0.2, 0.95)
ANY = (0.01, 1.0)

LARGEST = 80
SIZES = [(16, 16), (25, 25), (54, 18), (18, 54), (LARGEST, LARGEST), (LARGEST, 16)]

thorough = settings(
    max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
seeds = st.integers(0, 2**32 - 1)


def grid_of(width: int, height: int, *, size: int = 640, largest: float = LARGEST, scale: float = 1.0) -> TileGrid:
    return TileGrid(width, height, size, overlap_for(largest, scale))


GRIDS = {
    "four tiles": grid_of(1150, 1150),
    "hardly larger than a tile": grid_of(700, 650),
    "tiles beyond the next overlap too": grid_of(1240, 1240),
}


@dataclass(frozen=True)
class Found:
    """What the simulated detector reports: the arguments of ``merge_tiles``, and which spore each box shows."""

    boxes: Floats
    scores: Floats
    classes: Integers
    tile_of: Integers
    spore: Integers

    def merged(self, grid: TileGrid, scale: float = 1.0) -> Integers:
        return merge_tiles(self.boxes, self.scores, self.classes, self.tile_of, grid.tiles, scale)

    def take(self, indices: Integers) -> Found:
        return Found(
            self.boxes[indices], self.scores[indices], self.classes[indices], self.tile_of[indices], self.spore[indices]
        )

    def __add__(self, other: Found) -> Found:
        return Found(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.tile_of, other.tile_of]),
            np.concatenate([self.spore, other.spore]),
        )


def detect(
    spores: Floats,
    grid: TileGrid,
    rng: Generator,
    *,
    scores: tuple[float, float] = SURE,
    extreme: bool = False,
    scale: float = 1.0,
    classes: int = 1,
) -> Found:
    """Every tile reports the spores that it shows, each edge off by up to the jitter, or by exactly the jitter."""
    windows = np.array([tile.window for tile in grid.tiles], dtype=np.float64)[:, None, :]
    shown = _clip(spores[None], windows)
    visible = np.clip(shown[..., 2:] - shown[..., :2], 0, None).prod(axis=2)
    tile_of, spore = np.nonzero(visible >= LEAST_VISIBLE * (spores[:, 2:] - spores[:, :2]).prod(axis=1))
    shape = (len(spore), 4)
    shift = rng.choice([-1.0, 1.0], shape) if extreme else rng.uniform(-1, 1, shape)
    boxes = _clip(shown[tile_of, spore] + shift * JITTER / scale, windows[tile_of, 0])
    return Found(
        boxes, rng.uniform(*scores, len(spore)), rng.integers(0, classes, len(spore)), tile_of, spore.astype(np.int64)
    )


def _clip(boxes: Floats, windows: Floats) -> Floats:
    low, high = np.tile(windows[..., :2], 2), np.tile(windows[..., 2:], 2)
    return np.clip(boxes, low, high)


def box(centre: tuple[float, float], size: tuple[float, float]) -> Floats:
    (x, y), (width, height) = centre, size
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def borders(grid: TileGrid) -> tuple[float, float]:
    """Where the first vertical and the first horizontal border run."""
    return grid.tiles[0].core[2], grid.tiles[0].core[3]


def reach(grid: TileGrid, size: tuple[float, float]) -> int:
    """How far from the border a spore of that size can be before only one of two tiles shows it."""
    first, second = grid.tiles[0], grid.tiles[1]
    return math.ceil((first.x_max - second.x_min) / 2 + max(size))


def across(kind: str, grid: TileGrid, size: tuple[float, float]) -> Iterator[list[tuple[float, float]]]:
    """Centres across a vertical border, a horizontal border, or along both diagonals of a corner of four tiles.

    Along a border one slide holds many spores, each at another offset and far from the others; at a corner, only one.
    Offsets go by half pixels until only one tile shows the spore. At a corner they do so where tiles may disagree whose
    it is (by turns on one diagonal and the other), and beyond by ten pixels.
    """
    x, y = borders(grid)
    far = reach(grid, size)
    if kind == "corner":
        near = np.arange(-14, 14.5, 0.5)
        wide = np.arange(15, far + 10, 10)
        for turn, d in enumerate([*near, *wide, *-wide, 0.5]):
            yield [(x + d, y + (d if turn % 2 else -d))]
        return
    if kind == "vertical":
        lanes = np.arange(max(size) / 2, grid.height - max(size) / 2, max(size) + 30)
    else:
        lanes = np.arange(max(size) / 2, grid.width - max(size) / 2, max(size) + 30)
    offsets = np.arange(-far, far + 0.5, 0.5)
    for begin in range(0, len(offsets), len(lanes)):
        some = zip(offsets[begin : begin + len(lanes)], lanes, strict=False)
        yield [(x + d, lane) if kind == "vertical" else (lane, y + d) for d, lane in some]


def inside(centre: tuple[float, float], size: tuple[float, float], grid: TileGrid) -> bool:
    made = box(centre, size)
    return bool((made[:2] >= 0).all() and made[2] <= grid.width and made[3] <= grid.height)


def assert_each_once(found: Found, kept: Integers, spores: Floats, note: object, scale: float = 1.0) -> None:
    """The kept boxes show every spore once, and each lies on its spore to within the jitter."""
    assert sorted(found.spore[kept].tolist()) == list(range(len(spores))), note
    assert np.abs(found.boxes[kept] - spores[found.spore[kept]]).max(initial=0) <= JITTER / scale + 1e-9, note


# One spore


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["vertical", "horizontal", "corner"])
@pytest.mark.parametrize("size", SIZES)
def test_one_spore_counts_once_wherever_it_lies(name: str, kind: str, size: tuple[float, float]) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(1)
    for turn, centres in enumerate(across(kind, grid, size)):
        places = [box(centre, size) for centre in centres if inside(centre, size, grid)]
        if places:
            spores = np.stack(places)
            found = detect(spores, grid, rng, scores=(SURE, ANY)[turn % 2], extreme=turn % 4 < 3)
            assert_each_once(found, found.merged(grid), spores, (centres, found))


@pytest.mark.parametrize("size", [(16, 16), (54, 18), (LARGEST, LARGEST)])
def test_one_spore_counts_once_at_every_place_round_a_corner(size: tuple[float, float]) -> None:
    grid, rng = GRIDS["four tiles"], np.random.default_rng(2)
    x, y = borders(grid)
    for dx, dy in itertools.product(np.arange(-15, 15.5, 1.5), repeat=2):
        spores = box((x + dx, y + dy), size)[None]
        found = detect(spores, grid, rng, extreme=True)
        assert_each_once(found, found.merged(grid), spores, (dx, dy, found))


@pytest.mark.parametrize("size", [(16, 16), (LARGEST, LARGEST)])
@pytest.mark.parametrize("offset", [-12, -8, -4, -0.5, 0, 3.5, 4, 8, 12])
def test_one_spore_counts_once_with_every_combination_of_extreme_jitters(
    size: tuple[float, float], offset: float
) -> None:
    """Two tiles, the edges along x: all 16 ways in which the four of them can be off by exactly the jitter."""
    grid = GRIDS["four tiles"]
    spore = box((borders(grid)[0] + offset, 150), size)
    for shifts in itertools.product((-JITTER, JITTER), repeat=4):
        boxes = np.stack([spore, spore])
        boxes[:, [0, 2]] += np.reshape(shifts, (2, 2))
        for scores in ((0.9, 0.3), (0.3, 0.9), (0.5, 0.5)):
            kept = merge_tiles(boxes, np.array(scores), np.zeros(2, np.int64), np.array([0, 1]), grid.tiles)
            assert len(kept) == 1, (shifts, scores)


# Spores that touch

TOUCHING = {
    "side by side": ((20, 20), (20, 20), (20, 0)),
    "one above the other, shifted": ((20, 20), (20, 20), (9, 20)),
    "diagonal": ((20, 20), (20, 20), (20, 20)),
    "the smallest that are told apart": ((17, 17), (17, 17), (17, 0)),
    "large": ((60, 60), (60, 60), (60, 0)),
    "large and small": ((LARGEST, LARGEST), (20, 20), (50, 0)),
    "long sides overlapping": ((18, 54), (18, 54), (17, 0)),
    "tips overlapping": ((54, 18), (54, 18), (48, 3)),
    "crossing tips": ((54, 18), (18, 54), (32, 30)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["vertical", "horizontal", "corner"])
@pytest.mark.parametrize("pair", TOUCHING)
def test_touching_spores_stay_two(name: str, kind: str, pair: str) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(3)
    one, other, (dx, dy) = TOUCHING[pair]
    room = (max(one[0], other[0]) + dx, max(one[1], other[1]) + dy)
    for turn, centres in enumerate(across(kind, grid, room)):
        places = []
        for x, y in centres:
            first, second = (x - dx / 2, y - dy / 2), (x + dx / 2, y + dy / 2)
            if inside(first, one, grid) and inside(second, other, grid):
                places += [box(first, one), box(second, other)]
        if places:
            spores = np.stack(places)
            found = detect(spores, grid, rng, scores=(SURE, ANY)[turn % 2], extreme=turn % 4 < 3)
            assert_each_once(found, found.merged(grid), spores, (centres, found))


@pytest.mark.parametrize("offset", [-10, 0, 4])
def test_touching_spores_stay_two_with_every_combination_of_extreme_jitters(offset: float) -> None:
    """Two spores, two tiles, the edges along x: all 256 ways, with scores that lead a matcher astray."""
    grid = GRIDS["four tiles"]
    x = borders(grid)[0] + offset
    spores = np.stack([box((x - 10, 150), (20, 20)), box((x + 10, 150), (20, 20))])
    tile_of = np.array([0, 0, 1, 1])
    for shifts in itertools.product((-JITTER, JITTER), repeat=8):
        boxes = np.concatenate([spores, spores])
        boxes[:, [0, 2]] += np.reshape(shifts, (4, 2))
        for scores in ((0.95, 0.2, 0.2, 0.95), (0.2, 0.95, 0.95, 0.2), (0.5, 0.5, 0.5, 0.5)):
            kept = merge_tiles(boxes, np.array(scores), np.zeros(4, np.int64), tile_of, grid.tiles)
            assert sorted(kept % 2) == [0, 1], (shifts, scores)


def test_touching_spores_that_one_tile_each_detects_stay_two() -> None:
    grid = GRIDS["four tiles"]
    x = borders(grid)[0]
    spores = np.stack([box((x - 9, 150), (18, 18)), box((x + 9, 150), (18, 18))])
    for shifts in itertools.product((-JITTER, JITTER), repeat=4):
        boxes = spores.copy()
        boxes[:, [0, 2]] += np.reshape(shifts, (2, 2))
        for tile_of in ([0, 1], [1, 0]):
            # Seen by the wrong tile each, a spore is kept while its centre is in the band: depth 9 minus a shift.
            centres = boxes[:, [0, 2]].mean(axis=1)
            depth = np.maximum(0, (centres - x) * np.where(np.array(tile_of) == 0, 1, -1))
            kept = merge_tiles(boxes, np.full(2, 0.5), np.zeros(2, np.int64), np.array(tile_of), grid.tiles)
            assert sorted(kept) == np.flatnonzero(depth <= BAND).tolist(), (shifts, tile_of)


# Crowds


def crowd(grid: TileGrid, rng: Generator, count: int, smallest: int, largest: int, spread: float = 60) -> Floats:
    """Up to that many spores near the borders, none overlapping another, many of them touching one."""
    spores = np.zeros((0, 4))
    corners = sorted({(tile.core[2], tile.core[3]) for tile in grid.tiles if np.isfinite(tile.core[2:]).all()})
    for _ in range(count * 6):
        size = rng.integers(smallest, largest, 2, endpoint=True).astype(float)
        size = np.minimum(size, 3 * size.min())
        if len(spores) and rng.random() < 0.6:
            # Put it against a spore that lies there, sharing an edge.
            against = spores[rng.integers(len(spores))]
            low = rng.uniform(against[:2] - size, against[2:])
            axis = rng.integers(2)
            low[axis] = against[axis + 2] if rng.random() < 0.5 else against[axis] - size[axis]
        else:
            centre = np.array(corners[rng.integers(len(corners))]) + rng.uniform(-spread, spread, 2)
            # Away from the corner too, along one of its borders.
            axis = rng.integers(2)
            centre[axis] += rng.choice([0, 1]) * rng.uniform(-250, 250)
            low = centre - size / 2
        low = np.round(low * 2) / 2
        new = np.concatenate([low, low + size])
        if (new[:2] < 0).any() or new[2] > grid.width or new[3] > grid.height:
            continue
        apart = (new[:2] >= spores[:, 2:]) | (new[2:] <= spores[:, :2])
        if apart.any(axis=1).all():
            spores = np.concatenate([spores, new[None]])
        if len(spores) == count:
            break
    return spores


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("smallest", [17, 30])
@thorough
@given(seed=seeds, count=st.integers(30, 60), extreme=st.booleans(), scores=st.sampled_from([SURE, ANY]))
def test_crowds_are_counted_exactly(
    name: str, smallest: int, seed: int, count: int, extreme: bool, scores: tuple[float, float]
) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    spores = crowd(grid, rng, count, smallest, LARGEST)
    assert len(spores) >= 15
    found = detect(spores, grid, rng, extreme=extreme, scores=scores, classes=2)
    assert_each_once(found, found.merged(grid), spores, seed)


# Other promises


def test_candidates_of_one_tile_are_never_merged() -> None:
    grid = GRIDS["four tiles"]
    x, y = borders(grid)
    same = np.tile(box((x, y), (30, 30)), (7, 1))
    for tile in range(4):
        kept = merge_tiles(same, np.linspace(0.9, 0.3, 7), np.zeros(7, np.int64), np.full(7, tile), grid.tiles)
        assert kept.tolist() == list(range(7))


@thorough
@given(seed=seeds, copies=st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_as_many_stay_as_the_tile_that_saw_most_reports(seed: int, copies: list[int]) -> None:
    """Boxes too alike to be told apart: no tile's boxes are merged, and none of one tile is added to another's."""
    grid, rng = GRIDS["four tiles"], np.random.default_rng(seed)
    tile_of = np.repeat(np.arange(4), copies)
    boxes = box(borders(grid), (30, 30)) + rng.uniform(-2, 2, (len(tile_of), 4))
    kept = merge_tiles(boxes, rng.uniform(*SURE, len(boxes)), np.zeros(len(boxes), np.int64), tile_of, grid.tiles)
    assert len(kept) == max(copies)


def with_doubles(spores: Floats, grid: TileGrid, rng: Generator, extreme: bool) -> Found:
    main = detect(spores, grid, rng, extreme=extreme, classes=2)
    return main + detect(spores, grid, rng, extreme=extreme, scores=(0.02, 0.1), classes=2)


@pytest.mark.parametrize("kind", ["vertical", "horizontal", "corner"])
@pytest.mark.parametrize("size", [(16, 16), (54, 18), (LARGEST, LARGEST)])
def test_weak_doubles_do_not_disturb_one_spore(kind: str, size: tuple[float, float]) -> None:
    grid, rng = GRIDS["four tiles"], np.random.default_rng(4)
    for turn, centres in enumerate(across(kind, grid, size)):
        spores = np.stack([box(centre, size) for centre in centres if inside(centre, size, grid)])
        found = with_doubles(spores, grid, rng, turn % 4 < 3)
        kept = found.merged(grid)
        assert_each_once(found, kept[found.scores[kept] >= 0.2], spores, (centres, found))


@thorough
@given(seed=seeds, extreme=st.booleans(), name=st.sampled_from(sorted(GRIDS)))
def test_weak_doubles_do_not_disturb_a_crowd(seed: int, extreme: bool, name: str) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    spores = crowd(grid, rng, 40, 17, 50)
    found = with_doubles(spores, grid, rng, extreme)
    kept = found.merged(grid)
    assert_each_once(found, kept[found.scores[kept] >= 0.2], spores, seed)


def test_main_candidates_of_different_classes_match_before_weak_ones_of_the_same() -> None:
    """A detector that hesitates between two classes reports both; the tiles may disagree which is the surer."""
    grid = GRIDS["four tiles"]
    boxes = np.tile(box((borders(grid)[0], 150), (30, 30)), (4, 1)) + np.array([[-1], [0], [0], [-1]])
    scores, classes = np.array([0.6, 0.1, 0.1, 0.6]), np.array([0, 1, 0, 1])
    kept = merge_tiles(boxes, scores, classes, np.array([0, 0, 1, 1]), grid.tiles)
    assert sorted(scores[kept]) == [0.1, 0.6]


def test_candidates_as_sure_as_each_other_match_within_their_class() -> None:
    grid = GRIDS["four tiles"]
    boxes = np.tile(box((borders(grid)[0], 150), (30, 30)), (4, 1))
    classes = np.array([0, 1, 1, 0])
    kept = merge_tiles(boxes, np.array([0.5, 0.51, 0.5, 0.51]), classes, np.array([0, 0, 1, 1]), grid.tiles)
    assert sorted(classes[kept]) == [0, 1]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("tile", [0, 1])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_what_one_tile_alone_detects_stays_up_to_the_band(axis: int, tile: int, scale: float) -> None:
    grid = grid_of(1150, 1150, scale=scale) if scale >= 1 else grid_of(1100, 1100, scale=scale)
    tile_index = tile * (1 if axis == 0 else 2)
    outwards = -1 if tile else 1
    for offset in np.arange(-60, 60, 0.5):
        centre = [150.0, 150.0]
        centre[axis] = borders(grid)[axis] + outwards * offset
        boxes = box((centre[0], centre[1]), (20, 30))[None]
        one, zero = np.array([0.5]), np.zeros(1, np.int64)
        kept = merge_tiles(boxes, one, zero, np.array([tile_index]), grid.tiles, scale)
        assert len(kept) == int(offset <= BAND / scale), offset


@pytest.mark.parametrize("offset", np.arange(-10, 10.5, 0.5))
def test_a_spore_of_two_classes_counts_once(offset: float) -> None:
    grid = GRIDS["four tiles"]
    boxes = np.tile(box((borders(grid)[0] + offset, 150), (30, 30)), (2, 1))
    for classes, scores in itertools.product(((0, 1), (1, 0)), ((0.9, 0.2), (0.2, 0.9), (0.5, 0.5))):
        kept = merge_tiles(boxes, np.array(scores), np.array(classes), np.array([0, 1]), grid.tiles)
        # The owner's word counts, not the surer one's.
        assert kept.tolist() == [0 if offset < 0 else 1]


def test_of_two_owners_the_surer_stays() -> None:
    grid = GRIDS["four tiles"]
    boxes = np.tile(box((borders(grid)[0], 150), (30, 30)), (2, 1)) + np.array([[-2], [2]])
    for scores in ((0.9, 0.2), (0.2, 0.9)):
        kept = merge_tiles(boxes, np.array(scores), np.zeros(2, np.int64), np.array([0, 1]), grid.tiles)
        assert kept.tolist() == [int(np.argmax(scores))]


def test_nothing_in_nothing_out() -> None:
    none = np.zeros(0, np.int64)
    kept = merge_tiles(np.zeros((0, 4)), np.zeros(0), none, none, GRIDS["four tiles"].tiles)
    assert kept.shape == (0,) and kept.dtype == np.int64


@thorough
@given(seed=seeds, count=st.integers(1, 40))
def test_a_slide_of_one_tile_keeps_everything_by_falling_score(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    grid = grid_of(600, 400)
    low = rng.uniform(0, 380, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 20, (count, 2))], axis=1)
    scores = rng.uniform(*ANY, count)
    kept = merge_tiles(boxes, scores, rng.integers(0, 3, count), np.zeros(count, np.int64), grid.tiles)
    assert kept.tolist() == np.argsort(-scores).tolist()


@thorough
@given(seed=seeds, name=st.sampled_from(sorted(GRIDS)))
def test_the_order_of_the_input_does_not_matter(seed: int, name: str) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    found = with_doubles(crowd(grid, rng, 40, 8, 50), grid, rng, extreme=True)
    order = rng.permutation(len(found.boxes))
    kept, shuffled = found.merged(grid), found.take(order).merged(grid)
    assert order[shuffled].tolist() == kept.tolist()
    assert (np.diff(found.scores[kept]) <= 0).all()


@pytest.mark.parametrize("scale", [0.5, 2.0])
@pytest.mark.parametrize("kind", ["vertical", "horizontal", "corner"])
def test_band_and_jitter_are_pixels_of_the_model(scale: float, kind: str) -> None:
    """Everything measured in pixels of the model is as at scale 1: 16 of them for one spore, 20 for two that touch."""
    grid, rng = grid_of(1200, 1200, size=round(640 / scale), scale=scale), np.random.default_rng(5)
    if scale < 1:
        grid = grid_of(2400, 2400, size=round(640 / scale), scale=scale)
    small, side = 16 / scale, 20 / scale
    for turn, centres in enumerate(across(kind, grid, (LARGEST, LARGEST))):
        one = np.stack([box(centre, (((small, small), (LARGEST, LARGEST))[turn % 2])) for centre in centres])
        left = [box((x - side / 2, y), (side, side)) for x, y in centres]
        right = [box((x + side / 2, y), (side, side)) for x, y in centres]
        for spores in (one, np.stack(left + right)):
            found = detect(spores, grid, rng, extreme=turn % 4 < 3, scale=scale)
            assert_each_once(found, found.merged(grid, scale), spores, (centres, found), scale)


def most_alike(found: Found, grid: TileGrid) -> int:
    """The count by brute force, from geometry alone: of all ways to part the boxes into spores, those that put no two
    boxes of one tile together and no two whose edges differ by more than two jitters; the fewest parts that do."""
    depth = np.array([_depth(b, grid.tiles[t].core) for b, t in zip(found.boxes, found.tile_of, strict=True)])
    able = np.flatnonzero(depth <= BAND)
    gap = np.abs(found.boxes[:, None] - found.boxes[None]).max(axis=2)
    fewest = len(able)
    stack: list[tuple[int, list[list[int]]]] = [(0, [])]
    while stack:
        at, parts = stack.pop()
        if len(parts) >= fewest and at < len(able):
            continue
        if at == len(able):
            fewest = min(fewest, len(parts))
            continue
        new = int(able[at])
        for index, part in enumerate(parts):
            if all(found.tile_of[i] != found.tile_of[new] and gap[i, new] <= 2 * JITTER + 1e-9 for i in part):
                stack.append((at + 1, [*parts[:index], [*part, new], *parts[index + 1 :]]))
        stack.append((at + 1, [*parts, [new]]))
    return fewest


def _depth(found: Floats, core: Sequence[float]) -> float:
    x, y = (found[0] + found[2]) / 2, (found[1] + found[3]) / 2
    return float(max(0.0, core[0] - x, x - core[2], core[1] - y, y - core[3]))


@settings(thorough, max_examples=60)
@given(seed=seeds, count=st.integers(1, 5), extreme=st.booleans(), name=st.sampled_from(sorted(GRIDS)))
def test_brute_force_finds_the_same_count(seed: int, count: int, extreme: bool, name: str) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    spores = crowd(grid, rng, count, 17, 40, spread=15)
    found = detect(spores, grid, rng, extreme=extreme, scores=ANY)
    assert len(found.merged(grid)) == most_alike(found, grid) == len(spores)


# Many candidates


def test_huge_weak_boxes_do_not_disturb_a_crowded_slide() -> None:
    grid, rng = grid_of(6000, 6000), np.random.default_rng(6)
    places = np.stack(np.meshgrid(np.arange(40, 5960, 60), np.arange(40, 5960, 60)), axis=-1).reshape(-1, 2)
    spores = np.concatenate([places - 15, places + 15], axis=1).astype(np.float64)
    main = detect(spores, grid, rng)
    huge = detect(
        np.array([[10, 10, 600, 600], [2000, 2000, 2600, 2600]], dtype=np.float64), grid, rng, scores=(0, 0.1)
    )
    found = main + huge
    kept = found.merged(grid)
    assert_each_once(main, kept[kept < len(main.boxes)], spores, "")


# Many boxes


def field_of(count: int, side: int) -> tuple[Found, TileGrid]:
    """That many spores on a slide, each reported by every tile that may, with a jitter; no two alike."""
    rng, grid = np.random.default_rng(0), TileGrid(side, side, 640, 78)
    centres, sizes = rng.uniform(30, side - 30, (count, 2)), rng.uniform(12, 54, (count, 2))
    spores = np.hstack([centres - sizes / 2, centres + sizes / 2])
    columns = max(tile.column for tile in grid.tiles) + 1
    cores = np.array([tile.core for tile in grid.tiles])
    across, down = np.unique(cores[:, 0])[1:], np.unique(cores[:, 1])[1:]
    parts = []
    for shift in itertools.product((-8, 8), repeat=2):
        column = np.searchsorted(across, centres[:, 0] + shift[0])
        parts.append(np.searchsorted(down, centres[:, 1] + shift[1]) * columns + column)
    of = np.stack(parts, axis=1)
    new = np.ones(of.shape, dtype=bool)
    for place in range(1, 4):
        new[:, place] = (of[:, place, None] != of[:, :place]).all(axis=1)
    spore, place = np.nonzero(new)
    boxes = spores[spore] + rng.uniform(-3, 3, (len(spore), 4))
    scores = rng.uniform(0.01, 1, len(spore))
    return Found(boxes, scores, np.zeros(len(spore), np.int64), of[spore, place], spore), grid


def test_leaving_out_what_no_other_tile_can_see_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, grid = field_of(4000, 3000)
    kept = found.merged(grid)
    alone = merging._contested(found.boxes, found.tile_of, grid.tiles, 1.0)
    assert len(alone) < len(found.boxes) / 2, "else nothing is left out"
    monkeypatch.setattr(merging, "_contested", lambda boxes, *others: np.arange(len(boxes)))
    assert found.merged(grid).tolist() == kept.tolist()


def test_a_hundred_thousand_boxes_take_about_a_second() -> None:
    """The bound leaves room for a busy machine; comparing each with each would take minutes."""
    found, grid = field_of(100_000, 20_000)
    assert len(found.boxes) > 100_000
    begin = time.process_time()
    kept = found.merged(grid)
    without_doubles(found.boxes[kept], found.scores[kept], found.tile_of[kept], grid.tiles, 0.6)
    assert time.process_time() - begin < 8
    assert len(kept) < 100_200


# What matching leaves over


def test_a_double_beside_another_tiles_spore_is_suppressed() -> None:
    grid = GRIDS["four tiles"]
    x, _ = borders(grid)
    boxes = np.stack([box((x - 2, 150), (20, 20)), box((x + 2, 150), (20, 20)), box((x + 2, 150), (20, 30))])
    scores = np.array([0.9, 0.5, 0.4])
    kept = without_doubles(boxes, scores, np.array([0, 1, 1]), grid.tiles, 0.6)
    assert kept.tolist() == [0, 2]
    # Of one tile both stay: its own NMS has decided.
    assert without_doubles(boxes, scores, np.array([0, 0, 0]), grid.tiles, 0.6).tolist() == [0, 1, 2]


@thorough
@given(seed=seeds, iou=st.sampled_from([0.3, 0.6, 0.8]))
def test_where_each_box_has_a_tile_of_its_own_it_is_nms(seed: int, iou: float) -> None:
    from torch import from_numpy
    from torchvision.ops import nms

    grid, rng = GRIDS["four tiles"], np.random.default_rng(seed)
    centres = np.array(borders(grid)) + rng.uniform(-20, 20, (4, 2))
    sizes = rng.uniform(20, 60, (4, 2))
    boxes, scores = np.hstack([centres - sizes / 2, centres + sizes / 2]), np.sort(rng.uniform(size=4))[::-1].copy()
    kept = without_doubles(boxes, scores, np.arange(4), grid.tiles, iou)
    assert kept.tolist() == nms(from_numpy(boxes), from_numpy(scores), iou).tolist()
