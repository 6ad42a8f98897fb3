"""SPR002: labels for an image that is not there, or whose name fits several."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import UNKNOWN_IMAGE

CHECK = Check(
    code=UNKNOWN_IMAGE,
    title="labels for an image that is not there",
    severity=Severity.ERROR,
    effect="These objects are not learned, and what the images hold is lost to training.",
    mend="Put the image below the folder of the images, mend its name in the labels, or take these labels out.",
    find=passed_on(UNKNOWN_IMAGE),
)
