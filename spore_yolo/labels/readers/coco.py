"""COCO JSON: ``images``, ``categories`` and ``annotations`` with arbitrary ids; boxes are ``x, y, width, height``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.image_index import ImageIndex
from spore_yolo.labels.table import RawBox, RawLabels


def read_coco(path: Path, images: ImageIndex) -> RawLabels:
    """Reads a COCO annotation file; ``iscrowd`` annotations become ignored boxes.

    Ids are only what ties the three lists together: they need not start at 1 nor be without gaps. Classes keep the
    order of ``categories``.
    """
    text, content = _read(path)
    labels = RawLabels()
    names = {item["id"]: str(item["name"]) for item in content["categories"]}
    labels.classes = list(dict.fromkeys(names.values()))
    known: dict[Any, tuple[str, tuple[int, int] | None]] = {}
    missing: set[Any] = set()
    lines = _Lines(text)
    for index, item in enumerate(content["images"]):
        try:
            image = images.find(str(item["file_name"]))
        except LookupError as error:
            missing.add(item["id"])
            labels.problems.append(Problem(path, lines.of("images", index), str(error)))
            continue
        stated = (item.get("width"), item.get("height"))
        whole = all(isinstance(side, int) and side > 0 for side in stated)
        known[item["id"]] = (image, (int(stated[0]), int(stated[1])) if whole else None)
        labels.labelled_images.add(image)
    for index, item in enumerate(content["annotations"]):
        image_id, category_id = item.get("image_id"), item.get("category_id")
        if isinstance(image_id, list | dict) or isinstance(category_id, list | dict):
            where = lines.of("annotations", index)
            labels.problems.append(Problem(path, where, "expected 'image_id' and 'category_id' to be numbers"))
            continue
        if image_id in missing or (image_id in known and known[image_id][0] not in images.sizes):
            continue  # told once, for the image
        message = _fault(item, known, names)
        if message:
            labels.problems.append(
                Problem(path, lines.of("annotations", index), f"annotation id {item.get('id')}: {message}")
            )
            continue
        image, stated_size = known[image_id]
        x, y, width, height = (float(value) for value in item["bbox"])
        labels.boxes.append(
            RawBox(
                image,
                names[item["category_id"]],
                x,
                y,
                x + width,
                y + height,
                ignored=bool(item.get("iscrowd", 0)),
                file=path,
                line=lines.of("annotations", index),
                stated_size=stated_size,
            )
        )
    return labels


def _fault(item: dict[str, Any], known: dict[Any, Any], names: dict[Any, str]) -> str | None:
    if item.get("image_id") not in known:
        return f"unknown image id {item.get('image_id')}; it is not in 'images'"
    if item.get("category_id") not in names:
        listed = ", ".join(f"{key} {name}" for key, name in names.items())
        return f"unknown class, category id {item.get('category_id')}; 'categories' has {listed}"
    box = item.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(isinstance(value, int | float) for value in box)):
        return f"expected 'bbox' with four numbers (x, y, width, height), found {box!r:.60}"
    return None


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    if path.is_dir():
        raise InputProblems("The labels cannot be read:", [Problem(path, None, "expected a COCO file, found a folder")])
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text)
    except UnicodeDecodeError:
        raise InputProblems(
            "The labels cannot be read:", [Problem(path, None, "expected JSON, found other bytes")]
        ) from None
    except json.JSONDecodeError as error:
        problem = Problem(path, error.lineno, f"not valid JSON: {error.msg}")
        raise InputProblems("The labels cannot be read:", [problem]) from None
    fields = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": ()}
    for part, needed in fields.items():
        items = content.get(part) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(_has(item, needed) for item in items):
            expected = f"expected a list '{part}'" + (f" whose items have {' and '.join(needed)}" if needed else "")
            raise InputProblems("The labels cannot be read:", [Problem(path, None, f"{expected} (COCO format)")])
    return text, content


def _has(item: Any, needed: tuple[str, ...]) -> bool:
    return isinstance(item, dict) and all(key in item for key in needed) and isinstance(item.get("id", 0), int | str)


class _Lines:
    """The line on which an item of a list begins, which the json module does not tell."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[str, list[int]] = {}

    def of(self, part: str, index: int) -> int | None:
        if part not in self._lines:
            self._lines[part] = self._starts(part)
        lines = self._lines[part]
        return lines[index] if index < len(lines) else None

    def _starts(self, part: str) -> list[int]:
        opening = re.search(rf'"{part}"\s*:\s*\[', self._text)
        if opening is None:
            return []
        decoder = json.JSONDecoder()
        lines: list[int] = []
        position, line, counted = opening.end(), 1, 0
        blank = re.compile(r"[\s,]*")
        while True:
            skipped = blank.match(self._text, position)
            position = skipped.end() if skipped else position
            if self._text[position : position + 1] != "{":
                return lines
            line += self._text.count("\n", counted, position)
            counted = position
            lines.append(line)
            _, position = decoder.raw_decode(self._text, position)
