from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.near_twin import CHECK, MOST_BITS, ROWS_AT_ONCE, close_pairs
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


def test_scaled_brightened_and_compressed_copies(look: Callable[..., Material], found: Found) -> None:
    images = {f"{seed}.png": field(seed) for seed in range(8)}
    images |= {"a.jpg": field(0), "b.png": field(3).resize((320, 240)), "c.png": bright(field(3))}
    findings = found(CHECK, look(images, splits={"0.png": "train", "a.jpg": "test"}))
    assert sorted((f.image, f.message) for f in findings) == [
        ("0.png", "nearly the same picture as a.jpg, in different splits: test, train"),
        ("3.png", "nearly the same picture as b.png, c.png"),
    ]
    assert {f.severity for f in findings} == {Severity.WARNING}


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
    assert sorted(map(tuple, close_pairs(hashes, group).tolist())) == expected
