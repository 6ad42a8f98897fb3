from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from spore_yolo.dataset.store import Dataset
from spore_yolo.dataset.tiles import MIN_VISIBLE, TileFolder, TileSettings, cut_tiles, visible
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_image
from spore_yolo.labels.table import COORDINATES, boxes_table

GROUND = 200
DARK = 20
WINDOW = (100, 200, 164, 264)


@pytest.fixture
def cut(make_dataset: Callable[..., Dataset], paint: Callable[..., Path], tmp_path: Path) -> Callable[..., TileFolder]:
    """Paints slides, boxes as dark rectangles, and cuts them; images are ``{name: (split, width, height)}``."""

    def _cut(
        images: dict[str, tuple[str, int, int]],
        boxes: Sequence[Sequence[Any]],
        seed: int = 0,
        sources: dict[str, str] | None = None,
        folder: str = "tiles",
        **changes: Any,
    ) -> TileFolder:
        rows = {
            name: (split, name, (sources or {}).get(name, name), width, height)
            for name, (split, width, height) in images.items()
        }
        dataset = make_dataset(rows, boxes)
        for name, (_, width, height) in images.items():
            paint(dataset.path_of(name), [box[2:6] for box in boxes if box[0] == name], (width, height))
        settings = {"size": 64, "scale": 1.0, "overlap": 16, "empty_share": 0.5, "one_class": False} | changes
        (tmp_path / folder).mkdir()
        return cut_tiles(dataset, tmp_path / folder, TileSettings(**settings), seed, quiet=True)

    return _cut


def _labels(folder: Path, split: str) -> dict[str, list[tuple[int, list[float]]]]:
    """Boxes of each tile, class number and corners in pixels of the tile."""
    found = {}
    for path in sorted((folder / "images" / split).iterdir()):
        height, width = read_image(path).shape[:2]
        rows = []
        for line in (folder / "labels" / split / f"{path.stem}.txt").read_text().splitlines():
            x, y, w, h = (float(field) for field in line.split()[1:])
            corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            rows.append((int(line.split()[0]), corners))
        found[path.stem] = rows
    return found


