"""The scale of each slide that ``spore-yolo predict`` looks at, and what the user should know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SAME_SCALE = 1.01
"""Scales that differ by no more than this factor are one."""

TRAINED_SCALE = 1.2
"""Scales that differ by no more than this factor are within what training varies."""

Source = Literal["stated", "file", "pair", "unknown"]


@dataclass(frozen=True)
class Scale:
    """Micrometres per pixel of a slide.

    Attributes:
        um_per_px: What it is measured with; ``None`` where nobody said it, then nothing is measured.
        source: ``stated`` with --mpp, said by the ``file``, or ``pair`` where the slide is taken to be like those that
            the pair was trained on.
        file: What the slide's file says.
    """

    um_per_px: float | None
    source: Source
    file: float | None = None

    @property
    def of_slide(self) -> float | None:
        """The scale where it is known of this slide, not only assumed."""
        return None if self.source == "pair" else self.um_per_px


def scale_of(stated: float | None, of_file: float | None, of_pair: float | None) -> Scale:
    """The scale of a slide: what was stated goes before what its file says, and that before the pair's."""
    if stated is not None:
        return Scale(stated, "stated", of_file)
    if of_file is not None:
        return Scale(of_file, "file", of_file)
    return Scale(of_pair, "unknown" if of_pair is None else "pair")


def differ(one: float, other: float, factor: float = SAME_SCALE) -> bool:
    """Whether two scales differ by more than a factor."""
    return max(one, other) > factor * min(one, other)


def scale_notes(scales: Sequence[Scale], of_pair: float | None, resampled: Sequence[bool]) -> list[str]:
    """What the user should know of the slides' scales, a line each.

    Args:
        scales: Of the slides.
        of_pair: That of the slides that the pair was trained on.
        resampled: Of each slide, whether it was brought to the pair's scale.
    """
    known = [scale.of_slide for scale in scales if scale.of_slide is not None]
    unknown = len(scales) - len(known)
    notes = []
    contradicted = [
        scale.file
        for scale in scales
        if scale.source == "stated" and scale.um_per_px and scale.file
        if differ(scale.um_per_px, scale.file)
    ]
    if contradicted:
        notes.append(
            f"warning: --mpp was taken for {_slides(len(contradicted))} whose files say another scale:"
            f" {_range(contradicted)} µm per pixel"
        )
    if of_pair is None:
        if unknown:
            notes.append(
                f"warning: the scale (µm per pixel) of {_slides(unknown)} is not known, nor that of the pair: nothing"
                " is measured there, and spores of another magnification than the pair knows may be missed; say it"
                " with --mpp"
            )
        if known:
            notes.append(
                f"warning: the pair does not say at what scale (µm per pixel) it was trained: {_slides(len(known))}"
                f" of {_range(known)} were taken as they are; spores of another magnification may be missed"
            )
        return notes
    if unknown:
        notes.append(
            f"warning: the scale of {_slides(unknown)} is not known: {of_pair:g} µm per pixel, that of the slides that"
            " the pair was trained on, is assumed; if they have another, say it with --mpp"
        )
    other = [scale.of_slide for scale, done in zip(scales, resampled, strict=True) if done and scale.of_slide]
    if other:
        notes.append(
            f"note: {_slides(len(other))} of {_range(other)} µm per pixel were resampled to the pair's {of_pair:g}"
        )
    as_they_are = [scale.of_slide for scale, done in zip(scales, resampled, strict=True) if not done]
    far = [scale for scale in as_they_are if scale and differ(scale, of_pair, TRAINED_SCALE)]
    if far:
        times = [of_pair / scale for scale in far]
        notes.append(
            f"warning: the pair was trained on slides of {of_pair:g} µm per pixel, {_slides(len(far))} have"
            f" {_range(far)}; spores are {_range(times, 2)} times as large in pixels there as it knows them, and may be"
            " missed; leave out --no-resample"
        )
    return notes


def _slides(count: int) -> str:
    return f"{count:,} slide{'s' if count != 1 else ''}"


def _range(values: Sequence[float], digits: int = 6) -> str:
    least, most = f"{min(values):.{digits}g}", f"{max(values):.{digits}g}"
    return least if least == most else f"{least} to {most}"
