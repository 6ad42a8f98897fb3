"""How far a trait of a box lies from what is usual for its class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.dataset.checks.base import Material

LEAST_BOXES = 20
"""With fewer boxes of a class nobody can say what is usual."""

SIGMAS = 5.0
"""Robust standard deviations beyond which a box is odd."""

TOUCHES = 1.0
"""Pixels from the border within which a box may be cut by it."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def touching(material: Material) -> Flags:
    """Which boxes touch the border of their image, ``(N,)``: they show a part of the object only."""
    boxes = material.boxes
    sizes = material.images.set_index("image")[["width", "height"]].astype("float64")
    limits = sizes.reindex(boxes["image"]).to_numpy()
    # Where nobody knows the size, the comparison with NaN is false.
    far = (boxes["x_max"].to_numpy() >= limits[:, 0] - TOUCHES) | (boxes["y_max"].to_numpy() >= limits[:, 1] - TOUCHES)
    near = (boxes["x_min"].to_numpy() <= TOUCHES) | (boxes["y_min"].to_numpy() <= TOUCHES)
    return np.asarray(far | near, dtype=np.bool_)


def sides(material: Material) -> Floats:
    """Width and height of each box in pixels, ``(N, 2)``."""
    boxes = material.boxes
    return np.asarray(boxes[["x_max", "y_max"]].to_numpy() - boxes[["x_min", "y_min"]].to_numpy(), dtype=np.float64)


def usual(material: Material, trait: Floats, counted: Flags) -> tuple[Floats, Floats]:
    """The usual value of a trait in the class of each box.

    Args:
        material: What is looked at.
        trait: ``(N,)``, the trait of each box.
        counted: ``(N,)``, the boxes that show the trait; ignored boxes are left out besides.

    Returns:
        For each box the median of its class and its spread, which is 1.4826 times the median distance from it (the
        standard deviation where values are normal; Rousseeuw and Croux 1993). NaN in classes of too few boxes.
    """
    boxes = material.boxes
    table = pd.DataFrame({"class": boxes["class"].to_numpy(), "trait": trait})
    table.loc[~counted | boxes["ignored"].to_numpy(), "trait"] = np.nan
    enough = table.groupby("class")["trait"].transform("count") >= LEAST_BOXES
    median = table.groupby("class")["trait"].transform("median").where(enough)
    distance = (table["trait"] - median).abs()
    spread = 1.4826 * distance.groupby(table["class"]).transform("median")
    return median.to_numpy(dtype=np.float64), spread.to_numpy(dtype=np.float64)
