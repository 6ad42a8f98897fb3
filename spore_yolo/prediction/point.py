"""The operating point that was asked for, and what it promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spore_yolo.files.errors import UsageError

if TYPE_CHECKING:
    from spore_yolo.inference.manifest import OperatingPoint, PairManifest

EXACT = ("torch", "onnxruntime", "openvino")
"""Backends that find what torch finds but for rounding; the others compute with fewer bits."""


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


def point_note(
    manifest: PairManifest,
    name: str | None,
    at: float | None,
    backends: Iterable[str] = ("torch",),
    skip_empty: bool = False,
) -> str | None:
    """What the thresholds of a stored operating point promise, in a line, or why it does not hold.

    Args:
        manifest: The pair's manifest.
        name: The stored operating point; ``None``: the pair's own, which promises nothing.
        at: Another threshold on detector_score.
        backends: What ran the networks.
        skip_empty: Whether tiles on which nothing lies were left out.
    """
    if name is None:
        return None
    promised = manifest.operating_points[name]
    others = [backend for backend in backends if backend not in EXACT]
    broken = []
    if at is not None and at > promised.point.detector:
        broken.append(f"--at {at:g} is above its {promised.point.detector:g}")
    if others:
        broken.append(f"it was made with torch, and {' and '.join(others)} computes with fewer bits")
    if skip_empty:
        broken.append("it was made without --skip-empty")
    if broken:
        return f"warning: what {name} promises does not hold here: {'; '.join(broken)}"
    promise = promised.promise
    return (
        f"operating point {name}: a recall of {promise.recall:g} of {', '.join(promise.targets)} on groups like those"
        f" of {promise.dataset}, {promise.split}, promised with confidence {promise.confidence:g}"
    )
