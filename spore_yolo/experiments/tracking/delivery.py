"""Brings a journal to its stores, and waits longer and longer for one that cannot be reached."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from spore_yolo.experiments.tracking.journal import Journal
from spore_yolo.experiments.tracking.mlflow_store import MlflowStore
from spore_yolo.experiments.tracking.settings import TrackingSettings
from spore_yolo.experiments.tracking.state import Store, read_state, write_state
from spore_yolo.experiments.tracking.wandb_store import WandbStore
from spore_yolo.files.locking import locked

FIRST_PAUSE = 60.0
"""Seconds after a failure until a store is tried again; each further failure doubles them."""


class Delivery:
    """Brings a journal to the stores of its settings.

    Args:
        journal: The journal.
        settings: The stores.
        name: The run's name.
    """

    def __init__(self, journal: Journal, settings: TrackingSettings, name: str) -> None:
        kinds: dict[str, Callable[[Journal, TrackingSettings, str], Store]] = {
            "mlflow": MlflowStore,
            "wandb": WandbStore,
        }
        self._journal = journal
        self._stores: dict[str, Store] = {kind: kinds[kind](journal, settings, name) for kind in settings.stores}
        self._pause: dict[str, float] = {}
        self._next_try: dict[str, float] = {}

    @property
    def stores(self) -> list[Store]:
        """The stores."""
        return list(self._stores.values())

    def deliver(self, final: bool) -> list[str]:
        """Tries to bring all events to all stores; raises nothing.

        Args:
            final: Try also a store whose pause is not over.

        Returns:
            What could not be delivered and why, a line a store.
        """
        with locked(self._journal.folder / "delivery.lock", wait=final) as alone:
            if not alone:
                return []  # another process is at it
            return [line for kind in self._stores if (line := self._bring(kind, final)) is not None]

    def _bring(self, kind: str, final: bool) -> str | None:
        store = self._stores[kind]
        if not final and time.monotonic() < self._next_try.get(kind, 0.0):
            return f"{store.where}: not tried again yet"
        path = self._journal.folder / f"{kind}.json"
        state = read_state(path, store.key)
        total = None
        try:
            events = self._journal.read()
            total = len(events)
            store.bring(events, state, lambda: write_state(path, state))
        except Exception as error:  # whatever a store, its client or the network between comes up with
            pause = self._pause.get(kind, FIRST_PAUSE / 2) * 2
            first = kind not in self._pause
            self._pause[kind], self._next_try[kind] = pause, time.monotonic() + pause
            left = "what there is to track is" if total is None else f"{total - state.position} entries are"
            reason = f"{left} not in {store.where} yet: {_short(error)}"
            if first and not final:
                print(f"warning: tracking: {reason}\nThe work goes on; all is kept in {self._journal.folder}")
            return reason
        self._pause.pop(kind, None)
        self._next_try.pop(kind, None)
        return None


def _short(error: Exception) -> str:
    """The cause of an error in one line, without passwords; network clients wrap it many times over."""
    text = re.sub(r"://[^/\s@]*@", "://", " ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"
