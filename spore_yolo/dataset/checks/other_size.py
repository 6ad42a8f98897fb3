"""SPR008: the label file states another size than the image has."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import OTHER_SIZE

CHECK = Check(
    code=OTHER_SIZE,
    title="labels for another size of the image",
    severity=Severity.ERROR,
    effect="The boxes lie beside the objects, so the detector learns background as spores.",
    mend="Find the version of the image that was labelled, or export the labels for this one.",
    find=passed_on(OTHER_SIZE),
)
