"""The operating point that was asked for, and what it promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spore_yolo.files.errors import UsageError

if TYPE_CHECKING:
    from spore_yolo.inference.manifest import OperatingPoint, PairManifest, PromisedPoint


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
    precisions: Iterable[str],
    skip_empty: bool = False,
) -> str | None:
    """What the thresholds of a stored operating point promise, in a line, or why it does not hold.

    Args:
        manifest: The pair's manifest.
        name: The stored operating point; ``None``: the pair's own, which promises nothing.
        at: Another threshold on detector_score.
        precisions: What the networks were computed in, see
            :class:`~spore_yolo.inference.backends.runner.Runner`.
        skip_empty: Whether tiles on which nothing lies were left out.
    """
    if name is None:
        return None
    promised = manifest.operating_points[name]
    if broken := what_breaks(promised, at, precisions, skip_empty):
        return f"warning: what {name} promises does not hold here: {'; '.join(broken)}"
    promise = promised.promise
    return (
        f"operating point {name}: a recall of {promise.recall:g} of {', '.join(promise.targets)} on groups like those"
        f" of {promise.dataset}, {promise.split}, promised with confidence {promise.confidence:g}"
    )


def what_breaks(
    promised: PromisedPoint, at: float | None, precisions: Iterable[str], skip_empty: bool = False
) -> list[str]:
    """Why a promise does not hold for what was computed so; empty where it does.

    Args:
        promised: The operating point with its promise.
        at: As for :func:`point_note`, like the others.
        precisions: As there.
        skip_empty: As there.
    """
    made_in = promised.promise.precision
    others = [precision for precision in precisions if precision != made_in]
    broken = []
    if at is not None and at > promised.point.detector:
        broken.append(f"--at {at:g} is above its {promised.point.detector:g}")
    if others:
        broken.append(f"it was made in {made_in}, and this was computed in {' and '.join(others)}")
    if skip_empty:
        broken.append("it was made without --skip-empty")
    return broken
