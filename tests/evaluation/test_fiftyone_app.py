from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from spore_yolo.evaluation import fiftyone_app
from spore_yolo.evaluation.fiftyone_app import POLICY, listen, url_of, with_policy
from spore_yolo.files.errors import SporeYoloError, UsageError


@pytest.fixture
def taken() -> Any:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken(taken: int) -> None:
    with pytest.raises(SporeYoloError, match=f"port {taken} is taken by another program; choose another with --port"):
        listen("127.0.0.1", taken)


def test_without_a_wish_the_next_free_port_is_taken(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fiftyone_app, "FIRST_PORT", taken)
    with listen("127.0.0.1", None) as listener:
        assert taken < listener.getsockname()[1] < taken + fiftyone_app.PORTS_TRIED
    monkeypatch.setattr(fiftyone_app, "PORTS_TRIED", 1)
    with pytest.raises(SporeYoloError, match=f"ports {taken} to {taken} are all taken"):
        listen("127.0.0.1", None)


def test_a_port_is_held_from_then_on() -> None:
    with listen("127.0.0.1", None) as listener, pytest.raises(SporeYoloError, match="is taken"):
        listen("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize("address", ["203.0.113.7", "no.such.name.invalid", "not an address"])
def test_an_address_of_no_machine_here(address: str) -> None:
    with pytest.raises(UsageError, match="--address: expected an address of this machine"):
        listen(address, None)


@pytest.mark.parametrize(
    ("address", "host"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")]
)
def test_the_address_that_a_browser_opens(address: str, host: str) -> None:
    with listen(address, None) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener, "spore-yolo-rust") in (
            f"http://{host}:{port}/datasets/spore-yolo-rust",
            f"http://[::1]:{port}/datasets/spore-yolo-rust",  # what localhost means on some machines
        )


def test_every_answer_forbids_calls_to_other_machines() -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(with_policy(app)({}, None, send))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"content-security-policy", POLICY.encode())]
    assert sent[1] == {"type": "http.response.body", "body": b"page"}
