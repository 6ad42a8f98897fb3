r"""Are faults in labels found, and is what is right left alone? Faults of every kind are put into clean sets.

    spore-yolo sample --output sample
    python benchmarks/label_faults.py --set sample=sample/images,sample/labels.json,coco \
        --set bccd=bccd/JPEGImages,bccd/Annotations,voc [--faults 10] [--seed 0] [--output faults.json]

Boxes that the import would refuse are left out first (BCCD has two stray clicks). The rest, as COCO JSON with a split
by source, is the clean copy. Then each kind of fault goes into a copy of its own, and its check runs on it. The table
has for each kind: how many faults were injected; how many of them a finding of that code names, by image, line or word;
how many other findings of that code the faulty copy has beyond the clean one; and how many the clean copy has (of
warnings and notes these may well be true). Errors on the clean copy must be none.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from PIL import Image
from tabulate import tabulate

from spore_yolo.dataset.checking import material_of_files, run_checks, with_pixels
from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import Check, Finding, Severity
from spore_yolo.dataset.groups import sources_of
from spore_yolo.files.cores import core_count
from spore_yolo.files.hashes import sha256_text
from spore_yolo.files.images import EXIF_ORIENTATION, read_image
from spore_yolo.files.provenance import code_commit, package_versions
from spore_yolo.labels.source import open_labels
from spore_yolo.labels.table import COORDINATES, check_boxes

Annotation = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What a finding must name: an image, an annotation (by its id), or a word in its message.

    Attributes:
        image: The image that it must concern.
        annotation: The annotation in whose line it must stand.
        word: What it must say.
        partners: Of these it must name one as well.
        beside: Findings that concern this image are consequences of the fault.
    """

    image: str | None = None
    annotation: int | None = None
    word: str | None = None
    partners: tuple[str, ...] = ()
    beside: str | None = None


@dataclass
class Labelled:
    """A labelled set in memory, on its way to COCO JSON.

    Attributes:
        files: Where the bytes of each image lie; what :meth:`write` links.
        images: COCO's entries, by the image's name.
        boxes: COCO's annotations, by their ids.
        classes: Category ids, by name.
        splits: The split of each image.
        made: Where images that are made for a fault go.
    """

    files: dict[str, Path]
    images: dict[str, dict[str, Any]]
    boxes: dict[int, Annotation]
    classes: dict[str, int]
    splits: dict[str, str]
    made: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def some(self, count: int, kind: str = "box") -> list[Any]:
        """Boxes whose image has no other one of them, or images, at random."""
        order = self.rng.permutation(list(self.boxes)).tolist()
        chosen = {self.boxes[number]["image_id"]: number for number in order}
        numbers = [number for number in order if chosen[self.boxes[number]["image_id"]] == number][:count]
        return numbers if kind == "box" else [self.name(self.boxes[number]) for number in numbers]

    def name(self, box: Annotation) -> str:
        """The image of a box."""
        return next(name for name, image in self.images.items() if image["id"] == box["image_id"])

    def of_image(self, name: str) -> list[Annotation]:
        """The boxes of an image."""
        return [box for box in self.boxes.values() if box["image_id"] == self.images[name]["id"]]

    def add_box(self, box: Annotation, **changes: Any) -> int:
        """A box like another one; gives its id."""
        number = max(self.boxes, default=0) + 1
        self.boxes[number] = {**box, **changes, "id": number}
        return number

    def add_image(self, name: str, like: str, file: Path, scale: float = 1.0) -> str:
        """An image with the labels of another one."""
        number = max(image["id"] for image in self.images.values()) + 1
        width, height = Image.open(file).size
        boxes = self.of_image(like)
        self.images[name] = {"id": number, "file_name": name, "width": width, "height": height}
        self.files[name], self.splits[name] = file, self.splits[like]
        for box in boxes:
            self.add_box(box, image_id=number, bbox=[value * scale for value in box["bbox"]])
        return name

    def path(self, name: str) -> Path:
        """Where the bytes of an image that is made for a fault may be written."""
        path = self.made / sha256_text(name)[:16] / PurePosixPath(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, folder: Path) -> dict[int, int]:
        """Writes ``images/``, ``labels.json`` with an item a line, and ``splits.csv``.

        Returns:
            The line of each annotation.
        """
        for name, file in self.files.items():
            link = folder / "images" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
        lines = ['{"images": [', *_listed(self.images.values()), '], "annotations": [']
        of_box = {number: len(lines) + place for place, number in enumerate(self.boxes, start=1)}
        categories = [{"id": number, "name": name} for name, number in self.classes.items()]
        lines += [*_listed(self.boxes.values()), f'], "categories": {json.dumps(categories)}}}']
        (folder / "labels.json").write_text("\n".join(lines), encoding="utf-8")
        rows = [f'"{name}",{split}' for name, split in self.splits.items() if name in self.files]
        (folder / "splits.csv").write_text("\n".join(["image,split", *rows]), encoding="utf-8")
        return of_box


