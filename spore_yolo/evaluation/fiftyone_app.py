"""Serves the App of FiftyOne from this process, on a port of this machine, without calls to other machines."""

from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import socket
from collections.abc import Callable
from typing import Any

from spore_yolo.files.errors import SporeYoloError, UsageError

FIRST_PORT = 5151
PORTS_TRIED = 20

POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
"""Content-Security-Policy of every page: the browser loads and sends nothing anywhere but here.

Without it the App fetches fonts from Google, which tells Google who looks at slides, and when.
"""


def listen(address: str, port: int | None) -> socket.socket:
    """Takes a port and holds it.

    Args:
        address: The address to listen on, such as ``127.0.0.1``.
        port: The port; ``None`` takes the first free one of 20 from 5151 on.

    Raises:
        SporeYoloError: The port is taken, or may not be opened.
        UsageError: The address is none of this machine.
    """
    try:
        family, *_, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise UsageError(f"--address: expected an address of this machine, found {address!r}") from None
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    for number in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((place[0], number))
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"--address: expected an address of this machine, found {address!r}") from None
            if error.errno == errno.EACCES:
                raise SporeYoloError(f"port {number} may not be opened; choose one above 1023 with --port") from None
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return listener
    if port is None:
        raise SporeYoloError(f"ports {ports[0]} to {ports[-1]} are all taken; choose a free one with --port")
    raise SporeYoloError(f"port {port} is taken by another program; choose another with --port, or leave it out")


def url_of(listener: socket.socket, dataset: str) -> str:
    """The address of a dataset in the App."""
    host, port = listener.getsockname()[:2]
    # An address that stands for all addresses of the machine cannot be opened on every system.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/datasets/{dataset}"


def serve_app(listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves the App until Ctrl-C or a stop by the system.

    Args:
        listener: Where to listen; see :func:`listen`. It is closed at the end.
        ready: Called once, when the App is about to answer.
    """
    app = importlib.import_module("fiftyone.server.app").app
    importlib.import_module("fiftyone.server.events").set_port(listener.getsockname()[1])
    hypercorn = importlib.import_module("hypercorn.asyncio")
    config = importlib.import_module("hypercorn.config").Config()
    config.errorlog = None
    config.graceful_timeout = 1
    # A browser that is closed while it is told something is no news.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    config.bind = [f"fd://{listener.detach()}"]

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(_tell_of_errors)
        # It takes both signals for itself while it serves, and returns after either.
        await hypercorn.serve(with_policy(app), config)

    ready()
    asyncio.run(serve())


def _tell_of_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Python 3.11 takes it for an error that connections are cut at the end."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def with_policy(app: Any) -> Any:
    """An ASGI app that sends :data:`POLICY` with every answer."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return guarded