def _dark(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    dark: npt.NDArray[np.bool_] = pixels.max(axis=2) < (GROUND + DARK) / 2
    return dark


VAL = {"v.png": ("val", 50, 50)}
VAL_BOX = ("v.png", "Alternaria", 10, 10, 30, 30)


@pytest.mark.parametrize(
    ("box", "ignored", "seen"),
    [
        pytest.param((110, 210, 120, 230), False, (10, 10, 20, 30), id="whole"),
        pytest.param((100, 200, 164, 264), False, (0, 0, 64, 64), id="as large as the window"),
        pytest.param((94, 210, 104, 220), False, (0, 10, 4, 20), id="left edge, exactly 40%"),
        pytest.param((94, 210, 103.9, 220), False, None, id="left edge, a little less"),
        pytest.param((159, 210, 169, 220), False, (59, 10, 64, 20), id="right edge, half"),
        pytest.param((161, 210, 171, 220), False, None, id="right edge, 30%"),
        pytest.param((110, 258, 120, 268), False, (10, 58, 20, 64), id="lower edge, 60%"),
        pytest.param((110, 194, 120, 204), False, (10, 0, 20, 4), id="upper edge, exactly 40%"),
        pytest.param((95, 195, 105, 205), False, None, id="corner, half of each side is a quarter"),
        pytest.param((20, 20, 40, 40), False, None, id="elsewhere"),
        pytest.param((90, 210, 100, 220), False, None, id="touches from outside"),
        pytest.param((161, 210, 171, 220), True, (61, 10, 64, 20), id="ignored, however little"),
        pytest.param((90, 210, 100, 220), True, None, id="ignored, touches from outside"),
        pytest.param((20, 20, 40, 40), True, None, id="ignored, elsewhere"),
        pytest.param((0, 0, 500, 500), True, (0, 0, 64, 64), id="ignored, larger than the window"),
    ],
)
def test_visible(box: tuple[float, ...], ignored: bool, seen: tuple[float, ...] | None) -> None:
    assert MIN_VISIBLE == 0.4
    table = boxes_table([("i", "a", *box, ignored, "f", 1)])
    before = table.copy()
    found = visible(table, WINDOW)
    assert [tuple(row) for row in found[COORDINATES].to_numpy()] == ([] if seen is None else [seen])
    assert table.equals(before), "the table given is left as it was"


def test_visible__none() -> None:
    assert visible(boxes_table(), WINDOW).empty


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_cut_tiles__boxes_lie_on_their_spores(cut: Callable[..., TileFolder], scale: float) -> None:
    rng = np.random.default_rng(5)
    boxes = []
    for row in range(5):
        for column in range(7):
            x, y = 8 + 40 * column + rng.integers(0, 8), 6 + 40 * row + rng.integers(0, 8)
            boxes.append(("a.png", "Alternaria", x, y, x + rng.integers(10, 20), y + rng.integers(10, 20)))
    images = {"a.png": ("train", 300, 220), **VAL}
    result = cut(images, [*boxes, VAL_BOX], scale=scale, size=round(128 * scale), overlap=24)
    folder = result.data_yaml.parent
    labels = _labels(folder, "train")
    assert len(labels) == 3 * 2
    whole = 0
    for stem, rows in labels.items():
        pixels = read_image(folder / "images" / "train" / f"{stem}.jpg")
        assert pixels.shape == (round(128 * scale), round(128 * scale), 3)
        dark = _dark(pixels)
        covered = np.zeros_like(dark)
        for number, corners in rows:
            assert number == 0
            x_min, y_min, x_max, y_max = (round(corner) for corner in corners)
            # Dark out to the edge, light beyond it (to a pixel and a half, for the interpolation and the JPEG).
            assert dark[y_min + 2 : y_max - 2, x_min + 2 : x_max - 2].all()
            around = dark[max(y_min - 2, 0) : y_max + 2, max(x_min - 2, 0) : x_max + 2].sum()
            area = (corners[2] - corners[0]) * (corners[3] - corners[1])
            assert around == pytest.approx(area, rel=0.25 if scale < 1 else 0.12)
            covered[max(y_min - 2, 0) : y_max + 2, max(x_min - 2, 0) : x_max + 2] = True
            whole += 1
        # What is dark and has no box is less than 40% of a spore at the edge of the tile.
        rest = np.argwhere(dark & ~covered)
        edge = 8 * scale + 2
        side = 128 * scale
        assert all(min(y, x, side - 1 - y, side - 1 - x) <= edge for y, x in rest)
    assert whole >= len(boxes), "every spore is on a tile"


def test_cut_tiles__names_and_places(cut: Callable[..., TileFolder]) -> None:
    boxes = [("day/a.png", "Botrytis", 60, 10, 80, 30), VAL_BOX]
    result = cut({"day/a.png": ("train", 112, 64), **VAL}, boxes)
    labels = _labels(result.data_yaml.parent, "train")
    assert set(labels) == {"0_day__a.png_0_0", "0_day__a.png_48_0"}
    assert labels["0_day__a.png_0_0"] == [], "4 of 20 pixels are too little"
    ((number, corners),) = labels["0_day__a.png_48_0"]
    assert number == 1
    assert corners == pytest.approx([12, 10, 32, 30], abs=1e-4)


def test_cut_tiles__a_small_slide_is_filled_up_not_enlarged(cut: Callable[..., TileFolder]) -> None:
    boxes = [("a.png", "Alternaria", 5, 6, 15, 26), VAL_BOX]
    result = cut({"a.png": ("train", 30, 40), **VAL}, boxes, scale=2.0, size=100)
    (path,) = (result.data_yaml.parent / "images" / "train").iterdir()
    pixels = read_image(path)
    assert pixels.shape == (100, 100, 3)
    assert np.abs(pixels[84:, :].astype(int) - 114).max() < 8
    assert np.abs(pixels[:, 64:].astype(int) - 114).max() < 8
    ((_, corners),) = _labels(result.data_yaml.parent, "train")["0_a.png_0_0"]
    assert corners == pytest.approx([10, 12, 30, 52], abs=1e-3)


def test_cut_tiles__test_and_spare_slides_stay_out(cut: Callable[..., TileFolder]) -> None:
    images = {"a.png": ("train", 50, 50), "t.png": ("test", 50, 50), "s.png": ("spare", 50, 50), **VAL}
    images["c.png"] = ("calibration", 50, 50)
    result = cut(images, [(name, "Alternaria", 10, 10, 30, 30) for name in images])
    names = sorted(path.name for path in (result.data_yaml.parent / "images").rglob("*.jpg"))
    assert names == ["0_a.png_0_0.jpg", "0_v.png_0_0.jpg"]
    assert set(result.sources) == {"0_a.png_0_0"}


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_cut_tiles__ignored_boxes_are_painted_over(cut: Callable[..., TileFolder], scale: float) -> None:
    boxes = [
        ("a.png", "Alternaria", 10, 10, 26, 26),
        ("a.png", "Alternaria", 30.4, 40.4, 45.6, 55.6, True),
        ("a.png", "Alternaria", 90, 4, 110, 20, True),
        VAL_BOX,
        ("v.png", "unsure", 35, 35, 45, 45, True),
    ]
    result = cut({"a.png": ("train", 112, 64), **VAL}, boxes, scale=scale, size=round(64 * scale), empty_share=0.6)
    folder = result.data_yaml.parent
    for split, stem, spore in (("train", "0_a.png_0_0", (10, 10, 26, 26)), ("val", "0_v.png_0_0", (10, 10, 30, 30))):
        dark = _dark(read_image(folder / "images" / split / f"{stem}.jpg"))
        if split == "val":
            dark = dark[: round(50 * scale), : round(50 * scale)]  # beyond is what fills the tile up
        x_min, y_min, x_max, y_max = (round(side * scale) for side in spore)
        assert dark[y_min + 2 : y_max - 2, x_min + 2 : x_max - 2].all(), "the labelled spore is there"
        dark[y_min - 2 : y_max + 2, x_min - 2 : x_max + 2] = False
        dark[-4:, -4:] = False  # the mark that makes each file different
        assert not dark.any(), "the ignored one is not"
        assert len(_labels(folder, split)[stem]) == 1
    # The ignored box at the right edge, of which the other tile shows only a part.
    pixels = read_image(folder / "images" / "train" / "0_a.png_48_0.jpg")
    patch = pixels[round(4 * scale) : round(20 * scale), round(42 * scale) : round(62 * scale)]
    assert np.abs(patch.astype(int) - GROUND).max() <= 6, "painted with the ground colour"


def test_cut_tiles__no_label_on_painted_ground(cut: Callable[..., TileFolder]) -> None:
    """A spore inside an ignored region either keeps its pixels or loses its label."""
    boxes = [
        ("a.png", "Alternaria", 20, 20, 32, 32),
        ("a.png", "crowd", 10, 10, 45, 45, True),
        ("a.png", "Alternaria", 2, 50, 12, 60),
        VAL_BOX,
    ]
    result = cut({"a.png": ("train", 64, 64), **VAL}, boxes)
    folder = result.data_yaml.parent
    dark = _dark(read_image(folder / "images" / "train" / "0_a.png_0_0.jpg"))
    for _, corners in _labels(folder, "train")["0_a.png_0_0"]:
        x_min, y_min, x_max, y_max = (round(corner) for corner in corners)
        assert dark[y_min:y_max, x_min:x_max].mean() > 0.5


def test_cut_tiles__the_slides_are_left_as_they_were(cut: Callable[..., TileFolder]) -> None:
    boxes = [("a.png", "Alternaria", 10, 10, 26, 26), ("a.png", "x", 30, 40, 45, 55, True), VAL_BOX]
    result = cut({"a.png": ("train", 64, 64), **VAL}, boxes)
    slide = result.data_yaml.parent.parent / "slides" / "a.png"
    assert _dark(read_image(slide))[40:55, 30:45].all()


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        pytest.param(0.0, 0, id="none"),
        pytest.param(0.2, 1, id="one in five"),
        pytest.param(0.5, 4, id="half"),
        pytest.param(0.55, 4, id="rounded down"),
        pytest.param(0.75, 12, id="more than half"),
        pytest.param(0.9, 16, id="no more than there are"),
        pytest.param(1.0, 16, id="all"),
    ],
)
def test_cut_tiles__empty_tiles_are_thinned_in_train_only(
    cut: Callable[..., TileFolder], share: float, kept: int
) -> None:
    images = {f"n{i}.png": ("train", 20, 20) for i in range(16)}
    images |= {f"p{i}.png": ("train", 20, 20) for i in range(4)}
    images |= {f"m{i}.png": ("val", 20, 20) for i in range(9)}
    boxes = [(f"p{i}.png", "Alternaria", 4, 4, 14, 14) for i in range(4)]
    result = cut({**images, **VAL}, [*boxes, VAL_BOX], empty_share=share)
    labels = _labels(result.data_yaml.parent, "train")
    assert sum(not rows for rows in labels.values()) == kept
    assert sum(bool(rows) for rows in labels.values()) == 4, "tiles with spores all stay"
    assert len(_labels(result.data_yaml.parent, "val")) == 10, "validation keeps all"
    assert (result.counts, result.empty) == ({"train": 4 + kept, "val": 10}, {"train": kept, "val": 9})
    assert set(result.sources) == set(labels)