def _listed(items: Any) -> list[str]:
    texts = [json.dumps(item) for item in items]
    return [f"{text}," for text in texts[:-1]] + texts[-1:]


def clean_set(images: Path, labels: Path, label_format: str, made: Path, seed: int, most: int | None) -> Labelled:
    """Reads a set and leaves out what is wrong with it; ``most`` images of it, or all."""
    source = open_labels(labels, label_format, images)
    table = check_boxes(source.labels.boxes, source.sizes).table
    names = sorted(set(source.labels.labelled_images) & set(source.sizes))[:most]
    classes = {name: number for number, name in enumerate(sorted(set(table["class"])), start=1)}
    sources = sources_of(names)
    rng = np.random.default_rng(seed)
    order = rng.permutation(sorted(set(sources.values())))
    cuts = (math.ceil(0.6 * len(order)), math.ceil(0.8 * len(order)))
    split_of = {str(one): "train" if n < cuts[0] else "val" if n < cuts[1] else "test" for n, one in enumerate(order)}
    entries = {
        name: {"id": n, "file_name": name, "width": source.sizes[name].width, "height": source.sizes[name].height}
        for n, name in enumerate(names, start=1)
    }
    boxes: dict[int, Annotation] = {}
    for image, kind, *corners in table[["image", "class", *COORDINATES]].itertuples(index=False, name=None):
        if image in entries:
            x0, y0, x1, y1 = corners
            number = len(boxes) + 1
            bbox = [x0, y0, x1 - x0, y1 - y0]
            boxes[number] = {"id": number, "image_id": entries[image]["id"], "category_id": classes[kind], "bbox": bbox}
    files = {name: images / name for name in names}
    splits = {name: split_of[sources[name]] for name in names}
    return Labelled(files, entries, boxes, classes, splits, made, rng)


def _box_fault(change: Callable[[list[float], dict[str, Any]], Any]) -> Callable[[Labelled, int], list[Fault]]:
    """A fault of single boxes: ``change`` gives the new ``bbox`` from the old one and the image's entry."""

    def inject(labelled: Labelled, count: int) -> list[Fault]:
        numbers = labelled.some(count)
        for number in numbers:
            box = labelled.boxes[number]
            box["bbox"] = change(list(box["bbox"]), labelled.images[labelled.name(box)])
        return [Fault(annotation=number) for number in numbers]

    return inject


def _reshaped(long: float, short: float) -> Callable[[list[float], dict[str, Any]], list[float]]:
    """A box of so many times the length and breadth, a few pixels inside the image: what the border cuts has no shape.

    Args:
        long: Factor of its longer side.
        short: Factor of its shorter side.
    """

    def change(box: list[float], image: dict[str, Any]) -> list[float]:
        width, height = (long, short) if box[2] >= box[3] else (short, long)
        sides = (image["width"] - 6.0, image["height"] - 6.0)
        w, h = min(box[2] * width, sides[0]), min(box[3] * height, sides[1])
        return [3 + min(box[0], sides[0] - w), 3 + min(box[1], sides[1] - h), w, h]

    return change


def _doubled(share: float) -> Callable[[Labelled, int], list[Fault]]:
    """Boxes that are there twice, the second one moved by a share of its width."""

    def inject(labelled: Labelled, count: int) -> list[Fault]:
        faults = []
        for number in labelled.some(count):
            box = labelled.boxes[number]
            image, (x, y, w, h) = labelled.images[labelled.name(box)], box["bbox"]
            moved = x + share * w if x + (1 + share) * w <= image["width"] else x - share * w
            labelled.add_box(box, bbox=[max(0.0, moved), y, w, h])
            faults.append(Fault(image=image["file_name"]))
        return faults

    return inject


