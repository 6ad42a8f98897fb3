"""The progress bar of ``spore-yolo predict``: megapixels over all slides."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_size

GLANCE = 2.0
"""Seconds for which headers are read before the work begins; the sizes of further slides are estimated."""

FORM = "{desc}: {percentage:3.0f}%|{bar}| {n:,.0f}/{total:,.0f} MP [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class LookingBar:
    """Shows megapixels, megapixels a second, time left, slides done and slides that failed.

    A slide whose size is not known counts as large as the others are on average, until it is opened.

    Args:
        slides: The files that are still to be looked at.
        done: How many slides an earlier run has done.
        all_slides: How many there are.
        quiet: Whether only failures are told, since nobody sees a bar.
    """

    def __init__(self, slides: Sequence[Path], done: int, all_slides: int, quiet: bool = False) -> None:
        self._sizes = _at_a_glance(slides)
        known = [size for size in self._sizes.values() if size is not None]
        self._known, self._measured = sum(known), len(known)
        self._done, self._failed, self._all = done, 0, all_slides
        self._finished = 0.0
        self._bar: Any = tqdm(
            total=self._total(), desc="looking", unit="MP", bar_format=FORM, mininterval=0.5, disable=quiet
        )
        self._show()

    def open(self, path: Path, pixels: int) -> None:
        """A slide was opened, and it has so many pixels."""
        self._forget(path)
        self._sizes[path] = pixels / 1e6
        self._known, self._measured = self._known + pixels / 1e6, self._measured + 1
        self._bar.total = self._total()

    def advance(self, pixels: float) -> None:
        """So many more pixels of it were looked at."""
        self._bar.update(pixels / 1e6)

    def close_slide(self, path: Path, failed: str | None = None) -> None:
        """The slide is done, or has failed for a reason."""
        if failed is None:
            self._done += 1
            self._finished += self._sizes[path] or 0.0
        else:
            self._failed += 1
            self._forget(path)
            del self._sizes[path]
            tqdm.write(f"failed: {failed}", file=sys.stderr)
        self._bar.total = self._total()
        self._bar.update(self._finished - self._bar.n)
        self._show()

    def _forget(self, path: Path) -> None:
        size = self._sizes[path]
        if size is not None:
            self._known, self._measured = self._known - size, self._measured - 1

    def _total(self) -> float:
        unknown = len(self._sizes) - self._measured
        return self._known + unknown * (self._known / self._measured if self._measured else 1.0)

    def _show(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.set_postfix_str(f"{self._done}/{self._all} slides{failed}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _at_a_glance(slides: Sequence[Path]) -> dict[Path, float | None]:
    """Megapixels of the slides whose headers can be read in the time there is, ``None`` for the others."""
    sizes: dict[Path, float | None] = dict.fromkeys(slides)
    end = time.monotonic() + GLANCE
    for slide in slides:
        if time.monotonic() > end:
            break
        try:
            size = read_size(slide)
        except (SporeYoloError, OSError):
            continue
        sizes[slide] = size.width * size.height / 1e6
    return sizes