def test_cut_tiles__the_seed_chooses_the_empty_tiles(cut: Callable[..., TileFolder]) -> None:
    images = {f"n{i}.png": ("train", 20, 20) for i in range(16)} | {"p.png": ("train", 20, 20), **VAL}
    boxes = [("p.png", "Alternaria", 4, 4, 14, 14), VAL_BOX]
    kept = [
        tuple(cut(images, boxes, seed=seed, folder=f"tiles{number}", empty_share=0.8).sources)
        for number, seed in enumerate((0, 0, 1, 2, 3))
    ]
    assert kept[0] == kept[1]
    assert len(set(kept)) > 1


@pytest.mark.parametrize(
    ("one_class", "names", "numbers"),
    [
        pytest.param(False, {0: "Alternaria", 1: "Botrytis"}, [0, 1], id="classes as labelled"),
        pytest.param(True, {0: "spore"}, [0, 0], id="all are spores"),
    ],
)
def test_cut_tiles__classes(
    cut: Callable[..., TileFolder], one_class: bool, names: dict[int, str], numbers: list[int]
) -> None:
    boxes = [("a.png", "Alternaria", 2, 2, 12, 12), ("a.png", "Botrytis", 20, 20, 32, 32), VAL_BOX]
    result = cut({"a.png": ("train", 50, 50), **VAL}, boxes, one_class=one_class)
    folder = result.data_yaml.parent
    content = yaml.safe_load(result.data_yaml.read_text(encoding="utf-8"))
    assert content["names"] == names
    assert result.classes == list(names.values())
    assert [number for number, _ in _labels(folder, "train")["0_a.png_0_0"]] == numbers
    for split in ("train", "val"):
        assert (Path(content["path"]) / content[split]).samefile(folder / "images" / split)


