"""How far measured sizes are from the true ones, by outline and by box alone, on a drawn sample that knows the truth.

    spore-yolo sample --output sample --fields 60
    python benchmarks/measuring.py --sample sample

Boxes are the true ones, each edge moved by a random part of the box's side as a detector would. "by outline" is the
share of spores whose outline was plausible. In the first table "measured" is what `predict` says, by outline or by box;
the second one has only spores measured by their outline.
"""

from __future__ import annotations

import argparse
import time
from math import pi
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from spore_yolo.dataset.sample import SAMPLE_UM_PER_PX
from spore_yolo.files.images import read_image
from spore_yolo.inference.measuring import measure
from spore_yolo.labels.table import COORDINATES

SIZES = ["length", "width", "area"]


def measured(sample: Path, jitter: float, seed: int) -> tuple[pd.DataFrame, float]:
    """The truth with columns ``measured_length`` ... and ``box_length`` ... in µm; and milliseconds a spore."""
    truth = pd.read_csv(sample / "truth.csv")
    truth = truth[truth["labelled"]].reset_index(drop=True)
    rng = np.random.default_rng(seed)
    rows, seconds = [], 0.0
    for slide, spores in truth.groupby("slide", sort=False):
        pixels = read_image(sample / "images" / str(slide))
        for number, *corners in spores[COORDINATES].itertuples():
            box = np.array(corners, dtype=np.float64)
            sides = np.tile(box[2:] - box[:2], 2)
            box += rng.uniform(-jitter, jitter, 4) * sides
            start = time.process_time()
            size = measure(pixels, box)
            seconds += time.process_time() - start
            width, height = box[2:] - box[:2]
            in_px = (size.length_px, size.width_px, size.area_px**0.5)
            of_box = (max(width, height), min(width, height), (pi / 4 * width * height) ** 0.5)
            lengths = np.array([*in_px, *of_box]) * SAMPLE_UM_PER_PX
            lengths[[2, 5]] **= 2
            rows.append([number, size.by, *lengths])
    columns = ["number", "by", *(f"{way}_{size}" for way in ("measured", "box") for size in SIZES)]
    return truth.join(pd.DataFrame(rows, columns=columns).set_index("number")), 1000 * seconds / len(rows)


def error(table: pd.DataFrame, way: str, size: str) -> str:
    """Median relative error and, signed, the median deviation."""
    true = table["area_um2"] if size == "area" else table[f"{size}_um"]
    deviation = table[f"{way}_{size}"] / true - 1
    return f"{deviation.abs().median():.1%} ({deviation.median():+.1%})"


def errors(table: pd.DataFrame) -> str:
    """A row a kind of spore and one of all."""
    rows = [
        [kind, len(part), f"{(part['by'] == 'outline').mean():.0%}"]
        + [error(part, way, size) for size in SIZES for way in ("measured", "box")]
        for kind, part in [*table.groupby("kind", sort=True), ("all", table)]
    ]
    headers = ["kind", "spores", "by outline", *(f"{size}: {way}" for size in SIZES for way in ("measured", "box"))]
    return tabulate(rows, headers=headers, tablefmt="github")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path, required=True, help="folder that `spore-yolo sample` drew")
    parser.add_argument("--jitter", type=float, default=0.04, help="part of the side by which edges move (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    table, milliseconds = measured(arguments.sample, arguments.jitter, arguments.seed)
    print("all spores: median relative error (median deviation)")
    print(errors(table))
    print("spores measured by their outline")
    print(errors(table[table["by"] == "outline"]))
    print(f"{milliseconds:.2f} ms a spore")


if __name__ == "__main__":
    main()
