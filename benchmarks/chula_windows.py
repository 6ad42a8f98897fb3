"""Turns the centre points of Chula-RBC-12 into a CSV of fixed square windows that `spore-yolo import` reads.

    python benchmarks/chula_windows.py chula-rbc12 --output chula.csv --groups chula-groups.csv
    spore-yolo import chula --images chula-rbc12/Dataset --labels chula.csv --format csv --group-by chula-groups.csv

The set gives `x y class` a cell, no boxes; a window of 70 pixels holds the cells of its 640 x 480 images. Some pictures
are there twice under two names; the groups keep them together.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from PIL import Image

from spore_yolo.files.hashes import sha256_file

NAMES = (
    *("normal", "macrocyte", "microcyte", "spherocyte", "target_cell", "stomatocyte", "ovalocyte", "teardrop"),
    *("burr_cell", "schistocyte", "uncategorised", "hypochromia", "elliptocyte"),
)
"""In the order of the class numbers in the set's README."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds Dataset/ and Label/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--side", type=float, default=70, help="side of a window in pixels (default: %(default)s)")
    arguments = parser.parse_args()
    half, cells = arguments.side / 2, 0
    with arguments.output.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "x_min", "y_min", "x_max", "y_max", "class"])
        for path in sorted((arguments.folder / "Label").glob("*.txt"), key=lambda path: int(path.stem)):
            image = arguments.folder / "Dataset" / f"{path.stem}.jpg"
            with Image.open(image) as opened:
                width, height = opened.size
            for line in path.read_text(encoding="utf-8").split("\n"):
                if not line.strip():
                    continue
                x, y, number = (int(float(word)) for word in line.split())
                # A window that reached beyond the border would be refused as a box.
                box = (max(0, x - half), max(0, y - half), min(width, x + half), min(height, y + half))
                writer.writerow([image.name, *box, NAMES[number]])
                cells += 1
    first: dict[str, str] = {}
    with arguments.groups.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "group"])
        for image in sorted((arguments.folder / "Dataset").glob("*.jpg"), key=lambda path: int(path.stem)):
            writer.writerow([image.name, first.setdefault(sha256_file(image), image.stem)])
    print(f"{cells:,} windows: {arguments.output}; {len(first)} different pictures: {arguments.groups}")


if __name__ == "__main__":
    main()
