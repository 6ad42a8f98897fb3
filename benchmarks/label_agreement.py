"""Do others read the same boxes? Ours beside supervision, FiftyOne and pycocotools, box by box.

    python -m benchmarks.label_agreement --bccd bccd --magnaporthe magnaporthe
    python -m benchmarks.label_agreement --without fiftyone      # a drawn set alone, in seconds

Sets: BCCD as it comes (Pascal VOC), and written by us in all three formats; Magnaporthe (YOLO), and written by us as
COCO; and a drawn one in all three formats with what goes wrong most: images with an EXIF turn whose labels are of the
stored pixels, ids with gaps and in no order, crowds, and boxes of one pixel.

Prints for each set and witness how many boxes both read and the largest difference between two edges, in pixels of the
image as displayed. Where they differ, the reason is undone on the boxes of the witness, and the largest difference then
left shows whether the reason is the whole of it. Exits with 1 if a difference is left that nothing here explains.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from tabulate import tabulate

from spore_yolo.files.images import EXIF_ORIENTATION, ImageSize
from spore_yolo.labels.label_set import LabelSet, classes_of, images_of
from spore_yolo.labels.source import LabelSource, open_labels
from spore_yolo.labels.table import COORDINATES, check_boxes, turned
from spore_yolo.labels.writers import write_labels

SMALL = 0.01
"""Pixels: what fractions of six digits and 32-bit floats leave on images of two thousand pixels."""

Array = npt.NDArray[np.float64]
Boxes = dict[str, tuple[list[str], Array]]
"""Classes and corners, ``(N, 4)`` in x_min, y_min, x_max, y_max, of each image by its file name."""


@dataclass(frozen=True)
class LabelledSet:
    """One set of labels, as the readers of all programs can find it.

    Attributes:
        name: For the table.
        label_format: ``coco``, ``voc`` or ``yolo``.
        images: The folder of the images.
        labels: The label file or folder.
        data_yaml: For YOLO: the file with the class names.
    """

    name: str
    label_format: str
    images: Path
    labels: Path
    data_yaml: Path | None = None


def ours(labelled: LabelledSet) -> tuple[Boxes, LabelSource, LabelSet, int]:
    """What we read: the boxes; source and labels for writing; and how many boxes were refused."""
    source = open_labels(labelled.labels, labelled.label_format, labelled.images)
    checked = check_boxes(source.labels.boxes, source.sizes)
    groups = checked.table.groupby("image", sort=False)
    boxes = {str(image): (list(rows["class"]), rows[COORDINATES].to_numpy()) for image, rows in groups}
    labels = LabelSet(images_of(source.sizes), checked.table, classes_of(source.labels.classes, checked.table))
    return boxes, source, labels, len(checked.problems)


def by_supervision(labelled: LabelledSet) -> Boxes:
    """What supervision's readers give."""
    import supervision as sv

    images, labels = str(labelled.images), str(labelled.labels)
    with contextlib.redirect_stdout(io.StringIO()):
        if labelled.label_format == "coco":
            dataset = sv.DetectionDataset.from_coco(images, labels)
        elif labelled.label_format == "voc":
            dataset = sv.DetectionDataset.from_pascal_voc(images, labels)
        else:
            dataset = sv.DetectionDataset.from_yolo(images, labels, str(labelled.data_yaml))
    return {
        Path(path).name: ([dataset.classes[number] for number in found.class_id], found.xyxy.astype(np.float64))
        for path, found in dataset.annotations.items()
        if len(found)
    }


