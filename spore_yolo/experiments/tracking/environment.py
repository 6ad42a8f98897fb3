"""What is installed where a run works."""

from __future__ import annotations

from importlib import metadata


def installed_packages() -> str:
    """All installed packages with their versions, in the form of a requirements file."""
    found = {
        name.lower().replace("_", "-"): distribution.version
        for distribution in metadata.distributions()
        if (name := distribution.metadata["Name"])
    }
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))
