"""The environment that a run works in: what is installed, and variables that others read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata


def installed_packages() -> str:
    """All installed packages with their versions, in the form of a requirements file."""
    found = {
        name.lower().replace("_", "-"): distribution.version
        for distribution in metadata.distributions()
        if (name := distribution.metadata["Name"])
    }
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for a while; what the user set stays."""
    ours = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
