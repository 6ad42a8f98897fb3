"""Exports a pair's networks to the files that other backends run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends.packages import Backend, import_package
from spore_yolo.inference.backends.runner import Pixels
from spore_yolo.inference.backends.tensorrt_runner import LARGEST_BATCH
from spore_yolo.inference.ultralytics_setup import import_ultralytics

Part = Literal["detector", "classifier"]

NEEDED: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnx",),
    "openvino": ("onnx",),
    "openvino-bf16": ("onnx",),
    "openvino-int8": ("onnx", "nncf"),
    "tensorrt": ("onnx",),
}
"""What exporting takes beside the backend's own package."""


def export_network(
    checkpoint: Path, part: Part, size: int, backend: Backend, folder: Path, samples: Sequence[Pixels] = ()
) -> list[str]:
    """Exports one network of a pair.

    ONNX is the form in between: ONNX Runtime and OpenVINO read it as it is. It is what Ultralytics itself exports, so
    ``yolo predict model=detector.onnx`` takes it too.

    Args:
        checkpoint: The ``.pt`` file; loading it runs code in it.
        part: Which of the two networks it is; the files are called so.
        size: Side of a tile, or of a crop, in pixels of the model; other sizes run as well.
        backend: What will run it.
        folder: Where the files go.
        samples: For 8 bits, images ``(N, height, width, 3)`` like those that it will see: they decide on the ranges
            that its values are rounded in.

    Returns:
        The names of the files; the first is the one to load.

    Raises:
        SporeYoloError: A package is missing, or the network cannot be exported.
    """
    for name in NEEDED[backend]:
        import_package(name)
    onnx = folder / f"{part}.onnx"
    if not onnx.exists():
        _export(checkpoint, onnx, format="onnx", dynamic=True, simplify=False, imgsz=size, device="cpu")
        _forget_date(onnx)
    if backend == "openvino-int8":
        names = _quantise(onnx, part, samples, folder)
        onnx.unlink()
        return names
    if backend == "tensorrt":
        onnx.unlink()
        engine = folder / f"{part}.engine"
        batch = LARGEST_BATCH
        _export(checkpoint, engine, format="engine", dynamic=True, imgsz=size, batch=batch, device=0, quantize=16)
        return [engine.name]
    return [onnx.name]


def _export(checkpoint: Path, target: Path, **options: Any) -> None:
    """Lets Ultralytics export, which puts its file beside the checkpoint."""
    ultralytics = import_ultralytics()
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        beside = Path(name) / target.with_suffix(".pt").name
        shutil.copyfile(checkpoint, beside)
        try:
            with _quiet():
                ultralytics.YOLO(str(beside)).export(**options, verbose=False)
            os.replace(beside.with_name(target.name), target)
        except Exception as error:  # exporters raise almost anything
            reason = " ".join(str(error).split())[:300]
            raise SporeYoloError(f"{checkpoint}: cannot be exported ({reason})") from error


def _forget_date(path: Path) -> None:
    """The same checkpoint gives the same file, byte by byte."""
    onnx = import_package("onnx")
    model = onnx.load(path)
    kept = [entry for entry in model.metadata_props if entry.key not in ("date", "description")]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, path)


def _quantise(path: Path, part: Part, samples: Sequence[Pixels], folder: Path) -> list[str]:
    """Rounds a network to 8 bits, with the ranges that samples show.

    What follows the detector's last convolutions, which turns them into boxes, stays as it is, as Ultralytics has it
    when it exports. The first convolution stays, too: it sees what is faint. The sigmoids of the activations do not,
    unlike Ultralytics': nncf then no longer knows the activation as one, and rounds twice within it, which takes longer
    than the convolutions.
    """
    openvino, nncf = import_package("openvino"), import_package("nncf")
    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(path)
    operations = model.get_ordered_ops()
    first = next(one.get_friendly_name() for one in operations if one.get_type_name() == "Convolution")
    kept = nncf.IgnoredScope(names=[first])
    if part == "detector":
        sigmoids = {one.get_friendly_name() for one in operations if one.get_type_name() == "Sigmoid"}
        head = next(name for one in reversed(operations) if (name := one.get_friendly_name()) in sigmoids).rsplit("/")[
            1
        ]
        own = re.compile(rf"/{re.escape(head)}/(dfl/.*|[^/]*)")
        names = [one.get_friendly_name() for one in operations]
        kept = nncf.IgnoredScope(names=[first, *(name for name in names if own.fullmatch(name))])
    batches = nncf.Dataset([_as_network_sees(batch) for batch in samples])
    with _quiet():
        model = nncf.quantize(
            model, batches, preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples), ignored_scope=kept
        )
    openvino.save_model(model, folder / f"{part}-int8.xml", compress_to_fp16=False)
    return [f"{part}-int8.xml", f"{part}-int8.bin"]


def _as_network_sees(batch: Pixels) -> Any:
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters say a lot, to people who type commands of theirs; errors come as exceptions."""
    logger = logging.getLogger("ultralytics")
    level = logger.level
    logger.setLevel(logging.ERROR)
    offline = os.environ.get("YOLO_OFFLINE")
    os.environ["YOLO_OFFLINE"] = "true"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        os.environ.pop("YOLO_OFFLINE")
        if offline is not None:
            os.environ["YOLO_OFFLINE"] = offline