def by_pycocotools(labelled: LabelledSet) -> Boxes:
    """What pycocotools gives, which reads COCO alone and gives boxes as the file has them."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(labelled.labels))
    names = {number: category["name"] for number, category in coco.cats.items()}
    boxes: Boxes = {}
    for number, image in coco.imgs.items():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[number]))
        if annotations:
            corners = np.array([one["bbox"] for one in annotations], dtype=np.float64)
            corners[:, 2:] += corners[:, :2]
            boxes[image["file_name"]] = [names[one["category_id"]] for one in annotations], corners
    return boxes


def by_fiftyone(labelled: LabelledSet, fo: Any) -> Boxes:
    """What FiftyOne's importers give, in pixels of the size that FiftyOne itself finds in the image."""
    kinds = {"coco": fo.types.COCODetectionDataset, "voc": fo.types.VOCDetectionDataset, "yolo": fo.types.YOLOv4Dataset}
    settings: dict[str, Any] = {"data_path": str(labelled.images), "labels_path": str(labelled.labels)}
    with tempfile.TemporaryDirectory() as folder:
        if labelled.label_format == "yolo":
            # It wants each label file beside its image, and the names in a file of their own.
            for path in [*labelled.images.iterdir(), *labelled.labels.glob("*.txt")]:
                (Path(folder) / path.name).symlink_to(path.resolve())
            names = ours(labelled)[2].classes
            (Path(folder) / "obj.names").write_text("\n".join(names) + "\n")
            settings = {"data_path": folder, "images_path": None, "objects_path": str(Path(folder) / "obj.names")}
        elif labelled.label_format == "coco":
            settings["label_types"] = "detections"
        dataset = fo.Dataset.from_dir(
            dataset_type=kinds[labelled.label_format], label_field="found", progress=False, **settings
        )
        dataset.compute_metadata(progress=False)
    boxes: Boxes = {}
    for sample in dataset.select_fields(["metadata", "found"]):
        found = sample["found"].detections if sample["found"] else []
        if found:
            corners = np.array([one.bounding_box for one in found], dtype=np.float64)
            corners[:, 2:] += corners[:, :2]
            corners *= (sample.metadata.width, sample.metadata.height) * 2
            boxes[Path(sample.filepath).name] = [one.label for one in found], corners
    fo.delete_dataset(dataset.name)
    return boxes


@dataclass(frozen=True)
class Agreement:
    """How far two readers agree.

    Attributes:
        boxes: How many boxes the other one read.
        unpaired: Boxes of either that the other has not.
        classes: Pairs of which the classes differ.
        largest: The largest difference between two edges of a pair, in pixels.
    """

    boxes: int
    unpaired: int
    classes: int
    largest: float

    @property
    def same(self) -> bool:
        """Whether nothing differs by more than rounding."""
        return self.unpaired == self.classes == 0 and self.largest <= SMALL


def compared(one: Boxes, other: Boxes) -> Agreement:
    """Pairs the boxes of each image so that the sum of their differences is least, and compares the pairs."""
    unpaired = classes = 0
    largest = 0.0
    for image in one.keys() | other.keys():
        names, corners = one.get(image, ([], np.zeros((0, 4))))
        other_names, other_corners = other.get(image, ([], np.zeros((0, 4))))
        difference = np.abs(corners[:, None] - other_corners[None]).max(axis=2)
        unlike = np.array(names, dtype=object)[:, None] != np.array(other_names, dtype=object)[None]
        # Of two boxes at one place the one of the same class is the partner.
        rows, columns = linear_sum_assignment(difference + 1e-3 * unlike)
        unpaired += len(names) + len(other_names) - 2 * len(rows)
        classes += int(unlike[rows, columns].sum())
        largest = max(largest, float(difference[rows, columns].max(initial=0.0)))
    return Agreement(sum(len(names) for names, _ in other.values()), unpaired, classes, largest)


Undo = Callable[[Boxes, dict[str, ImageSize]], Boxes]


def _moved(change: Callable[[Array, ImageSize], Array]) -> Undo:
    return lambda boxes, sizes: {
        image: (names, change(corners.copy(), sizes[image])) for image, (names, corners) in boxes.items()
    }


def _minimum_by_one(corners: Array, size: ImageSize) -> Array:
    return corners - (1, 1, 0, 0)


