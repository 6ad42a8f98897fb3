from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from spore_yolo.dataset.importing import ImportResult
from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.files.errors import InputProblems, UsageError
from spore_yolo.files.images import read_image
from tests.dataset.conftest import folder_state

Add = Callable[..., Path]
Run = Callable[..., ImportResult]

EVALUATED = ("val", "test", "calibration")
EXPORT_FOLDERS = ("train", "valid", "test")


def _variant(source: str, number: int) -> str:
    """The name of an exported variant; its folder changes with its number, as exporters deal them out."""
    return f"{EXPORT_FOLDERS[number % 3]}/images/{source}_png.rf.{number:02d}aaaaaaaaaa.jpg"


@pytest.fixture
def add_variants(add_image: Add) -> Callable[..., None]:
    """Adds ``variants`` exported variants of each source ``s0``, ``s1``, ..."""

    def _add(first: int, last: int, variants: int = 3) -> None:
        for source in range(first, last):
            for number in range(variants):
                add_image(_variant(f"s{source}", number), [(source % 2, 5, 5, 15, 15)])

    return _add


def _splits(dataset: Dataset, column: str = "image") -> dict[str, str]:
    used = dataset.images[dataset.images["split"] != "spare"]
    return dict(zip(used[column], used["split"], strict=True))


def _check_variants(images: pd.DataFrame) -> None:
    """Variants of one source in one split; train holds all, the others the first by name, the rest is spare."""
    for source, rows in images.groupby("source"):
        used = rows[rows["split"] != "spare"]
        (split,) = set(used["split"])
        if split == "train":
            assert len(used) == len(rows), source
        else:
            assert list(used["image"]) == [min(rows["image"])], source


