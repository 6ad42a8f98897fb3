"""Flows on Metaflow: the way of the data on other machines, by itself. Their steps call what the commands call."""

from __future__ import annotations

import os


def prepare_metaflow() -> None:
    """Sets what Metaflow reads from the environment when it is imported.

    Metaflow names its runs after the user and refuses ``root``, who a container's user usually is.
    """
    names = (os.environ.get(key) for key in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER"))
    if all(name in (None, "", "root") for name in names):
        os.environ["METAFLOW_USER"] = "spore-yolo"


prepare_metaflow()
