"""The operating point that was asked for, and what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spore_yolo.files.errors import UsageError

if TYPE_CHECKING:
    from spore_yolo.inference.manifest import OperatingPoint, PairManifest


def chosen_point(manifest: PairManifest, name: str | None, at: float | None) -> OperatingPoint:
    """The thresholds to work at.

    Args:
        manifest: The pair's manifest.
        name: A stored operating point; ``None``: the pair's own.
        at: Another threshold on detector_score.

    Raises:
        UsageError: The pair has no operating point of that name.
    """
    point = manifest.operating_point
    if name is not None:
        if name not in manifest.operating_points:
            known = ", ".join(manifest.operating_points) or "none"
            raise UsageError(
                f"--operating-point: expected one that is stored with the pair ({known}), found {name!r}; make one:"
                " spore-yolo calibrate"
            )
        point = manifest.operating_points[name].point
    return point if at is None else point.model_copy(update={"detector": at})


def point_note(manifest: PairManifest, name: str | None, at: float | None) -> str | None:
    """What the thresholds of a stored operating point promise, in a line; ``None`` without one.

    Args:
        manifest: The pair's manifest.
        name: The stored operating point.
        at: Another threshold on detector_score.
    """
    if name is None:
        return None
    promised = manifest.operating_points[name]
    if at is not None and at > promised.point.detector:
        return (
            f"note: --at {at:g} is above the {promised.point.detector:g} of {name}, so what that promises does not hold"
        )
    promise = promised.promise
    return (
        f"operating point {name}: a recall of {promise.recall:g} of {', '.join(promise.targets)} on groups like those"
        f" of {promise.dataset}, {promise.split}, promised with confidence {promise.confidence:g}"
    )
