"""Which backend runs a pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.backends.machine import same_kind, this_machine
from spore_yolo.inference.backends.packages import BACKENDS, Backend, backend_versions, can_run
from spore_yolo.inference.backends.runner import Runner
from spore_yolo.inference.backends.speeds import remembered_speed
from spore_yolo.inference.backends.storing import backend_files, checkpoints_of, export_command
from spore_yolo.inference.manifest import PairManifest, Verification

Task = Literal["detect", "classify"]


@dataclass(frozen=True)
class Runners:
    """A pair's networks, ready to run.

    Attributes:
        detector: The detector.
        classifier: The classifier, or ``None`` where the pair has none.
        names: Class names of the detector and of the classifier, each in the order of their numbers.
        note: Which backend it is and why, in a line.
    """

    detector: Runner
    classifier: Runner | None
    names: tuple[list[str], list[str] | None]
    note: str


def runners(
    folder: Path, manifest: PairManifest, backend: str = "torch", device: str | None = None, *, measure: bool = True
) -> Runners:
    """Loads a pair's networks.

    Args:
        folder: The pair's folder; the checkpoints' hashes are the caller's to check.
        manifest: What the pair says of itself.
        backend: One of :data:`BACKENDS`; or ``auto``, which takes the fastest that was verified on a machine of this
            kind with the same version of its package, and torch where there is none.
        device: As torch takes it; backends for the CPU take ``cpu`` or ``None``.
        measure: Whether to measure the fastest batch size of a network that was not measured here before, which takes
            some seconds; else it is guessed.

    Raises:
        UsageError: There is no such backend, the pair has none of it, or it does not run on that device.
        SporeYoloError: It is not installed or cannot run here, or a file is missing or damaged.
    """
    if backend == "auto":
        chosen, note = fastest(folder, manifest, device)
    elif backend in BACKENDS:
        chosen, note = backend, f"runs with {backend}"
    else:
        raise UsageError(f"--backend: expected auto, {', '.join(BACKENDS)}, found {backend!r}")
    if chosen == "torch":
        return _by_torch(folder, manifest, device, note, measure)
    if chosen != "tensorrt" and device not in (None, "cpu"):
        raise UsageError(f"--device: {chosen} runs on the CPU, found {device!r}; leave it out, or take --backend torch")
    files = backend_files(folder, manifest, chosen)
    reason = can_run(chosen)
    if reason is not None:
        raise SporeYoloError(f"{chosen} does not run here: {reason}; or take --backend torch")
    detector = _load(files[0], "detect", chosen, device)
    record = verification_here(manifest, chosen)
    if record is not None:
        detector.batch = record.batch
    elif measure:
        size = manifest.detector.tile_size
        digest = manifest.backends[chosen].files[files[0].name]
        detector.batch = remembered_speed(detector, digest, size, chosen == "tensorrt").batch
    classifier = None if files[1] is None else _load(files[1], "classify", chosen, device)
    names = (manifest.detector.classes, manifest.classifier.classes if manifest.classifier else None)
    return Runners(detector, classifier, names, note)


def fastest(folder: Path, manifest: PairManifest, device: str | None = None) -> tuple[Backend, str]:
    """The fastest backend that was verified on a machine of this kind, and a line that says so.

    Only one that holds counts, see :attr:`Verification.holds`, also where a worse one was put into the pair on purpose.
    Where networks run on a GPU, the backends for the CPU do not compete.
    """
    on_gpu = _on_gpu(device)
    competing: list[tuple[float, Backend, Verification]] = []
    for name in BACKENDS[1:]:
        if on_gpu != (name == "tensorrt"):
            continue
        record = verification_here(manifest, name)
        if record is not None and record.holds and can_run(name) is None:
            speedup = min(record.ms_per_tile["torch"].values()) / min(record.ms_per_tile["backend"].values())
            competing.append((speedup, name, record))
    best = max(competing, default=None, key=lambda one: one[0])
    if best is None:
        wanted = "tensorrt" if on_gpu else "openvino"
        return "torch", (
            "runs with torch: the pair has no other backend that was verified on a machine of this kind; a faster one:"
            f" {export_command(folder, manifest, wanted)}"
        )
    speedup, name, record = best
    if speedup <= 1:
        return "torch", f"runs with torch: on a machine of this kind {name} was not faster"
    return name, (
        f"runs with {name}: {speedup:.1f} times as fast as torch, AP50 {_share(record.backend.ap50)} in place of"
        f" {_share(record.torch.ap50)} on {record.dataset}, {record.split} (verified {record.date[:10]})"
    )


def verification_here(manifest: PairManifest, backend: str) -> Verification | None:
    """The record of a backend that speaks for this machine and what is installed on it, the newest if there are more.

    Files that were made from other checkpoints than the pair's have none.
    """
    part = manifest.backends.get(backend)
    if part is None or part.made_from != checkpoints_of(manifest):
        return None
    machine, versions = this_machine(), backend_versions(backend)
    fitting = [
        record
        for record in part.verified
        if same_kind(record.machine, machine, backend == "tensorrt") and versions.items() <= record.versions.items()
    ]
    return fitting[-1] if versions and fitting else None


def _load(file: Path, task: Task, backend: Backend, device: str | None) -> Runner:
    if backend == "onnxruntime":
        from spore_yolo.inference.backends.onnx_runner import OnnxRunner

        return OnnxRunner(file, task)
    if backend == "tensorrt":
        from spore_yolo.inference.backends.tensorrt_runner import TensorRtRunner

        return TensorRtRunner(file, task, device)
    from spore_yolo.inference.backends.openvino_runner import OpenVinoRunner

    return OpenVinoRunner(file, task, "bf16" if backend.endswith("bf16") else "int8" if "int8" in backend else "f32")


def _by_torch(folder: Path, manifest: PairManifest, device: str | None, note: str, measure: bool) -> Runners:
    from spore_yolo.inference.backends.torch_runner import TorchRunner

    detector = TorchRunner(folder / manifest.detector.file, "detect", device)
    if measure and detector.device.type == "cuda":
        part = manifest.detector
        detector.batch = remembered_speed(detector, part.sha256, part.tile_size, on_gpu=True).batch
    if manifest.classifier is None:
        return Runners(detector, None, (detector.names, None), note)
    classifier = TorchRunner(folder / manifest.classifier.file, "classify", device)
    return Runners(detector, classifier, (detector.names, classifier.names), note)


def _on_gpu(device: str | None) -> bool:
    from spore_yolo.inference.device import torch_device

    return str(torch_device(device).type) != "cpu"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
