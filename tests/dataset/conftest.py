"""Builders of small images, labels, imports and datasets."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.dataset.importing import ImportOptions, ImportResult, import_dataset
from spore_yolo.dataset.store import IMAGE_COLUMNS, Dataset
from spore_yolo.labels.table import boxes_table

GROUND = 200
DARK = 20


def folder_state(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that is below a folder, with its time and what it holds; links are not followed."""
    state = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        state[path.relative_to(folder).as_posix()] = (info.st_mtime_ns, info.st_ino, content)
    return state


@pytest.fixture
def paint() -> Callable[..., Path]:
    """Writes an image: dark rectangles on light ground, and a corner pixel that makes each file different."""

    def _paint(
        path: Path,
        spores: Sequence[Sequence[float]] = (),
        size: tuple[int, int] = (40, 30),
        orientation: int | None = None,
    ) -> Path:
        pixels = np.full((size[1], size[0], 3), GROUND, dtype=np.uint8)
        for x_min, y_min, x_max, y_max in spores:
            pixels[round(y_min) : round(y_max), round(x_min) : round(x_max)] = DARK
        mark = zlib.crc32(path.as_posix().encode())
        pixels[-1, -1] = [mark % 256, mark // 256 % 256, mark // 65536 % 256]
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        Image.fromarray(pixels).save(path, exif=exif)
        return path

    return _paint


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """The folder of the raw images."""
    return tmp_path / "raw" / "slides"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """The folder of the raw YOLO labels, with the class list Alternaria, Botrytis, dust."""
    folder = tmp_path / "raw" / "labels"
    folder.mkdir(parents=True)
    (folder / "classes.txt").write_text("Alternaria\nBotrytis\ndust\n", encoding="utf-8")
    return folder


@pytest.fixture
def add_image(slides: Path, labels: Path, paint: Callable[..., Path]) -> Callable[..., Path]:
    """Adds an image and its YOLO label file; a box is ``(class number, x_min, y_min, x_max, y_max)``."""

    def _add(
        image: str,
        boxes: Sequence[Sequence[float]] = ((0, 5, 5, 15, 15),),
        size: tuple[int, int] = (40, 30),
        labelled: bool = True,
    ) -> Path:
        path = paint(slides / image, [box[1:] for box in boxes], size)
        if labelled:
            file = (labels / image.replace("images/", "labels/")).with_suffix(".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [
                f"{number} {(x0 + x1) / 2 / size[0]!r} {(y0 + y1) / 2 / size[1]!r}"
                f" {(x1 - x0) / size[0]!r} {(y1 - y0) / size[1]!r}\n"
                for number, x0, y0, x1, y1 in boxes
            ]
            file.write_text("".join(lines), encoding="utf-8")
        return path

    return _add


@pytest.fixture
def register(tmp_path: Path) -> Path:
    """The register of the project."""
    return tmp_path / "datasets.yaml"


@pytest.fixture
def run_import(tmp_path: Path, slides: Path, labels: Path, register: Path) -> Callable[..., ImportResult]:
    """Imports the raw images as ``spores``; arguments change the options."""

    def _run(**changes: Any) -> ImportResult:
        options: dict[str, Any] = {"name": "spores", "images": slides, "labels": labels, "label_format": "yolo"}
        return import_dataset(ImportOptions(**(options | changes)), tmp_path / "data", register, quiet=True)

    return _run


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """A dataset in memory.

    Images are ``{name: (split, group, source, width, height)}``, boxes ``(image, class, 4 corners[, ignored])``.
    """

    def _make(
        images: Mapping[str, tuple[str, str, str, int, int]],
        boxes: Sequence[Sequence[Any]],
        classes: Sequence[str] = ("Alternaria", "Botrytis"),
        targets: Sequence[str] = (),
        group_by: str | None = "(x)",
    ) -> Dataset:
        rows = [
            (image, width, height, group, source, split, float("nan"), "0" * 64)
            for image, (split, group, source, width, height) in images.items()
        ]
        table = boxes_table((*b[:6], bool(b[6]) if len(b) > 6 else False, "labels.csv", None) for b in boxes)
        return Dataset(
            name="spores",
            folder=tmp_path / "data" / "spores",
            images_root=tmp_path / "slides",
            images=pd.DataFrame(rows, columns=IMAGE_COLUMNS),
            boxes=table,
            classes=list(classes),
            targets=list(targets),
            fingerprint="f",
            manifest={"options": {"group_by": group_by}},
        )

    return _make


@pytest.fixture
def add_plain(add_image: Callable[..., Path]) -> Callable[[int], None]:
    """Adds the images ``i0.png``, ``i1.png``, ... with one box each, of two classes in turn."""

    def _add(number: int) -> None:
        for i in range(number):
            add_image(f"i{i}.png", [(i % 2, 5, 6, 15, 18)])

    return _add