# Variants


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shares", [(60, 20, 20), (40, 20, 20, 20)], ids=["three splits", "four splits"])
def test_import__variants_of_a_source_never_fall_into_two_splits(
    add_variants: Callable[..., None], run_import: Run, register: Path, seed: int, shares: tuple[int, ...]
) -> None:
    add_variants(0, 10)
    result = run_import(seed=seed, shares=shares)
    images = result.dataset.images
    assert images["source"].nunique() == 10
    assert len(images) == 30
    _check_variants(images)
    assert set(images["split"]) == {"train", *EVALUATED[: len(shares) - 1], "spare"}
    by_split = images[images["split"] != "spare"].groupby("split")["source"].nunique()
    assert by_split.to_dict() == {name: share // 10 for name, share in zip(("train", *EVALUATED), shares, strict=False)}
    pd.testing.assert_frame_equal(load_dataset("spores", register).images, images)
    # The folders that YOLO trains on say the same.
    found = {
        (path.relative_to(result.dataset.folder / "images").as_posix().split("/", 1)[0], path.name)
        for path in (result.dataset.folder / "images").rglob("*.jpg")
    }
    used = images[images["split"] != "spare"]
    assert found == {(split, Path(image).name) for split, image in zip(used["split"], used["image"], strict=True)}


def test_import__variants_with_groups_of_several_sources(add_image: Add, run_import: Run) -> None:
    for source in range(12):
        for number in range(2):
            image = f"day{source // 3}_s{source}_png.rf.{number}aaaaaaaaaa.jpg"
            add_image(image, [(0, 5, 5, 15, 15)])
    images = run_import(group_by="(day[0-9]+)").dataset.images
    assert images["group"].nunique() == 4
    _check_variants(images)
    used = images[images["split"] != "spare"]
    assert (used.groupby("group")["split"].nunique() == 1).all()
    for split in ("val", "test"):
        assert (used["split"] == split).sum() % 3 == 0, "one image for each of the three sources of a group"


@pytest.mark.parametrize("column", ["group", "source"])
def test_load__an_edited_split_is_refused_and_both_lines_named(
    add_variants: Callable[..., None], run_import: Run, register: Path, column: str
) -> None:
    add_variants(0, 6)
    dataset = run_import().dataset
    path = dataset.folder / "images.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = table.index[table["split"] == "train"]
    first = rows[0]
    other = next(row for row in rows[1:] if table.loc[row, "source"] == table.loc[first, "source"])
    table.loc[other, "split"] = "test"
    if column == "source":
        # A group of its own does not hide that the source is torn.
        table.loc[other, "group"] = "elsewhere"
    name = table.loc[first, column]
    table.to_csv(path, index=False)
    with pytest.raises(InputProblems) as caught:
        load_dataset("spores", register)
    (problem,) = [p for p in caught.value.problems if p.message.startswith(f"{column} {name} ")]
    train_lines = [row for row in rows if table.loc[row, column] == name and row != other]
    assert f"train (line {min(train_lines) + 2})" in problem.message
    assert f"test (line {other + 2})" in problem.message
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[other + 1].startswith(table.loc[other, "image"]), "the line named is the line in the file"


def test_load__an_unknown_split_is_refused(add_plain: Callable[[int], None], run_import: Run, register: Path) -> None:
    add_plain(4)
    path = run_import().dataset.folder / "images.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",val,", ",valid,", 1), encoding="utf-8")
    with pytest.raises(InputProblems, match="found 'valid'"):
        load_dataset("spores", register)


# Importing again


def test_import_again__the_same_changes_nothing(
    add_variants: Callable[..., None], run_import: Run, tmp_path: Path
) -> None:
    add_variants(0, 6)
    first = run_import(targets=("Botrytis",), um_per_px=0.25, licence="CC0")
    assert first.changed
    before = folder_state(tmp_path)
    again = run_import(targets=("Botrytis",), um_per_px=0.25, licence="CC0")
    assert not again.changed
    assert folder_state(tmp_path) == before
    assert again.dataset.fingerprint == first.dataset.fingerprint
    pd.testing.assert_frame_equal(again.dataset.images, first.dataset.images)


def test_import__two_users_get_the_same_split(add_variants: Callable[..., None], run_import: Run) -> None:
    add_variants(0, 8)
    assert run_import(seed=3).dataset.fingerprint == run_import(seed=3, name="second").dataset.fingerprint
    assert run_import(seed=3, name="third", force=True).dataset.fingerprint == run_import(seed=3).dataset.fingerprint


def test_import_again__more_images_keep_groups_and_evaluated_variants(
    add_variants: Callable[..., None], add_image: Add, run_import: Run
) -> None:
    add_variants(0, 8)
    first = run_import().dataset
    # A variant whose name sorts before all others would now be "the first by name".
    earlier = {source: f"test/images/s{source}_png.rf.00000000.jpg" for source in range(8)}
    for source, image in earlier.items():
        add_image(image, [(source % 2, 5, 5, 15, 15)])
    assert all(image < min(_variant(f"s{source}", n) for n in range(3)) for source, image in earlier.items())
    add_variants(8, 20)
    second = run_import()
    assert second.changed
    old = first.images.set_index("image")
    new = second.dataset.images.set_index("image")
    assert new.loc[old.index, "split"].to_dict() == old["split"].to_dict(), "also what was spare stays so"
    assert new["source"].nunique() == 20
    train = set(old.loc[old["split"] == "train", "source"])
    for image in earlier.values():
        expected = "train" if new.loc[image, "source"] in train else "spare"
        assert new.loc[image, "split"] == expected
    per_split = new[new["split"] != "spare"].groupby("split")["source"].nunique()
    assert per_split.to_dict() == pytest.approx({"train": 12, "val": 4, "test": 4}, abs=1)


def test_import_again__a_group_that_was_away_comes_back_to_its_split(
    add_plain: Callable[[int], None], run_import: Run, slides: Path, labels: Path
) -> None:
    add_plain(10)
    first = _splits(run_import().dataset)
    away = [image for image, split in first.items() if split != "train"][:2]
    kept = {}
    for image in away:
        for file in (slides / image, (labels / image).with_suffix(".txt")):
            kept[file] = file.read_bytes()
            file.unlink()
    between = run_import()
    assert any("2 images of the previous import" in note for note in between.notes)
    assert set(_splits(between.dataset)) == set(first) - set(away)
    for file, content in kept.items():
        file.write_bytes(content)
    assert _splits(run_import().dataset) == first


def test_import_again__class_numbers_stay(add_plain: Callable[[int], None], add_image: Add, run_import: Run) -> None:
    for i in range(4):
        add_image(f"b{i}.png", [(1, 5, 5, 15, 15)])
    assert run_import().dataset.classes == ["Botrytis"]
    add_plain(4)
    assert run_import().dataset.classes == ["Botrytis", "Alternaria"]


def test_import_again__a_changed_label_is_a_change(
    add_plain: Callable[[int], None], add_image: Add, run_import: Run
) -> None:
    add_plain(6)
    first = run_import().dataset
    add_image("i0.png", [(0, 5, 6, 16, 18)])
    second = run_import()
    assert second.changed
    assert second.dataset.fingerprint != first.fingerprint
    assert _splits(second.dataset) == _splits(first)
    assert second.dataset.boxes.set_index("image").loc["i0.png", "x_max"] == pytest.approx(16)


def test_import_again__moved_images_are_linked_anew(
    add_plain: Callable[[int], None], run_import: Run, slides: Path
) -> None:
    add_plain(4)
    run_import()
    moved = slides.with_name("moved")
    slides.rename(moved)
    dataset = run_import(images=moved).dataset
    assert dataset.path_of("i0.png").is_file()
    links = list((dataset.folder / "images").rglob("*.png"))
    assert len(links) == 4
    assert [link.name for link in links if not link.exists()] == []


def test_import_again__new_bad_lines_are_listed(
    add_plain: Callable[[int], None], run_import: Run, labels: Path
) -> None:
    add_plain(4)
    run_import()
    with (labels / "i0.txt").open("a", encoding="utf-8") as stream:
        stream.write("0 0.5\n")
    result = run_import(skip_bad=True)
    assert len(result.skipped) == 1
    assert len(pd.read_csv(result.dataset.folder / "skipped.csv")) == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"shares": (50, 25, 25)}, "split", id="other shares"),
        pytest.param({"shares": (40, 20, 20, 20)}, "split", id="a calibration part"),
        pytest.param({"seed": 1}, "seed", id="another seed"),
        pytest.param({"group_by": "(i[0-9])"}, "group-by", id="another group rule"),
    ],
)
def test_import_again__other_rules_need_force(
    add_plain: Callable[[int], None], run_import: Run, tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    add_plain(10)
    run_import()
    before = folder_state(tmp_path)
    with pytest.raises(UsageError, match=f"{word}.*--force"):
        run_import(**changes)
    assert folder_state(tmp_path) == before
    result = run_import(**changes, force=True)
    assert result.changed
    options = json.loads((result.dataset.folder / "manifest.json").read_text())["options"]
    rules = {"split": [60, 20, 20], "seed": 0, "group_by": None}
    rules |= {"split" if key == "shares" else key: list(v) if key == "shares" else v for key, v in changes.items()}
    assert {key: options[key] for key in rules} == rules
    assert not run_import(**changes).changed, "the new rules are now the rules"


# Nothing is written when something is wrong


def test_import__negatives_stay(add_plain: Callable[[int], None], add_image: Add, run_import: Run) -> None:
    add_plain(4)
    add_image("empty.png", [])
    add_image("unnamed.png", [], labelled=False)
    result = run_import()
    dataset = result.dataset
    assert {"empty.png", "unnamed.png"} <= set(_splits(dataset))
    assert not {"empty.png", "unnamed.png"} & set(dataset.boxes["image"])
    for image in ("empty", "unnamed"):
        (label,) = (dataset.folder / "labels").rglob(f"{image}.txt")
        assert label.read_text() == ""
    (note,) = [note for note in result.notes if "not named by the labels" in note]
    assert note.startswith("1 images")


def test_import__class_map_end_to_end(add_image: Add, run_import: Run, labels: Path, tmp_path: Path) -> None:
    (labels / "classes.txt").write_text("Alternaria sp.\nAltern\nBotrytis\nunsure\ndust\n")
    boxes = [(number, 6 * number, 4, 6 * number + 5, 10) for number in range(5)]
    for i in range(4):
        add_image(f"i{i}.png", boxes)
    class_map = tmp_path / "map.yaml"
    class_map.write_text(
        "rename: {Alternaria sp.: Alternaria, Altern: Alternaria}\ndrop: [dust]\nignore: [unsure]\n", encoding="utf-8"
    )
    dataset = run_import(class_map=class_map, targets=("Alternaria",)).dataset
    assert dataset.classes == ["Alternaria", "Botrytis"]
    table = dataset.boxes[dataset.boxes["image"] == "i0.png"]
    rows = list(zip(table["class"], table["x_min"].round(6), table["ignored"], strict=True))
    assert sorted(rows) == [
        ("Alternaria", 0.0, False),
        ("Alternaria", 6.0, False),
        ("Botrytis", 12.0, False),
        ("unsure", 18.0, True),
    ]
    (label,) = (dataset.folder / "labels").rglob("i0.txt")
    assert [line.split()[0] for line in label.read_text().splitlines()] == ["0", "0", "1"], "no ignored box, no dust"
    with pytest.raises(UsageError, match="unsure"):
        run_import(class_map=class_map, targets=("unsure",))


def test_import__yolo_layout_read_back(slides: Path, labels: Path, paint: Callable[..., Path], run_import: Run) -> None:
    rng = np.random.default_rng(0)
    rows = ["image,x_min,y_min,x_max,y_max,class"]
    for i in range(6):
        size = (int(rng.integers(60, 90)), int(rng.integers(60, 90)))
        paint(slides / f"day{i % 2}" / f"i{i}.png", (), size)
        for _ in range(5):
            x, y, w, h = rng.uniform(0, 40), rng.uniform(0, 40), rng.uniform(0.5, 20), rng.uniform(0.5, 20)
            rows.append(f"day{i % 2}/i{i}.png,{x},{y},{x + w},{y + h},c{rng.integers(3)}")
    file = labels / "boxes.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    dataset = run_import(labels=file, label_format="csv").dataset
    assert len(dataset.boxes) == 30
    names = yaml.safe_load((dataset.folder / "data.yaml").read_text())["names"]
    for image, split in _splits(dataset).items():
        wanted = dataset.boxes[dataset.boxes["image"] == image]
        height, width = read_image(dataset.folder / "images" / split / image).shape[:2]
        lines = (dataset.folder / "labels" / split / image).with_suffix(".txt").read_text().splitlines()
        assert [names[int(line.split()[0])] for line in lines] == list(wanted["class"])
        for line, corners in zip(lines, wanted[["x_min", "y_min", "x_max", "y_max"]].to_numpy(), strict=True):
            x, y, w, h = map(float, line.split()[1:])
            read = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            assert read == pytest.approx(corners, abs=1e-4)


def test_import__no_absolute_paths_in_what_is_shared(
    add_plain: Callable[[int], None], run_import: Run, register: Path, tmp_path: Path
) -> None:
    add_plain(4)
    dataset = run_import(licence="CC BY 4.0", source="our trap", targets=("Botrytis",)).dataset
    text = (dataset.folder / "data.yaml").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    content = yaml.safe_load(text)
    assert not any(os.path.isabs(str(value)) for value in content.values())
    assert "path" not in content
    for split in ("train", "val", "test"):
        assert (dataset.folder / content[split]).is_dir()
    entry = yaml.safe_load(register.read_text(encoding="utf-8"))["spores"]
    assert {key: entry[key] for key in ("images", "labels", "folder")} == {
        "images": "raw/slides",
        "labels": "raw/labels",
        "folder": "data/spores",
    }
    assert (entry["licence"], entry["source"], entry["targets"]) == ("CC BY 4.0", "our trap", ["Botrytis"])
    assert entry["classes"] == ["Alternaria", "Botrytis"]
    assert str(tmp_path) not in (dataset.folder / "manifest.json").read_text(encoding="utf-8")


def test_import__images_in_folders(add_image: Add, run_import: Run) -> None:
    for day in range(4):
        for i in range(3):
            add_image(f"day{day}/trap/f{i}.png", [(0, 5, 5, 15, 15)])
    dataset = run_import(group_by="^(day[0-9])/").dataset
    assert dataset.images["group"].nunique() == 4
    assert (dataset.images.groupby("group")["split"].nunique() == 1).all()
    for image, split in _splits(dataset).items():
        linked = dataset.folder / "images" / split / image
        assert linked.read_bytes() == dataset.path_of(image).read_bytes()
        assert (dataset.folder / "labels" / split / image).with_suffix(".txt").is_file()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_import__exif(
    add_plain: Callable[[int], None],
    slides: Path,
    labels: Path,
    paint: Callable[..., Path],
    run_import: Run,
    orientation: int,
) -> None:
    for i in range(3):
        paint(slides / f"i{i}.png")
    stored = (6, 4, 16, 12)
    turned = paint(slides / "turned.jpg", [stored], (64, 48), orientation)
    pixels = read_image(turned)
    # The corner mark may be dark too, but it is no more than a pixel or two.
    shown = pixels[:, :, 0] < 100
    wide, high = np.flatnonzero(shown.sum(axis=0) > 3), np.flatnonzero(shown.sum(axis=1) > 3)
    displayed = [wide[0], high[0], wide[-1] + 1, high[-1] + 1]
    # Sizes that swap sides tell that the tool ignored EXIF; otherwise boxes are those of the displayed image.
    box = stored if orientation >= 5 else displayed
    coco = {
        "images": [{"id": 1, "file_name": "turned.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "Alternaria"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [int(box[0]), int(box[1]), int(box[2] - box[0]), int(box[3] - box[1])],
            }
        ],
    }
    file = labels / "coco.json"
    file.write_text(json.dumps(coco), encoding="utf-8")
    dataset = run_import(labels=file, label_format="coco").dataset
    row = dataset.images.set_index("image").loc["turned.jpg"]
    assert (row["width"], row["height"]) == ((48, 64) if orientation >= 5 else (64, 48))
    assert dataset.boxes[["x_min", "y_min", "x_max", "y_max"]].to_numpy()[0] == pytest.approx(displayed, abs=1)


def test_import__um_per_px_and_hashes(add_plain: Callable[[int], None], run_import: Run) -> None:
    add_plain(4)
    dataset = run_import(um_per_px=0.29).dataset
    assert dataset.images["um_per_px"].tolist() == [0.29] * 4
    assert dataset.images["sha256"].nunique() == 4
    assert dataset.images["sha256"].str.fullmatch("[0-9a-f]{64}").all()


# Notes


def test_import__the_same_picture_in_two_groups(
    add_plain: Callable[[int], None], run_import: Run, slides: Path, labels: Path, tmp_path: Path
) -> None:
    add_plain(5)
    (slides / "copy.png").write_bytes((slides / "i2.png").read_bytes())
    (labels / "copy.txt").write_text((labels / "i2.txt").read_text())
    split = tmp_path / "split.csv"
    split.write_text("group,split\ni0,train\ni1,val\ni2,train\ni3,test\ni4,test\ncopy,train\n")
    (note,) = [note for note in run_import(split_file=split).notes if "SPR006" in note]
    assert note == "SPR006 the same image twice: 1 warning; see spore-yolo check spores --select SPR006"


def test_import__the_same_picture_in_two_splits(
    add_plain: Callable[[int], None], run_import: Run, slides: Path, labels: Path, tmp_path: Path
) -> None:
    add_plain(5)
    (slides / "copy.png").write_bytes((slides / "i2.png").read_bytes())
    (labels / "copy.txt").write_text((labels / "i2.txt").read_text())
    split = tmp_path / "split.csv"
    split.write_text("group,split\ni0,train\ni1,val\ni2,train\ni3,test\ni4,test\ncopy,test\n")
    with pytest.raises(InputProblems, match="nothing was imported") as caught:
        run_import(split_file=split)
    assert [problem.code for problem in caught.value.problems] == ["SPR006"]
    assert "--allow SPR006" in str(caught.value)
    assert not (tmp_path / "data").exists()
    with pytest.raises(UsageError, match="SPR999"):
        run_import(split_file=split, allow=("SPR999",))
    result = run_import(split_file=split, allow=("SPR006",))
    assert any("SPR006 the same image twice: 1 error;" in note for note in result.notes)


def test_import__the_same_picture_in_one_group_is_no_error(
    add_plain: Callable[[int], None], run_import: Run, slides: Path, labels: Path
) -> None:
    add_plain(5)
    (slides / "i2_copy.png").write_bytes((slides / "i2.png").read_bytes())
    (labels / "i2_copy.txt").write_text((labels / "i2.txt").read_text())
    (note,) = run_import(group_by="(i[0-9])").notes
    assert note.startswith("SPR006 the same image twice: 1 warning;")


def test_import__clipped_boxes_are_counted(
    slides: Path, labels: Path, paint: Callable[..., Path], run_import: Run
) -> None:
    rows = ["image,x_min,y_min,x_max,y_max,class"]
    for i in range(4):
        paint(slides / f"i{i}.png")
        rows.append(f"i{i}.png,{-0.5 if i < 2 else 0},0,10,10,Alternaria")
    file = labels / "boxes.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    result = run_import(labels=file, label_format="csv")
    assert [note for note in result.notes if note.startswith("2 boxes")]
    assert result.dataset.boxes["x_min"].tolist() == [0.0] * 4


def test_import__grey_and_16_bit_images(add_image: Add, run_import: Run, slides: Path) -> None:
    for i in range(4):
        add_image(f"i{i}.png")
    Image.fromarray(np.full((30, 40), 900, dtype=np.uint16)).save(slides / "i0.png")
    Image.fromarray(np.full((30, 40), 90, dtype=np.uint8)).save(slides / "i1.png")
    assert len(run_import().dataset.images) == 4


def test_import__groups_and_split_from_tables(
    add_plain: Callable[[int], None], run_import: Run, tmp_path: Path
) -> None:
    add_plain(4)
    table, split = tmp_path / "groups.csv", tmp_path / "split.csv"
    table.write_text("image,group\ni0.png,a\ni1.png,a\ni2.png,b\ni3.png,c\n")
    split.write_text("group,split\na,train\nb,val\nc,test\n")
    dataset = run_import(group_by=str(table), split_file=split).dataset
    splits = dict(zip(dataset.images["image"], dataset.images["split"], strict=True))
    assert splits == {"i0.png": "train", "i1.png": "train", "i2.png": "val", "i3.png": "test"}
    table.write_text("image,group\ni0.png,a\ni1.png,c\ni2.png,b\ni3.png,c\n")
    with pytest.raises(InputProblems, match="i1.png: was in group a, is now in group c"):
        run_import(group_by=str(table), split_file=split)
    table.write_text("image,group\ni0.png,a\ni1.png,a\ni2.png,b\ni3.png,c\n")
    split.write_text("group,split\na,train\nb,test\nc,val\n")
    with pytest.raises(UsageError, match="moves groups that were imported in another split: b, c"):
        run_import(group_by=str(table), split_file=split)


def test_import__a_group_rule_that_tears_variants_apart(add_variants: Callable[..., None], run_import: Run) -> None:
    add_variants(0, 4)
    with pytest.raises(InputProblems, match="of the same source"):
        run_import(group_by="^(train|valid|test)/")


# What the dataset holds
