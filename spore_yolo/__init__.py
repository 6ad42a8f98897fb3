"""spore-yolo: finds the spores of plant diseases on microscope slides.

>>> import spore_yolo
>>> pair = spore_yolo.load("runs/magnaporthe")       # doctest: +SKIP
>>> detections = pair.predict("slide.jpg")           # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spore_yolo.inference.pair import Pair

__version__ = "0.1.0"

# Metaflow packs the whole package with a flow that uses it, so that other machines run the code that was started here.
METAFLOW_PACKAGE_POLICY = "include"


def load(folder: Path | str, device: str | None = None) -> Pair:
    """Loads a pair; see :func:`spore_yolo.inference.pair.load`."""
    # Imported here so that importing the package stays fast: this is the door to torch.
    from spore_yolo.inference.pair import load as load_pair

    return load_pair(folder, device)


__all__ = ["__version__", "load"]
