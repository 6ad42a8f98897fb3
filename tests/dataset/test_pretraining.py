from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from spore_yolo.dataset import pretraining as module
from spore_yolo.dataset.crops import CropFolder
from spore_yolo.dataset.pretraining import CLASSIFIER_FIELDS, draw_crops, draw_tiles
from spore_yolo.dataset.sample import Field, draw_field, pretraining_rng, random_scene, random_taxa
from spore_yolo.dataset.tiles import TileFolder
from spore_yolo.files.images import read_image

SIZE = 128
SEED = 4


def scene(number: int, seed: int = SEED) -> Field:
    """The field of a tile, drawn again."""
    rng = pretraining_rng(seed, number)
    taxa, style = random_scene(rng)
    return draw_field(rng, taxa, width=SIZE, height=SIZE, style=style)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileFolder:
    """Four tiles to train on and two to validate, drawn in processes of their own as always."""
    return draw_tiles(tmp_path_factory.mktemp("drawn") / "tiles", (4, 2), SIZE, SEED)


def place(tiles: TileFolder, number: int, kind: str, suffix: str) -> Path:
    return tiles.data_yaml.parent / kind / ("train" if number < 4 else "val") / f"{number:07}.{suffix}"


def corners(path: Path) -> np.ndarray:
    """The boxes of a YOLO label file in pixels; its only class is 0."""
    rows = np.array(path.read_text().split(), dtype=np.float64).reshape(-1, 5)
    assert (rows[:, 0] == 0).all()
    centre, half = rows[:, 1:3] * SIZE, rows[:, 3:] * SIZE / 2
    return np.hstack([centre - half, centre + half])


def test_labels_are_the_boxes_of_the_fields_spores(tiles: TileFolder) -> None:
    spores, debris = 0, 0
    for number in range(6):
        field = scene(number)
        expected = np.array([placed.box for placed in field.spores], dtype=np.float64).reshape(-1, 4)
        assert corners(place(tiles, number, "labels", "txt")) == pytest.approx(expected, abs=0.01)
        spores += len(expected)
        debris += len(field.objects) - len(expected)
    assert spores > 5
    assert debris > 2, "debris is drawn and not labelled"


def test_pictures_are_those_of_the_fields(tiles: TileFolder) -> None:
    for number in range(6):
        pixels = read_image(place(tiles, number, "images", "jpg")).astype(np.float64)
        assert pixels.shape == (SIZE, SIZE, 3)
        # The colours are in their order: JPEG changes little, red for blue would change much.
        assert np.abs(pixels - scene(number).pixels).mean() < 6
    assert np.ptp([scene(number).pixels.mean() for number in range(6)]) > 12, "no two scenes are alike"


def test_another_seed_draws_other_tiles(tiles: TileFolder) -> None:
    pixels = read_image(place(tiles, 0, "images", "jpg")).astype(np.float64)
    assert np.abs(pixels - scene(0, seed=SEED + 1).pixels).mean() > 12


def test_tiles_in_the_yolo_layout(tiles: TileFolder) -> None:
    root = tiles.data_yaml.parent
    assert yaml.safe_load(tiles.data_yaml.read_text()) == {
        "path": str(root.resolve()),
        "train": "images/train",
        "val": "images/val",
        "names": {0: "spore"},
    }
    images = sorted(path.relative_to(root / "images").with_suffix("") for path in root.glob("images/*/*"))
    assert images == sorted(path.relative_to(root / "labels").with_suffix("") for path in root.glob("labels/*/*"))
    numbers = [len(scene(number).spores) for number in range(6)]
    assert tiles.classes == ["spore"]
    assert tiles.counts == {"train": 4, "val": 2}
    assert tiles.empty == {"train": numbers[:4].count(0), "val": numbers[4:].count(0)}
    assert tiles.max_boxes == max(numbers)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> CropFolder:
    """The crops of one field to train on and of one to validate, of three taxa."""
    return draw_crops(tmp_path_factory.mktemp("drawn") / "crops", 3, (1, 1), (0.1, 0.4), 32, SEED)


def names(crops: CropFolder, split: str) -> Counter[str]:
    return Counter(path.parent.name for path in (crops.path / split).glob("*/*.png"))


def test_each_spore_and_each_piece_of_debris_gives_a_crop(crops: CropFolder) -> None:
    assert crops.classes == ["debris", "taxon_00", "taxon_01", "taxon_02"]
    taxa = random_taxa(pretraining_rng(SEED, CLASSIFIER_FIELDS - 1), 3)
    for number, split in enumerate(("train", "val")):
        assert sorted(path.name for path in (crops.path / split).iterdir()) == crops.classes
        found = names(crops, split)
        # Of each taxon one to six spores are wanted; some find no room.
        assert all(found[name] <= 6 for name in crops.classes[1:])
        assert sum(found[name] for name in crops.classes[1:]) >= 3
        rng = pretraining_rng(SEED, CLASSIFIER_FIELDS + number)
        chosen = rng.choice(3, 3, replace=False)
        _, style = random_scene(rng)
        counts = {taxa[index].name: int(rng.integers(1, 7)) for index in chosen}
        field = draw_field(rng, [taxa[index] for index in chosen], width=640, height=640, style=style, counts=counts)
        expected = Counter(placed.kind if placed.labelled else "debris" for placed in field.objects)
        renamed = {taxon.name: f"taxon_{index:02}" for index, taxon in enumerate(taxa)}
        assert found == Counter({renamed.get(kind, kind): count for kind, count in expected.items()})


def test_crops_have_one_size_and_show_something(crops: CropFolder) -> None:
    for path in crops.path.glob("*/*/*.png"):
        pixels = read_image(path)
        assert pixels.shape == (32, 32, 3)
        assert pixels.std() > 2


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spore_yolo.dataset.pretraining.cv2.imwrite", lambda *_: False)
    for split in ("images", "labels"):
        (tmp_path / split / "train").mkdir(parents=True)
    with pytest.raises(OSError, match="disk full") as error:
        module._draw_tile(tmp_path, 64, SEED, (0, "train"))
    assert error.value.errno == 28
