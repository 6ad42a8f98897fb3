"""How far a store is with a journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from spore_yolo.experiments.tracking.journal import Event
from spore_yolo.files.atomic import write_text


@dataclass
class State:
    """What a store knows of a journal already; ``tracking/mlflow.json`` and ``tracking/wandb.json``.

    Attributes:
        store: Which store; another one begins from the start of the journal.
        position: Number of the last event that it has.
        runs: The store's own name of the run and of its parts, by the number of the event that began them.
    """

    store: str
    position: int = 0
    runs: dict[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """A place that a journal is brought to. Bringing the same event twice must leave the same as bringing it once."""

    @property
    def where(self) -> str:
        """What it is, for messages; no password is in it."""

    @property
    def key(self) -> str:
        """What tells it from others of its kind in :attr:`State.store`."""

    def bring(self, events: list[Event], state: State, save: Callable[[], None]) -> None:
        """Brings the events after ``state.position`` to the store.

        Args:
            events: The whole journal.
            state: How far the store is; moved on with each event.
            save: Writes the state; called after each event, so that little is done twice after a kill.

        Raises:
            Exception: The store cannot be reached, or refuses; ``state`` says how far it came.
        """


def read_state(path: Path, key: str) -> State:
    """Reads how far a store is; one that is missing, damaged or of another store begins from the start."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        state = State(str(content["store"]), int(content["position"]), dict(content["runs"]))
    except (OSError, ValueError, KeyError, TypeError):
        return State(key)
    return state if state.store == key else State(key)


def write_state(path: Path, state: State) -> None:
    """Writes how far a store is, whole or not at all."""
    write_text(path, json.dumps(asdict(state), indent=1) + "\n")
