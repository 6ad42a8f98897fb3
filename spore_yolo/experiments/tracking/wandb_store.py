"""W&B as a replay of a journal: each part a run, all parts of one run a group.

A part is written whole when it has ended, as W&B's own offline run: a half of one, left by a killed process, cannot be
taken up again, so what a journal holds would be lost or doubled. Online means that ``wandb sync`` sends it then.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spore_yolo.experiments.tracking.environment import variables_set
from spore_yolo.experiments.tracking.flattening import parameters
from spore_yolo.experiments.tracking.journal import RUN, Event, Journal
from spore_yolo.experiments.tracking.settings import TrackingSettings
from spore_yolo.experiments.tracking.state import State
from spore_yolo.files.errors import SporeYoloError

FOLDER = "wandb"
"""Where the offline runs lie, in the run's tracking folder."""

SYNC_SECONDS = 120
"""How long sending one part may take; what is not sent then goes with the next delivery."""

SILENT = {"WANDB_ERROR_REPORTING": "false", "DO_NOT_TRACK": "true", "WANDB_SILENT": "true"}


class WandbStore:
    """W&B, offline or online.

    Args:
        journal: The journal.
        settings: Which project, and whether it is sent.
        name: The run's name.
    """

    def __init__(self, journal: Journal, settings: TrackingSettings, name: str) -> None:
        self._journal, self._name = journal, name
        self._project, self._online = settings.wandb_project, settings.wandb_mode == "online"

    @property
    def where(self) -> str:
        """W&B and its place."""
        return "W&B" if self._online else f"W&B's offline runs in {self._journal.folder / FOLDER}"

    @property
    def key(self) -> str:
        """The project."""
        return self._project

    def bring(self, events: list[Event], state: State, save: Callable[[], None]) -> None:
        """See :class:`spore_yolo.experiments.tracking.state.Store`."""
        if not events:
            return
        described = [event for event in events if event.part == RUN and event.kind == "describe"]
        for start, part in _ended(events).items():
            known = state.runs.get(str(start), {})
            stale = part[-1].number > known.get("position", 0)
            if not stale and (known.get("sent") or not self._online):
                continue
            _check_installed()
            if stale:
                state.runs.pop(str(start), None)
                save()
                folder = self._write(f"{events[0].payload['id'][:8]}-{start}", part, described)
                known = {"folder": folder, "position": part[-1].number, "sent": False}
                state.runs[str(start)] = known
                save()
            if self._online:
                self._send(self._journal.folder / FOLDER / known["folder"])
                known["sent"] = True
                save()
        state.position = events[-1].number
        save()

    def _write(self, run_id: str, part: list[Event], described: list[Event]) -> str:
        """Writes a part as an offline run; gives the name of its folder.

        The run's id follows from the journal, so that a part that is written again, since it was resumed, is the same
        run in W&B; what an earlier or a killed process wrote of it goes.
        """
        for old in (self._journal.folder / FOLDER).glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(old)
        with variables_set(SILENT):
            import wandb

            first = part[0]
            run = wandb.init(
                project=self._project,
                id=run_id,
                name=f"{self._name} {first.part} {first.payload['label']}".strip(),
                group=self._name,
                job_type=first.part,
                dir=str(self._journal.folder),
                mode="offline",
                reinit="create_new",
                config=_config(part, described),
                settings=wandb.Settings(
                    console="off",
                    disable_code=True,
                    disable_git=True,
                    disable_job_creation=True,
                    host="",
                    quiet=True,
                    silent=True,
                    x_disable_machine_info=True,
                    x_disable_meta=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                    x_start_time=first.milliseconds / 1000,
                ),
            )
            status = 1
            try:
                self._fill(run, part)
                status = 0 if part[-1].payload["status"] == "FINISHED" else 1
            finally:
                run.finish(exit_code=status)
            # A shortcut to the last of the runs, and to its log: W&B's own, and of no use here.
            for shortcut in (self._journal.folder / FOLDER).glob("*"):
                if shortcut.is_symlink() or shortcut.suffix == ".log":
                    shortcut.unlink()
            return str(Path(run.dir).parent.name)

    def _fill(self, run: Any, part: list[Event]) -> None:
        import wandb

        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        pictures = {}
        for event in part:
            if event.kind == "metrics" and event.payload["step"] is not None:
                run.log({"epoch": event.payload["step"], **_numbers(event.payload["values"])})
            elif event.kind == "metrics":
                run.summary.update(_numbers(event.payload["values"]))
            elif event.kind == "figure":
                path = self._journal.file_of(event)
                pictures[f"figures/{path.stem}"] = wandb.Image(str(path))
            elif event.kind == "artifact":
                self._artifact(run, event)
        if pictures:
            run.log(pictures)

    def _artifact(self, run: Any, event: Event) -> None:
        import wandb

        path, name = self._journal.file_of(event), str(event.payload["name"])
        clean = re.sub(r"[^\w.\-]", "_", f"{self._name}-{name}")[:128]
        artifact = wandb.Artifact(clean, type="model" if name == "pair" else name)
        for file in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
            inner = file.name if path.is_file() else file.relative_to(path).as_posix()
            # Kept beside the journal, it does not change any more; W&B need not make a copy of its own.
            artifact.add_file(str(file.resolve()), inner, policy="immutable")
        run.log_artifact(artifact)

    def _send(self, folder: Path) -> None:
        """Sends an offline run.

        Raises:
            SporeYoloError: It could not be sent; the message is W&B's own.
        """
        command = [sys.executable, "-m", "wandb", "sync", "--yes", "--include-synced", str(folder)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SYNC_SECONDS,
                env={**os.environ, **{name: value for name, value in SILENT.items() if name != "WANDB_SILENT"}},
            )
        except subprocess.TimeoutExpired:
            raise SporeYoloError(f"wandb sync was not done after {SYNC_SECONDS} seconds") from None
        if done.returncode or not list(folder.glob("*.synced")):
            raise SporeYoloError(f"wandb sync: {done.stdout.strip()[-500:] or f'exit code {done.returncode}'}")


def _ended(events: list[Event]) -> dict[int, list[Event]]:
    """The events of each part that has ended, by the number of its first ``start``; the last one is its end."""
    parts: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind == "start":
            parts[event.payload["again"] or event.number].append(event)
        elif event.part != RUN:
            parts[event.payload["of"]].append(event)
    return {start: part for start, part in parts.items() if part[-1].kind == "end"}


def _config(part: list[Event], described: list[Event]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for event in described:
        config |= {f"run.{name}": value for name, value in event.payload["parameters"].items()}
        config |= {f"run.{name}": value for name, value in event.payload["tags"].items()}
    for event in part:
        if event.kind in ("parameters", "tags"):
            config |= event.payload["values"]
        elif event.kind == "dataset":
            config |= parameters({"dataset": {key: event.payload[key] for key in ("name", "version", "lake_version")}})
        elif event.kind == "start":
            config |= parameters({"version": event.payload["versions"]})
            config["commit"] = event.payload["commit"]
    return config


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _check_installed() -> None:
    if importlib.util.find_spec("wandb") is None:
        raise SporeYoloError("wandb is not installed; pip install 'spore-yolo[tracking]'")
