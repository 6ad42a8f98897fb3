"""The page of a dataset: it says what is there, stands alone, and takes any name."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.dataset.statistics import statistics_of
from spore_yolo.dataset.store import IMAGE_COLUMNS, Dataset
from spore_yolo.evaluation.dataset_page import (
    FIGURES,
    PAGE,
    class_sentences,
    cut_crops,
    next_steps,
    pick_boxes,
    write_dataset_page,
)
from spore_yolo.labels.table import boxes_table

HOSTILE = "<script>alert(1)</script> $x_{y}$ 'quoted'"


def make_dataset(
    folder: Path, groups: tuple[int, int, int] = (3, 2, 2), names: tuple[str, ...] = ("common", "rare")
) -> Dataset:
    """Groups of two slides, each with six boxes of the first class; the first of a group has one of each other too."""
    images, boxes = [], []
    for split, number in zip(("train", "val", "test"), groups, strict=True):
        for group in range(number):
            for place in range(2):
                image = f"{split}-{group}-{place}.png"
                images.append((image, 120, 90, f"{split} {group}", image, split, 0.5, "0" * 64))
                boxes += [(image, names[0], 10 * i, 10, 10 * i + 8 + i, 20, False, "l.csv", 1) for i in range(6)]
                boxes += [(image, name, 60, 50, 90, 80, False, "l.csv", 1) for name in names[1:] if place == 0]
    return Dataset(
        name="spores",
        folder=folder / "data",
        images_root=folder / "slides",
        images=pd.DataFrame(images, columns=IMAGE_COLUMNS),
        boxes=boxes_table(boxes),
        classes=list(names),
        targets=[names[-1]],
        fingerprint="f",
        manifest={"options": {"group_by": "(x)"}},
    )


def paint(dataset: Dataset) -> None:
    dataset.images_root.mkdir()
    for image in dataset.images["image"]:
        Image.fromarray(np.full((90, 120, 3), 180, dtype=np.uint8)).save(dataset.path_of(image))


def page_of(dataset: Dataset, folder: Path, warnings: tuple[str, ...] = ()) -> str:
    write_dataset_page(folder, dataset, statistics_of(dataset), warnings)
    return (folder / PAGE).read_text(encoding="utf-8")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_stands_alone_and_pictures_are_pictures(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    paint(dataset)
    page = page_of(dataset, tmp_path / "out")
    parser = _Tags()
    parser.feed(page)
    assert "script" not in {tag for tag, _ in parser.tags}
    links = [attrs.get("src") or attrs.get("href") or "" for _, attrs in parser.tags if {"src", "href"} & set(attrs)]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in parser.tags)
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    assert len(pictures) == 12
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0]))).size == (256, 256)
    assert "µm" in page


def test_names_out_of_the_data_are_no_markup(tmp_path: Path) -> None:
    page = page_of(make_dataset(tmp_path, names=("plain", HOSTILE)), tmp_path / "out", (f"mind {HOSTILE}",))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_without_images_it_says_so(tmp_path: Path) -> None:
    page = page_of(make_dataset(tmp_path), tmp_path / "out")
    assert "No picture could be cut" in page
    assert "data:image/jpeg" not in page


def test_some_images_are_gone(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    paint(dataset)
    slide = pick_boxes(dataset, 6)["image"].iloc[0]
    dataset.path_of(slide).write_bytes(b"cut")
    crops, gone = cut_crops(dataset)
    assert gone == (pick_boxes(dataset, 6)["image"] == slide).sum() > 0
    assert sum(len(part.pictures) for part in crops) == 12 - gone


def test_the_figures_are_those_of_the_statistics(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    page_of(dataset, tmp_path / "out")
    figures = json.loads((tmp_path / "out" / FIGURES).read_text(encoding="utf-8"))
    assert figures["whole"]["boxes"] == 14 * 6 + 7
    assert [part["name"] for part in figures["classes"]] == ["common", "rare"]


@pytest.mark.parametrize("names", [("one",), ("a", "b", "absent")])
def test_a_dataset_without_boxes(tmp_path: Path, names: tuple[str, ...]) -> None:
    dataset = make_dataset(tmp_path, names=names)
    empty = Dataset(**{**vars(dataset), "boxes": boxes_table()})
    assert "Nothing is labelled." in page_of(empty, tmp_path / "out")


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            (3, 2, 2),
            ["Little to learn from:</strong> 3 boxes from 3 groups", "to state its recall:</strong> 2 in test, 6 more"],
        ),
        (
            (110, 8, 9),
            ["Something to learn from: 110 boxes from 110 groups", "Enough groups to state its recall: 9 in test"],
        ),
        ((0, 8, 8), ["Cannot be learned"]),
        ((8, 8, 0), []),
    ],
)
def test_whether_a_class_is_enough(tmp_path: Path, groups: tuple[int, int, int], said: list[str]) -> None:
    statistics = statistics_of(make_dataset(tmp_path, groups))
    text = " ".join(class_sentences(statistics.classes[1], statistics))
    assert all(part in text for part in said), text
    assert ("test" in text) == (groups[2] > 0)


def test_next_steps_name_what_is_short(tmp_path: Path) -> None:
    def steps(groups: tuple[int, int, int]) -> str:
        dataset = make_dataset(tmp_path, groups)
        return " ".join(next_steps(dataset, statistics_of(dataset)))

    assert "<bdi>rare</bdi> (6), <bdi>common</bdi> (6)" in steps((3, 2, 4))
    assert "more groups that hold" not in steps((3, 8, 8))
    assert "spore-yolo train-detector --dataset spores" in steps((3, 8, 8))


def test_pictures_are_of_many_groups_and_usual_sizes(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    picked = pick_boxes(dataset, 6)
    assert picked["class"].value_counts().to_dict() == {"common": 6, "rare": 6}
    assert picked[picked["class"] == "rare"]["group"].nunique() == 6
    assert picked[picked["class"] == "common"]["group"].nunique() >= 5
