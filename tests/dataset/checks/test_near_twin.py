from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.near_twin import CHECK, MOST_BITS, MOST_PARTNERS, ROWS_AT_ONCE, close_pairs
from spore_yolo.dataset.pixel_facts import pixel_facts
from spore_yolo.labels.image_index import ImageIndex

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def field(seed: int) -> Image.Image:
    """A field of dark discs on noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :160]
    pixels = rng.normal(200, 4, (120, 160))
    for cx, cy, r in zip(rng.integers(0, 160, 14), rng.integers(0, 120, 14), rng.integers(6, 14, 14), strict=True):
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < r**2] -= 90
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB")


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, material: Build) -> Callable[..., Material]:
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))

    def _look(images: dict[str, Image.Image], **options: object) -> Material:
        (tmp_path / "slides").mkdir()
        for name, image in images.items():
            image.save(tmp_path / "slides" / name, quality=85)
        index = ImageIndex(tmp_path / "slides")
        facts = pixel_facts({name: tmp_path / "slides" / name for name in images}, quiet=True)
        return replace(material((), list(images), **options), known=index, pixels=facts)

    return _look


def bright(image: Image.Image) -> Image.Image:
    return image.point(lambda value: min(255, value + 25))


def test_each_further_copy_is_named(look: Callable[..., Material], found: Found) -> None:
    images = {f"{seed}.png": field(seed) for seed in range(8)}
    images |= {"a.jpg": field(0), "b.png": field(3).resize((320, 240)), "c.png": bright(field(3))}
    findings = found(CHECK, look(images, splits={"0.png": "train", "a.jpg": "test"}))
    message = {finding.image: finding.message for finding in findings}
    assert len(findings) == len(message) == 3
    assert message["a.jpg"] == "nearly the same picture as 0.png, in different splits: train, test"
    assert message["b.png"] == "nearly the same picture as 3.png"
    assert message["c.png"] in {"nearly the same picture as 3.png", "nearly the same picture as b.png"}
    assert {f.severity for f in findings} == {Severity.WARNING}


def test_a_copy_is_named_once_however_many_variants_its_source_has(look: Callable[..., Material], found: Found) -> None:
    names = [f"{'field' * 12}_png.rf.{number:032}.jpg" for number in range(4)]
    images = {name: field(0).point(lambda v, n=number: v - 9 * n) for number, name in enumerate(names)}
    images |= {"z.png": field(0), "y.png": field(1)}
    (finding,) = found(CHECK, look(images, sources=dict.fromkeys(names, "field")))
    assert finding.image == "z.png"
    assert finding.message.removeprefix("nearly the same picture as ") in names, "in full"


def test_equal_files_and_images_of_one_group_are_not_named(look: Callable[..., Material], found: Found) -> None:
    images = {"a.png": field(0), "b.png": field(0), "c.png": field(1), "d.png": bright(field(1))}
    assert not found(CHECK, look(images, groups={"c.png": "trap1", "d.png": "trap1"}))


def test_blank_pictures_are_not_alike(look: Callable[..., Material], found: Found) -> None:
    assert not found(CHECK, look({f"{level}.png": Image.new("RGB", (50, 50), (level,) * 3) for level in (90, 91, 250)}))


def test_close_pairs_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, 40, dtype=np.uint64)
    flips = np.array([sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 16), False)) for _ in range(600)])
    hashes = base[rng.integers(0, 40, 600)] ^ flips.astype(np.uint64)
    group = rng.integers(0, 100, 600)
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(600), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= MOST_BITS and group[i] != group[j]
    ]
    assert len(hashes) > 2 * ROWS_AT_ONCE, "more than one chunk"
    pairs, crowded = close_pairs(hashes, group)
    assert sorted(map(tuple, pairs.tolist())) == expected
    assert crowded == 0


def test_like_hashes_make_no_more_pairs_than_images_times_partners() -> None:
    # Two bits off the others, so that the closest partners of the last one are of its own kind.
    hashes = np.array([0] * 500 + [3] * 40, dtype=np.uint64)
    pairs, crowded = close_pairs(hashes, np.arange(540))
    assert crowded == 540 - MOST_PARTNERS - 1
    assert np.bincount(pairs[:, 1]).max() == MOST_PARTNERS
    assert set(pairs[pairs[:, 1] == 539, 0].tolist()) == set(range(539 - MOST_PARTNERS, 539))


def test_many_empty_fields_are_said_to_be_too_many(
    look: Callable[..., Material], found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spore_yolo.dataset.checks.near_twin.MOST_PARTNERS", 2)
    darker = {f"{number}.png": field(0).point(lambda value, n=number: value - 9 * n) for number in range(5)}
    findings = found(CHECK, look(darker))
    assert sum(finding.severity == Severity.WARNING for finding in findings) == 4
    (note,) = (finding.message for finding in findings if finding.severity == Severity.NOTE)
    assert note.startswith("2 images resemble more than 2 others")