def _turn(corners: Array, size: ImageSize) -> Array:
    return np.array([turned((box[0], box[1], box[2], box[3]), size) for box in corners.tolist()]).reshape(-1, 4)


def _areas_only(boxes: Boxes, sizes: dict[str, ImageSize]) -> Boxes:
    kept = {}
    for image, (names, corners) in boxes.items():
        good = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        if good.any():
            kept[image] = [name for name, ok in zip(names, good, strict=True) if ok], corners[good]
    return kept


def _two_pixels(boxes: Boxes, sizes: dict[str, ImageSize]) -> Boxes:
    moved = {image: (names, corners - (0, 0, 1, 1)) for image, (names, corners) in boxes.items()}
    thick = _areas_only(moved, sizes)
    return {image: (names, corners - (0, 0, -1, -1)) for image, (names, corners) in thick.items()}


REASONS: dict[str, Undo] = {
    "they keep clicks without an area, we refuse them (SPR013)": _areas_only,
    "they take a click for a box of one pixel, as VOC's letter says; we refuse it (SPR013)": _two_pixels,
    "VOC counts pixels from 1: they take the minimum for 0-based, a pixel too far right and down": _moved(
        _minimum_by_one
    ),
    "the file states the stored size: they leave its boxes unturned on an image that is shown turned": _moved(_turn),
}
"""Why a witness differs, who is right, and how its boxes become ours if that is the reason."""


def explained(own: Boxes, other: Boxes, sizes: dict[str, ImageSize]) -> tuple[str, Agreement]:
    """The reasons that bring the other's boxes to ours, taken one after the other, and what is left then."""
    left = compared(own, other)
    told: list[str] = []
    while not left.same:
        tries = {reason: undo(other, sizes) for reason, undo in REASONS.items() if reason not in told}
        results = {reason: compared(own, boxes) for reason, boxes in tries.items()}
        best = min(results, key=lambda reason: (results[reason].unpaired, results[reason].largest), default=None)
        if best is None or (results[best].unpaired, results[best].largest) >= (left.unpaired, left.largest):
            break
        told.append(best)
        other, left = tries[best], results[best]
    return "; ".join(told), left


def draw(folder: Path) -> Iterator[LabelledSet]:
    """A drawn set in three formats, whose numbers are chosen here and are the truth."""
    from PIL import Image

    rng = np.random.default_rng(1)
    images = folder / "images"
    images.mkdir(parents=True)
    sizes: dict[str, tuple[int, int]] = {}
    for number in range(16):
        name, size = f"slide_{number}.jpg", (int(rng.integers(60, 300)), int(rng.integers(60, 300)))
        exif = Image.Exif()
        # Half of them are turned; 5 to 8 swap the sides, so that the stated size tells the frame.
        exif[EXIF_ORIENTATION] = number // 2 % 4 + 5 if number % 2 else 1
        Image.new("RGB", size, (200, 200, 200)).save(images / name, exif=exif)
        sizes[name] = size
    ids = [int(number) for number in rng.permutation(10_000)[:16]]
    kinds = {90: "smut", 3: "rust", 41: "Alternaria sp."}
    annotations = []
    for image, (width, height) in zip(ids, sizes.values(), strict=True):
        for place in range(int(rng.integers(1, 30))):
            side = np.array([1, 1]) if place % 5 == 0 else rng.integers(1, 40, 2)
            corner = rng.integers(0, np.array([width, height]) - side)
            annotations.append(
                {
                    "id": int(len(annotations) * 7 + 11),
                    "image_id": image,
                    "category_id": int(rng.choice(list(kinds))),
                    "bbox": [int(value) for value in (*corner, *side)],
                    "area": int(side[0] * side[1]),
                    "iscrowd": int(place == 3),
                    "segmentation": [],
                }
            )
    rng.shuffle(annotations)  # type: ignore[arg-type]
    content = {
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, (width, height)) in zip(ids, sizes.items(), strict=True)
        ],
        "categories": [{"id": number, "name": name} for number, name in kinds.items()],
        "annotations": annotations,
    }
    (folder / "labels.json").write_text(json.dumps(content))
    coco = LabelledSet("drawn", "coco", images, folder / "labels.json")
    yield coco
    yield from converted(coco, folder, ("voc", "yolo"))


