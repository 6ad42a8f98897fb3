"""A bucket on a server of our own: moto on a free port of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

READY = (
    "import sys; from moto.moto_server.threaded_moto_server import ThreadedMotoServer as S;"
    "s = S('127.0.0.1', 0, verbose=False); s.start(); print(s.get_host_and_port()[1], flush=True); sys.stdin.read()"
)
"""Says its port, and ends with our end: a server that outlives the tests would be left for ever."""


@dataclass
class Bucket:
    """A fresh bucket.

    Attributes:
        client: boto3's own client, which knows nothing of us.
        name: Name of the bucket.
        endpoint: Where the server is.
        log: What the server was asked.
    """

    client: Any
    name: str
    endpoint: str
    log: Path

    @property
    def address(self) -> str:
        return f"s3://{self.name}"

    def etags(self, prefix: str = "") -> dict[str, str]:
        """ETag of each object, by its key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}

    def asked(self) -> list[str]:
        """Requests about this bucket so far, such as ``GET /key``; those for lists end with ``?list-type=2...``."""
        found = re.findall(rf'"([A-Z]+) /{self.name}([^ ]*) HTTP', self.log.read_text())
        return [f"{verb} {place}" for verb, place in found]

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)


@pytest.fixture(scope="session")
def s3_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server was asked, a line a request."""
    return tmp_path_factory.mktemp("s3") / "requests.log"


@pytest.fixture(scope="session")
def s3_server(s3_log: Path) -> Iterator[str]:
    """The address of a server that is started once."""
    with s3_log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", READY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None and process.stdin is not None
    try:
        endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
        wait_until_it_answers(endpoint)
        yield endpoint
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(timeout=120)


def wait_until_it_answers(endpoint: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < end, f"{endpoint} does not answer"
            time.sleep(0.1)


@pytest.fixture
def s3(s3_server: str, s3_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket, an environment in which the AWS client finds it, and an empty cache of ours."""
    import boto3

    set_environment(monkeypatch, s3_server, tmp_path)
    name = f"lake-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    return Bucket(client, name, s3_server, s3_log)


def set_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str, folder: Path) -> None:
    """What the AWS client, Metaflow and we need to find a server; nothing of the machine's own is left."""
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "METAFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-aws-credentials"),
        "SPORE_YOLO_CACHE": str(folder / "cache"),
        "NO_PROXY": "127.0.0.1,localhost",
    }.items():
        monkeypatch.setenv(name, value)