def _other_bytes(change: Callable[[Path, Path], object]) -> Callable[[Labelled, int], list[Fault]]:
    """A fault of image files: ``change(old, new)`` writes the new file."""

    def inject(labelled: Labelled, count: int) -> list[Fault]:
        names = labelled.some(count, "image")
        for name in names:
            new = labelled.path(name)
            change(labelled.files[name], new)
            labelled.files[name] = new
        return [Fault(image=name) for name in names]

    return inject


def upside_down(old: Path, new: Path) -> None:
    """A camera's word that the image is to be turned by 180 degrees."""
    image = Image.open(old).convert("RGB")
    exif = image.getexif()
    exif[EXIF_ORIENTATION] = 3
    image.save(new, exif=exif, format="JPEG")


def _copies(suffix: str, scale: float | None, split: str | None) -> Callable[[Labelled, int], list[Fault]]:
    """Copies under another name: byte by byte, or scaled and compressed anew."""

    def inject(labelled: Labelled, count: int) -> list[Fault]:
        sources, copies = sources_of(labelled.images), dict[str, str]()
        for name in labelled.some(count, "image"):
            path = PurePosixPath(name)
            copied = path.with_name(f"{path.stem}{suffix}{path.suffix if scale is None else '.jpg'}").as_posix()
            new = labelled.files[name]
            if scale is not None:
                image = Image.open(new).convert("RGB")
                new = labelled.path(copied)
                image.resize((round(image.width * scale), round(image.height * scale))).save(new, quality=80)
            labelled.add_image(copied, name, new, scale or 1.0)
            labelled.splits[copied] = split or labelled.splits[name]
            copies[copied] = name
        # Of one source there are more variants, and copies of those: any of them may be named beside a copy.
        source = sources | {copied: sources[name] for copied, name in copies.items()}
        return [
            Fault(word=copied, partners=tuple(n for n in source if source[n] == source[copied] and n != copied))
            for copied in copies
        ]

    return inject


def _variants(torn: bool) -> Callable[[Labelled, int], list[Fault]]:
    """Mirrored variants under the names that Roboflow gives, of one source, perhaps in two splits."""

    def inject(labelled: Labelled, count: int) -> list[Fault]:
        faults = []
        for number, name in enumerate(labelled.some(count, "image")):
            for place, split in enumerate(("train", "test" if torn else "train")):
                variant = f"source{number}_png.rf.{sha256_text(f'{number} {place}')[:32]}.jpg"
                image = Image.open(labelled.files[name]).convert("RGB")
                (image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if place else image.rotate(180)).save(
                    labelled.path(variant)
                )
                labelled.add_image(variant, name, labelled.path(variant))
                labelled.splits[variant] = split
            faults.append(Fault(word=f"source{number}_png"))
        return faults if torn else [Fault(word="exported variants")]

    return inject


def unreadable_entry(labelled: Labelled, count: int) -> list[Fault]:
    """An annotation that has a word in place of its corners."""
    numbers = labelled.some(count)
    for number in numbers:
        labelled.boxes[number]["bbox"] = "here"
    return [Fault(annotation=number) for number in numbers]


def missing_image(labelled: Labelled, count: int) -> list[Fault]:
    """Images that labels name and nobody has."""
    names = labelled.some(count, "image")
    for name in names:
        del labelled.files[name]
    return [Fault(word=PurePosixPath(name).name) for name in names]


def unlabelled(labelled: Labelled, count: int) -> list[Fault]:
    """Images of which the labels say nothing."""
    names = labelled.some(count, "image")
    for name in names:
        for box in labelled.of_image(name):
            del labelled.boxes[box["id"]]
        del labelled.images[name]
    return [Fault(image=name) for name in names]


def other_size(labelled: Labelled, count: int) -> list[Fault]:
    """Labels that state another width."""
    names = labelled.some(count, "image")
    for name in names:
        labelled.images[name]["width"] += 64
    return [Fault(image=name) for name in names]