def converted(labelled: LabelledSet, folder: Path, formats: tuple[str, ...]) -> Iterator[LabelledSet]:
    """The same labels in other formats, written by us."""
    _, source, labels, _ = ours(labelled)
    for name in formats:
        target = folder / (f"{name}.json" if name == "coco" else name)
        write_labels(labels, target, name, source.folder)
        where = target / "labels" if (target / "labels").is_dir() else target
        yield LabelledSet(f"{labelled.name}, by us", name, labelled.images, where, target / "data.yaml")


def rows_of(labelled: LabelledSet, fo: Any | None) -> Iterator[tuple[list[str], bool]]:
    """A row of the table for each witness, and whether everything in it is explained."""
    boxes, source, _, refused = ours(labelled)
    witnesses: dict[str, Callable[[LabelledSet], Boxes]] = {"supervision": by_supervision}
    if labelled.label_format == "coco":
        witnesses["pycocotools"] = by_pycocotools
    if fo is not None:
        witnesses["FiftyOne"] = lambda one: by_fiftyone(one, fo)
    count = sum(len(names) for names, _ in boxes.values())
    own = f"{count:,}" + (f" (+{refused} refused)" if refused else "")
    for name, read in witnesses.items():
        theirs = read(labelled)
        first = compared(boxes, theirs)
        reason, left = explained(boxes, theirs, source.sizes)
        row = [labelled.name, labelled.label_format, name, own, f"{first.boxes:,}"]
        yield (
            [*row, f"{first.largest:.4f}", reason, f"{left.largest:.4f}", f"{left.unpaired + left.classes}"],
            left.same,
        )


def sets_of(arguments: argparse.Namespace, folder: Path) -> Iterator[LabelledSet]:
    yield from draw(folder / "drawn")
    if arguments.bccd:
        bccd = LabelledSet("BCCD", "voc", arguments.bccd / "JPEGImages", arguments.bccd / "Annotations")
        yield bccd
        yield from converted(bccd, folder / "bccd", ("coco", "yolo", "voc"))
    if arguments.magnaporthe:
        names = folder / "magnaporthe.yaml"
        names.write_text("names: ['0']\n")
        root = arguments.magnaporthe
        magnaporthe = LabelledSet("Magnaporthe", "yolo", root / "images", root / "labels", names)
        yield magnaporthe
        yield from converted(magnaporthe, folder / "magnaporthe", ("coco",))


def main() -> int:
    from spore_yolo.evaluation.fiftyone_database import own_fiftyone
    from spore_yolo.files.provenance import code_commit, package_versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bccd", type=Path, help="folder with JPEGImages/ and Annotations/")
    parser.add_argument("--magnaporthe", type=Path, help="folder with images/ and labels/")
    parser.add_argument("--without", nargs="*", default=[], choices=["fiftyone"])
    arguments = parser.parse_args()
    print(f"commit {code_commit()}; {package_versions()}")
    rows, whole = [], True
    without = "fiftyone" in arguments.without
    with tempfile.TemporaryDirectory() as folder, contextlib.nullcontext() if without else own_fiftyone() as fo:
        for labelled in sets_of(arguments, Path(folder)):
            for row, same in rows_of(labelled, fo):
                rows.append([*row, "" if same else "NOT EXPLAINED"])
                print(*rows[-1], sep=" | ", flush=True)
                whole &= same
    headers = ["set", "format", "witness", "boxes: ours", "theirs", "largest px", "why", "left px", "left boxes", ""]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
