"""Slides of any size and of any maker, read window by window."""

from __future__ import annotations

from spore_yolo.inference.slides.focus import Focus
from spore_yolo.inference.slides.opening import SLIDE_SUFFIXES, belonging, find_slides, open_slide, slides_among
from spore_yolo.inference.slides.slide import ArraySlide, Pixels, Slide, UnreadableSlide

__all__ = [
    "SLIDE_SUFFIXES",
    "ArraySlide",
    "Focus",
    "Pixels",
    "Slide",
    "UnreadableSlide",
    "belonging",
    "find_slides",
    "open_slide",
    "slides_among",
]
