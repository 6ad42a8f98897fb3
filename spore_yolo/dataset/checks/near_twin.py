"""SPR007: pictures that are nearly the same, though their files differ.

Two pictures are taken for one where their perceptual hashes differ in few bits *and* small versions of them correlate;
a hash alone may take one field of grey discs for another. On real sets (blood smears, a counting chamber, drawn fields)
all pairs of different fields differ in 12 bits or more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import splits_of
from spore_yolo.files.images import UnreadableImage, read_image
from spore_yolo.labels.readers.values import some

CODE = "SPR007"

MOST_BITS = 10
"""Bits, of 64, in which the hashes of one picture may differ."""

LEAST_CORRELATION = 0.5
"""Pearson's correlation of two small versions of one picture; a field that was focused anew reaches 0.51."""

THUMBNAIL = 64
"""Side in pixels of these small versions."""

ROWS_AT_ONCE = 256
PAIRS_AT_ONCE = 4096

Integers = npt.NDArray[np.intp]


def _find(material: Material) -> list[Finding]:
    table = material.images.set_index("image")
    first_of_file = {facts.sha256: image for image, facts in sorted((material.pixels or {}).items(), reverse=True)}
    images = sorted(
        image for image in first_of_file.values() if (material.pixels or {})[image].perceptual_hash is not None
    )
    if len(images) < 2:
        return []
    hashes = np.array([(material.pixels or {})[image].perceptual_hash for image in images], dtype=np.uint64)
    # Variants of a source and images of a group look alike for a reason, and no split tears them apart.
    group = np.unique(table.loc[images, "group"].astype(str), return_inverse=True)[1]
    pairs = close_pairs(hashes, group)
    pairs = pairs[_look_alike([material.known.root / image for image in images], pairs)]
    first, second = pairs.T
    graph = coo_matrix((np.ones(len(pairs), dtype=bool), (first, second)), shape=(len(images), len(images)))
    cluster = connected_components(graph, directed=False)[1]
    alike: dict[int, list[str]] = defaultdict(list)
    for number in sorted({*first.tolist(), *second.tolist()}):
        alike[int(cluster[number])].append(images[number])
    return [_finding(material, together) for together in alike.values()]


def close_pairs(hashes: npt.NDArray[np.uint64], group: Integers) -> Integers:
    """Pairs of different groups whose hashes differ in at most :data:`MOST_BITS` bits.

    Returns:
        The two places in ``hashes``, the lower first, shape ``(pairs, 2)``.
    """
    found = []
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        bits = np.bitwise_count(hashes[rows, None] ^ hashes[None, start:])
        first, second = np.nonzero(bits <= MOST_BITS)
        first, second = first + start, second + start
        wanted = (first < second) & (group[first] != group[second])
        found.append(np.column_stack([first[wanted], second[wanted]]))
    return np.concatenate(found)


def _look_alike(paths: Sequence[Path], pairs: Integers) -> npt.NDArray[np.bool_]:
    """Whether small versions of the two pictures of each pair correlate."""
    needed = np.unique(pairs)
    small = _thumbnails(paths[number] for number in needed)
    first, second = np.searchsorted(needed, pairs).T
    alike = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        alike[part] = np.einsum("ij,ij->i", small[first[part]], small[second[part]]) >= LEAST_CORRELATION
    return alike


def _thumbnails(paths: Iterable[Path]) -> npt.NDArray[np.float32]:
    """Small grey versions, shape ``(images, pixels)``, of mean 0 and length 1; zeros where an image is gone."""
    rows = []
    for path in paths:
        try:
            grey = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)
        except UnreadableImage:
            rows.append(np.zeros(THUMBNAIL**2, dtype=np.float32))
            continue
        small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        small -= small.mean()
        rows.append(small / max(float(np.linalg.norm(small)), 1e-6))
    return np.array(rows, dtype=np.float32).reshape(-1, THUMBNAIL**2)


def _finding(material: Material, images: Sequence[str]) -> Finding:
    table = material.images.set_index("image").loc[list(images)]
    splits = sorted(set(table["split"]) & set(splits_of(material)))
    # One variant speaks for its source.
    first, *others = table[~table["source"].duplicated()].index
    message = f"nearly the same picture as {some(others)}"
    if len(splits) > 1:
        message += f", in different splits: {some(splits)}"
    return Finding(CODE, Severity.WARNING, message, str(material.known.root / first), image=first)


CHECK = Check(
    code=CODE,
    title="nearly the same image twice",
    severity=Severity.WARNING,
    effect="Spores on both count twice, and in two splits the model is tested on what it was trained on.",
    mend="Keep one of them; or give both the same group with --group-by, so that no split tears them apart.",
    find=_find,
    needs_pixels=True,
)
