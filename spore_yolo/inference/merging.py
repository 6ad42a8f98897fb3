"""Joins what neighbouring tiles found, so that each spore counts once and touching spores stay apart.

Candidates of one tile are never merged: telling spores apart is the detector's job, done by its NMS. A tile speaks only
for spores whose centre lies in its core or in the narrow band beyond it, where the owner may have placed the centre on
the other side; there it sees them whole. Candidates of *different* tiles that may then be the same spore are matched
one to one, and of each match the candidate of the tile that owns the spore stays. Plain NMS over the joined tiles does
neither: it merges spores that touch and keeps both halves of a spore that an edge cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from spore_yolo.inference.tiling import BAND, JITTER, Tile, distance_to_core

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TOLERANCE = 0.4
"""Two candidates may be one spore if no edge differs by more than this share of the smaller one's size along its axis.

The jitter is always allowed: edges of one spore may differ by twice that. Two spores that both tiles see are thus never
mixed up if they are displaced along x or y by more than ``4 * JITTER`` and by more than ``TOLERANCE`` of the size plus
``2 * JITTER``: spores that touch, from 17 pixels of the model on.
"""

ROUNDING = 1e-6
"""Pixels by which sums and differences of box edges may be off."""


def merge_tiles(
    boxes: Floats, scores: Floats, classes: Integers, tile_of: Integers, tiles: Sequence[Tile], scale: float = 1.0
) -> Integers:
    """Chooses the candidates that stay.

    Args:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.
        scores: ``(N,)``, the detector's confidences.
        classes: ``(N,)``, class numbers; of equally good matches, those of the same class are taken.
        tile_of: ``(N,)``, the index in ``tiles`` of the tile that found each.
        tiles: All tiles of the slide.
        scale: Pixels of the model per pixel of the slide; the band and the jitter are pixels of the model.

    Returns:
        Indices of the candidates that stay, by falling score.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    depth = np.empty(len(boxes))
    for index, mine in _by_tile(tile_of):
        depth[mine] = distance_to_core(centres[mine], tiles[index].core)
    able = np.flatnonzero(depth <= BAND / scale + ROUNDING)
    # One fixed order of work, so that the order of the input cannot decide between equals.
    able = able[np.lexsort((*boxes[able].T, classes[able], -scores[able], tile_of[able]))]

    cluster = np.arange(len(able))
    contested = _contested(boxes[able], tile_of[able], tiles, scale)
    some = able[contested]
    cluster[contested] = contested[_match(boxes[some], scores[some], classes[some], tile_of[some], 2 * JITTER / scale)]
    # Of each cluster the candidate that is deepest in its own tile's realm; between owners, the surer one.
    order = np.lexsort((-scores[able], depth[able], cluster))
    first = np.ones(len(order), dtype=bool)
    first[1:] = cluster[order][1:] != cluster[order][:-1]
    winners = able[np.sort(order[first])]
    return winners[np.argsort(-scores[winners], kind="stable")].astype(np.int64)


