"""The backends by name, what they need, and the one way by which their packages are imported: none reports home."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Any, Literal, get_args

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.ultralytics_setup import prepare_environment

Backend = Literal["torch", "onnxruntime", "openvino", "openvino-bf16", "openvino-int8", "tensorrt"]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
"""Names of all backends; torch is there always, the others are exported by ``spore-yolo export-model``."""

PACKAGES: dict[str, str] = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "openvino-bf16": "openvino",
    "openvino-int8": "openvino",
    "tensorrt": "tensorrt",
}
"""The package that each backend runs on."""


def import_package(name: str) -> Any:
    """Imports and returns a package of a backend, with its reports to its makers switched off.

    Args:
        name: ``openvino``, ``nncf``, ``onnx``, ``onnxruntime`` or ``tensorrt``.

    Raises:
        SporeYoloError: It is not installed, or cannot run here.
    """
    # openvino sends an event as soon as it is imported, and nncf with every call. Both do without this package; where
    # a user imported it earlier, that was the user's choice.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    prepare_environment()
    try:
        package = importlib.import_module(name)
    except Exception as error:  # besides ImportError, packages with libraries of their own raise OSError and more
        reason = " ".join(str(error).split())[:200]
        raise SporeYoloError(
            f"the package {name} is missing or broken ({reason}); install it: pip install {name}"
        ) from None
    if name == "onnxruntime":
        package.disable_telemetry_events()
        package.set_default_logger_severity(3)
    return package


def backend_versions(backend: str) -> dict[str, str]:
    """The versions of the packages that decide on what a backend gives; those that are missing are left out."""
    versions = {}
    for name in ("torch",) if backend == "torch" else (PACKAGES[backend],):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def can_run(backend: str) -> str | None:
    """Why a backend cannot run on this machine, or ``None`` where it can.

    A processor without bfloat16 would run ``openvino-bf16`` in single precision, and call it by the wrong name.
    """
    if backend == "torch":
        return None
    try:
        package = import_package(PACKAGES[backend])
    except SporeYoloError as error:
        return str(error)
    if backend == "openvino-bf16" and "BF16" not in package.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "this processor has no bfloat16; take openvino"
    if backend == "tensorrt":
        import torch

        if not torch.cuda.is_available():
            return "torch sees no NVIDIA GPU on this machine; take openvino"
    return None
