"""Marks detections on a slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import supervision as sv

MAX_SIDE = 16_384
"""Longest side of a marked slide in pixels; viewers, and JPEG itself, give up on larger ones."""


def marked(pixels: npt.NDArray[np.uint8], detections: sv.Detections) -> npt.NDArray[np.uint8]:
    """The slide with a thin box round each detection, and its class and score where there is room for text.

    Args:
        pixels: RGB array ``(height, width, 3)``; it is not changed.
        detections: What to mark; ``data["class_name"]`` and ``confidence`` are the text.
    """
    import supervision as sv

    longest = max(pixels.shape[:2])
    thickness = max(1, round(longest / 1600))
    scene: npt.NDArray[np.uint8] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    # Boxes are drawn outside of the spore, so that a small one can still be seen in its frame.
    framed = sv.Detections(
        xyxy=np.asarray(detections.xyxy) + thickness * np.array([-1.0, -1.0, 1.0, 1.0]),
        confidence=detections.confidence,
        class_id=detections.class_id,
        data=detections.data,
    )
    scene = sv.BoxAnnotator(thickness=thickness).annotate(scene, framed)
    # Text over hundreds of spores hides them.
    if 0 < len(detections) <= 60:
        scores = np.asarray(detections.confidence)
        labels = [f"{name} {score:.2f}" for name, score in zip(detections.data["class_name"], scores, strict=True)]
        annotator = sv.LabelAnnotator(text_scale=max(0.35, longest / 4000), text_thickness=1, text_padding=2)
        scene = annotator.annotate(scene, framed, labels=labels)
    return np.asarray(cv2.cvtColor(scene, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def write_marked(path: Path, pixels: npt.NDArray[np.uint8], detections: sv.Detections) -> None:
    """Writes the marked slide as JPEG, reduced where it is larger than :data:`MAX_SIDE`.

    Raises:
        OSError: It cannot be written.
    """
    scene = cv2.cvtColor(marked(pixels, detections), cv2.COLOR_RGB2BGR)
    reduce = MAX_SIDE / max(scene.shape[:2])
    if reduce < 1:
        scene = cv2.resize(scene, None, fx=reduce, fy=reduce, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", scene)
    if not done:
        raise OSError(f"{path}: the marked slide cannot be encoded as JPEG")
    path.write_bytes(data.tobytes())
