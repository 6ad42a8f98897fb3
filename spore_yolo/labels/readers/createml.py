"""CreateML JSON: a list of images, each with labelled boxes by their centre and size.

The format is that of https://developer.apple.com/documentation/createml/building-an-object-detector-data-source. What
the numbers mean stands in the program that reads them, not in the file; here they are Apple's defaults
(``MLObjectDetector.AnnotationType.boundingBox``): pixels, from the top left corner of the image, to the centre of the
box.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spore_yolo.files.errors import Problem
from spore_yolo.labels.codes import NOT_PIXELS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.json_files import find_image, objects, paths_of_address, read_each
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import numbers
from spore_yolo.labels.table import Corners, RawBox, RawLabels

IMAGE_KEYS = ("image", "imagefilename")
BOXES_KEYS = ("annotations", "annotation")
SIDES = ("x", "y", "width", "height")


def read_createml(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a CreateML file, or a folder of such files.

    A file whose numbers are all fractions is refused: as pixels its boxes would be specks, and it does not say what
    else they are.

    Args:
        path: The file, or the folder, searched at any depth.
        images: The images that the labels speak of.
        options: None concerns this format.

    Raises:
        SporeYoloError: A file as a whole is not JSON, or the folder has none.
    """
    labels = RawLabels()
    read_each(path, "CreateML files (*.json)", labels, lambda file: _read_file(file, images, labels))
    labels.classes = sorted({box.class_name for box in labels.boxes})
    return labels


def _read_file(file: Path, images: KnownImages, labels: RawLabels) -> None:
    first = len(labels.boxes)
    for item, line in objects(file):
        try:
            image, annotations = _image(item, images)
        except (LookupError, ValueError) as error:
            code = UNKNOWN_IMAGE if isinstance(error, LookupError) else UNREADABLE_LABEL
            labels.problems.append(Problem(file, line, str(error), code))
            continue
        labels.labelled_images.add(image)
        if image not in images.sizes:
            continue
        for number, annotation in enumerate(annotations, start=1):
            try:
                name, corners = _box(annotation)
            except ValueError as error:
                message = f"annotation {number} of {image}: {error}"
                labels.problems.append(Problem(file, line, message, UNREADABLE_LABEL))
                continue
            labels.boxes.append(RawBox(image, name, *corners, False, file, line))
    boxes = labels.boxes[first:]
    # A fraction of the image may reach a little beyond its border, as a box in pixels may.
    if boxes and all(-0.5 <= corner <= 1.5 for box in boxes for corner in (box.x_min, box.y_min, box.x_max, box.y_max)):
        del labels.boxes[first:]
        message = f"expected boxes in pixels, found fractions of the image in all {len(boxes):,}; write them as pixels"
        labels.problems.append(Problem(file, None, message, NOT_PIXELS))


def _image(item: Any, images: KnownImages) -> tuple[str, list[Any]]:
    """The image of an item, and its annotations.

    Raises:
        LookupError: There is no such image.
        ValueError: It is no item of CreateML.
    """
    name = next((item[key] for key in IMAGE_KEYS if key in item), None) if isinstance(item, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f"expected an item with an 'image' and its 'annotations' (CreateML format), found {item!r:.60}"
        )
    annotations = next((item[key] for key in BOXES_KEYS if key in item), None)
    if not isinstance(annotations, list):
        raise ValueError(f"expected a list 'annotations' for {name:.80}, found {annotations!r:.40}")
    return find_image(paths_of_address(name), images), annotations


def _box(annotation: Any) -> tuple[str, Corners]:
    """Class and box of an annotation.

    Raises:
        ValueError: It has none; the message says what was expected.
    """
    label = annotation.get("label") if isinstance(annotation, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"expected an annotation with a 'label', found {annotation!r:.60}")
    place = annotation.get("coordinates")
    found = numbers([place.get(side) for side in SIDES] if isinstance(place, dict) else None, 4)
    if found is None:
        raise ValueError(f"expected 'coordinates' with the numbers x, y, width and height, found {place!r:.60}")
    x, y, width, height = found
    return label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
