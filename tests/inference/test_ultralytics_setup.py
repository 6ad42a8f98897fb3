from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CODE = """
import json, os
from spore_yolo.inference.ultralytics_setup import import_ultralytics
ultralytics = import_ultralytics()
settings = {key: ultralytics.settings[key] for key in ("sync", "weights_dir")}
environment = {name: value for name, value in os.environ.items() if name[:4] in ("YOLO", "OMP_")}
print(json.dumps({"settings": settings, "environment": environment}))
"""


def told(**environment: str) -> dict[str, dict[str, object]]:
    base = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO_", "OMP_"))}
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        env=base | {"YOLO_OFFLINE": "true"} | environment,
        cwd=Path(__file__).parents[2],
    )
    answer: dict[str, dict[str, object]] = json.loads(result.stdout.splitlines()[-1])
    return answer


def test_ultralytics_gets_a_folder_of_its_own_and_sends_and_installs_nothing(tmp_path: Path) -> None:
    answer = told(XDG_CACHE_HOME=str(tmp_path))
    assert answer["environment"]["YOLO_CONFIG_DIR"] == str(tmp_path / "spore-yolo")
    assert answer["environment"]["YOLO_AUTOINSTALL"] == "false"
    assert answer["settings"] == {"sync": False, "weights_dir": str(tmp_path / "spore-yolo" / "weights")}


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    answer = told(YOLO_CONFIG_DIR=str(tmp_path / "mine"), YOLO_AUTOINSTALL="true", OMP_WAIT_POLICY="active")
    assert answer["environment"]["YOLO_CONFIG_DIR"] == str(tmp_path / "mine")
    assert answer["environment"]["YOLO_AUTOINSTALL"] == "true"
    assert answer["environment"]["OMP_WAIT_POLICY"] == "active"


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = told(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "spore-yolo" in str(answer["environment"]["YOLO_CONFIG_DIR"])
