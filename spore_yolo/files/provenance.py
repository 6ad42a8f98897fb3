"""What made a result: versions of packages and the commit of the code."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("spore-yolo", "torch", "torchvision", "ultralytics", "numpy", "opencv-python", "pillow", "supervision")


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide on a result; packages that are missing are left out."""
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


COMMIT = "SPORE_YOLO_COMMIT"
"""Variable that names the commit where code travels without its repository, as to the machines of a flow."""


def code_commit() -> str | None:
    """The git commit of the code that runs, with ``-dirty`` where files were changed.

    Outside a checkout it is what :data:`COMMIT` says, and without that ``None``.
    """
    return _commit_of_checkout() or os.environ.get(COMMIT) or None


@functools.cache
def _commit_of_checkout() -> str | None:
    folder = Path(__file__).parent
    try:
        # A checkout that merely lies around an installed package is not the code that runs.
        inside = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
        # Without any tag: what has one would be called by that.
        return _git(folder, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") if inside else None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
