"""A wire between a client and a server that breaks when it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """Passes bytes on both ways.

    Args:
        endpoint: The server.
        cut_after: Bytes from the server after which connections are cut.
        for_good: Whether no connection is taken after that.
    """

    def __init__(self, endpoint: str, cut_after: int, for_good: bool) -> None:
        self._server = (urlsplit(endpoint).hostname, urlsplit(endpoint).port)
        self._left = cut_after
        self._for_good = for_good
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self.passed = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for one, other, counted in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass, args=(one, other, counted), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while content := one.recv(65536):
                if counted and self._breaks(len(content)):
                    break
                other.sendall(content)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _breaks(self, count: int) -> bool:
        with self._lock:
            self.passed += count
            self._left -= count
            if self._left > 0:
                return False
            self.cuts += 1
            if self._for_good:
                self.close()
            else:
                self._left = 1 << 60
            return True


@contextmanager
def breaking_wire(endpoint: str, cut_after: int, for_good: bool) -> Iterator[Wire]:
    wire = Wire(endpoint, cut_after, for_good)
    threading.Thread(target=wire.serve, daemon=True).start()
    try:
        yield wire
    finally:
        wire.close()