def burnt_in(labelled: Labelled, count: int) -> list[Fault]:
    """A scale bar through a box, with its text."""
    numbers = labelled.some(count)
    for place, number in enumerate(numbers):
        box = labelled.boxes[number]
        name = labelled.name(box)
        pixels = read_image(labelled.files[name]).copy()
        height, width = pixels.shape[:2]
        x, y = (round(box["bbox"][k] + box["bbox"][k + 2] / 2) for k in (0, 1))
        length, thick = round(0.15 * width), max(3, height // 200)
        left, top = int(np.clip(x - length // 2, 5, width - length - 5)), int(np.clip(y, 8, height - thick - 8))
        colour = ((0, 0, 0), (255, 255, 0), (0, 255, 0))[place % 3]
        pixels[top : top + thick, left : left + length] = colour
        # Above the bar, or below it where there is no room; never across it.
        baseline = top - 10 if top >= 35 else top + thick + 28
        cv2.putText(pixels, "50 um", (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2)
        labelled.files[name] = labelled.path(name)
        Image.fromarray(pixels).save(labelled.files[name], quality=92, format="JPEG")
    return [Fault(annotation=number, beside=labelled.name(labelled.boxes[number])) for number in numbers]


def unknown_class(labelled: Labelled, count: int) -> list[Fault]:
    """Annotations of a category that is not listed."""
    numbers = labelled.some(count)
    for number in numbers:
        labelled.boxes[number]["category_id"] = 999
    return [Fault(annotation=number) for number in numbers]


def _another_class(name: Callable[[str], str]) -> Callable[[Labelled, int], list[Fault]]:
    """Some boxes of the commonest class get a class of their own."""

    def inject(labelled: Labelled, count: int) -> list[Fault]:
        ids = Counter(box["category_id"] for box in labelled.boxes.values())
        common = ids.most_common(1)[0][0]
        old = next(kind for kind, number in labelled.classes.items() if number == common)
        new = name(old)
        if new == old:
            return []
        labelled.classes[new] = max(labelled.classes.values()) + 1
        numbers = [number for number in labelled.some(count * 5) if labelled.boxes[number]["category_id"] == common]
        for number in numbers[:count]:
            labelled.boxes[number]["category_id"] = labelled.classes[new]
        return [Fault(word=new)]

    return inject


def absent_class(labelled: Labelled, count: int) -> list[Fault]:
    """The rarest class vanishes from the validation split."""
    rare = Counter(box["category_id"] for box in labelled.boxes.values()).most_common()[-1][0]
    val = {labelled.images[name]["id"] for name, split in labelled.splits.items() if split == "val"}
    for number, box in list(labelled.boxes.items()):
        if box["category_id"] == rare and box["image_id"] in val:
            del labelled.boxes[number]
    return [Fault(word=next(kind for kind, number in labelled.classes.items() if number == rare))]


KINDS: dict[str, tuple[str, Callable[[Labelled, int], list[Fault]]]] = {
    "SPR001": ("annotation without numbers", unreadable_entry),
    "SPR002": ("image that is not there", missing_image),
    "SPR003": ("text in place of an image", _other_bytes(lambda _, new: new.write_text("no image\n" * 50))),
    "SPR004": (
        "image cut off in the middle",
        _other_bytes(lambda old, new: new.write_bytes((c := old.read_bytes())[: int(0.6 * len(c))])),
    ),
    "SPR005": ("image that nobody labelled", unlabelled),
    "SPR006": ("equal file in another split", _copies("_copy", None, "test")),
    "SPR007": ("copy at 80%, compressed anew", _copies("_small", 0.8, None)),
    "SPR008": ("labels of another size", other_size),
    "SPR009": ("image upside down by EXIF", _other_bytes(upside_down)),
    "SPR010": ("exported variants", _variants(torn=False)),
    "SPR011": ("coordinate that is no number", _box_fault(lambda box, _: [float("nan"), *box[1:]])),
    "SPR012": ("negative width", _box_fault(lambda box, _: [box[0] + box[2], box[1], -box[2], box[3]])),
    "SPR013": ("no width", _box_fault(lambda box, _: [box[0], box[1], 0, box[3]])),
    "SPR014": ("box beside its image", _box_fault(lambda box, image: [image["width"] + 5, *box[1:]])),
    "SPR015": ("box 5 px over the border", _box_fault(lambda box, image: [image["width"] - box[2] + 5, *box[1:]])),
    "SPR016": ("box of a hundredth of its size", _box_fault(_reshaped(0.1, 0.1))),
    "SPR017": ("box ten times as long, a quarter as broad", _box_fault(_reshaped(10, 0.25))),
    "SPR018": ("box twice", _doubled(0.0)),
    "SPR019": ("box twice, moved by 4%", _doubled(0.04)),
    "SPR020": ("scale bar through a box", burnt_in),
    "SPR021": ("class that is not listed", unknown_class),
    "SPR022": ("class name in other case", _another_class(str.swapcase)),
    "SPR023": ("class absent from validation", absent_class),
    "SPR024": ("class on a few images", _another_class(lambda _: "Rarissima")),
    "SPR025": ("class of a few boxes", _another_class(lambda _: "Rarissima")),
    "SPR026": ("source in two splits", _variants(torn=True)),
}
"""What is injected, by the code that should name it."""


def look(labelled: Labelled, checks: Sequence[Check] = CHECKS) -> tuple[list[Finding], dict[int, int]]:
    """All that the checks find, and the line of each annotation."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lines = labelled.write(root)
        material = material_of_files(root / "labels.json", "coco", root / "images", split=root / "splits.csv")
        if any(check.needs_pixels for check in checks):
            material = with_pixels(material, quiet=True)
        return run_checks(material, checks), lines


def names(finding: Finding, fault: Fault, lines: dict[int, int]) -> bool:
    """Whether a finding is of a fault."""
    text = f"{finding.message} {finding.image} {finding.file}"
    if fault.partners and not any(partner in text for partner in fault.partners):
        return False
    return (
        (fault.image is not None and finding.image == fault.image)
        or (fault.annotation is not None and finding.line == lines[fault.annotation])
        or (fault.word is not None and fault.word in text)
    )


def measure(clean: Labelled, faults: int, codes: list[str]) -> tuple[list[dict[str, Any]], list[Finding]]:
    """A row a kind of fault; and the errors on the clean set."""
    before, _ = look(clean)
    rows = []
    for code in codes:
        what, inject = KINDS[code]
        faulty = copy.deepcopy(clean)
        faulty.rng = np.random.default_rng(int(code.removeprefix("SPR")))
        injected = inject(faulty, faults)
        of_code, lines = look(faulty, [check for check in CHECKS if check.code == code])
        found = [fault for fault in injected if any(names(finding, fault, lines) for finding in of_code)]
        beside = {fault.beside for fault in injected} - {None}
        other = [
            finding
            for finding in of_code
            if finding.image not in beside and not any(names(finding, fault, lines) for fault in injected)
        ]
        on_clean = sum(finding.code == code for finding in before)
        rows.append(
            {
                "code": code,
                "fault": what,
                "injected": len(injected) or "not injectable here",
                "found": len(found) if injected else "",
                "other findings": max(0, len(other) - on_clean),
                "on the clean set": on_clean,
            }
        )
    return rows, [finding for finding in before if finding.severity == Severity.ERROR]


def main() -> None:
    """Measures each set that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", required=True, metavar="NAME=IMAGES,LABELS,FORMAT", dest="sets")
    parser.add_argument("--faults", type=int, default=10, help="of each kind (%(default)s)")
    parser.add_argument("--images", type=int, help="only so many images of each set")
    parser.add_argument("--codes", default=",".join(KINDS), help="only these kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "command": shlex.join(sys.argv),
        "commit": code_commit(),
        "versions": package_versions(),
        "machine": f"{platform.platform()}, {core_count()} cores",
        "seed": arguments.seed,
    }
    for key in ("command", "machine", "commit", "versions"):
        print(f"{key}: {result[key]}")
    for given in arguments.sets:
        name, places = given.split("=", 1)
        images, labels, label_format = places.rsplit(",", 2)
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as made:
            clean = clean_set(Path(images), Path(labels), label_format, Path(made), arguments.seed, arguments.images)
            rows, errors = measure(clean, arguments.faults, arguments.codes.split(","))
        result[name] = {"images": len(clean.files), "boxes": len(clean.boxes), "kinds": rows, "errors": len(errors)}
        result[name]["seconds"] = round(time.perf_counter() - begin, 1)
        print(
            f"\n{name}: {len(clean.files)} images, {len(clean.boxes):,} boxes; errors on the clean set: {len(errors)};"
            f" {result[name]['seconds']:g} s\n"
        )
        for finding in errors[:10]:
            print(f"  {finding.file}:{finding.line} {finding.code} {finding.message}")
        print(tabulate(rows, headers="keys", tablefmt="github"), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
