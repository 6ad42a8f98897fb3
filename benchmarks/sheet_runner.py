"""Classifies crops on sheets: many of them packed into one image that goes through the network at once.

A YOLOv8 classifier is fully convolutional up to its pooling, so a sheet gives a map on which each crop has its own
cells; pooled crop by crop they give what the network says of each. Where a batch has zeros round every crop, a sheet
has its neighbours: what is said of a crop then depends on the crops beside it, unless a gutter lies between them that
is kept at zero in every layer. It is no part of the package, since batches are faster at equal accuracy:
``benchmarks/sheets.py`` measures both ways side by side.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.backends.torch_runner import TorchRunner

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

Fill = Literal["black", "grey", "edge", "mirror", "zero"]
"""What lies in the gutter: one colour, each crop's outermost pixels going on, each crop mirrored, or black that every
layer takes for zero, as it takes what lies beyond an image."""

FILLS: tuple[Fill, ...] = ("black", "grey", "edge", "mirror", "zero")

CELL = 32
"""Pixels of a crop's side that become one cell of the last map: the stride of YOLOv8-cls."""

GREY = 114
"""What Ultralytics fills with."""


class SheetRunner:
    """A classifier that looks at sheets; see :class:`spore_yolo.inference.backends.runner.Runner`.

    Args:
        runner: The classifier, which stays as it is.
        crop_size: Side of a crop in pixels.
        side: Side of a full sheet in pixels; as many crops as fit make one sheet.
        gutter: Pixels between two crops.
        fill: What lies there, and in places of a sheet's last row that stay empty (``edge`` and ``mirror`` leave those
            black).

    Attributes:
        batch: Crops on a full sheet.

    Raises:
        UsageError: Crops or gutters are no whole number of cells, a sheet has no room for one crop, or a mirror would
            show more than a crop.
    """

    backend = "torch"

    def __init__(
        self, runner: TorchRunner, crop_size: int, side: int = 1024, gutter: int = 0, fill: Fill = "zero"
    ) -> None:
        if crop_size < CELL or crop_size % CELL or gutter < 0 or gutter % CELL:
            raise UsageError(
                f"sheets: expected crops and gutters of a multiple of {CELL} px, found {crop_size} and {gutter}"
            )
        if fill not in FILLS:
            raise UsageError(f"sheets: expected {', '.join(FILLS)} in the gutter, found {fill!r}")
        if side < crop_size:
            raise UsageError(f"sheets: expected a side of at least a crop, {crop_size} px, found {side}")
        if fill == "mirror" and gutter // 2 >= crop_size:
            raise UsageError(f"sheets: a mirror of {gutter // 2} px shows more than a crop of {crop_size} px")
        self.precision, self.workers = runner.precision, runner.workers
        self.across = (side + gutter) // (crop_size + gutter)
        self.batch = self.across**2
        self._runner, self._size, self._gutter, self._fill = runner, crop_size, gutter, fill
        self._body, self._head = runner.network.model[:-1], runner.network.model[-1]
        if fill == "zero" and gutter:
            self._body = copy.deepcopy(self._body)
            _zero_gutters(self._body, crop_size, gutter)

    def enter_thread(self) -> None:
        """See :meth:`spore_yolo.inference.backends.runner.Runner.enter_thread`."""
        self._runner.enter_thread()

    def __call__(self, batch: Pixels) -> Floats:
        """The logits of crops.

        Args:
            batch: ``(N, size, size, 3)``, RGB; any number of them, on as many sheets as it takes.

        Returns:
            ``(N, C)``, in the order of the crops.
        """
        if batch.shape[1:] != (self._size, self._size, 3):
            raise UsageError(f"sheets: expected crops of {self._size} x {self._size} px, found {batch.shape[1:]}")
        parts = [np.zeros((0, self._head.linear.out_features), dtype=np.float32)]
        parts += [self._look(batch[begin : begin + self.batch]) for begin in range(0, len(batch), self.batch)]
        return np.concatenate(parts)

    def pack(self, crops: Pixels) -> Pixels:
        """The sheet of no more crops than fit: row by row, with gutters between them but not round the sheet.

        Args:
            crops: ``(N, size, size, 3)``, at least one.

        Returns:
            ``(height, width, 3)``.
        """
        columns = min(len(crops), self.across)
        rows = -(-len(crops) // columns)
        half, size, pitch = self._gutter // 2, self._size, self._size + self._gutter
        sheet = np.full((rows * columns, pitch, pitch, 3), GREY if self._fill == "grey" else 0, dtype=np.uint8)
        if half and self._fill in ("edge", "mirror"):
            margins = ((0, 0), (half, half), (half, half), (0, 0))
            sheet[: len(crops)] = np.pad(crops, margins, mode="edge" if self._fill == "edge" else "reflect")
        else:
            sheet[: len(crops), half : half + size, half : half + size] = crops
        whole = sheet.reshape(rows, columns, pitch, pitch, 3).swapaxes(1, 2).reshape(rows * pitch, columns * pitch, 3)
        return np.ascontiguousarray(whole[half : len(whole) - half, half : whole.shape[1] - half])

    def _look(self, crops: Pixels) -> Floats:
        import torch

        sheet = self.pack(crops)
        with torch.inference_mode():
            pixels = torch.from_numpy(sheet)[None].to(self._runner.device).permute(0, 3, 1, 2)
            pixels = pixels.to(next(self._body.parameters()).dtype).div_(255)
            cells = self._cells(self._body(pixels))[: len(crops)]
            # The head's own layers, so that what the network says is the network's.
            pooled = self._head.pool(self._head.conv(cells)).flatten(1)
            return np.asarray(self._head.linear(pooled).float().cpu().numpy(), dtype=np.float32)

    def _cells(self, maps: Any) -> Any:
        """Each crop's own cells of a sheet's map ``(1, D, rows, columns)``: ``(N, D, cells, cells)``."""
        own, pitch = self._size // CELL, (self._size + self._gutter) // CELL
        # (D, rows of crops, columns of crops, cells, cells)
        apart = maps[0].unfold(1, own, pitch).unfold(2, own, pitch)
        return apart.permute(1, 2, 0, 3, 4).flatten(0, 1)


def _zero_gutters(body: Any, size: int, gutter: int) -> None:
    """Has gutters set to zero before every convolution that looks at a pixel's neighbours."""
    import torch

    shrunk = 1
    for layer in body.modules():
        if isinstance(layer, torch.nn.Conv2d):
            if max(layer.kernel_size) > 1:
                layer.register_forward_pre_hook(_zero_gutters_of(size // shrunk, gutter // shrunk))
            shrunk *= int(layer.stride[0])


def _zero_gutters_of(size: int, gutter: int) -> Callable[[Any, tuple[Any, ...]], None]:
    def hook(_: Any, given: tuple[Any, ...]) -> None:
        # In place: what else reads these values looks at no neighbours, so the crops' own cells stay as they are.
        for axis in (2, 3):
            for begin in range(size, given[0].shape[axis], size + gutter):
                given[0].narrow(axis, begin, gutter).zero_()

    return hook
