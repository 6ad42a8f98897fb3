"""Microscope makers' own files that need a package of their own: Nikon ND2, Leica LIF."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from spore_yolo.files.images import MEMORY_SHARE, TooLargeImage, memory_at_hand
from spore_yolo.inference.slides.focus import Focus, in_focus
from spore_yolo.inference.slides.scale import plausible
from spore_yolo.inference.slides.slide import ArraySlide, Pixels, Slide, UnreadableSlide, clear_errors


def need(path: Path, module: str, extra: str) -> Any:
    """Imports the package that a file needs.

    Raises:
        UnreadableSlide: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.split(".")[0]
        raise UnreadableSlide(
            f"{path}: reading it needs the package {package}, which is not installed; pip install 'spore-yolo[{extra}]'"
        ) from None


def open_nd2(path: Path, z: Focus = "best") -> Slide:
    """Reads a Nikon ND2 as a whole.

    Raises:
        TooLargeImage: Its pixels do not fit into memory.
        UnreadableSlide: It is damaged, holds several fields, channels or points in time, or ``nd2`` is not installed.
        UsageError: It has no such plane.
    """
    nd2 = need(path, "nd2", "nd2")
    with clear_errors(str(path), "a whole ND2"), nd2.ND2File(path) as file:
        sizes = dict(file.sizes)
        _check_single(path, {axis: count for axis, count in sizes.items() if axis not in "ZYXS"})
        _check_memory(path, int(np.prod(list(sizes.values()))) * file.dtype.itemsize)
        bits = int(file.attributes.bitsPerComponentSignificant)
        um_per_px = plausible(file.voxel_size().x)
        pixels = np.asarray(file.asarray()).reshape(sizes.get("Z", 1), sizes["Y"], sizes["X"], sizes.get("S", 1))
        planes = [ArraySlide(_to_rgb(path, plane, bits), str(path), um_per_px) for plane in pixels]
    return in_focus(planes, z)


def open_lif(path: Path, z: Focus = "best") -> Slide:
    """Reads a Leica LIF as a whole.

    Raises:
        TooLargeImage: Its pixels do not fit into memory.
        UnreadableSlide: It is damaged, holds several images, channels or points in time, or ``readlif`` is not
            installed.
        UsageError: It has no such plane.
    """
    readlif = need(path, "readlif.reader", "lif")
    with clear_errors(str(path), "a whole LIF"):
        images = list(readlif.LifFile(str(path)).get_iter_image())
        counts = {"images": len(images), "C": images[0].channels, "T": images[0].dims.t, "M": images[0].dims.m}
        _check_single(path, counts)
        image = images[0]
        bits = int(image.bit_depth[0])
        _check_memory(path, image.dims.x * image.dims.y * image.dims.z * -(-bits // 8))
        scale = image.scale[0]  # pixels per micrometre
        um_per_px = plausible(1 / scale) if scale else None
        frames = [np.asarray(image.get_frame(z=index))[:, :, None] for index in range(image.dims.z)]
        planes = [ArraySlide(_to_rgb(path, frame, bits), str(path), um_per_px) for frame in frames]
    return in_focus(planes, z)


def _check_single(path: Path, counts: dict[str, int]) -> None:
    """Refuses files of which nobody can say which image is meant."""
    if several := {axis: count for axis, count in counts.items() if count > 1}:
        found = ", ".join(f"{count} along {axis}" for axis, count in several.items())
        raise UnreadableSlide(
            f"{path}: expected one colour or grey image, in one or several planes of focus; found {found};"
            " save the one to look at on its own"
        )


def _check_memory(path: Path, pixels: int) -> None:
    """Refuses what does not fit into memory; RGB of 8 bits is three times grey of 8 bits, at most."""
    if 4 * pixels > MEMORY_SHARE * memory_at_hand():
        raise TooLargeImage(f"{path}: it takes about {4 * pixels / 2**30:.1f} GB of memory; save it as a tiled TIFF")


def _to_rgb(path: Path, samples: np.ndarray[Any, Any], bits: int) -> Pixels:
    """Samples ``(height, width, 1 or 3)`` as RGB of 8 bits."""
    if samples.dtype not in (np.uint8, np.uint16) or samples.shape[2] not in (1, 3):
        raise UnreadableSlide(f"{path}: expected 8 or 16 bits, grey or RGB, found {samples.dtype}, {samples.shape}")
    if samples.dtype == np.uint16:
        samples = cv2.convertScaleAbs(samples, alpha=255 / (2**bits - 1)).reshape(samples.shape)
    return samples if samples.shape[2] == 3 else np.repeat(samples, 3, axis=2)
