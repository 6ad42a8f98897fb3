"""What the checks of splits share."""

from __future__ import annotations

import pandas as pd

from spore_yolo.dataset.checks.base import Material
from spore_yolo.dataset.split import SPLITS


def splits_of(material: Material) -> list[str]:
    """The splits that hold images, in the usual order."""
    held = set(material.images["split"])
    return [split for split in SPLITS if split in held]


def groups_that_hold(material: Material) -> pd.DataFrame:
    """In how many groups of each split there are boxes of each class: a row a class, a column a split."""
    wanted = material.boxes.loc[~material.boxes["ignored"], ["image", "class"]].drop_duplicates()
    held = wanted.merge(material.images[["image", "group", "split"]], on="image")
    table = held.groupby(["class", "split"])["group"].nunique().unstack(fill_value=0)
    present = [name for name in material.classes if name in table.index]
    return table.reindex(index=present, columns=splits_of(material), fill_value=0)