def test_cut_tiles__sources_file(cut: Callable[..., TileFolder]) -> None:
    images = {
        "a.rf.1.png": ("train", 112, 64),
        "a.rf.2.png": ("train", 50, 50),
        "b.png": ("train", 50, 50),
        **VAL,
    }
    boxes = [(name, "Alternaria", 50, 10, 62, 30) for name in ("a.rf.1.png",)]
    boxes += [(name, "Alternaria", 10, 10, 30, 30) for name in ("a.rf.2.png", "b.png")]
    boxes += [("b.png", "Botrytis", 31, 31, 41, 41), VAL_BOX]
    result = cut(images, boxes, sources={"a.rf.1.png": "a", "a.rf.2.png": "a"})
    content = json.loads((result.data_yaml.parent / "sources.json").read_text(encoding="utf-8"))
    assert content == {
        "sources": {"0_a.rf.1.png_0_0": "a", "0_a.rf.1.png_48_0": "a", "1_a.rf.2.png_0_0": "a", "2_b.png_0_0": "b.png"},
        "variants": {"a": 2, "b.png": 1},
        "max_boxes": 2,
    }
    assert (result.sources, result.variants, result.max_boxes) == (content["sources"], content["variants"], 2)


@pytest.mark.parametrize("split", ["train", "val"])
def test_cut_tiles__nothing_to_learn_from(cut: Callable[..., TileFolder], split: str) -> None:
    boxes = [("a.png", "Alternaria", 10, 10, 30, 30), VAL_BOX]
    image = "a.png" if split == "train" else "v.png"
    ignored = [(*box, box[0] == image) for box in boxes]
    with pytest.raises(SporeYoloError, match=f"no box in {split}"):
        cut({"a.png": ("train", 50, 50), **VAL}, ignored)


def test_cut_tiles__no_validation_slides(cut: Callable[..., TileFolder]) -> None:
    with pytest.raises(SporeYoloError, match="no split 'val'"):
        cut({"a.png": ("train", 50, 50)}, [("a.png", "Alternaria", 10, 10, 30, 30)])


def test_cut_tiles__spores_larger_than_a_tile_can_share(cut: Callable[..., TileFolder]) -> None:
    with pytest.raises(SporeYoloError, match="cannot overlap"):
        cut({"a.png": ("train", 100, 50), **VAL}, [("a.png", "Alternaria", 10, 10, 30, 30), VAL_BOX], overlap=64)


def test_cut_tiles__a_full_disk_is_an_error(cut: Callable[..., TileFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spore_yolo.dataset.tiles.cv2.imwrite", lambda *_: False)
    with pytest.raises(OSError, match="disk full"):
        cut({"a.png": ("train", 50, 50), **VAL}, [("a.png", "Alternaria", 10, 10, 30, 30), VAL_BOX])
