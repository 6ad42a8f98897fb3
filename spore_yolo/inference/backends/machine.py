"""The machine that figures were measured on."""

from __future__ import annotations

import platform
from pathlib import Path

from spore_yolo.files.cores import core_count
from spore_yolo.inference.manifest import Machine

FEATURES = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)
"""Instructions that decide how fast, and how exactly, a network runs; as Linux calls them."""


def this_machine() -> Machine:
    """The machine that this runs on."""
    facts = _cpu_facts()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return Machine(
        cpu=facts.get("model name") or platform.processor() or platform.machine() or "unknown",
        features=[name for name in FEATURES if name in flags],
        cores=core_count(),
        system=f"{platform.system()} {platform.machine()}",
        gpu=_gpu(),
    )


def same_kind(first: Machine, second: Machine, on_gpu: bool = False) -> bool:
    """Whether a network gives the same on two machines and is about as fast.

    Args:
        first: The one.
        second: The other.
        on_gpu: Whether the network runs on the GPU.
    """
    if on_gpu:
        return first.gpu is not None and first.gpu == second.gpu
    return (first.cpu, first.features, first.system) == (second.cpu, second.features, second.system)


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    facts: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return facts
    for line in text.split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    return facts


def _gpu() -> str | None:
    from spore_yolo.inference.ultralytics_setup import prepare_environment

    prepare_environment()
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