def without_doubles(
    boxes: Floats, scores: Floats, tile_of: Integers, tiles: Sequence[Tile], iou: float, scale: float = 1.0
) -> Integers:
    """Suppresses what of different tiles still lies on a better candidate, after :func:`merge_tiles`.

    Where one tile sees a weak double beside a spore and its neighbour sees the spore alone, the spores are matched and
    the double is left over. No tile's own NMS would let it stand so near to the other tile's candidate.

    Args:
        boxes: As for :func:`merge_tiles`, like the others; by falling score.
        scores: As there.
        tile_of: As there.
        tiles: As there.
        iou: IoU above which two candidates are one object.
        scale: As there.

    Returns:
        Indices of the candidates that stay, in their order.
    """
    some = _contested(boxes, tile_of, tiles, scale)
    mine, sizes = boxes[some], boxes[some, 2:] - boxes[some, :2]
    centres = (mine[:, :2] + mine[:, 2:]) / 2
    # Of two boxes with that IoU, the centres are at most this share of the larger one's side apart, along each axis.
    reach = (1 - iou) * sizes.max(axis=1, initial=0) + ROUNDING
    near = KDTree(centres).query_ball_point(centres, reach, p=np.inf) if len(some) else []
    one = np.repeat(np.arange(len(some)), [len(found) for found in near])
    other = np.fromiter(itertools.chain.from_iterable(near), dtype=np.int64, count=len(one))
    better, worse = np.minimum(one, other), np.maximum(one, other)
    across = tile_of[some[better]] != tile_of[some[worse]]
    better, worse = better[across], worse[across]
    low, high = np.maximum(mine[better, :2], mine[worse, :2]), np.minimum(mine[better, 2:], mine[worse, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = sizes.prod(axis=1)
    same = shared > iou * (areas[better] + areas[worse] - shared)
    gone = np.zeros(len(some), dtype=bool)
    for winner, loser in sorted(set(zip(better[same].tolist(), worse[same].tolist(), strict=True))):
        gone[loser] |= not gone[winner]
    return np.delete(np.arange(len(boxes)), some[gone])


def _contested(boxes: Floats, tile_of: Integers, tiles: Sequence[Tile], scale: float) -> Integers:
    """Which candidates another tile may have found too: those near a border of their tile's core.

    Another tile speaks for centres in its own core and in the band beyond it. A candidate that lies deeper in its own
    core than the band and than its box may differ has nobody to be compared with: most of them.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = boxes[:, 2:] - boxes[:, :2]
    reach = BAND / scale + np.maximum(2 * JITTER / scale, TOLERANCE * sizes.max(axis=1, initial=0)) + 2 * ROUNDING
    cores = np.array([tile.core for tile in tiles])[tile_of]
    to_the_border = np.minimum(centres - cores[:, :2], cores[:, 2:] - centres).min(axis=1)
    return np.flatnonzero(to_the_border <= reach)


def speaks_for(boxes: Floats, tile: Tile, scale: float = 1.0) -> npt.NDArray[np.bool_]:
    """Whether a tile may report boxes that it found: whether their centres lie in its core or in the band beyond it.

    Args:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.
        tile: The tile.
        scale: Pixels of the model per pixel of the slide.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    able: npt.NDArray[np.bool_] = distance_to_core(centres, tile.core) <= BAND / scale + ROUNDING
    return able


def _match(boxes: Floats, scores: Floats, classes: Integers, tile_of: Integers, jitter: float) -> Integers:
    """Numbers the clusters: candidates with the same number are one spore, at most one of each tile.

    The tiles come one after another; each one's candidates are assigned to the clusters so far such that the sum of the
    likenesses is largest. Taking the likeliest pair first would not do: where spores touch, it may take away a
    neighbour's partner.

    Args:
        boxes: As for ``merge_tiles``, like the next three, all sorted by tile.
        scores: As there.
        classes: As there.
        tile_of: As there.
        jitter: Pixels of the slide by which two boxes of one spore may always differ.
    """
    cluster = np.arange(len(boxes))
    one, other, likeness = _pairs(boxes, scores, classes, tile_of, jitter)
    for _, mine in _by_tile(tile_of[one]):
        rows, row = np.unique(one[mine], return_inverse=True)
        columns, column = np.unique(cluster[other[mine]], return_inverse=True)
        total = np.zeros((len(rows), len(columns)))
        np.add.at(total, (row, column), likeness[mine])
        chosen_row, chosen_column = linear_sum_assignment(total, maximize=True)
        linked = total[chosen_row, chosen_column] > 0
        cluster[rows[chosen_row[linked]]] = columns[chosen_column[linked]]
    return cluster


def _pairs(
    boxes: Floats, scores: Floats, classes: Integers, tile_of: Integers, jitter: float
) -> tuple[Integers, Integers, Floats]:
    """Pairs of candidates of different tiles that may be one spore: the later tile's, the earlier tile's, likeness."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    allowed = np.maximum(jitter + ROUNDING, TOLERANCE * sizes)
    # Each candidate looks only as far as its own size allows, so that a huge box does not make all others look far.
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = KDTree(centres).query_ball_point(centres, allowed.max(axis=1), p=np.inf) if len(boxes) else []
    one = np.repeat(np.arange(len(boxes)), [len(found) for found in near])
    other = np.fromiter(itertools.chain.from_iterable(near), dtype=np.int64, count=len(one))
    later = tile_of[one] > tile_of[other]
    one, other = one[later], other[later]
    gap = np.abs(boxes[one] - boxes[other]) / np.tile(np.minimum(allowed[one], allowed[other]), 2)
    offset = gap.max(axis=1, initial=0)
    alike = offset <= 1
    one, other, offset = one[alike], other[alike], offset[alike]
    # A spore often has a weak double, which may lie closer to the other tile's main candidate than that tile's own. A
    # double at most half as sure as the spore's main candidates must not take their place: its two matches weigh at
    # most 1/4 each of what the square of the lesser main score weighs, and place and class lower that to no less than
    # 9/16.
    likeness = np.minimum(scores[one], scores[other]) ** 2 * (1 - offset**2 / 4)
    return one, other, np.where(classes[one] == classes[other], 1, 3 / 4) * likeness


def _by_tile(tile_of: Integers) -> list[tuple[int, Integers]]:
    """The tiles that occur, each with the positions where it does."""
    order = np.argsort(tile_of, kind="stable")
    numbers, begins = np.unique(tile_of[order], return_index=True)
    return list(zip(numbers.tolist(), np.split(order, begins[1:]), strict=False))
