"""Writes the sample: images, COCO labels, masks and the whole truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from tqdm import tqdm

from spore_yolo.dataset.sample.field import Field
from spore_yolo.dataset.sample.plan import FieldPlan, draw_sample_field, plan_sample
from spore_yolo.dataset.sample.taxa import SAMPLE_TAXA, SAMPLE_UM_PER_PX
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import UsageError

JPEG_QUALITY = 92

PARTS = ("images", "masks", "labels.json", "truth.csv", "groups.csv")
"""What lies in a sample's folder."""


def write_sample(folder: Path, *, fields: int = 60, seed: int = 0, force: bool = False, quiet: bool = False) -> None:
    """Draws the sample into a folder, whole or not at all; the same seed gives the same bytes.

    It holds ``images/GROUP/field_NN.jpg``; ``labels.json`` (COCO: boxes of spores, not of debris); ``masks/`` (16-bit
    PNG of the same names, where the value of a pixel is the spore's id on its field); ``truth.csv`` (a row an object,
    debris included) and ``groups.csv`` (``image,group``).

    Args:
        folder: Where to; it must not exist yet, be empty, or be an earlier sample with ``force``.
        fields: How many fields, at least 1.
        seed: Another seed, another sample.
        force: Replace an earlier sample.
        quiet: Show no progress bar.

    Raises:
        UsageError: The folder holds something else, or an earlier sample and ``force`` was not given.
    """
    _check(folder, force)
    plans = plan_sample(fields, seed)
    coco = _Coco(seed)
    truth: list[dict[str, Any]] = []
    with atomic_folder(folder) as temporary:
        for plan in tqdm(plans, desc="drawing", unit="field", disable=quiet):
            drawn = draw_sample_field(plan, seed)
            _write_pictures(temporary, plan, drawn)
            coco.add(plan, drawn)
            truth += _truth(plan, drawn)
        (temporary / "labels.json").write_text(json.dumps(coco.content), encoding="utf-8")
        pd.DataFrame(truth, columns=TRUTH_COLUMNS).to_csv(temporary / "truth.csv", index=False)
        groups = [{"image": plan.image, "group": plan.group} for plan in plans]
        pd.DataFrame(groups).to_csv(temporary / "groups.csv", index=False)


def _check(folder: Path, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"--output {folder}: expected a folder, found a file")
    found = {path.name for path in folder.iterdir()}
    if not found:
        return
    if not found <= set(PARTS):
        raise UsageError(f"--output {folder}: holds other files than a sample; choose a new folder")
    if not force:
        raise UsageError(f"--output {folder}: holds a sample already; choose a new folder, or replace it with --force")


def _write_pictures(folder: Path, plan: FieldPlan, drawn: Field) -> None:
    image = folder / "images" / plan.image
    mask = (folder / "masks" / plan.image).with_suffix(".png")
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn.pixels).save(image, quality=JPEG_QUALITY)
    Image.fromarray(drawn.labels).save(mask, compress_level=2)


class _Coco:
    """A COCO file in the making."""

    def __init__(self, seed: int) -> None:
        self.content: dict[str, Any] = {
            "info": {
                "description": "spore-yolo sample: drawn, not photographed",
                "seed": seed,
                "um_per_px": SAMPLE_UM_PER_PX,
            },
            "images": [],
            "categories": [{"id": number, "name": taxon.name} for number, taxon in enumerate(SAMPLE_TAXA, start=1)],
            "annotations": [],
        }
        self.numbers = {taxon.name: number for number, taxon in enumerate(SAMPLE_TAXA, start=1)}

    def add(self, plan: FieldPlan, drawn: Field) -> None:
        height, width = drawn.labels.shape
        self.content["images"].append(
            {
                "id": plan.number + 1,
                "file_name": plan.image,
                "width": width,
                "height": height,
                "um_per_px": SAMPLE_UM_PER_PX,
            }
        )
        for spore in drawn.spores:
            x_min, y_min, x_max, y_max = spore.box
            self.content["annotations"].append(
                {
                    "id": len(self.content["annotations"]) + 1,
                    "image_id": plan.number + 1,
                    "category_id": self.numbers[spore.kind],
                    "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
                    "area": spore.area,
                    "iscrowd": 0,
                }
            )


TRUTH_COLUMNS = [
    "slide",
    "group",
    "id",
    "kind",
    "labelled",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "length_um",
    "width_um",
    "area_um2",
    "focus_um",
    "touches_clump",
]


def _truth(plan: FieldPlan, drawn: Field) -> list[dict[str, Any]]:
    rows = []
    for placed in drawn.objects:
        sizes = {
            "length_um": round(placed.length * SAMPLE_UM_PER_PX, 2),
            "width_um": round(placed.width * SAMPLE_UM_PER_PX, 2),
            "area_um2": round(placed.area * SAMPLE_UM_PER_PX**2, 2),
            "focus_um": round(placed.focus, 2),
        }
        box = dict(zip(("x_min", "y_min", "x_max", "y_max"), placed.box, strict=True))
        rows.append(
            {
                "slide": plan.image,
                "group": plan.group,
                "id": placed.id,
                "kind": placed.kind,
                "labelled": placed.labelled,
                **box,
                **sizes,
                "touches_clump": placed.touches_clump,
            }
        )
    return rows
