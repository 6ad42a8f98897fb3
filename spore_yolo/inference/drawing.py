"""Marks detections on a slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from spore_yolo.inference.slides import Pixels, Slide

if TYPE_CHECKING:
    import supervision as sv

MAX_SIDE = 8_192
"""Longest side of a marked slide in pixels; viewers, and the memory, give up on much larger ones."""


def marked(slide: Slide, detections: sv.Detections) -> Pixels:
    """The slide with a thin box round each detection, and its class and score where there is room for text.

    Args:
        slide: It is reduced where it is larger than :data:`MAX_SIDE`.
        detections: What to mark; ``data["class_name"]`` and ``confidence`` are the text.

    Returns:
        ``(height, width, 3)``, **BGR**, as OpenCV writes it.

    Raises:
        UnreadableSlide: The file is damaged.
    """
    import supervision as sv

    scene: Pixels = np.asarray(cv2.cvtColor(slide.reduced(MAX_SIDE), cv2.COLOR_RGB2BGR), dtype=np.uint8)
    height, width = scene.shape[:2]
    longest = max(height, width)
    thickness = max(1, round(longest / 1600))
    # Boxes are drawn outside of the spore, so that a small one can still be seen in its frame.
    factor = np.array([width / slide.width, height / slide.height] * 2)
    framed = sv.Detections(
        xyxy=np.asarray(detections.xyxy) * factor + thickness * np.array([-1.0, -1.0, 1.0, 1.0]),
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
    return scene


def marked_jpeg(slide: Slide, detections: sv.Detections) -> bytes:
    """The marked slide as the bytes of a JPEG file; see :func:`marked`.

    Raises:
        UnreadableSlide: The file is damaged.
    """
    done, data = cv2.imencode(".jpg", marked(slide, detections))
    if not done:
        raise OSError(f"{slide.name}: the marked slide cannot be encoded as JPEG")
    return data.tobytes()
