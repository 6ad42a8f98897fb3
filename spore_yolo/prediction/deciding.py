"""What decides on the results of a prediction besides the slides, by the names that messages and results call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spore_yolo.files.hashes import fingerprint
from spore_yolo.files.provenance import package_versions
from spore_yolo.inference.backends.packages import backend_versions
from spore_yolo.inference.device import torch_device

if TYPE_CHECKING:
    from spore_yolo.inference.pair import Pair
    from spore_yolo.prediction.running import PredictionOptions
    from spore_yolo.prediction.slide import SlideLooker

EXPORTED = "exported "
OF_THE_MACHINE = ("backend", "precision", "--batch", "device", EXPORTED, "version of ")
"""How the names of those begin in which the machines of one run may differ; they are kept with every slide."""

ON_GPU = ("torch", "tensorrt")
"""Backends that run on a GPU where there is one."""


def deciding_options(options: PredictionOptions, looker: SlideLooker) -> dict[str, Any]:
    """All that decides on the results besides the slides."""
    manifest = looker.pair.manifest
    looks = {"classes", "targets", "detector", "classifier", "um_per_px", "empty"}
    return {
        "detector (SHA-256)": manifest.detector.sha256,
        "classifier (SHA-256)": None if manifest.classifier is None else manifest.classifier.sha256,
        "settings in pair.yaml (fingerprint)": fingerprint(manifest.model_dump(mode="json", include=looks)),
        "operating point": looker.point.model_dump(by_alias=True),
        "--operating-point": options.operating_point,
        "--mpp": options.um_per_px,
        "--no-resample": not options.resample,
        "--z": options.z,
        "--no-images": not options.images,
        "--skip-empty": options.skip_empty,
        **looker.computed_by,
    }


def computed_by(pair: Pair, batch: int | None, device: str | None) -> dict[str, Any]:
    """What computes on this machine: of the deciding options those that :data:`OF_THE_MACHINE` names.

    Args:
        pair: The pair, loaded.
        batch: Tiles a forward pass; ``None`` leaves it to the backend.
        device: As torch takes it; ``None`` chooses.
    """
    runner = pair.detector.runner
    exported = pair.manifest.backends.get(runner.backend)
    return {
        "backend": runner.backend,
        "precision": runner.precision,
        "--batch": batch or runner.batch,
        "device": str(torch_device(device)) if runner.backend in ON_GPU else "cpu",
        **{f"{EXPORTED}{name} (SHA-256)": digest for name, digest in (exported.files if exported else {}).items()},
        **{f"version of {name}": one for name, one in (package_versions() | backend_versions(runner.backend)).items()},
    }


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The deciding options in which one machine of a run may not differ from the one that began it, but does.

    Args:
        then: What the run began with.
        now: What this machine would look with.

    Returns:
        Their names. Machines may run other backends, but the same backend runs the same networks everywhere.
    """
    may = tuple(name for name in OF_THE_MACHINE if name != EXPORTED or then["backend"] != now["backend"])
    return [
        name for name in dict.fromkeys([*then, *now]) if not name.startswith(may) and then.get(name) != now.get(name)
    ]
