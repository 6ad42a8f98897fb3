"""As much of Kubernetes' API as a deployment to Argo Workflows asks for: it has nothing yet, and takes what it gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Cluster:
    """What was put into it.

    Attributes:
        kubeconfig: File that says where it is.
        made: What was made, by its kind and in order.
    """

    kubeconfig: Path
    made: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@contextmanager
def open_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster on a free port of this machine."""
    cluster = Cluster(folder / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            place = {"namespace": self.path.split("/namespaces/")[1].split("/")[0]}
            cluster.made.setdefault(content["kind"], []).append(content | place)
            self._answer(201, content)

        def _answer(self, code: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Stays silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    cluster.kubeconfig.write_text(yaml.safe_dump(content))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
