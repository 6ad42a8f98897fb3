"""YOLO text files: one a image, a line a box, ``class x_centre y_centre width height`` as fractions of the image.

Predictions may have the score as a sixth number.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.structured import read_yaml
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import score_of
from spore_yolo.labels.table import UNKNOWN_SIZE, RawBox, RawLabels

EXPECTED = "5 numbers (class x_centre y_centre width height)"

# Text files that annotation tools put beside labels and that hold no boxes, unless an image has that name.
NOT_LABELS = frozenset(
    {"classes", "train", "val", "valid", "test", "README", "README.dataset", "README.roboflow", "obj.names"}
)


def read_yolo(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of YOLO text files.

    Class names come from a ``data.yaml`` or ``classes.txt`` in the labels folder, its parent or the images folder;
    without one the class is named by its number.

    Args:
        path: The folder, searched at any depth.
        images: The images that the labels speak of.
        options: With ``scores`` a line may have a score as its sixth number; ``class_names`` says what the numbers mean
            where no such file says it.
    """
    if not path.is_dir():
        raise SporeYoloError(f"{path}: expected a folder of YOLO text files, found a file")
    names = names_of_classes(path, images.root)
    labels = RawLabels()
    if not names and options.class_names:
        names = dict(options.class_names)
        listed = ", ".join(f"{number} {name}" for number, name in names.items())
        labels.notes.append(f"{path} has no data.yaml; its class numbers are taken to mean {listed}")
    labels.classes = list(names.values())
    files = sorted(
        f
        for f in path.rglob("*.txt")
        if not f.name.startswith(".") and not (f.stem in NOT_LABELS and not images.has_stem(f.stem))
    )
    if not files:
        raise SporeYoloError(f"{path}: expected YOLO text files (NAME.txt for NAME.jpg), found none")
    for file in files:
        try:
            image = images.find_for_label(PurePosixPath(file.relative_to(path).as_posix()))
        except LookupError as error:
            labels.problems.append(Problem(file, None, str(error)))
            continue
        labels.labelled_images.add(image)
        if image in images.sizes:
            _read_file(file, image, images, names, labels, options.scores)
    if not names:
        labels.classes = sorted({box.class_name for box in labels.boxes}, key=lambda name: (len(name), name))
    return labels


def _read_file(
    file: Path, image: str, images: KnownImages, names: dict[int, str], labels: RawLabels, scores: bool
) -> None:
    size = images.sizes[image]
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        labels.problems.append(Problem(file, None, "expected text, found other bytes"))
        return
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 5 and not (scores and len(fields) == 6):
            expected = "5 numbers (class x_centre y_centre width height), or 6 with a score" if scores else EXPECTED
            labels.problems.append(Problem(file, number, f"expected {expected}, found {len(fields)}"))
            continue
        if size == UNKNOWN_SIZE:
            message = "fractions of an image whose size nobody knows; give the folder of the images"
            labels.problems.append(Problem(file, number, message))
            return
        try:
            x, y, width, height = (float(value) for value in fields[1:5])
            class_id = int(fields[0])
        except ValueError:
            labels.problems.append(Problem(file, number, f"expected 5 numbers, found {line.strip()!r:.80}"))
            continue
        if class_id < 0 or (names and class_id not in names):
            known = ", ".join(f"{key} {name}" for key, name in names.items())
            labels.problems.append(Problem(file, number, f"unknown class {class_id}; the class list has {known}"))
            continue
        try:
            score = score_of(fields[5]) if len(fields) == 6 else None
        except ValueError as error:
            labels.problems.append(Problem(file, number, str(error)))
            continue
        labels.boxes.append(
            RawBox(
                image,
                names.get(class_id, str(class_id)),
                (x - width / 2) * size.width,
                (y - height / 2) * size.height,
                (x + width / 2) * size.width,
                (y + height / 2) * size.height,
                ignored=False,
                file=file,
                line=number,
                score=score,
            )
        )


def names_of_classes(path: Path, image_root: Path) -> dict[int, str]:
    """The class of each number, from a file beside the labels or the images; empty without one."""
    for folder in (path, path.parent, image_root, image_root.parent):
        for name in ("data.yaml", "data.yml"):
            if (folder / name).is_file():
                return _names_of_yaml(folder / name)
        if (folder / "classes.txt").is_file():
            try:
                lines = (folder / "classes.txt").read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError:
                raise SporeYoloError(f"{folder / 'classes.txt'}: expected text in UTF-8, found other bytes") from None
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    return {}


def _names_of_yaml(path: Path) -> dict[int, str]:
    content: Any = read_yaml(path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if isinstance(names, dict) and all(isinstance(key, int) for key in names):
        return {int(number): str(name) for number, name in names.items()}
    raise InputProblems(
        "The class names cannot be read:",
        [Problem(path, None, f"expected 'names:' with a list or with numbered names, found {names!r:.80}")],
    )
