"""SPR007: pictures that are nearly the same, though their files differ.

Two pictures are taken for one where their perceptual hashes differ in few bits *and* small versions of them correlate;
a hash alone may take one field of grey discs for another. The limits were chosen on the sets that follow, so their
figures are no test of them. Of all pairs of images from two sources, without equal files:

=====================  =======  ===============  ===================================  ====================
set                    pairs    within 10 bits   what these are, by eye               next pair, correlation
=====================  =======  ===============  ===================================  ====================
BCCD                    66,066  1                one field, taken twice               14 bits, 0.57
Magnaporthe             16,128  15               one field, focused anew (variants)   18 bits, 0.13
Chula RBC-12           193,732  11               eleven fields, taken twice           12 bits, 0.12
drawn sample             1,770  0                                                     14 bits, 0.40
=====================  =======  ===============  ===================================  ====================

All of the pairs within 10 bits show one field, and pass; the least correlation among them is 0.51. Of the others some
correlate with up to 0.62, and only the hash tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import splits_of
from spore_yolo.files.images import UnreadableImage, read_image

CODE = "SPR007"

MOST_BITS = 10
"""Bits, of 64, in which the hashes of one picture may differ."""

LEAST_CORRELATION = 0.5
"""Pearson's correlation of two small versions of one picture; a field that was focused anew reaches 0.51."""

THUMBNAIL = 64
"""Side in pixels of these small versions."""

MOST_PARTNERS = 30
"""Images with which one is compared at most, so that 20,000 like hashes do not make 200 million pairs."""

ROWS_AT_ONCE = 256
PAIRS_AT_ONCE = 1024

Integers = npt.NDArray[np.intp]


def _find(material: Material) -> list[Finding]:
    facts = material.pixels or {}
    first_of_file = {facts[image].sha256: image for image in sorted(facts, reverse=True)}
    images = sorted(image for image in first_of_file.values() if facts[image].perceptual_hash is not None)
    if len(images) < 2:
        return []
    table = material.images.set_index("image").loc[images]
    hashes = np.array([facts[image].perceptual_hash for image in images], dtype=np.uint64)
    # Variants of a source and images of a group look alike for a reason, and no split tears them apart.
    pairs, crowded = close_pairs(hashes, np.unique(table["group"].astype(str), return_inverse=True)[1])
    correlation = _correlations([material.known.root / image for image in images], pairs)
    alike = np.flatnonzero(correlation >= LEAST_CORRELATION)
    best_first = pairs[alike[np.argsort(-correlation[alike], kind="stable")]]
    splits = table["split"].to_numpy()
    findings = []
    for first, second in joining(best_first, table["source"].to_numpy()):
        message = f"nearly the same picture as {images[first]}"
        torn = [split for split in splits_of(material) if split in (splits[first], splits[second])]
        if len(torn) > 1:
            message += f", in different splits: {', '.join(torn)}"
        path = str(material.known.root / images[second])
        findings.append(Finding(CODE, Severity.WARNING, message, path, image=images[second]))
    if crowded:
        message = (
            f"{crowded:,} image{'s' * (crowded > 1)} resemble{'s' * (crowded == 1)} more than {MOST_PARTNERS} others in"
            f" outline, as empty fields do; each was compared with the {MOST_PARTNERS} most alike of them only"
        )
        findings.append(Finding(CODE, Severity.NOTE, message, str(material.known.root)))
    return findings


def close_pairs(hashes: npt.NDArray[np.uint64], group: Integers) -> tuple[Integers, int]:
    """Pairs of different groups whose hashes differ in at most :data:`MOST_BITS` bits.

    Args:
        hashes: A hash of 64 bits an image, shape ``(images,)``.
        group: The number of each image's group, shape ``(images,)``.

    Returns:
        The two places in ``hashes``, the lower first, shape ``(pairs, 2)``; and how many images have more than
        :data:`MOST_PARTNERS` partners before them, of which only the closest are among the pairs.
    """
    found = []
    crowded = 0
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        second = np.arange(start, min(start + ROWS_AT_ONCE, len(hashes)))[:, None]
        first = np.arange(second[-1, 0])
        bits = np.bitwise_count(hashes[second] ^ hashes[first])
        near = (bits <= MOST_BITS) & (first < second) & (group[first] != group[second])
        for row in np.flatnonzero(near.sum(axis=1) > MOST_PARTNERS):
            # Of equally close ones those that stand next before it: fields are often numbered as they were taken.
            partners = np.flatnonzero(near[row])[::-1]
            near[row, partners[np.argsort(bits[row, partners], kind="stable")[MOST_PARTNERS:]]] = False
            crowded += 1
        rows, columns = np.nonzero(near)
        found.append(np.column_stack([columns, rows + start]))
    return np.concatenate(found), crowded


def joining(pairs: Integers, source: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs that are enough to name all that is alike: each joins sources that no pair before it joined.

    So of n sources with one picture n - 1 pairs remain, however many variants each source has (Kruskal's spanning
    forest).

    Args:
        pairs: Places of two images, the most alike first, shape ``(pairs, 2)``.
        source: The source of each image.
    """
    parent = {name: name for name in source}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    kept = []
    for first, second in pairs.tolist():
        one, other = root(source[first]), root(source[second])
        if one != other:
            parent[other] = one
            kept.append((first, second))
    return kept


def _correlations(paths: Sequence[Path], pairs: Integers) -> npt.NDArray[np.float32]:
    """How small versions of the two pictures of each pair correlate, shape ``(pairs,)``."""
    needed = np.unique(pairs)
    small = _thumbnails([paths[number] for number in needed])
    first, second = np.searchsorted(needed, pairs).T
    correlation = np.zeros(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        correlation[part] = np.einsum("ij,ij->i", small[first[part]], small[second[part]])
    return correlation


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


CHECK = Check(
    code=CODE,
    title="nearly the same image twice",
    severity=Severity.WARNING,
    effect="Spores on both count twice, and in two splits the model is tested on what it was trained on.",
    mend="Keep one of them; or give both the same group with --group-by, so that no split tears them apart.",
    find=_find,
    needs_pixels=True,
)
