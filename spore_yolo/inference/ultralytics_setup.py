"""The one way by which Ultralytics is imported: with settings of its own that send nothing and install nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any


def import_ultralytics() -> Any:
    """Imports and returns ``ultralytics``.

    Its settings and caches are global and shared with other programs of the user, it installs packages by itself when
    one is missing, and it reports usage to its makers. Here it gets a folder of its own and does neither. What the user
    set in the environment stays.
    """
    prepare_environment()
    import ultralytics
    from ultralytics.utils import SETTINGS

    ours = {
        "sync": False,
        "weights_dir": str(Path(os.environ["YOLO_CONFIG_DIR"]) / "weights"),
        # Its own trackers know nothing of runs nested in others, and would write beside those of this program.
        "mlflow": False,
        "wandb": False,
    }
    if any(SETTINGS[key] != value for key, value in ours.items()):
        SETTINGS.update(ours)
    return ultralytics


def prepare_environment() -> None:
    """Sets what torch and Ultralytics read from the environment when they are first imported."""
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = str(_settings_folder())
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    # Threads that wait for each other sleep instead of spinning: beside another busy program spinning slows a training
    # on a CPU down many times over.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _settings_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "spore-yolo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="spore-yolo-"))
